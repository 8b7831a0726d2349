//! The client's outbox: what waits while there is no connection, when it leaves, and what it refuses.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use actix::Addr;
use hookup_client::{
    Backoff, Binary, ClientBuilder, Close, Closed, Error, HookupClient, Json, Receipt, Reconnect, SendFailure,
    SendResult, Text,
};
use hookup_server::Event;
use proxy::{Proxy, RawServer, ack_request, envelope};
use support::{Events, Server, client, recorder, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// A server that records.
fn recording() -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::with(move || handler.clone()), events)
}

/// A client that records.
fn recorded(builder: ClientBuilder) -> (Addr<HookupClient>, Events) {
    let (handler, events) = recorder();
    (builder.start(handler).expect("starts"), events)
}

/// A client that nothing listens for, and that stays alone.
fn offline() -> (Proxy, ClientBuilder) {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let builder = client(proxy.url()).backoff(Backoff::default().jitter_by(|_| HOUR));
    (proxy, builder)
}

/// The payload of the next message.
async fn message(events: &mut Events) -> String {
    events
        .until("a message", |event| match event {
            Event::Text(text) => Some(text.to_string()),
            Event::Json(json) => Some(json.to_string()),
            Event::Binary(bytes) => Some(format!("{bytes:?}")),
            _ => None,
        })
        .await
}

async fn sent(request: impl Future<Output = Result<SendResult, actix::MailboxError>>) -> SendResult {
    soon("a result", request).await.expect("lives")
}

async fn close(addr: &Addr<HookupClient>, within: Duration) -> usize {
    let Closed { unsent } = soon("closed", addr.send(Close::within(within))).await.expect("lives");
    unsent
}

async fn reconnecting(events: &mut Events) {
    events.until("reconnecting", |event| matches!(event, Event::Reconnecting(_)).then_some(())).await;
}

#[actix::test]
async fn what_was_sent_while_offline_arrives_in_order_and_before_what_is_newer() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    addr.do_send(Text("1"));
    addr.do_send(Json(&[2]).expect("json"));
    addr.do_send(Binary(vec![3]));
    addr.do_send(Text("4").needs_ack(HOUR));
    addr.do_send(Json(&[5]).expect("json").needs_ack(HOUR));
    addr.do_send(Text("6"));
    reconnecting(&mut events).await;
    proxy.accept();
    events.connected().await;
    // An ack that the cut below catches on its way would have its message sent again.
    assert_eq!(sent(addr.send(Text("7").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    for expected in ["1", "[2]", "Binary(b\"\\x03\")", "4", "[5]", "6", "7"] {
        assert_eq!(message(&mut received).await, expected);
    }

    proxy.refuse().await;
    proxy.cut();
    events.disconnected().await;
    addr.do_send(Text("8").needs_ack(HOUR));
    addr.do_send(Binary(vec![9]));
    addr.do_send(Text("10"));
    reconnecting(&mut events).await;
    proxy.accept();
    events.connected().await;
    addr.do_send(Text("11"));
    assert_eq!(sent(addr.send(Text("12").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    for expected in ["8", "Binary(b\"\\t\")", "10", "11", "12"] {
        assert_eq!(message(&mut received).await, expected);
    }
}

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
async fn a_plain_message_leaves_when_it_was_written() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()));
    addr.do_send(Text("once"));
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, envelope("once"));
    drop(connection);
    let mut connection = server.connection().await;
    addr.do_send(Text("next"));
    assert_eq!(connection.text().await, envelope("next"));
}

#[actix::test]
async fn a_full_outbox_gives_the_message_back() {
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox_bounds(2, 1000));
    addr.do_send(Text("one"));
    assert_eq!(sent(addr.send(Text("two"))).await.expect("fits"), Receipt::Accepted);

    let full = sent(addr.send(Text("three"))).await.expect_err("full");
    assert!(matches!(full.reason, SendFailure::Full { messages: 2, bytes: 6 }), "{full}");
    assert_eq!(full.message, Text("three").into());
    let full = sent(addr.send(Text("four").needs_ack(HOUR))).await.expect_err("full");
    assert_eq!(full.message, Text("four").needs_ack(HOUR));

    reconnecting(&mut events).await;
    addr.do_send(Text("five"));
    addr.do_send(Text("six").needs_ack(HOUR));
    let Event::Error(Error::NotSent(full)) = events.next().await else { panic!("another event") };
    assert_eq!(full.message, Text("five").into());
    let Event::AckFailed(full) = events.next().await else { panic!("another event") };
    assert!(matches!(full.reason, SendFailure::Full { messages: 2, bytes: 6 }), "{full}");
    assert_eq!(full.message, Text("six").needs_ack(HOUR));
}

#[actix::test]
async fn an_outbox_is_bounded_by_bytes_too_and_takes_messages_again_when_it_has_drained() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, _events) = recorded(client(proxy.url()).outbox_bounds(100, 10));
    addr.do_send(Text("12345"));
    addr.do_send(Text("67890").needs_ack(HOUR));
    let full = sent(addr.send(Text("!"))).await.expect_err("full");
    assert!(matches!(full.reason, SendFailure::Full { messages: 2, bytes: 10 }), "{full}");
    assert_eq!(sent(addr.send(Text(""))).await.expect("nothing always fits"), Receipt::Accepted);

    proxy.accept();
    assert_eq!([received.text().await, received.text().await, received.text().await], ["12345", "67890", ""]);
    let mut refused = 0;
    // The ack of the second message may still be on its way.
    while sent(addr.send(Text("!234567890").needs_ack(HOUR))).await.is_err() {
        refused += 1;
        assert!(refused < 10_000, "the outbox does not drain");
    }
    assert_eq!(received.text().await, "!234567890");
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
    let (addr, _events) = recorded(builder.outbox(directory.path()));
    let (_proxy, builder) = offline();
    let error = builder.outbox(directory.path()).start(recorder().0).expect_err("in use");
    assert_eq!(error.setting(), "outbox");
    assert!(error.to_string().contains("in use"), "{error}");

    assert_eq!(close(&addr, Duration::ZERO).await, 0);
    let (_proxy, builder) = offline();
    let (addr, _events) = recorded(builder.outbox(directory.path()));
    close(&addr, Duration::ZERO).await;
}

#[actix::test]
async fn what_a_closed_client_left_on_disk_is_sent_by_the_next_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox(directory.path()));
    reconnecting(&mut events).await;
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
        assert_eq!(message(&mut received).await, expected);
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

#[actix::test]
async fn a_message_above_the_limit_is_given_back() {
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.max_message_bytes(10));
    reconnecting(&mut events).await;
    assert_eq!(sent(addr.send(Text("1234567890"))).await.expect("fits"), Receipt::Accepted);
    let big = sent(addr.send(Text("12345678901"))).await.expect_err("too big");
    assert!(matches!(big.reason, SendFailure::TooBig { len: 11, limit: 10 }), "{big}");
    assert_eq!(big.message, Text("12345678901").into());
    addr.do_send(Binary(vec![0; 11]));
    let Event::Error(Error::NotSent(big)) = events.next().await else { panic!("another event") };
    assert!(matches!(big.reason, SendFailure::TooBig { len: 11, limit: 10 }), "{big}");
    assert_eq!(big.message, Binary(vec![0; 11]).into());
}

#[actix::test]
async fn a_message_whose_ack_does_not_come_in_time_is_given_back_and_the_next_one_goes_on() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let short = Duration::from_millis(50);
    let mut connection = server.connection().await;
    events.connected().await;

    let late = sent(addr.send(Text("one").needs_ack(short))).await.expect_err("not acked");
    assert!(matches!(late.reason, SendFailure::TimedOut { within } if within == short), "{late}");
    assert_eq!(late.message, Text("one").needs_ack(short));
    addr.do_send(Text("two").needs_ack(short));
    let Event::AckFailed(late) = events.next().await else { panic!("another event") };
    assert!(matches!(late.reason, SendFailure::TimedOut { within } if within == short), "{late}");
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

/// The clock of this thread jumps.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[actix::test]
async fn the_time_that_a_message_waits_offline_does_not_count() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(Backoff::default().jitter_by(|_| 1000 * HOUR)));
    let waiting = addr.send(Text("patient").needs_ack(Duration::from_secs(60)));
    reconnecting(&mut events).await;
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
    reconnecting(&mut events).await;
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
