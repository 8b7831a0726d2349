//! Silence: when a peer is pinged, and when it is called dead.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use actix::Addr;
use hookup_client::{
    ClientBuilder, Close, Closed, Disconnect, HookupClient, Text,
    core::ws::{Outgoing, Signal},
};
use hookup_server::{Cause, Event, HookupServer, Peer};
use proxy::{Proxy, RawServer, envelope};
use support::{Events, Server, client, recorder, soon};
use tokio::sync::Notify;

/// A client that records.
fn recorded(builder: ClientBuilder) -> (Addr<HookupClient>, Events) {
    let (handler, events) = recorder();
    (builder.start(handler).expect("starts"), events)
}

/// The clock of this thread jumps.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const INTERVAL: Duration = Duration::from_secs(3600);

#[actix::test]
async fn both_sides_notice_that_the_other_has_gone_silent() {
    let interval = Duration::from_millis(100);
    let (handler, mut received) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).heartbeat(interval));
    let proxy = Proxy::open(server.addr);
    let (_addr, mut events) = recorded(client(proxy.url()).heartbeat(interval));
    events.connected().await;
    received.connected().await;
    proxy.swallow();
    assert_eq!(events.disconnected().await, Cause::Silent);
    assert_eq!(received.disconnected().await, Cause::Silent);
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
        connection.send(Outgoing::Frame(hookup_client::core::ws::Frame::Text(envelope(&n.to_string()).into()))).await;
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
    let (payload, masked) = connection.control().await;
    assert_eq!((&*payload, masked), (&b"hello"[..], true));
}

#[actix::test]
async fn a_client_whose_handler_is_behind_does_not_call_the_server_dead() {
    let server = Server::with(|| |event: Event, peer: Peer| {
        if let Event::Connected(_) = event {
            for n in 0..10 {
                peer.do_send(Text(n.to_string()));
            }
        }
    });
    let go_on = std::rc::Rc::new(Notify::new());
    let (sender, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let waits = go_on.clone();
    let handler = move |event: Event, _: Peer| {
        let (waits, sender) = (waits.clone(), sender.clone());
        async move {
            // The test may be over already.
            let _ = sender.send(format!("{event:?}"));
            if matches!(event, Event::Text(_)) {
                waits.notified().await;
            }
        }
    };
    let _addr = server.client().inbox(2, 1000).heartbeat(Duration::from_secs(20)).start(handler).expect("starts");
    for n in 0..10 {
        let text = soon("a text", async {
            loop {
                let event = handled.recv().await.expect("lives");
                if !event.starts_with("Connected") {
                    break event;
                }
            }
        });
        assert_eq!(text.await, format!("Text(Text(\"{n}\"))"));
        if n < 5 {
            pass(Duration::from_secs(3600)).await;
        }
        go_on.notify_one();
    }
}
