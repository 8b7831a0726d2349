//! Acks that a client asks for: the window, what is sent again, and how long they may take.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{Backoff, Close, Closed, Receipt, Reconnect, SendFailure, Text};
use hookup_server::Event;
use proxy::{Proxy, RawServer, ack_request, envelope};
use support::{HOUR, client, close, pass, recorded, recording, sent, soon};

#[actix::test]
async fn a_message_that_needs_an_ack_is_sent_again_until_its_ack_has_come() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()));
    let waiting = addr.send(Text("hi").needs_ack(HOUR));
    for _ in 0..3 {
        // Taken, and cut before the ack.
        let mut connection = server.connection().await;
        assert_eq!(connection.text().await, ack_request(1, "hi"));
    }
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    connection.ack(1).await;
    connection.ack(1).await;
    assert_eq!(sent(waiting).await.expect("acked"), Receipt::Acked);

    drop(connection);
    let mut connection = server.connection().await;
    addr.do_send(Text("next"));
    assert_eq!(connection.text().await, envelope("next"), "what was acked is not sent again");
}

#[actix::test]
async fn an_ack_that_comes_over_a_later_connection_is_not_mistaken_for_another_message() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()));
    let first = addr.send(Text("first").needs_ack(HOUR));
    let second = addr.send(Text("second").needs_ack(HOUR));
    let mut connection = server.connection().await;
    assert_eq!([connection.text().await, connection.text().await], [ack_request(1, "first"), ack_request(2, "second")]);
    connection.ack(1).await;
    assert_eq!(sent(first).await.expect("acked"), Receipt::Acked);
    drop(connection);

    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "second"), "ids begin anew");
    // Of the connection before.
    connection.ack(2).await;
    connection.ping().await;
    connection.ack(1).await;
    assert_eq!(sent(second).await.expect("acked"), Receipt::Acked);
    let closing = addr.send(Close::within(HOUR));
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn no_more_than_the_window_is_sent_and_not_acked() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()).window(2, 1000));
    for n in 1..=5 {
        addr.do_send(Text(n.to_string()).needs_ack(HOUR));
    }
    addr.do_send(Text("behind"));
    let mut connection = server.connection().await;
    assert_eq!([connection.text().await, connection.text().await], [ack_request(1, "1"), ack_request(2, "2")]);
    for n in 1..=3 {
        assert_eq!(connection.ping().await, [], "the window is full");
        connection.ack(n).await;
        assert_eq!(connection.text().await, ack_request(n + 2, &(n + 2).to_string()));
    }
    assert_eq!(connection.text().await, envelope("behind"), "a plain message needs no room in it");
}

#[actix::test]
async fn a_small_window_lets_everything_through_in_order() {
    for (messages, bytes) in [(1, 1 << 20), (3, 1 << 20), (100, 1)] {
        let (server, mut received) = recording();
        let (addr, _events) = recorded(server.client().window(messages, bytes));
        for n in 0..300 {
            addr.do_send(Text(n.to_string()).needs_ack(HOUR));
        }
        assert_eq!(close(&addr, HOUR).await, 0);
        for n in 0..300 {
            assert_eq!(received.text().await, n.to_string());
        }
    }
}

#[actix::test]
async fn a_message_whose_ack_does_not_come_in_time_is_given_back_and_the_next_one_goes_on() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let short = Duration::from_millis(50);
    let mut connection = server.connection().await;
    events.connected().await;

    let late = sent(addr.send(Text("one").needs_ack(short))).await.expect_err("not acked");
    assert!(matches!(late.reason, SendFailure::TimedOut { within, stays: false } if within == short), "{late}");
    assert_eq!(late.message, Text("one").needs_ack(short));
    addr.do_send(Text("two").needs_ack(short));
    let Event::AckFailed(late) = events.next().await else { panic!("another event") };
    assert!(matches!(late.reason, SendFailure::TimedOut { within, stays: false } if within == short), "{late}");
    assert_eq!(late.message, Text("two").needs_ack(short));

    let waiting = addr.send(Text("three").needs_ack(HOUR));
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(connection.text().await, ack_request(id, text));
        connection.ack(id).await;
    }
    assert_eq!(sent(waiting).await.expect("acked"), Receipt::Acked);
    let closing = addr.send(Close::within(HOUR));
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn the_time_that_a_message_waits_offline_does_not_count() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(Backoff::default().jitter_by(|_| 1000 * HOUR)));
    let waiting = addr.send(Text("patient").needs_ack(Duration::from_secs(60)));
    events.reconnecting().await;
    pass(HOUR).await;
    proxy.accept();
    addr.do_send(Reconnect);
    assert_eq!(sent(waiting).await.expect("acked"), Receipt::Acked);
    assert_eq!(received.text().await, "patient");
}

#[actix::test]
async fn a_lost_connection_does_not_stop_the_clock() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).backoff(Backoff::default().jitter_by(|_| 1000 * HOUR)));
    let waiting = addr.send(Text("hi").needs_ack(HOUR));
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    drop(connection);
    events.reconnecting().await;
    pass(2 * HOUR).await;
    assert!(matches!(sent(waiting).await.expect_err("late").reason, SendFailure::TimedOut { .. }));

    addr.do_send(Reconnect);
    let mut connection = server.connection().await;
    addr.do_send(Text("next"));
    assert_eq!(connection.text().await, envelope("next"), "it is not sent again");
}

#[actix::test]
async fn a_format_without_acks_refuses_them_and_the_queue_goes_on() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).subprotocols(["simpleJson"]));
    let early = addr.send(Text("early").needs_ack(HOUR));
    addr.do_send(Text("plain"));
    let mut connection = server.request().await.upgrade(Some("simpleJson")).await;
    let refused = sent(early).await.expect_err("not supported");
    assert!(matches!(&refused.reason, SendFailure::Unsupported { format } if format == "simpleJson"), "{refused}");
    assert_eq!(refused.message, Text("early").needs_ack(HOUR));
    assert_eq!(connection.text().await, "plain");

    events.connected().await;
    addr.do_send(Text("late").needs_ack(HOUR));
    let Event::AckFailed(refused) = events.next().await else { panic!("another event") };
    assert_eq!(refused.message, Text("late").needs_ack(HOUR));
}
