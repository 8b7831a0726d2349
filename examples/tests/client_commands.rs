//! What a client is told to do: disconnect, reconnect, and close.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{Close, Closed, Disconnect, Error, Receipt, Reconnect, SendFailure, Text};
use hookup_server::{Cause, CloseCode, Event};
use proxy::{Proxy, RawServer, ack_request};
use support::{HOUR, client, patient, recorded, recording, replaced, soon};

#[actix::test]
async fn after_disconnect_messages_are_kept_for_reconnect() {
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client());
    events.connected().await;
    addr.do_send(Disconnect);
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));

    assert_eq!(soon("accepted", addr.send(Text("plain"))).await.expect("lives").expect("accepted"), Receipt::Accepted);
    let sent = soon("offline", addr.send(Text("acked").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));

    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!([received.text().await, received.text().await], ["plain", "acked"]);
}

#[actix::test]
async fn disconnect_ends_the_wait_for_the_next_attempt() {
    let mut proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let (addr, mut events) = recorded(client(proxy.url()));
    events.reconnecting().await;
    addr.do_send(Disconnect);
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
    proxy.accept();
    let closed = soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    assert_eq!((closed, proxy.accepted()), (Closed { unsent: 1 }, 0));
}

#[actix::test]
async fn a_disconnect_during_a_wait_is_told_at_once() {
    let (addr, mut events) = recorded(client(Proxy::shut(([127, 0, 0, 1], 9).into()).url()).backoff(patient()));
    events.reconnecting().await;
    addr.do_send(Disconnect);
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
}

#[actix::test]
async fn reconnect_replaces_a_connection() {
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client().backoff(patient()));
    events.connected().await;
    received.connected().await;
    addr.do_send(Reconnect);
    let Event::Disconnected(cause) = events.next().await else { panic!("another event") };
    assert_eq!(cause, Cause::WeClosed(CloseCode::NORMAL.into()));
    assert!(matches!(events.next().await, Event::Connected(_)));
    replaced(&mut received).await;
}

#[actix::test]
async fn reconnect_ends_a_wait_and_starts_the_schedule_again() {
    let (server, _received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(patient()));
    for _ in 0..2 {
        let event = events.reconnecting().await;
        assert_eq!((event.attempt, event.wait), (1, HOUR));
        addr.do_send(Reconnect);
    }
    events.reconnecting().await;
    proxy.accept();
    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
}

#[actix::test]
async fn of_disconnect_and_reconnect_the_last_one_counts() {
    let (server, _received) = recording();
    let (addr, mut events) = recorded(server.client().backoff(patient()));
    events.connected().await;
    addr.do_send(Disconnect);
    addr.do_send(Reconnect);
    events.disconnected().await;
    assert!(matches!(events.next().await, Event::Connected(_)));

    addr.do_send(Reconnect);
    addr.do_send(Disconnect);
    events.disconnected().await;
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
}

#[actix::test]
async fn close_sends_what_is_left_and_awaits_its_acks() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    events.reconnecting().await;
    for n in 0..500 {
        addr.do_send(Text(format!("plain {n}")));
        addr.do_send(Text(format!("acked {n}")).needs_ack(HOUR));
    }
    let closing = addr.send(Close::within(HOUR));
    proxy.accept();
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
    for n in 0..500 {
        assert_eq!(received.text().await, format!("plain {n}"));
        assert_eq!(received.text().await, format!("acked {n}"));
    }
    assert_eq!(received.ended().await, Cause::PeerClosed(CloseCode::NORMAL.into()));
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
    assert!(addr.send(Text("late")).await.is_err(), "the actor has stopped");
}

#[actix::test]
async fn close_reports_what_is_not_acked_in_time() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("one").needs_ack(HOUR));
    let waiting = addr.send(Text("two").needs_ack(HOUR));
    assert_eq!([connection.text().await, connection.text().await], [ack_request(1, "one"), ack_request(2, "two")]);
    let closing = addr.send(Close::within(Duration::from_millis(20)));
    assert_eq!(connection.closed().await, []);

    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 2 });
    let lost = waiting.await.expect("lives").expect_err("lost");
    assert!(matches!(lost.reason, SendFailure::Lost), "{lost}");
    assert_eq!(lost.message, Text("two").needs_ack(HOUR));
    assert!(matches!(events.next().await, Event::Connected(_)));
    let Event::AckFailed(lost) = events.next().await else { panic!("another event") };
    assert!(matches!(lost.reason, SendFailure::Lost), "{lost}");
    assert_eq!(lost.message, Text("one").needs_ack(HOUR));
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
}

#[actix::test]
async fn close_at_once_while_offline_gives_the_messages_back() {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let (addr, mut events) = recorded(client(proxy.url()).backoff(patient()));
    events.reconnecting().await;
    addr.do_send(Text("plain"));
    addr.do_send(Text("acked").needs_ack(HOUR));
    let waiting = addr.send(Text("awaited").needs_ack(HOUR));
    let closed = soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 3 });

    let back = waiting.await.expect("lives").expect_err("closed");
    assert!(matches!(back.reason, SendFailure::Closed), "{back}");
    assert_eq!(back.message, Text("awaited").needs_ack(HOUR));
    let Event::Error(Error::NotSent(back)) = events.next().await else { panic!("another event") };
    assert_eq!(back.message, Text("plain").into());
    let Event::AckFailed(back) = events.next().await else { panic!("another event") };
    assert_eq!(back.message, Text("acked").needs_ack(HOUR));
    assert!(matches!(events.next().await, Event::Disconnected(_)));
}

#[actix::test]
async fn a_second_close_shortens_the_first_and_both_resolve() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("never acked").needs_ack(HOUR));
    connection.text().await;
    let patient = addr.send(Close::within(HOUR));
    let hurried = addr.send(Close::within(Duration::ZERO));
    connection.closed().await;
    for closing in [patient, hurried] {
        assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 1 });
    }
}

#[actix::test]
async fn a_message_after_close_is_refused_and_given_back() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    events.connected().await;
    addr.do_send(Text("pending").needs_ack(HOUR));
    let closing = addr.send(Close::within(HOUR));
    let refused = soon("refused", addr.send(Text("late"))).await.expect("lives").expect_err("closed");
    assert!(matches!(refused.reason, SendFailure::Closed), "{refused}");
    assert_eq!(refused.message, Text("late").into());
    addr.do_send(Text("later"));
    let Event::Error(Error::NotSent(refused)) = events.next().await else { panic!("another event") };
    assert!(matches!(refused.reason, SendFailure::Closed), "{refused}");
    assert_eq!(refused.message, Text("later").into());

    assert_eq!(connection.text().await, ack_request(1, "pending"));
    connection.ack(1).await;
    assert_eq!(connection.closed().await, [], "nothing else was sent");
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn close_goes_on_through_a_lost_connection() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("hi").needs_ack(HOUR));
    connection.text().await;
    let closing = addr.send(Close::within(HOUR));
    drop(connection);
    events.reconnecting().await;
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    connection.ack(1).await;
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}
