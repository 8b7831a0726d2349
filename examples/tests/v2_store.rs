//! Sessions of `hookup.v2` that outlive their server, in a store on disk.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{sync::Arc, time::Duration};

use hookup_client::{Receipt, SendFailure, Text};
use hookup_server::{
    Error, Event, HookupServer, MemoryStore, Outbound, SessionEnd, SessionId, SessionStore, SledStore,
    core::{
        OutboxError, SessionState,
        outbox::{Outbox, Stored},
    },
};
use proxy::Proxy;
use raw::Raw;
use support::{Events, HOUR, Server, recorded, recorder, sent, soon};
use v2::{RUN, SESSION, ack, again, greeted, hello, reliable, run, text};

/// A server with this store, and what its handlers are told.
fn server(store: impl SessionStore, ttl: Duration) -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::start(HookupServer::new(move || handler.clone()).session_store(store).session_ttl(ttl)), events)
}

#[actix::test]
async fn a_session_goes_on_when_its_server_was_stopped_and_started_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(SledStore::open(directory.path()).expect("opens"));
    let (first, mut received) = server(store.clone(), HOUR);
    let proxy = Proxy::open(first.addr);
    let (addr, mut events) = recorded(reliable(proxy.url()));
    let peer = received.connected().await.peer;
    assert_eq!(sent(addr.send(Text("before").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    events.connected().await;

    // The client is kept away, so that what is queued for it stays in the store.
    proxy.swallow();
    let queued = soon("acceptance", peer.send(Text("queued"))).await;
    assert_eq!(queued.expect("it is queued"), Receipt::Accepted);
    soon("the stop", first.hookup.stop(support::STOP)).await;
    received.disconnected().await;
    let (second, mut received) = server(store, HOUR);
    proxy.pass();
    proxy.lead_to(second.addr);

    assert!(received.connected().await.resumed);
    assert_eq!(events.text().await, "queued");
    assert_eq!(sent(addr.send(Text("after").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    assert_eq!(received.text().await, "after", "what was handled before is not handled again");
}

#[actix::test]
async fn a_stored_session_that_nobody_asks_for_is_ended_and_its_messages_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(SledStore::open(directory.path()).expect("opens"));
    let (first, mut received) = server(store.clone(), HOUR);
    let (mut raw, _) = greeted(first.addr, &hello(SESSION, 1)).await;
    raw.text(&run()).await;
    raw.text(&text(1, "one")).await;
    assert_eq!(raw.next_text().await, ack(1));
    let peer = received.connected().await.peer;
    raw.reset();
    received.disconnected().await;
    for n in 0..3 {
        soon("acceptance", peer.send(Text(format!("for nobody {n}")))).await.expect("it is queued");
    }
    soon("the stop", first.hookup.stop(support::STOP)).await;

    let (second, mut received) = server(store, Duration::from_millis(10));
    for n in 0..3 {
        let Event::Error(Error::NotSent(error)) = received.next().await else { panic!("another event") };
        assert_eq!(error.message, Outbound::from(Text(format!("for nobody {n}"))));
        assert!(matches!(error.reason, SendFailure::Closed), "{error}");
    }
    assert!(matches!(received.next().await, Event::SessionEnded(SessionEnd::Expired)));
    let (_raw, welcome) = greeted(second.addr, &hello(SESSION, 2)).await;
    assert_eq!((&welcome["resumed"], &welcome["recv"][RUN]), (&false.into(), &1.into()));
}

#[actix::test]
async fn what_a_server_sends_while_its_client_is_away_is_bounded() {
    let (handler, mut received) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).outbox_bounds(2, 1000));
    let (raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = received.connected().await.peer;
    raw.reset();
    received.disconnected().await;
    for n in 1..=2 {
        soon("acceptance", peer.send(Text(n.to_string()))).await.expect("there is room");
    }
    let full = soon("an answer", peer.send(Text("3"))).await.expect_err("there is none");
    assert!(matches!(full.reason, SendFailure::Full { messages: 2, .. }), "{full}");
    assert_eq!(full.message, Outbound::from(Text("3")));
    let (mut raw, _) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert!(raw.next_text().await.contains("run"));
    for n in 1..=2 {
        assert_eq!(raw.next_text().await, text(n, &n.to_string()));
    }
}

/// A store that cannot open a certain session, or panics.
struct Broken(MemoryStore);

impl SessionStore for Broken {
    fn is_durable(&self) -> bool {
        true
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        self.0.sessions()
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        match session.0 {
            1 => Err(OutboxError::Other("the disk is gone".into())),
            2 => panic!("boom"),
            3 => Ok(Box::new(Unsaved)),
            _ => self.0.open(session),
        }
    }

    fn end(&self, state: &SessionState, now: u64) -> Result<(), OutboxError> {
        self.0.end(state, now)
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        self.0.forget(time)
    }
}

/// An outbox that can keep nothing.
struct Unsaved;

impl Outbox for Unsaved {
    fn stored(&self) -> Stored {
        Stored::default()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, _: &hookup_server::core::Changes) -> Result<(), OutboxError> {
        Err(OutboxError::Other("the disk is full".into()))
    }

    fn load(&mut self, _: u64, _: usize, _: u64) -> Result<Vec<hookup_server::core::Entry>, OutboxError> {
        Ok(Vec::new())
    }
}

#[actix::test]
async fn a_session_that_the_store_fails_is_closed_with_1011_and_others_are_not_disturbed() {
    let (server, mut received) = server(Broken(MemoryStore::default()), HOUR);
    for session in 1..=3 {
        let mut raw = Raw::open(server.addr, "hookup.v2").await;
        raw.text(&hello(&format!("{session:032x}"), 1)).await;
        assert_eq!(raw.closed().await, Some(1011), "session {session}");
    }
    let (_raw, _) = greeted(server.addr, &hello(SESSION, 1)).await;
    received.connected().await;
}
