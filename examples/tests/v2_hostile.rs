//! A server of `hookup.v2` under strain: clients that come and go without end, handlers and stores that do not get on.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use hookup_server::{Event, EventHandler, Handling, HookupServer, Peer};
use outboxes::{Barrier, Op, WatchedStore};
use raw::{CLOSE, PING, PONG, Raw, TEXT, frame as bytes};
use sessions::on_one_worker;
use support::{HOUR, Server, recorder, recording_with, soon};
use tokio::sync::{Notify, mpsc};
use v2::{SESSION, again, greeted, hello, run, text};

const VOLATILE: &str = r#"{"type":"text","content":"volatile"}"#;

fn session(n: u32) -> String {
    format!("{n:032x}")
}

#[actix::test]
async fn a_handler_factory_that_panics_leaves_no_slot_behind() {
    let panics = Arc::new(AtomicBool::new(true));
    let (handler, _events) = recorder();
    let panic = panics.clone();
    let server = Server::start(HookupServer::new(move || {
        assert!(!panic.load(Ordering::SeqCst), "the factory panics");
        handler.clone()
    }));
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    raw.text(&hello(SESSION, 1)).await;
    assert_eq!(raw.closed().await, Some(1011));
    panics.store(false, Ordering::SeqCst);
    let (_raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    assert_eq!(welcome["resumed"], false);
    soon("the stop", server.hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn a_server_whose_handler_factory_panicked_stops() {
    let server = Server::with(|| -> support::Recorder { panic!("the factory panics") });
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    raw.text(&hello(SESSION, 1)).await;
    assert_eq!(raw.closed().await, Some(1011));
    soon("the stop", server.hookup.stop(support::STOP)).await;
}

/// A connection may end at any point of its way to its session. Of 400, some at a time, most end where it is easy to see;
/// it is only now and then that one ends just before it reads whose it is.
#[actix::test]
async fn a_connection_that_dies_before_it_is_adopted_is_noticed() {
    const ALL: u32 = 400;
    let (server, mut events) = recording_with(|builder| builder.without_heartbeat());
    let connections = stream::iter(0..ALL).map(async |n| {
        let mut raw = Raw::open(server.addr, "hookup.v2").await;
        raw.text(&hello(&session(n), 1)).await;
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
        raw.reset();
    });
    connections.buffer_unordered(16).collect::<()>().await;
    // Each session that has begun is heard of, and loses its connection; but for one more, which stays.
    let mut connected = 0_u32;
    let (_raw, _) = greeted(server.addr, &hello(&session(ALL), 1)).await;
    loop {
        match events.next().await {
            Event::Connected(_) => connected += 1,
            Event::Disconnected(_) => connected -= 1,
            _ => {}
        }
        if connected == 1 && server.hookup.peers().await.len() == 1 {
            break;
        }
    }
}

/// Is at work on each text until it is told that it is done.
struct Stuck(Arc<Notify>);

impl Stuck {
    /// A server whose handlers are stuck, and what lets them go.
    fn server() -> (Server, Arc<Notify>) {
        let notify = Arc::<Notify>::default();
        let done = notify.clone();
        (Server::start(HookupServer::new(move || Self(done.clone())).inbox(10, 1 << 20)), notify)
    }
}

impl EventHandler for Stuck {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        let done = self.0.clone();
        match event {
            Event::Text(_) => Handling::later(async move {
                done.notified().await;
                Ok(())
            }),
            _ => Handling::done(),
        }
    }
}

#[actix::test]
async fn a_session_takes_no_more_than_its_inbox_however_often_its_client_reconnects() {
    let (server, _done) = Stuck::server();
    let (mut raw, mut welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    let mut taken = 0;
    for _ in 0..10 {
        // Together, so that they are here before the next connection is.
        raw.write([bytes(TEXT, VOLATILE).repeat(8), bytes(PING, "read?")].concat()).await;
        // The ping is answered before the connection is closed if all that came before it was read.
        if taken == 0 {
            assert_eq!(raw.next().await, Some((PONG, b"read?".to_vec())), "there is room for eight");
            taken += 8;
        }
        let (new, next) = greeted(server.addr, &again(&welcome, 1, 1)).await;
        match raw.next().await {
            Some((PONG, _)) => taken += 8,
            other => assert!(matches!(other, Some((CLOSE, _))), "{other:?}"),
        }
        (raw, welcome) = (new, next);
    }
    assert!(taken <= 10, "{taken} messages wait for the handler, and 10 may");
}

#[actix::test]
async fn gaps_do_not_pile_up_while_the_handler_is_stuck() {
    let (server, done) = Stuck::server();
    let (mut raw, mut welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    raw.text(VOLATILE).await;
    let mut connections = vec![raw];
    let closed = loop {
        // One hundred runs of which the client has lost another message each time.
        let lo = connections.len();
        assert!(lo < 30, "{} gaps wait for the handler", lo * 100);
        let runs = (0..100).map(|n| format!(r#"{{"run":"{n:016x}","lo":{lo},"next":1000,"sent":999}}"#));
        let runs = runs.collect::<Vec<_>>().join(",");
        let hello = again(&welcome, 1, 1);
        let (start, end) = (hello.find('[').expect("has runs"), hello.find(']').expect("has runs"));
        let hello = format!("{}[{runs}{}", &hello[..start], &hello[end..]);
        let mut raw = Raw::open(server.addr, "hookup.v2").await;
        raw.text(&hello).await;
        match raw.next().await.expect("an answer") {
            (TEXT, text) => welcome = serde_json::from_slice(&text).expect("is JSON"),
            (_, payload) => break payload,
        }
        connections.push(raw);
    };
    assert_eq!(closed[..2], 1011_u16.to_be_bytes());
    // When the handler goes on, the session does, too.
    done.notify_one();
    loop {
        let mut raw = Raw::open(server.addr, "hookup.v2").await;
        raw.text(&again(&welcome, 1000, 1000)).await;
        if let Some((TEXT, _)) = raw.next().await {
            break;
        }
    }
}

#[actix::test]
async fn there_are_never_more_sessions_than_there_may_be() {
    let barrier = Barrier::default();
    barrier.shut();
    let pass = barrier.pass();
    let (opening, mut opened) = mpsc::unbounded_channel();
    let store = WatchedStore::new(move |op| {
        if op == Op::Open {
            // The test may be over already.
            let _ = opening.send(());
            pass();
        }
        Ok(())
    });
    let (handler, _events) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).max_sessions(2).session_store(store));
    let mut begun = 0;
    for n in 0..20 {
        let mut raw = Raw::connect(server.addr).await;
        if raw.handshake("/", &[("Sec-WebSocket-Protocol", "hookup.v2")]).await.status != 101 {
            continue;
        }
        raw.text(&hello(&session(n), 1)).await;
        // None of them can end while the store does not answer.
        tokio::select! {
            _ = opened.recv() => begun += 1,
            closed = raw.next() => assert!(matches!(closed, Some((CLOSE, _))), "{closed:?}"),
        }
        raw.reset();
    }
    assert!(begun <= 2, "{begun} sessions have begun, and 2 may be");
    barrier.open();
    soon("the stop", server.hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn a_list_of_many_runs_is_no_message_and_may_be_longer_than_one() {
    let (server, mut events) = recording_with(|builder| builder.max_message_bytes(1000));
    let runs = (0..20).map(|n| format!(r#"{{"run":"{n:016x}","lo":1,"next":2,"sent":1}},"#)).collect::<String>();
    let hello = hello(SESSION, 1).replacen('[', &format!("[{runs}"), 1);
    assert!(hello.len() > 1000);
    let (mut raw, welcome) = greeted(server.addr, &hello).await;
    assert_eq!(welcome["max_bytes"], 1000);
    events.connected().await;
    raw.text(&format!(r#"{{"type":"text","content":"{}"}}"#, "x".repeat(1000))).await;
    assert_eq!(raw.closed().await, Some(1009), "a message may not");
}

#[actix::test]
async fn news_of_lost_messages_take_their_place_in_the_inbox() {
    let (handler, mut events) = recorder();
    let builder = HookupServer::new(move || handler.clone()).heartbeat(HOUR).rate_limit(1, HOUR).inbox(4, 10_000);
    let (addr, _) = on_one_worker(builder);
    let mut beside = Raw::open(addr, "simpleJson").await;
    let (mut raw, _) = greeted(addr, &hello(SESSION, 1)).await;
    let skip = |seq: u64| format!(r#"{{"type":"skip","seq":{seq},"to":{seq},"lost":1}}"#);
    let texts = [run(), text(1, "handled"), text(2, "waits")].into_iter().chain((3..10).map(skip));
    let frames = texts.map(|text| bytes(TEXT, text)).chain([bytes(PING, "read on?")]);
    // With one write: the second of two would wait for TCP.
    raw.write(frames.collect::<Vec<_>>().concat()).await;
    assert_eq!(events.text().await, "handled");
    // The same thread answers this one, and would have answered the other before.
    for _ in 0..10 {
        beside.nothing_came().await;
    }
    while let Some(frame) = raw.next().now_or_never() {
        assert_ne!(frame.expect("a frame, not the end").0, PONG, "it has read behind what it may keep");
    }
}
