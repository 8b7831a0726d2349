//! Attempts to connect: when they are made, what is said of them, and what ends them.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{Backoff, Error, Reconnect, SendError, SendFailure, Text, core::ws::Signal};
use hookup_server::{Cause, CloseCode, Event, Peer};
use proxy::{Proxy, RawServer, ack_request};
use support::{HOUR, Server, client, patient, recorded, recording, replaced, soon};

fn closed(code: u16) -> CloseCode {
    CloseCode(code)
}

#[actix::test]
async fn each_attempt_is_announced_with_its_number_wait_and_cause() {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let millis = Duration::from_millis;
    let backoff = Backoff::default().initial(millis(8)).max(millis(32)).jitter_by(|cap| cap / 4);
    let (_addr, mut events) = recorded(client(proxy.url()).backoff(backoff));
    for (attempt, wait) in [(1, 2), (2, 4), (3, 8), (4, 8)] {
        let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
        assert_eq!((event.attempt, event.wait), (attempt, millis(wait)));
        assert!(matches!(&event.cause, Cause::Failed(words) if words.contains("refused")), "{}", event.cause);
    }
}

#[actix::test]
async fn it_connects_when_the_server_appears() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    addr.do_send(Text("early"));
    events.reconnecting().await;
    proxy.accept();
    events.connected().await;
    assert_eq!(received.text().await, "early");
}

#[actix::test]
async fn a_client_that_gave_up_keeps_its_messages_and_makes_no_attempt_before_it_is_told_to() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let backoff = Backoff::default().max_attempts(2).jitter_by(|cap| cap / 100);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(backoff));
    let waiting = addr.send(Text("before").needs_ack(HOUR));
    assert_eq!(events.reconnecting().await.attempt, 1);
    assert_eq!(events.reconnecting().await.attempt, 2);
    let Event::Error(Error::GaveUp { attempts: 2, cause }) = events.next().await else { panic!("another event") };
    assert!(cause.contains("refused"), "{cause}");

    proxy.accept();
    for (sent, text) in [(waiting, "before"), (addr.send(Text("after").needs_ack(HOUR)), "after")] {
        let SendError { message, reason } = soon("offline", sent).await.expect("lives").expect_err("offline");
        assert!(matches!(reason, SendFailure::Offline), "{reason}");
        assert_eq!(message, Text(text).needs_ack(HOUR));
    }
    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!([received.text().await, received.text().await], ["before", "after"]);
    assert_eq!(proxy.accepted(), 1);
}

#[actix::test]
async fn a_cut_is_a_disconnect_and_then_a_new_connection_on_both_sides() {
    let (server, mut received) = recording();
    let proxy = Proxy::open(server.addr);
    let (_addr, mut events) = recorded(client(proxy.url()));
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert!(matches!(received.next().await, Event::Connected(_)));
    proxy.cut();
    let Event::Disconnected(cause) = events.next().await else { panic!("another event") };
    let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
    assert_eq!((event.attempt, event.cause), (1, cause));
    assert!(matches!(events.next().await, Event::Connected(_)));
    replaced(&mut received).await;
}

#[actix::test]
async fn only_a_connection_that_saw_an_ack_starts_the_schedule_again() {
    let (server, _received) = recording();
    let proxy = Proxy::open(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    for attempt in 1..=3 {
        events.connected().await;
        proxy.cut();
        assert_eq!(events.reconnecting().await.attempt, attempt);
    }
    events.connected().await;
    soon("an ack", addr.send(Text("hi").needs_ack(HOUR))).await.expect("lives").expect("acked");
    proxy.cut();
    assert_eq!(events.reconnecting().await.attempt, 1);
}

#[actix::test]
async fn a_connection_that_lasted_starts_the_schedule_again() {
    let server = RawServer::start().await;
    let millis = Duration::from_millis;
    let backoff = Backoff::default().initial(millis(1)).stable_after(millis(1));
    let builder = client(server.url()).backoff(backoff).heartbeat(millis(20)).dead_after(1000);
    let (_addr, mut events) = recorded(builder);
    for _ in 0..2 {
        let mut connection = server.connection().await;
        // A ping after 20 ms says that the connection has lasted 1 ms.
        connection.next().await;
        drop(connection);
        assert_eq!(events.reconnecting().await.attempt, 1);
    }
}

#[actix::test]
async fn a_server_that_closes_with_1000_or_4409_stops_the_client_until_it_is_told_to_reconnect() {
    for code in [CloseCode::NORMAL, CloseCode::SUPERSEDED] {
        let server = RawServer::start().await;
        let (addr, mut events) = recorded(client(server.url()));
        let connection = server.connection().await;
        events.connected().await;
        connection.close(code).await;
        assert_eq!(events.disconnected().await, Cause::PeerClosed(code.into()));
        let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
        assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));

        addr.do_send(Reconnect);
        let mut connection = server.connection().await;
        assert!(matches!(events.next().await, Event::Connected(_)));
        assert_eq!(connection.text().await, ack_request(1, "kept"));
    }
}

#[actix::test]
async fn a_server_that_closes_with_another_code_is_connected_to_again() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    for code in [1001, 1011, 3000, 4410] {
        let connection = server.connection().await;
        assert!(matches!(events.next().await, Event::Connected(_)));
        connection.close(closed(code)).await;
        let cause = Cause::PeerClosed(closed(code).into());
        assert!(matches!(events.next().await, Event::Disconnected(why) if why == cause));
        assert!(matches!(events.next().await, Event::Reconnecting(event) if event.cause == cause));
    }
}

#[actix::test]
async fn a_server_that_breaks_the_protocol_is_closed_with_1002_and_connected_to_again() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    assert!(matches!(events.next().await, Event::Connected(_)));
    // Opcode 3 is reserved.
    connection.bytes(&[0x83, 0]).await;
    let Signal::Close(Some(reason)) = connection.next().await else { panic!("not closed") };
    assert_eq!(reason.code, CloseCode::PROTOCOL);
    drop(connection);
    assert!(matches!(events.next().await, Event::Error(Error::Protocol(why)) if why == reason));
    assert!(matches!(events.next().await, Event::Disconnected(cause) if cause == Cause::WeClosed(reason)));
    events.reconnecting().await;
    let _connection = server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn a_handler_that_closes_with_1000_from_the_server_stops_the_client() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(_) = event {
                peer.do_send(Text("bye"));
                peer.close(CloseCode::NORMAL.into());
            }
        }
    });
    let (addr, mut events) = recorded(server.client());
    events.connected().await;
    addr.do_send(Text("hi"));
    assert_eq!(events.text().await, "bye");
    assert!(
        matches!(events.next().await, Event::Disconnected(cause) if cause == Cause::PeerClosed(CloseCode::NORMAL.into()))
    );
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
}

#[actix::test]
async fn a_silent_server_is_told_of_before_the_wait() {
    let server = RawServer::start().await;
    let builder = client(server.url()).backoff(patient()).heartbeat(Duration::from_millis(1));
    let (_addr, mut events) = recorded(builder);
    let _silent = server.request().await.upgrade(Some("jsonProtocol")).await;
    assert_eq!(events.disconnected().await, Cause::Silent);
    assert_eq!(events.reconnecting().await.wait, HOUR);
}
