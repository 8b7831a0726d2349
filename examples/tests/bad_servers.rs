//! Servers that misbehave, and the client in front of them.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;
#[path = "support/v2_server.rs"]
mod v2_server;

use std::time::Duration;

use hookup_client::{Cause, CloseCode, Event, OutboxPolicy, Peer, Text};
use proxy::RawServer;
use support::{HOUR, client, recorded};
use v2_server::{greeted, heard};

#[actix::test]
async fn a_server_that_stops_reading_is_left_and_nothing_is_lost() {
    const LEN: usize = 256 << 10;
    let server = RawServer::start().await;
    let builder = client(server.url()).heartbeat(HOUR).stall_timeout(Duration::from_millis(300));
    let (addr, mut events) = recorded(builder.window(256, 64 << 20));
    let stalled = server.connection().await;
    events.connected().await;
    // More than sockets hold.
    let acked = (0..100).map(|n| addr.send(Text(format!("{n} {}", "x".repeat(LEN))).needs_ack(HOUR)));
    let acked = acked.collect::<Vec<_>>();
    assert_eq!(events.disconnected().await, Cause::Stalled);
    drop(stalled);
    let mut connection = server.connection().await;
    for n in 0..100 {
        let frame = connection.text().await;
        assert!(frame.contains(&format!(r#""content":"{n} x"#)), "what was not acked is sent again, in order");
        connection.ack(n + 1).await;
    }
    for sent in acked {
        support::sent(sent).await.expect("acked");
    }
}

#[actix::test]
async fn a_server_that_neither_reads_nor_answers_is_dead_after_two_heartbeats() {
    let server = RawServer::start().await;
    let builder = client(server.url()).heartbeat(Duration::from_millis(300)).stall_timeout(HOUR);
    let (addr, mut events) = recorded(builder.window(256, 64 << 20));
    let _silent = server.connection().await;
    events.connected().await;
    // The ping waits behind more than sockets hold.
    for _ in 0..100 {
        addr.do_send(Text("x".repeat(256 << 10)));
    }
    assert_eq!(events.disconnected().await, Cause::Silent);
}

#[actix::test]
async fn a_server_that_drops_messages_says_so_as_a_gap() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(v2::reliable(server.url()));
    let (mut connection, _) = greeted(&server, false).await;
    events.connected().await;
    for frame in [
        r#"{"type":"run","run":"00000000000000bb"}"#,
        r#"{"type":"text","seq":1,"content":"first"}"#,
        r#"{"type":"skip","seq":2,"to":9,"lost":7}"#,
        r#"{"type":"text","seq":10,"content":"last"}"#,
    ] {
        v2_server::say(&mut connection, &serde_json::from_str(frame).expect("JSON")).await;
    }
    assert_eq!(events.text().await, "first");
    assert!(matches!(events.next().await, Event::Gap { missed: 7 }));
    assert_eq!(events.text().await, "last");
    while heard(&mut connection).await["seq"] != 10 {}
}

#[actix::test]
async fn a_header_that_claims_a_gibibyte_is_refused_when_it_comes() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    events.connected().await;
    connection.bytes(&[0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0]).await;
    let (first, payload) = connection.control_frame().await;
    assert_eq!((first, &payload[..2]), (0x88, &1009_u16.to_be_bytes()[..]));
    drop(connection);
    assert!(matches!(events.disconnected().await, Cause::WeClosed(reason) if reason.code == CloseCode::TOO_BIG));
    server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn an_answer_without_end_is_a_failed_attempt() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    // One header that does not end, and headers without end.
    for line in ["x".repeat(1 << 20), "x: y\r\n".repeat(1 << 18)] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nX-Long: {line}");
        server.request().await.try_answer(&answer).await;
        let cause = events.reconnecting().await.cause;
        assert!(matches!(&cause, Cause::Failed(_)), "{cause}");
    }
    server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn a_client_does_not_close_because_its_outbox_is_full() {
    let started = client("ws://localhost/".into()).policy(OutboxPolicy::Close).start(|_: Event, _: Peer| {});
    assert_eq!(started.expect_err("is refused").setting(), "policy");
}
