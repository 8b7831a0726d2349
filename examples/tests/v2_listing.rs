//! A session store that takes its time to say which sessions it has, or cannot say it.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hookup_server::{HookupServer, SledStore, Text, core::OutboxError};
use outboxes::{Barrier, Op, WatchedStore};
use raw::Raw;
use support::{Events, Server, recorder, soon};
use v2::{SESSION, again, frame, greeted, hello};

/// A server with this store, and what its handlers are told.
fn server(store: WatchedStore) -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::start(HookupServer::new(move || handler.clone()).session_store(store)), events)
}

#[actix::test]
async fn hellos_wait_for_a_store_that_is_slow_and_nobody_else_does() {
    let barrier = Barrier::default();
    barrier.shut();
    let (server, mut events) = server(WatchedStore::new(barrier.before(Op::List)));
    let mut early = Raw::open(server.addr, "hookup.v2").await;
    early.text(&hello(SESSION, 1)).await;
    early.nothing_came().await;
    let mut plain = Raw::open(server.addr, "simpleJson").await;
    assert_eq!(events.connected().await.format, "simpleJson");
    plain.text("hi").await;
    assert_eq!(events.text().await, "hi");

    barrier.open();
    assert_eq!(frame(&mut early).await["type"], "welcome");
    assert_eq!(events.connected().await.format, "hookup.v2");
}

#[actix::test]
async fn a_stored_session_that_is_asked_for_before_the_store_has_answered_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(SledStore::open(directory.path()).expect("opens"));
    let (first, mut events) = server(WatchedStore::over(store.clone(), |_| Ok(())));
    let (raw, welcome) = greeted(first.addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    raw.reset();
    events.disconnected().await;
    soon("acceptance", peer.send(Text("queued"))).await.expect("it is queued");
    soon("the stop", first.hookup.stop(support::STOP)).await;

    let barrier = Barrier::default();
    barrier.shut();
    let (second, mut events) = server(WatchedStore::over(store, barrier.before(Op::List)));
    let mut raw = Raw::open(second.addr, "hookup.v2").await;
    raw.text(&again(&welcome, 1, 1)).await;
    raw.nothing_came().await;
    barrier.open();
    assert_eq!(frame(&mut raw).await["resumed"], true);
    assert!(events.connected().await.resumed);
    assert_eq!(frame(&mut raw).await["type"], "run");
    assert_eq!(frame(&mut raw).await["content"], "queued");
}

#[actix::test]
async fn while_a_store_cannot_say_what_it_has_hellos_are_closed_with_1011_and_the_next_asks_again() {
    for panics in [false, true] {
        let fails = Arc::new(AtomicBool::new(true));
        let store = WatchedStore::new({
            let fails = fails.clone();
            move |op| match op == Op::List && fails.load(Ordering::SeqCst) {
                true if panics => panic!("boom"),
                true => Err(OutboxError::Other("the disk is gone".into())),
                false => Ok(()),
            }
        });
        let (server, mut events) = server(store);
        for _ in 0..2 {
            let mut raw = Raw::open(server.addr, "hookup.v2").await;
            raw.text(&hello(SESSION, 1)).await;
            assert_eq!(raw.closed().await, Some(1011));
        }
        fails.store(false, Ordering::SeqCst);
        let (_raw, _) = greeted(server.addr, &hello(SESSION, 1)).await;
        events.connected().await;
    }
}

#[actix::test]
async fn a_stop_does_not_wait_for_a_store_that_does_not_answer() {
    let barrier = Barrier::default();
    barrier.shut();
    let (server, _events) = server(WatchedStore::new(barrier.before(Op::List)));
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    raw.text(&hello(SESSION, 1)).await;
    raw.nothing_came().await;
    soon("the stop", server.hookup.stop(support::STOP)).await;
    assert_eq!(raw.closed().await, Some(1001));
}
