//! Handlers that block their thread, never end, or are sent more than they may be: one session bears it, others do not.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError, mpsc as blocking},
    thread::ThreadId,
    time::Duration,
};

use actix_web::{App, HttpServer};
use clock::server_passes;
use hookup_client::{Disconnect, Reconnect};
use hookup_server::{Error, Event, EventHandler, Handling, HookupServer, Peer, SendFailure, Text};
use raw::{PING, PONG, Raw, TEXT, frame};
use sessions::{acked, on_one_worker, request};
use support::{HOUR, Server, close, recorded, recorder, sent, soon};
use tokio::sync::mpsc;
use v2::reliable;

/// The next text; pings before it are answered.
async fn text(raw: &mut Raw) -> String {
    loop {
        match raw.next().await.expect("a frame, not the end") {
            (PING, payload) => raw.write(frame(PONG, payload)).await,
            (first, payload) => {
                let text = String::from_utf8(payload).expect("UTF-8");
                assert_eq!(first, TEXT, "{text}");
                return text;
            }
        }
    }
}

#[actix::test]
async fn a_handler_that_blocks_its_thread_is_told_so_and_nobody_else_is_taken_for_late() {
    /// Longer than any time-out of its neighbours.
    const BLOCK: Duration = Duration::from_millis(3500);
    const WITHIN: Duration = Duration::from_secs(3);
    let (sender, mut told) = mpsc::unbounded_channel::<String>();
    let builder = HookupServer::new(move || {
        let sender = sender.clone();
        move |event: Event, peer: Peer| {
            let say = |text: &str| sender.send(text.to_owned()).expect("the test goes on");
            match event {
                Event::Text(text) if &*text == "block" => {
                    say("blocking");
                    std::thread::sleep(BLOCK);
                }
                Event::Text(text) if &*text == "ask" => {
                    let sender = sender.clone();
                    actix::spawn(async move {
                        let acked = peer.send(Text("question").needs_ack(WITHIN)).await;
                        // The test may be over.
                        let _ = sender.send(acked.map_or_else(|error| error.to_string(), |_| "acked".into()));
                    });
                }
                Event::Error(Error::HandlerBlocked { took }) => {
                    assert!(took >= BLOCK);
                    say("blocked");
                }
                _ => {}
            }
        }
    });
    let (addr, _) = on_one_worker(builder.heartbeat(WITHIN / 5).dead_after(5).hello_timeout(WITHIN));
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut begins = Raw::open(addr, "hookup.v2").await;
    beside.text("ask").await;
    assert!(text(&mut beside).await.contains("question"));
    raw.text("block").await;
    assert_eq!(soon("the handler", told.recv()).await.as_deref(), Some("blocking"));
    // Both are in time, and lie in the socket until it is too late.
    beside.text(r#"{"type":"ack","id":1}"#).await;
    begins.text(&v2::hello(v2::SESSION, 1)).await;
    let mut ends = [soon("an end", told.recv()).await, soon("an end", told.recv()).await];
    ends.sort();
    assert_eq!(ends.map(Option::unwrap_or_default), ["acked", "blocked"]);
    assert!(text(&mut begins).await.contains("welcome"));
    for session in [&mut beside, &mut raw] {
        request(session, 7, "hi").await;
        assert_eq!(text(session).await, r#"{"type":"ack","id":7}"#, "it was not called dead");
    }
}

#[actix::test]
async fn a_handler_that_blocks_its_thread_holds_up_no_other_thread() {
    let (threads, mut told) = mpsc::unbounded_channel::<ThreadId>();
    let (release, released) = blocking::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let builder = HookupServer::new(move || {
        let (threads, released) = (threads.clone(), released.clone());
        move |event: Event, _: Peer| match event {
            Event::Connected(_) => threads.send(std::thread::current().id()).expect("the test goes on"),
            Event::Text(text) if &*text == "block" => {
                threads.send(std::thread::current().id()).expect("the test goes on");
                // The test may be over.
                let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
            _ => {}
        }
    });
    let hookup = builder.start().expect("starts");
    let server = HttpServer::new(move || App::new().service(hookup.resource("/")));
    let server = server.workers(2).disable_signals().bind(("127.0.0.1", 0)).expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });

    let mut raw = Raw::open(addr, "jsonProtocol").await;
    let thread = soon("a thread", told.recv()).await;
    let mut others = Vec::new();
    let mut other = loop {
        let other = Raw::open(addr, "jsonProtocol").await;
        if soon("a thread", told.recv()).await != thread {
            break other;
        }
        others.push(other);
        assert!(others.len() < 100, "connections go to both threads");
    };
    request(&mut raw, 1, "block").await;
    assert_eq!(soon("the handler", told.recv()).await, thread);
    request(&mut other, 1, "hi").await;
    acked(&mut other, 1).await;
    release.send(()).expect("it waits");
    acked(&mut raw, 1).await;
}

/// Is at some texts for ever, and hands on what else it is told.
fn endless(sender: mpsc::UnboundedSender<Event>) -> impl FnMut(Event, Peer) -> Handling {
    move |event, _| match &event {
        Event::Text(text) if &**text == "endless" => Handling::later(pending()),
        _ => {
            // The test may be over.
            let _ = sender.send(event);
            Handling::done()
        }
    }
}

/// [`endless`], as a type.
struct Endless<F>(F);

impl<F: FnMut(Event, Peer) -> Handling + 'static> EventHandler for Endless<F> {
    fn handle(&mut self, event: Event, peer: Peer) -> Handling {
        (self.0)(event, peer)
    }
}

const SHORT: Duration = Duration::from_millis(100);

#[actix::test]
async fn a_handler_that_never_ends_costs_its_message_and_nothing_else() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let builder = HookupServer::new(move || Endless(endless(sender.clone())));
    let (addr, _) = on_one_worker(builder.handler_timeout(SHORT));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    for _ in 0..2 {
        assert!(matches!(soon("an event", told.recv()).await, Some(Event::Connected(_))));
    }
    request(&mut raw, 1, "endless").await;
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Text(_))));
    let event = soon("an event", told.recv()).await;
    assert!(matches!(event, Some(Event::Error(Error::HandlerTimedOut { after: SHORT }))), "{event:?}");
    request(&mut raw, 2, "hi").await;
    acked(&mut raw, 2).await;
}

#[actix::test]
async fn the_sender_of_a_message_whose_handling_never_ends_is_refused_in_both_directions() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let server = Server::start(HookupServer::new(move || Endless(endless(sender.clone()))).handler_timeout(SHORT));
    let (sender, mut client_told) = mpsc::unbounded_channel();
    let client = reliable(server.url()).handler_timeout(SHORT);
    let addr = client.start(Endless(endless(sender))).expect("starts");
    let refused = sent(addr.send(Text("endless").needs_ack(HOUR))).await.expect_err("never handled");
    assert!(matches!(&refused.reason, SendFailure::Refused { reason } if reason.contains("in time")), "{refused}");
    let Some(Event::Connected(connected)) = soon("an event", told.recv()).await else { panic!("not connected") };
    let refused = soon("a failure", connected.peer.send(Text("endless").needs_ack(HOUR))).await;
    assert!(matches!(refused.expect_err("never handled").reason, SendFailure::Refused { .. }));
    for told in [&mut told, &mut client_told] {
        let timed_out = async {
            while !matches!(told.recv().await, Some(Event::Error(Error::HandlerTimedOut { after: SHORT }))) {}
        };
        soon("the time-out", timed_out).await;
    }
}

#[actix::test]
async fn handlers_that_never_end_anything_keep_neither_a_server_nor_a_client_from_ending() {
    let endless = || |_: Event, _: Peer| pending::<()>();
    for subprotocol in ["hookup.v2", "jsonProtocol"] {
        let (received, mut texts) = mpsc::unbounded_channel();
        let server = Server::start(
            HookupServer::new(move || {
                let received = received.clone();
                move |event: Event, _: Peer| {
                    // The test may be over.
                    let _ = received.send(event);
                    pending::<()>()
                }
            })
            .handler_timeout(SHORT),
        );
        let client = server.client().subprotocols([subprotocol]).handler_timeout(SHORT);
        let addr = client.start(endless()).expect("starts");
        addr.do_send(Text("one"));
        let text = async { while !matches!(texts.recv().await, Some(Event::Text(_))) {} };
        soon("a text", text).await;
        for n in 0..5 {
            addr.do_send(Text(n.to_string()));
        }
        close(&addr, Duration::ZERO).await;
        soon("the end of all sessions", server.hookup.stop(support::STOP)).await;
    }
}

#[actix::test]
async fn messages_above_the_rate_wait_and_come_in_their_order_over_reconnects_too() {
    const PER: Duration = HOUR;
    let (addr, mut received) = clock::server(|builder| builder.rate_limit(2, PER).without_heartbeat());
    let url = format!("ws://{addr}/");
    let (client, mut events) = recorded(reliable(url).without_heartbeat());
    events.connected().await;
    received.connected().await;
    for n in 0..6 {
        client.do_send(Text(n.to_string()));
    }
    assert_eq!([received.text().await, received.text().await], ["0", "1"]);
    client.do_send(Disconnect);
    events.disconnected().await;
    client.do_send(Reconnect);
    assert!(events.connected().await.resumed);
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    request(&mut beside, 1, "beside").await;
    acked(&mut beside, 1).await;
    assert_eq!(received.text().await, "beside", "which came before what waits");
    for n in 2..6 {
        server_passes(addr, PER / 2).await;
        assert_eq!(received.text().await, n.to_string());
    }
    assert_eq!(close(&client, HOUR).await, 0);
}

#[actix::test]
async fn a_client_limits_what_reaches_its_handler_too() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (_addr, mut events) = recorded(reliable(server.url()).rate_limit(2, HOUR));
    events.connected().await;
    let peer = received.connected().await.peer;
    for n in 0..2 {
        soon("an ack", peer.send(Text(n.to_string()).needs_ack(HOUR))).await.expect("acked");
    }
    let late = soon("a failure", peer.send(Text("2").needs_ack(SHORT))).await.expect_err("it waits");
    assert!(matches!(late.reason, SendFailure::TimedOut { stays: true, .. }), "{late}");
    assert_eq!([events.text().await, events.text().await], ["0", "1"]);
    support::pass(HOUR / 2).await;
    assert_eq!(events.text().await, "2");
}
