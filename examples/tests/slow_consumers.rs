//! Peers that stop reading: what they cost, what becomes of what is sent to them, and how they are got rid of.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::time::Duration;

use hookup_server::{
    Cause, CloseCode, Error, Event, HookupServer, OutboxPolicy, Peer, SendFailure, ServerBuilder, Text,
};
use raw::{CLOSE, PING, Raw, frame};
use support::{Events, HOUR, Server, recorder, recording_with, soon};
use v2::{SESSION, again, greeted, hello};

/// What a peer that does not read cannot have taken: more than sockets hold.
const MUCH: usize = 24 << 20;

/// The messages that it is sent.
const LONG: usize = 256 << 10;

/// Nobody is called dead for being silent, and only what does not fit is refused.
fn unhurried(builder: ServerBuilder) -> ServerBuilder {
    builder.heartbeat(HOUR).stall_timeout(HOUR).policy(OutboxPolicy::DropNewest).outbox_bounds(1000, 2 * MUCH as u64)
}

/// Sends more than sockets hold.
fn send_much(peer: &Peer) {
    for _ in 0..MUCH / LONG {
        peer.do_send(Text("x".repeat(LONG)));
    }
}

fn too_slow(cause: &Cause) -> bool {
    matches!(cause, Cause::WeClosed(reason) if reason.code == CloseCode::TOO_SLOW)
}

#[actix::test]
async fn a_peer_that_stops_reading_is_cut_off_and_its_session_goes_on() {
    let (server, mut events) = recording_with(|builder| unhurried(builder).stall_timeout(Duration::from_millis(300)));
    let (mut raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    send_much(&peer);
    assert!(matches!(events.disconnected().await, Cause::Stalled));
    raw.cut().await;

    let (mut raw, _) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert!(events.connected().await.resumed);
    assert!(raw.next_text().await.contains("run"));
    assert!(raw.next_text().await.starts_with(r#"{"type":"text","seq":1,"#), "nothing was lost");
}

#[actix::test]
async fn a_session_goes_on_while_its_peer_does_not_read() {
    let (server, mut events) = recording_with(unhurried);
    let (mut raw, _) = greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    let timed = peer.clone();
    let timed = actix::spawn(async move { timed.send(Text("not acked").needs_ack(Duration::from_millis(300))).await });
    assert_eq!(v2::frame(&mut raw).await["type"], "run");
    assert_eq!(v2::frame(&mut raw).await["content"], "not acked");
    send_much(&peer);
    let error = soon("the time-out", timed).await.expect("its task ended").expect_err("not acked");
    assert!(matches!(error.reason, SendFailure::TimedOut { .. }), "{error}");
    let accepted = soon("acceptance", peer.send(Text("accepted"))).await;
    accepted.expect("there is room in the outbox");
    // Its connection stood still meanwhile; what it sends then is heard when it reads again.
    while v2::frame(&mut raw).await["seq"] != 2 {}
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn a_peer_that_sends_and_does_not_read_is_cut_off_all_the_same() {
    let (server, mut events) = recording_with(|builder| unhurried(builder).stall_timeout(Duration::from_millis(300)));
    let (mut raw, peer) = sessions::open(&server, &mut events, "simpleJson").await;
    raw.text("I live").await;
    send_much(&peer);
    assert!(matches!(events.disconnected().await, Cause::Stalled));
    raw.cut().await;
}

/// How long a peer pauses before it reads the next of the sixteen parts of a long message.
const PAUSE: Duration = Duration::from_millis(250);

/// A peer that has read a long message, with pauses.
async fn slow_reader(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Raw {
    let (server, mut events) = recording_with(|builder| set(for_long_messages(builder)));
    let (mut raw, peer) = sessions::open(&server, &mut events, "simpleJson").await;
    peer.do_send(Text("x".repeat(MUCH)));
    for _ in 0..16 {
        tokio::time::sleep(PAUSE).await;
        raw.read_any(MUCH / 16).await;
    }
    // As many as the header has.
    raw.read_any(10).await;
    raw
}

fn for_long_messages(builder: ServerBuilder) -> ServerBuilder {
    unhurried(builder).max_message_bytes(MUCH).window(8, 2 * MUCH as u64)
}

#[actix::test]
async fn a_long_message_may_take_its_time() {
    // It takes twice as long as a peer may take nothing.
    slow_reader(|builder| builder.stall_timeout(8 * PAUSE)).await.nothing_came().await;
}

#[actix::test]
async fn a_peer_that_takes_a_long_message_is_not_dead_though_it_has_not_come_to_our_ping() {
    // It takes twice as long as a peer may be silent.
    let mut raw = slow_reader(|builder| builder.heartbeat(4 * PAUSE)).await;
    assert_eq!(raw.next().await.expect("a ping, not the end").0, PING);
}

#[actix::test]
async fn a_peer_that_stops_reading_in_the_midst_of_its_only_message_is_cut_off() {
    let (server, mut events) =
        recording_with(|builder| for_long_messages(builder).stall_timeout(Duration::from_millis(300)));
    let (mut raw, peer) = sessions::open(&server, &mut events, "simpleJson").await;
    peer.do_send(Text("x".repeat(MUCH)));
    assert!(matches!(events.disconnected().await, Cause::Stalled));
    raw.cut().await;
}

#[actix::test]
async fn a_peer_that_pings_and_reads_no_pongs_is_cut_off() {
    let (server, mut events) = recording_with(|builder| unhurried(builder).stall_timeout(Duration::from_millis(300)));
    let (mut raw, _) = sessions::open(&server, &mut events, "simpleJson").await;
    let flood = frame(PING, [7; 125]).repeat(1000);
    while raw.try_write(&flood).await {}
    assert!(matches!(events.disconnected().await, Cause::Stalled));
}

#[actix::test]
async fn a_peer_that_neither_reads_nor_answers_is_dead_after_two_heartbeats() {
    let (server, mut events) = recording_with(|builder| unhurried(builder).heartbeat(Duration::from_millis(300)));
    let (mut raw, peer) = sessions::open(&server, &mut events, "simpleJson").await;
    send_much(&peer);
    assert!(matches!(events.disconnected().await, Cause::Silent));
    raw.cut().await;
}

#[actix::test]
async fn whoever_says_no_hello_and_reads_no_pongs_is_cut_off() {
    let server = Server::start(HookupServer::new(|| |_: Event, _: Peer| {}).hello_timeout(Duration::from_millis(300)));
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    let ping = frame(PING, [7; 125]);
    let flood = ping.repeat(1000);
    // The server stops to read when it cannot answer, and cuts the connection when the time is over.
    while raw.try_write(&flood).await {}
    raw.cut().await;
}

#[actix::test]
async fn by_default_a_full_outbox_closes_the_connection_with_4429_and_gives_the_message_back() {
    let (handler, mut events) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).heartbeat(HOUR).window(2, 1000));
    let (mut raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    for _ in 0..4 {
        peer.do_send(Text("x".repeat(LONG)));
    }
    let error = soon("an answer", peer.send(Text("too much"))).await.expect_err("refused");
    assert!(matches!(error.reason, SendFailure::Full { messages: 4, .. }), "{error}");
    assert!(too_slow(&events.disconnected().await));
    loop {
        match raw.next().await.expect("a close, not the end") {
            (CLOSE, payload) => break assert_eq!(payload[..2], 4429_u16.to_be_bytes()),
            _ => continue,
        }
    }

    // It comes back to a full outbox, and has time to take what is in it.
    let (mut raw, _) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert!(events.connected().await.resumed);
    soon("an answer", peer.send(Text("still too much"))).await.expect_err("refused");
    let run = v2::frame(&mut raw).await["run"].as_str().expect("an id").to_owned();
    for seq in 1..=4 {
        assert_eq!(v2::frame(&mut raw).await["seq"], seq);
        raw.text(&format!(r#"{{"type":"ack","run":"{run}","seq":{seq}}}"#)).await;
    }
    works(&mut raw, &mut events).await;
    // It has kept up; so the next time that the outbox is full it is closed again.
    for _ in 0..5 {
        peer.do_send(Text("x".repeat(LONG)));
    }
    assert!(too_slow(&events.disconnected().await));
}

/// A message of the peer's is handled: what it acked before has been noted.
async fn works(raw: &mut Raw, events: &mut Events) {
    raw.text(&v2::run()).await;
    raw.text(&v2::text(1, "hi")).await;
    assert_eq!(events.text().await, "hi");
}

#[actix::test]
async fn with_drop_newest_the_connection_stays_and_what_does_not_fit_is_given_back() {
    let (server, mut events) =
        recording_with(|builder| unhurried(builder).outbox_bounds(2, 1000).window(1, 10).heartbeat(HOUR));
    let (mut raw, _) = greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = events.connected().await.peer;
    for text in ["first", "second", "third"] {
        peer.do_send(Text(text));
    }
    let refused = events
        .until("a refusal", |event| match event {
            Event::Error(Error::NotSent(error)) => Some(sessions::text_of(error).to_owned()),
            _ => None,
        })
        .await;
    assert_eq!(refused, "third");
    let run = v2::frame(&mut raw).await["run"].as_str().expect("an id").to_owned();
    assert_eq!(v2::frame(&mut raw).await["content"], "first");
    raw.text(&format!(r#"{{"type":"ack","run":"{run}","seq":1}}"#)).await;
    assert_eq!(v2::frame(&mut raw).await["content"], "second");
}

#[actix::test]
async fn one_stalled_client_among_a_thousand_delays_nobody() {
    const CLIENTS: usize = 1000;
    const ROUNDS: usize = 32;
    // For each client its own end, and the server's two.
    hookup_examples::raise_open_files(3 * CLIENTS as u64 + 500).expect("so many files may be open");
    let (server, mut events) = recording_with(|builder| unhurried(builder).outbox_bounds(100, 128 << 10));
    let mut raws = Vec::new();
    for _ in 1..CLIENTS {
        raws.push(sessions::open(&server, &mut events, "simpleJson").await.0);
    }
    let mut stalled = Raw::connect_narrow(server.addr).await;
    assert_eq!(stalled.handshake("/", &[]).await.status, 101);
    let slow = events.connected().await.peer;
    let peers = soon("the peers", server.hookup.peers()).await;
    assert_eq!(peers.len(), CLIENTS);
    let text = "x".repeat(32 << 10);
    for _ in 0..ROUNDS {
        for peer in &peers {
            peer.do_send(Text(text.clone()));
        }
        for raw in &mut raws {
            assert_eq!(raw.next().await.expect("a frame").1.len(), text.len());
        }
    }
    let refused = soon("an answer", slow.send(Text(text))).await.expect_err("its outbox is full");
    assert!(matches!(refused.reason, SendFailure::Full { .. }), "{refused}");
    assert_eq!(soon("the peers", server.hookup.peers()).await.len(), CLIENTS, "it is still there");
}
