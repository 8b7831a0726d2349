//! What panics cost: those of handlers, of their factories, of wire formats, and of what else is the user's.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hookup_client::Backoff;
use hookup_server::{
    Cause, CloseCode, Error, Event, EventHandler, Handling, HookupServer, Message, Peer, SimpleJson, Text, WireFormat,
    core::{
        wire::{AckId, Inbound, WireError},
        ws::Frame,
    },
};
use raw::{CLOSE, Raw, close_payload, frame};
use sessions::{acked, on_one_worker, request};
use support::{HOUR, Server, close, recorded, recorder, recording, sent, soon};
use tokio::sync::mpsc;
use v2::reliable;

const SHORT: Duration = Duration::from_millis(100);

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

#[actix::test]
async fn a_factory_that_panics_for_a_session_costs_its_connection_alone() {
    let calls = AtomicUsize::new(0);
    let (handler, mut received) = recorder();
    let builder = HookupServer::new(move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        assert!(call != 1, "this panic is the test's");
        handler.clone()
    });
    let (addr, hookup) = on_one_worker(builder.max_sessions(2));
    let (mut beside, _) = v2::greeted(addr, &v2::hello(v2::SESSION, 1)).await;
    received.connected().await;
    let (client, mut events) = recorded(reliable(format!("ws://{addr}/")));
    // The place of the connection that failed is free again.
    let Cause::PeerClosed(reason) = events.reconnecting().await.cause else { panic!("not closed") };
    assert_eq!(reason.code, CloseCode::ERROR);
    events.connected().await;
    sent(client.send(Text("hi").needs_ack(HOUR))).await.expect("acked");
    beside.nothing_came().await;
    soon("the end of all sessions", hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn a_jitter_that_panics_costs_its_client_nothing_but_the_jitter() {
    let (server, mut received) = recording();
    let backoff = Backoff::default().initial(SHORT).max(SHORT);
    let backoff = backoff.jitter_by(|_| panic!("this panic is the test's"));
    let (addr, mut events) = recorded(server.client().backoff(backoff));
    events.connected().await;
    received.connected().await.peer.close(CloseCode::ERROR.into());
    assert_eq!(events.reconnecting().await.wait, SHORT);
    events.connected().await;
    assert_eq!(close(&addr, HOUR).await, 0);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("this panic is the test's");
    }
}

#[actix::test]
async fn a_handler_that_panics_when_it_is_dropped_harms_nobody() {
    let (addr, hookup) = on_one_worker(HookupServer::new(|| {
        let bomb = Bomb;
        move |_: Event, _: Peer| {
            let _ = &bomb;
        }
    }));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.closed().await, Some(1000));
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    soon("the end of all sessions", hookup.stop(support::STOP)).await;
}
