//! How sessions end and go on: the last event, commands one upon the other, loads that fail, and handlers that wait.

#[path = "support/formats.rs"]
mod formats;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;

use std::sync::{Arc, Mutex};

use formats::Refusing;
use hookup_client::{
    Close, Closed, Disconnect, MemoryOutbox, OutboxError, Receipt, Reconnect, SendFailure, Text,
    core::{
        Changes, Entry,
        outbox::{Outbox, Stored},
    },
};
use hookup_server::{CloseCode, Error, Event, HookupServer, Peer, Refusal};
use proxy::Proxy;
use raw::{CLOSE, Raw, close_payload};
use support::{HOUR, Server, client, recorded, recorder, recording, soon};
use tokio::sync::{mpsc, oneshot};

#[actix::test]
async fn session_ended_is_the_last_event_of_a_server_session() {
    let expected = ["Connected(", "Disconnected(WeClosed(", "SessionEnded(Closed)"];
    // The handler is held at the connection's end, or at the session's.
    for held in [1, 2] {
        let (told, mut events) = mpsc::unbounded_channel();
        let (release, released) = oneshot::channel::<()>();
        let released = Arc::new(Mutex::new(Some(released)));
        let server = Server::with(move || {
            let (told, released) = (told.clone(), released.clone());
            move |event: Event, peer: Peer| {
                if let Event::Connected(_) = &event {
                    peer.close(CloseCode::NORMAL.into());
                }
                let event = format!("{event:?}");
                let waits = event.starts_with(expected[held]);
                let waits = waits.then(|| released.lock().expect("not poisoned").take()).flatten();
                told.send(event).expect("the test goes on");
                async move {
                    if let Some(released) = waits {
                        released.await.expect("is released");
                    }
                }
            }
        });
        let mut raw = Raw::open(server.addr, "simpleJson").await;
        assert_eq!(raw.next().await, Some((CLOSE, close_payload(1000, b""))));
        for expected in &expected[..=held] {
            let event = soon(expected, events.recv()).await.expect("the handler lives");
            assert!(event.starts_with(expected), "{event}");
        }
        // A peer that breaks the protocol while the handler is still at the end.
        raw.write([0xff; 4]).await;
        raw.finish().await;
        assert_eq!(raw.next().await, None, "no second close frame");
        release.send(()).expect("the handler waits");
        for expected in &expected[held + 1..] {
            let event = soon(expected, events.recv()).await.expect("the handler lives");
            assert!(event.starts_with(expected), "{event}");
        }
        soon("the session's end", server.hookup.stop(support::STOP)).await;
        assert!(events.try_recv().is_err(), "nothing was told afterwards");
    }
}

/// An outbox that cannot load once.
#[derive(Default)]
struct Flaky {
    memory: MemoryOutbox,
    has_failed: bool,
}

impl Outbox for Flaky {
    fn stored(&self) -> Stored {
        self.memory.stored()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.memory.commit(changes)
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        match std::mem::replace(&mut self.has_failed, true) {
            true => self.memory.load(from, messages, bytes),
            false => Err(OutboxError::Other("just once".into())),
        }
    }
}

#[actix::test]
async fn one_failed_load_does_not_stop_a_connection_for_ever() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).outbox_in(Flaky::default()));
    let before = soon("its acceptance", addr.send(Text("before"))).await.expect("lives");
    assert_eq!(before.expect("accepted"), Receipt::Accepted);
    proxy.accept();
    events.connected().await;
    let event = events.next().await;
    assert!(
        matches!(&event, Event::Error(Error::Outbox(error)) if matches!(**error, OutboxError::Other(_))),
        "{event:?}"
    );
    let after = soon("the ack", addr.send(Text("after").needs_ack(HOUR))).await.expect("lives");
    assert_eq!(after.expect("acked"), Receipt::Acked);
    assert_eq!([received.text().await, received.text().await], ["before", "after"]);
}

#[actix::test]
async fn a_close_right_after_a_reconnect_still_sends_everything() {
    for is_connected in [true, false] {
        let (server, mut received) = recording();
        let (addr, mut events) = recorded(server.client());
        events.connected().await;
        if !is_connected {
            addr.do_send(Disconnect);
            events.disconnected().await;
        }
        for n in 0..100 {
            addr.do_send(Text(format!("acked {n}")).needs_ack(HOUR));
        }
        if !is_connected {
            addr.do_send(Text("plain"));
        }
        addr.do_send(Reconnect);
        let closed = soon("closed", addr.send(Close::within(HOUR))).await.expect("lives");
        assert_eq!(closed, Closed { unsent: 0 });
        let mut next = 0;
        while next < 100 {
            // What was on its way over the connection that was replaced comes twice.
            if received.text().await == format!("acked {next}") {
                next += 1;
            }
        }
        if !is_connected {
            assert_eq!(received.text().await, "plain");
        }
    }
}

#[actix::test]
async fn handlers_that_wait_for_acks_of_their_own_do_not_starve() {
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let told = told.clone();
        move |event: Event, peer: Peer| {
            let told = told.clone();
            async move {
                if let Event::Text(_) = event {
                    let outcome = peer.send(Text("answer").needs_ack(HOUR)).await;
                    told.send(outcome).expect("the test goes on");
                }
            }
        }
    });
    let (addr, mut events) = recorded(server.client());
    for n in 0..1000 {
        addr.do_send(Text(n.to_string()).needs_ack(HOUR));
    }
    for _ in 0..1000 {
        assert_eq!(soon("an ack", outcomes.recv()).await.expect("lives").expect("acked"), Receipt::Acked);
        assert_eq!(events.text().await, "answer");
    }
}

#[actix::test]
async fn a_refusal_reaches_the_sender_in_its_words_where_the_format_has_one() {
    let refuses = |event: Event, _: Peer| match event {
        Event::Text(text) if text.starts_with("bad") => Err(Refusal::new(format!("{text} is bad"))),
        _ => Ok(()),
    };
    let server = Server::start(HookupServer::new(move || refuses).wire_format(Refusing).subprotocols(["refusing"]));
    let (addr, mut events) = recorded(server.client().wire_format(Refusing).subprotocols(["refusing"]));
    assert_eq!(events.connected().await.format, "refusing");

    let sent = soon("the refusal", addr.send(Text("bad 1").needs_ack(HOUR))).await.expect("lives");
    let error = sent.expect_err("refused");
    assert!(matches!(&error.reason, SendFailure::Refused { reason } if reason == "bad 1 is bad"), "{error}");
    assert_eq!(error.message, Text("bad 1").needs_ack(HOUR));

    addr.do_send(Text("bad 2").needs_ack(HOUR));
    let event = events.next().await;
    let Event::AckFailed(error) = event else { panic!("{event:?}") };
    assert!(matches!(&error.reason, SendFailure::Refused { reason } if reason == "bad 2 is bad"), "{error}");

    let sent = soon("the ack", addr.send(Text("good").needs_ack(HOUR))).await.expect("lives");
    assert_eq!(sent.expect("acked"), Receipt::Acked);
    let closed = soon("closed", addr.send(Close::within(HOUR))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 0 }, "what was refused is not sent again");
}

#[actix::test]
async fn a_client_s_refusal_reaches_the_server_too() {
    let (handler, mut events) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).wire_format(Refusing));
    let refuses = |event: Event, _: Peer| match event {
        Event::Text(_) => Err(Refusal::new("I am full")),
        _ => Ok(()),
    };
    let client = server.client().wire_format(Refusing).subprotocols(["refusing"]);
    let _addr = client.start(refuses).expect("starts");
    let peer = events.connected().await.peer;
    let error = soon("the refusal", peer.send(Text("hi").needs_ack(HOUR))).await.expect_err("refused");
    assert!(matches!(&error.reason, SendFailure::Refused { reason } if reason == "I am full"), "{error}");
}
