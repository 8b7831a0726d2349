//! Silence: when a peer is pinged, and when it is called dead.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::{rc::Rc, time::Duration};

use hookup_client::{
    Close, Closed, Disconnect, Text,
    core::ws::{Frame, Outgoing, Signal},
};
use hookup_server::{Cause, Event, Peer};
use outboxes::{Barrier, Watched};
use proxy::{Proxy, RawServer, envelope};
use support::{HOUR as INTERVAL, client, pass, recorded, recording_with, soon};
use tokio::sync::{Semaphore, mpsc};

fn text(text: &str) -> Outgoing {
    Outgoing::Frame(Frame::Text(envelope(text).into()))
}

#[actix::test]
async fn both_sides_notice_that_the_other_has_gone_silent() {
    let interval = Duration::from_millis(100);
    let (server, mut received) = recording_with(|builder| builder.heartbeat(interval));
    let proxy = Proxy::open(server.addr);
    let (_addr, mut events) = recorded(client(proxy.url()).heartbeat(interval));
    events.connected().await;
    received.connected().await;
    proxy.swallow();
    let causes = [events.disconnected().await, received.disconnected().await];
    // On a machine that stalls, one may have gone before the other noticed anything by itself.
    assert!(causes.contains(&Cause::Silent), "{causes:?}");
    proxy.pass();
    proxy.cut();
    events.connected().await;
    received.connected().await;
}

#[actix::test]
async fn a_silent_server_is_pinged_and_then_given_up() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL));
    let mut connection = server.connection().await;
    events.connected().await;
    pass(INTERVAL).await;
    assert!(matches!(connection.next().await, Signal::Ping(_)));
    pass(INTERVAL).await;
    assert_eq!(events.disconnected().await, Cause::Silent);
}

#[actix::test]
async fn a_server_is_not_dead_because_the_client_was_held_up() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL));
    let mut connection = server.connection().await;
    events.connected().await;
    for intervals in [10, 1, 10] {
        pass(intervals * INTERVAL).await;
        assert!(matches!(connection.next().await, Signal::Ping(_)));
    }
    pass(INTERVAL).await;
    assert_eq!(events.disconnected().await, Cause::Silent);
}

#[actix::test]
async fn a_server_that_answers_pings_is_kept() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL));
    let mut connection = server.connection().await;
    events.connected().await;
    for _ in 0..20 {
        pass(INTERVAL).await;
        let Signal::Ping(payload) = connection.next().await else { panic!("not pinged") };
        connection.send(Outgoing::Pong(payload)).await;
        assert_eq!(connection.ping().await, [], "one ping an interval");
    }
    addr.do_send(Disconnect);
    connection.closed().await;
    assert!(matches!(events.next().await, Event::Disconnected(Cause::WeClosed(_))));
}

#[actix::test]
async fn an_outbox_that_hangs_holds_up_no_heartbeat() {
    let server = RawServer::start().await;
    let barrier = Barrier::default();
    let wait = barrier.pass();
    let outbox = Watched::new(move |_| {
        wait();
        Ok(())
    });
    let (addr, mut events) = recorded(client(server.url()).outbox_in(outbox).heartbeat(INTERVAL));
    let mut connection = server.connection().await;
    events.connected().await;
    barrier.shut();
    addr.do_send(Text("hi"));
    barrier.holds().await;
    for _ in 0..5 {
        assert_eq!(connection.ping().await, [], "it answers");
        pass(INTERVAL).await;
        let Signal::Ping(payload) = connection.next().await else { panic!("not pinged") };
        connection.send(Outgoing::Pong(payload)).await;
    }
    barrier.open();
    assert_eq!(connection.text().await, envelope("hi"));
}

#[actix::test]
async fn a_server_is_dead_after_as_many_intervals_as_were_set() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL).dead_after(4));
    let mut connection = server.connection().await;
    events.connected().await;
    for _ in 0..3 {
        pass(INTERVAL).await;
        assert!(matches!(connection.next().await, Signal::Ping(_)));
    }
    pass(INTERVAL).await;
    assert_eq!(events.disconnected().await, Cause::Silent);
}

#[actix::test]
async fn messages_count_as_signs_of_life() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL));
    let mut connection = server.connection().await;
    events.connected().await;
    for n in 0..5 {
        pass(INTERVAL * 3 / 4).await;
        connection.send(text(&n.to_string())).await;
        assert!(matches!(events.next().await, Event::Text(text) if *text == n.to_string()));
    }
    assert_eq!(connection.ping().await, [], "there was no need to ping");
}

#[actix::test]
async fn without_a_heartbeat_nothing_is_pinged_and_nobody_is_dead() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).without_heartbeat());
    let mut connection = server.connection().await;
    events.connected().await;
    for _ in 0..5 {
        pass(1000 * INTERVAL).await;
        assert_eq!(connection.ping().await, []);
    }
    let closing = addr.send(Close::within(INTERVAL));
    assert_eq!(connection.closed().await, []);
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn a_ping_is_answered_with_its_payload() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    events.connected().await;
    // Final, opcode 9, not masked.
    connection.bytes(b"\x89\x05hello").await;
    assert_eq!(connection.control_frame().await, (0x8a, b"hello".to_vec()));
}

#[actix::test]
async fn a_server_that_is_not_read_is_pinged_and_not_called_dead() {
    let server = RawServer::start().await;
    let (sender, mut texts) = mpsc::unbounded_channel();
    let go_on = Rc::new(Semaphore::new(0));
    let waits = go_on.clone();
    let handler = move |event: Event, _: Peer| {
        let (waits, sender) = (waits.clone(), sender.clone());
        async move {
            if let Event::Text(text) = event {
                // The test may be over already.
                let _ = sender.send(text.to_string());
                waits.acquire().await.expect("is open").forget();
            }
        }
    };
    let client = client(server.url()).inbox(2, 1000).heartbeat(INTERVAL).without_handler_timeout();
    let _addr = client.start(handler).expect("starts");
    let mut connection = server.connection().await;
    connection.send_together(["one", "two"].map(text)).await;
    assert_eq!(soon("a text", texts.recv()).await.expect("lives"), "one");
    for _ in 0..5 {
        pass(INTERVAL).await;
        assert!(matches!(connection.next().await, Signal::Ping(_)), "it hears that the client is there");
    }
    go_on.add_permits(2);
    assert_eq!(soon("a text", texts.recv()).await.expect("lives"), "two");
    assert_eq!(connection.ping().await, [], "it was not closed");
}

#[actix::test]
async fn a_long_message_on_a_slow_line_is_a_sign_of_life() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).heartbeat(INTERVAL).dead_after(4));
    let mut connection = server.connection().await;
    events.connected().await;
    // Final, opcode 1, 20 bytes.
    connection.bytes(b"\x81\x14").await;
    for _ in 0..20 {
        pass(INTERVAL * 3 / 4).await;
        connection.bytes(b"7").await;
    }
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if **text == "7".repeat(20)), "{event:?}");
}
