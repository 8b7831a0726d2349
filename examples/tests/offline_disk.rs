//! The client's outbox on disk: what is in it when a client is closed, and when the next one starts.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{Binary, Close, Closed, Error, Json, OutboxError, Receipt, SendFailure, Text};
use hookup_server::{Cause, Event};
use proxy::{Proxy, RawServer, ack_request, offline};
use support::{HOUR, client, close, recorded, recording, sent, soon};

#[actix::test]
async fn twenty_thousand_messages_on_disk_arrive_in_order() {
    const MANY: usize = 20_000;
    let directory = tempfile::tempdir().expect("a directory");
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, _events) = recorded(client(proxy.url()).outbox(directory.path()));
    for n in 0..MANY {
        let text = Text(n.to_string());
        match n % 2 {
            0 => addr.do_send(text),
            _ => addr.do_send(text.needs_ack(HOUR)),
        }
    }
    assert_eq!(sent(addr.send(Text("the last"))).await.expect("kept"), Receipt::Accepted);
    proxy.accept();
    for n in 0..MANY {
        assert_eq!(received.text().await, n.to_string());
    }
    assert_eq!(received.text().await, "the last");
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn an_outbox_has_one_client_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox(directory.path()));
    events.reconnecting().await;

    let (_proxy, builder) = offline();
    let (second, mut events) = recorded(builder.outbox(directory.path()));
    let refused = sent(second.send(Text("hi"))).await.expect_err("it has no outbox");
    assert!(matches!(refused.reason, SendFailure::Storage(_)), "{refused}");
    let Event::Error(Error::Outbox(error)) = events.next().await else { panic!("another event") };
    assert!(matches!(*error, OutboxError::Locked { .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("in use") && words.contains(&*directory.path().to_string_lossy()), "{words}");
    assert_eq!(events.disconnected().await, Cause::Failed(words));

    assert_eq!(close(&addr, Duration::ZERO).await, 0);
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox(directory.path()));
    events.reconnecting().await;
    close(&addr, Duration::ZERO).await;
}

#[actix::test]
async fn what_a_closed_client_left_on_disk_is_sent_by_the_next_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox(directory.path()));
    events.reconnecting().await;
    addr.do_send(Text("plain"));
    addr.do_send(Json(&[1]).expect("json").needs_ack(HOUR));
    addr.do_send(Binary(vec![2]));
    let waiting = addr.send(Text("awaited").needs_ack(HOUR));
    assert_eq!(close(&addr, Duration::ZERO).await, 4);
    assert!(matches!(sent(waiting).await.expect_err("closed").reason, SendFailure::Closed));
    assert!(matches!(events.next().await, Event::Disconnected(_)), "what is kept has not failed");

    let (server, mut received) = recording();
    let (addr, _events) = recorded(server.client().outbox(directory.path()));
    addr.do_send(Text("new"));
    for expected in ["plain", "[1]", "Binary(b\"\\x02\")", "awaited", "new"] {
        assert_eq!(received.message().await, expected);
    }
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn what_was_sent_and_not_acked_stays_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = RawServer::start().await;
    let builder = || client(server.url()).outbox(directory.path());
    let (addr, _events) = recorded(builder());
    addr.do_send(Text("hi").needs_ack(HOUR));
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    let closing = addr.send(Close::within(Duration::ZERO));
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 1 });

    let (addr, _events) = recorded(builder());
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    connection.ack(1).await;
    let closing = addr.send(Close::within(HOUR));
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}
