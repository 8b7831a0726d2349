//! A client whose outbox takes its time to be opened, or cannot be opened: nothing waits for it but what must.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{
    Binary, Close, Closed, Disconnect, Entry, Error, Outbound, Outbox as _, OutboxError, Reconnect, SendError,
    SendFailure, Text,
    core::{Changes, MemoryOutbox},
};
use hookup_server::{Cause, CloseCode, Event};
use outboxes::{Barrier, Op, Watched};
use proxy::{Proxy, offline};
use support::{HOUR, client, close, recorded, recording, sent, soon};

/// An outbox that is not open before the barrier is.
fn slow() -> (Barrier, Watched) {
    slow_with(MemoryOutbox::default())
}

fn slow_with(outbox: MemoryOutbox) -> (Barrier, Watched) {
    let barrier = Barrier::default();
    barrier.shut();
    let outbox = Watched::over(outbox, barrier.before(Op::Begin));
    (barrier, outbox)
}

fn failed(event: Event) -> SendError {
    match event {
        Event::AckFailed(error) | Event::Error(Error::NotSent(error)) => error,
        other => panic!("another event: {other:?}"),
    }
}

#[actix::test]
async fn what_is_sent_while_the_outbox_is_opened_arrives_in_order_behind_what_it_held() {
    let mut held = MemoryOutbox::default();
    held.commit(&Changes::append([Entry { seq: 7, outbound: Text("held").into() }])).expect("it keeps it");
    let (barrier, outbox) = slow_with(held);
    let (server, mut received) = recording();
    let proxy = Proxy::open(server.addr);
    let (addr, _events) = recorded(client(proxy.url()).outbox_in(outbox));
    for n in 0..100 {
        match n % 2 {
            0 => addr.do_send(Text(n.to_string())),
            _ => addr.do_send(Text(n.to_string()).needs_ack(HOUR)),
        }
    }
    let last = addr.send(Text("last").needs_ack(HOUR));
    // The client has seen all of them when it answers this one, and it has a thread to do so.
    let refused = sent(addr.send(Text("now").volatile())).await.expect_err("nothing is open");
    assert!(matches!(refused.reason, SendFailure::Dropped), "{refused}");
    assert_eq!(proxy.accepted(), 0, "it connects when its outbox is open");
    barrier.open();
    sent(last).await.expect("acked");
    assert_eq!(received.text().await, "held");
    for n in 0..100 {
        assert_eq!(received.text().await, n.to_string());
    }
    assert_eq!(received.text().await, "last");
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn what_waits_for_the_outbox_is_bounded_then_and_when_it_is_open() {
    let mut held = MemoryOutbox::default();
    held.commit(&Changes::append([Entry { seq: 1, outbound: Text("held").into() }])).expect("it keeps it");
    let (barrier, outbox) = slow_with(held);
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox_in(outbox).outbox_bounds(2, 100));
    let first = addr.send(Text("first"));
    let second = addr.send(Text("second"));
    let third = sent(addr.send(Text("third"))).await.expect_err("there is no room");
    assert!(matches!(third.reason, SendFailure::Full { messages: 2, bytes: 11 }), "{third}");
    assert_eq!(third.message, Outbound::from(Text("third")));
    let long = sent(addr.send(Text("x".repeat(101)))).await.expect_err("it never fits");
    assert!(matches!(long.reason, SendFailure::TooBig { .. }), "{long}");
    addr.do_send(Text("fourth").needs_ack(HOUR));
    let fourth = failed(events.next().await);
    assert!(matches!(fourth.reason, SendFailure::Full { .. }), "the handler is told while the outbox is opened");

    barrier.open();
    sent(first).await.expect("accepted");
    let second = sent(second).await.expect_err("what the outbox held leaves no room for it");
    assert!(matches!(second.reason, SendFailure::Full { messages: 2, .. }), "{second}");
    assert_eq!(second.message, Outbound::from(Text("second")));
    assert_eq!(close(&addr, Duration::ZERO).await, 2);
}

#[actix::test]
async fn a_client_whose_outbox_cannot_be_opened_gives_everything_back_and_ends() {
    for panics in [false, true] {
        let barrier = Barrier::default();
        barrier.shut();
        let pass = barrier.pass();
        let outbox = Watched::new(move |_| {
            pass();
            assert!(!panics, "boom");
            Err(OutboxError::Other("the disk is gone".into()))
        });
        let words = if panics { "the outbox's code panicked" } else { "the outbox failed: the disk is gone" };
        let (proxy, builder) = offline();
        let (addr, mut events) = recorded(builder.outbox_in(outbox));
        let awaited = addr.send(Text("awaited"));
        addr.do_send(Text("acked").needs_ack(HOUR));
        addr.do_send(Binary(vec![1]));
        barrier.open();
        let error = sent(awaited).await.expect_err("it cannot be kept");
        assert_eq!((error.message, error.reason.to_string()), (Text("awaited").into(), words.to_owned()));
        let Event::Error(Error::Outbox(error)) = events.next().await else { panic!("another event") };
        assert_eq!(error.to_string(), words);
        for message in [Text("acked").needs_ack(HOUR), Binary(vec![1]).into()] {
            let error = failed(events.next().await);
            assert!(matches!(error.reason, SendFailure::Storage(_)), "{error}");
            assert_eq!(error.message, message);
        }
        let last = events.next().await;
        assert!(matches!(&last, Event::Disconnected(Cause::Failed(said)) if said == words), "{last:?}");
        // The last event is told before the actor has stopped.
        match soon("an answer", addr.send(Text("late"))).await {
            Err(_) => {}
            Ok(late) => assert!(matches!(late.expect_err("too late").reason, SendFailure::Closed)),
        }
        assert_eq!(proxy.accepted(), 0);
    }
}

#[actix::test]
async fn a_close_waits_for_the_outbox_and_leaves_in_it_what_was_sent() {
    let (barrier, outbox) = slow();
    let (proxy, builder) = offline();
    let (addr, mut events) = recorded(builder.outbox_in(outbox));
    let kept = addr.send(Text("kept"));
    let acked = addr.send(Text("acked").needs_ack(HOUR));
    let closing = addr.send(Close::within(Duration::ZERO));
    let late = sent(addr.send(Text("late"))).await.expect_err("it closes");
    assert!(matches!(late.reason, SendFailure::Closed), "{late}");
    barrier.open();
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 2 });
    sent(kept).await.expect("it is in the outbox");
    assert!(matches!(sent(acked).await.expect_err("nobody acks it").reason, SendFailure::Closed));
    let last = events.next().await;
    assert!(matches!(&last, Event::Disconnected(Cause::WeClosed(reason)) if reason.code == CloseCode::NORMAL));
    assert_eq!(proxy.accepted(), 0);
}

#[actix::test]
async fn a_close_that_has_time_sends_what_waited_for_the_outbox() {
    let (barrier, outbox) = slow();
    let (server, mut received) = recording();
    let (addr, _events) = recorded(server.client().outbox_in(outbox));
    addr.do_send(Text("hi"));
    let closing = addr.send(Close::within(HOUR));
    barrier.open();
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
    assert_eq!(received.text().await, "hi");
}

#[actix::test]
async fn a_close_ends_when_the_outbox_cannot_be_opened() {
    let barrier = Barrier::default();
    barrier.shut();
    let pass = barrier.pass();
    let outbox = Watched::new(move |_| {
        pass();
        Err(OutboxError::Other("the disk is gone".into()))
    });
    let (_proxy, builder) = offline();
    let (addr, _events) = recorded(builder.outbox_in(outbox));
    let sending = addr.send(Text("hi"));
    let closing = addr.send(Close::within(HOUR));
    barrier.open();
    assert!(matches!(sent(sending).await.expect_err("it cannot be kept").reason, SendFailure::Storage(_)));
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn a_disconnect_while_the_outbox_is_opened_keeps_the_client_from_connecting() {
    let (barrier, outbox) = slow();
    let (server, mut received) = recording();
    let proxy = Proxy::open(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).outbox_in(outbox));
    soon("the disconnect", addr.send(Disconnect)).await.expect("lives");
    let waiting = addr.send(Text("hi").needs_ack(HOUR));
    barrier.open();
    assert!(matches!(sent(waiting).await.expect_err("offline").reason, SendFailure::Offline));
    assert_eq!(proxy.accepted(), 0);
    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!(received.text().await, "hi");
}

#[actix::test]
async fn a_reconnect_while_the_outbox_is_opened_takes_back_a_disconnect() {
    let (barrier, outbox) = slow();
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client().outbox_in(outbox));
    soon("the reconnect", addr.send(Reconnect)).await.expect("lives");
    soon("the disconnect", addr.send(Disconnect)).await.expect("lives");
    soon("the reconnect", addr.send(Reconnect)).await.expect("lives");
    addr.do_send(Text("hi"));
    barrier.open();
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!(received.text().await, "hi");
}
