//! Silence, as a server sees it: when a peer is pinged, and when it is called dead.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{net::SocketAddr, time::Duration};

use clock::{server, server_passes};
use hookup_server::{Cause, Event, SessionEnd, Text};
use outboxes::{Barrier, WatchedStore};
use raw::{PING, PONG, Raw, TEXT, frame};
use support::{Events, HOUR as INTERVAL};
use v2::{SESSION, greeted, hello};

async fn open(addr: SocketAddr, events: &mut Events) -> Raw {
    let raw = Raw::open(addr, "simpleJson").await;
    events.connected().await;
    raw
}

#[actix::test]
async fn an_idle_peer_that_answers_pings_is_kept() {
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL));
    let mut raw = open(addr, &mut events).await;
    for _ in 0..10 {
        server_passes(addr, INTERVAL).await;
        let (first, payload) = raw.next().await.expect("a ping");
        assert_eq!(first, PING);
        raw.write(frame(PONG, payload)).await;
        raw.nothing_came().await;
    }
    raw.text("still here").await;
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "still here"), "{event:?}");
}

#[actix::test]
async fn a_store_that_hangs_holds_up_no_heartbeat() {
    let barrier = Barrier::default();
    let wait = barrier.pass();
    let store = WatchedStore::new(move |_| {
        wait();
        Ok(())
    });
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL).session_store(store));
    let (mut raw, _) = greeted(addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    barrier.shut();
    peer.do_send(Text("hi"));
    barrier.holds().await;
    for _ in 0..5 {
        raw.nothing_came().await;
        server_passes(addr, INTERVAL).await;
        let (first, payload) = raw.next().await.expect("a ping");
        assert_eq!(first, PING);
        raw.write(frame(PONG, payload)).await;
    }
    barrier.open();
    assert!(raw.next_text().await.contains("run"));
    assert_eq!(raw.next_text().await, v2::text(1, "hi"));
}

#[actix::test]
async fn a_peer_that_does_not_answer_is_dead() {
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL).dead_after(4));
    let mut raw = open(addr, &mut events).await;
    for _ in 0..3 {
        server_passes(addr, INTERVAL).await;
        assert_eq!(raw.next().await.expect("a ping").0, PING);
    }
    server_passes(addr, INTERVAL).await;
    let event = events.next().await;
    assert!(matches!(&event, Event::Disconnected(Cause::Silent)), "{event:?}");
    let event = events.next().await;
    assert!(matches!(&event, Event::SessionEnded(SessionEnd::Closed)), "{event:?}");
    raw.finish().await;
    assert_eq!(raw.next().await, None, "whoever is dead is sent no close frame");
}

#[actix::test]
async fn a_peer_is_not_dead_because_the_server_was_held_up() {
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL));
    let mut raw = open(addr, &mut events).await;
    for _ in 0..3 {
        server_passes(addr, INTERVAL * 10).await;
        assert_eq!(raw.next().await.expect("a ping").0, PING);
        raw.nothing_came().await;
        server_passes(addr, INTERVAL).await;
        assert_eq!(raw.next().await.expect("a ping").0, PING);
        server_passes(addr, INTERVAL * 10).await;
        let (first, payload) = raw.next().await.expect("a ping, not the end");
        assert_eq!(first, PING);
        raw.write(frame(PONG, payload)).await;
        raw.nothing_came().await;
    }
    server_passes(addr, INTERVAL).await;
    assert_eq!(raw.next().await.expect("a ping").0, PING);
    server_passes(addr, INTERVAL).await;
    let event = events.next().await;
    assert!(matches!(&event, Event::Disconnected(Cause::Silent)), "{event:?}");
}

#[actix::test]
async fn a_peer_whose_messages_wait_for_the_rate_is_pinged_and_not_dead() {
    let (addr, mut events) =
        server(|builder| builder.heartbeat(INTERVAL).rate_limit(1, 100 * INTERVAL).inbox(2, 10_000));
    let mut raw = open(addr, &mut events).await;
    let texts = ["one", "two", "three", "four"].map(|text| frame(TEXT, text));
    raw.write(texts.concat()).await;
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "one"), "{event:?}");
    // The thread has its turns to read as much of the rest as it may.
    for _ in 0..2 {
        server_passes(addr, Duration::ZERO).await;
    }
    for _ in 0..5 {
        server_passes(addr, INTERVAL).await;
        assert_eq!(raw.next().await.expect("a ping").0, PING);
    }
    for expected in ["two", "three", "four"] {
        server_passes(addr, 100 * INTERVAL).await;
        let event = events.next().await;
        assert!(matches!(&event, Event::Text(text) if &**text == expected), "{event:?}");
    }
}

#[actix::test]
async fn messages_of_a_peer_count_as_signs_of_life() {
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL));
    let mut raw = open(addr, &mut events).await;
    for n in 0..5 {
        server_passes(addr, INTERVAL * 3 / 4).await;
        raw.text(&format!("text {n}")).await;
        let event = events.next().await;
        assert!(matches!(&event, Event::Text(text) if **text == format!("text {n}")), "{event:?}");
    }
    raw.nothing_came().await;
}

#[actix::test]
async fn a_long_message_on_a_slow_line_is_a_sign_of_life() {
    let (addr, mut events) = server(|builder| builder.heartbeat(INTERVAL).dead_after(4));
    let mut raw = open(addr, &mut events).await;
    let message = frame(TEXT, "a long message");
    for byte in &message {
        raw.write([*byte]).await;
        server_passes(addr, INTERVAL * 3 / 4).await;
    }
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "a long message"), "{event:?}");
}

#[actix::test]
async fn without_a_heartbeat_a_server_pings_nobody_and_calls_nobody_dead() {
    let (addr, mut events) = server(|builder| builder.without_heartbeat());
    let mut raw = open(addr, &mut events).await;
    for _ in 0..5 {
        server_passes(addr, 1000 * INTERVAL).await;
        raw.nothing_came().await;
    }
    raw.text("still here").await;
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "still here"), "{event:?}");
}
