//! The client's outbox: what waits while there is no connection, when it leaves, and what it refuses.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use hookup_client::{Binary, Error, Json, Receipt, SendFailure, Text};
use hookup_server::Event;
use proxy::{Proxy, RawServer, envelope, offline};
use support::{HOUR, client, recorded, recording, sent};

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
    events.reconnecting().await;
    proxy.accept();
    events.connected().await;
    // An ack that the cut below catches on its way would have its message sent again.
    assert_eq!(sent(addr.send(Text("7").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    for expected in ["1", "[2]", "Binary(b\"\\x03\")", "4", "[5]", "6", "7"] {
        assert_eq!(received.message().await, expected);
    }

    proxy.refuse().await;
    proxy.cut();
    events.disconnected().await;
    addr.do_send(Text("8").needs_ack(HOUR));
    addr.do_send(Binary(vec![9]));
    addr.do_send(Text("10"));
    events.reconnecting().await;
    proxy.accept();
    events.connected().await;
    addr.do_send(Text("11"));
    assert_eq!(sent(addr.send(Text("12").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    for expected in ["8", "Binary(b\"\\t\")", "10", "11", "12"] {
        assert_eq!(received.message().await, expected);
    }
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

    events.reconnecting().await;
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
async fn a_message_above_the_limit_is_given_back() {
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.max_message_bytes(10));
    events.reconnecting().await;
    assert_eq!(sent(addr.send(Text("1234567890"))).await.expect("fits"), Receipt::Accepted);
    let big = sent(addr.send(Text("12345678901"))).await.expect_err("too big");
    assert!(matches!(big.reason, SendFailure::TooBig { len: 11, limit: 10 }), "{big}");
    assert_eq!(big.message, Text("12345678901").into());
    addr.do_send(Binary(vec![0; 11]));
    let Event::Error(Error::NotSent(big)) = events.next().await else { panic!("another event") };
    assert!(matches!(big.reason, SendFailure::TooBig { len: 11, limit: 10 }), "{big}");
    assert_eq!(big.message, Binary(vec![0; 11]).into());
}
