//! What panics cost: those of handlers, of their factories, and of wire formats.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use hookup_server::{
    Error, Event, EventHandler, Handling, HookupServer, Message, Peer, SimpleJson, WireFormat,
    core::{
        wire::{AckId, Inbound, WireError},
        ws::Frame,
    },
};
use raw::{CLOSE, Raw, close_payload, frame};
use sessions::{acked, on_one_worker, request};
use support::{Server, soon};
use tokio::sync::mpsc;

/// Panics as its messages say, and hands on what else it is told.
struct Panicky(mpsc::UnboundedSender<Event>);

impl EventHandler for Panicky {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        let text = if let Event::Text(text) = &event { text.to_string() } else { String::new() };
        match text.as_str() {
            "now" => panic!("I was told to"),
            "later" => return Handling::later(async { std::panic::panic_any(7) }),
            _ => self.0.send(event).expect("the test goes on"),
        }
        Handling::done()
    }
}

#[actix::test]
async fn a_panic_costs_the_ack_and_nothing_else() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let (addr, _) = on_one_worker(HookupServer::new(move || Panicky(sender.clone())));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    for _ in 0..2 {
        assert!(matches!(soon("an event", told.recv()).await, Some(Event::Connected(_))));
    }
    for (text, words) in [("now", "I was told to"), ("later", "a value that is not a string")] {
        request(&mut raw, 1, text).await;
        let event = soon("the panic", told.recv()).await;
        let Some(Event::Error(Error::HandlerPanicked { message })) = event else { panic!("{event:?}") };
        assert_eq!(message, words);
        for session in [&mut raw, &mut beside] {
            request(session, 2, "hi").await;
            acked(session, 2).await;
            assert!(matches!(soon("an event", told.recv()).await, Some(Event::Text(_))));
        }
    }
}

#[actix::test]
async fn a_handler_that_panics_at_everything_is_not_told_for_ever() {
    let server = Server::with(|| |_: Event, _: Peer| -> () { panic!("at everything") });
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "hi").await;
    raw.nothing_came().await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.closed().await, Some(1000));
    soon("the end of all sessions", server.hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn a_factory_that_panics_costs_its_connection_alone() {
    let calls = AtomicUsize::new(0);
    let (addr, _) = on_one_worker(HookupServer::new(move || {
        assert!(calls.fetch_add(1, Ordering::Relaxed) != 1, "the second one");
        |_: Event, _: Peer| {}
    }));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::connect(addr).await;
    assert_eq!(raw.handshake("/", &[]).await.status, 500);
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    Raw::open(addr, "jsonProtocol").await.nothing_came().await;
}

/// A wire format with a mistake in it.
struct Faulty;

impl WireFormat for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        SimpleJson.render(message, ack)
    }

    fn parse(&self, _: Frame) -> Result<Inbound, WireError> {
        panic!("a mistake")
    }
}

#[actix::test]
async fn a_wire_format_that_panics_costs_its_connection_alone() {
    let (addr, hookup) = on_one_worker(HookupServer::new(|| |_: Event, _: Peer| {}).wire_format(Faulty));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "faulty").await;
    raw.text("hi").await;
    assert_eq!(raw.closed().await, Some(1011));
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    soon("the end of all sessions", hookup.stop(support::STOP)).await;
}
