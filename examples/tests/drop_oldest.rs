//! A full outbox whose oldest messages make room for new ones.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;
#[path = "support/v2_server.rs"]
mod v2_server;

use std::{collections::HashMap, sync::Mutex, time::Duration};

use hookup_client::{
    ClientBuilder, Close, CloseCode, Error, MemoryOutbox, Outbound, OutboxError, OutboxPolicy, Receipt, SendError,
    SendFailure, SledOutbox, Text,
};
use hookup_server::{Event, HookupServer};
use outboxes::{Barrier, Op, Watched};
use proxy::{Proxy, RawServer, ack_request, offline};
use support::{Events, HOUR, Server, client, close, recorded, recorder, recording, sent, soon};
use v2::{SESSION, again, frame, hello, reliable, text};
use v2_server::heard;

/// A number as a message of five bytes.
fn numbered(n: usize) -> Text {
    Text(format!("{n:05}"))
}

fn dropping(builder: ClientBuilder, messages: usize) -> ClientBuilder {
    builder.outbox_bounds(messages, 1_000_000).policy(OutboxPolicy::DropOldest)
}

/// Each kind of outbox, and either kind of protocol.
fn kinds(url: &str) -> Vec<(&'static str, ClientBuilder)> {
    let protocols = [("a format", client as fn(String) -> ClientBuilder), ("hookup.v2", reliable)];
    let kinds = protocols.into_iter().flat_map(|(name, client)| {
        let builder = || client(url.to_owned());
        let durable = Watched::new(|_| Ok(()));
        [(name, builder().outbox_in(MemoryOutbox::default())), (name, builder().outbox_in(durable))]
    });
    kinds.collect()
}

/// Waits until so many messages were dropped, no event saying more.
async fn dropped(events: &mut Events, expected: usize) {
    let (mut messages, mut bytes) = (0, 0);
    let all = |event: &Event| {
        if let Event::Dropped { messages: more, bytes: size } = event {
            (messages, bytes) = (messages + more, bytes + size);
        }
        (messages >= expected).then_some(())
    };
    events.until("all that was dropped", all).await;
    assert_eq!((messages, bytes), (expected, 5 * expected as u64));
}

fn failed(event: Event) -> SendError {
    match event {
        Event::AckFailed(error) | Event::Error(Error::NotSent(error)) => error,
        other => panic!("another event: {other:?}"),
    }
}

#[actix::test]
async fn offline_the_newest_stay_and_are_sent_in_order() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let mut kinds = kinds(&proxy.url());
    let directory = tempfile::tempdir().expect("a directory");
    let on_disk = SledOutbox::open(directory.path()).expect("opens");
    kinds.push(("hookup.v2", reliable(proxy.url()).outbox_in(on_disk)));
    for (name, builder) in kinds {
        let (addr, mut events) = recorded(dropping(builder, 10));
        for n in 0..24 {
            addr.do_send(numbered(n));
        }
        assert_eq!(sent(addr.send(numbered(24))).await.expect("accepted"), Receipt::Accepted);
        dropped(&mut events, 15).await;
        proxy.accept();
        for n in 15..25 {
            assert_eq!(received.text().await, numbered(n).to_string(), "{name}");
        }
        assert_eq!(close(&addr, HOUR).await, 0, "{name}");
        proxy.refuse().await;
    }
}

#[actix::test]
async fn each_wait_for_a_dropped_message_ends_once() {
    for (name, builder) in kinds(&offline().0.url()) {
        let (addr, mut events) = recorded(dropping(builder, 4));
        let awaited = addr.send(Text("awaited").needs_ack(HOUR));
        let forgotten = addr.send(Text("forgotten").needs_ack(HOUR));
        addr.do_send(Text("acked").needs_ack(HOUR));
        sent(addr.send(numbered(0))).await.expect("accepted");
        drop(forgotten);
        for n in 1..=4 {
            sent(addr.send(numbered(n))).await.expect("accepted");
        }
        let error = sent(awaited).await.expect_err("it made room");
        assert!(matches!(error.reason, SendFailure::Dropped), "{name}: {error}");
        assert_eq!(error.message, Text("awaited").needs_ack(HOUR));
        for expected in ["forgotten", "acked"] {
            let next = |event: &Event| matches!(event, Event::AckFailed(error) if *error.message.message() == Text(expected).into());
            events.until(expected, |event| next(event).then_some(())).await;
        }
        dropped(&mut events, 1).await;
        assert_eq!(close(&addr, Duration::ZERO).await, 4, "{name}");
    }
}

#[actix::test]
async fn over_a_format_what_was_sent_and_not_acked_is_not_dropped() {
    let server = RawServer::start().await;
    for builder in [client(server.url()), client(server.url()).outbox_in(Watched::new(|_| Ok(())))] {
        let (addr, mut events) = recorded(dropping(builder, 10).window(4, 1000));
        let mut connection = server.connection().await;
        events.connected().await;
        for n in 1..=4 {
            addr.do_send(numbered(n).needs_ack(HOUR));
        }
        for n in 1..=4 {
            assert_eq!(connection.text().await, ack_request(n, &numbered(n as usize)));
        }
        for n in 5..=15 {
            addr.do_send(numbered(n).needs_ack(HOUR));
        }
        for n in 5..=9 {
            let error = failed(events.next().await);
            assert!(matches!(error.reason, SendFailure::Dropped), "{error}");
            assert_eq!(error.message, numbered(n).needs_ack(HOUR));
        }
        for id in 1..=4 {
            connection.ack(id).await;
        }
        for (id, n) in (5..).zip(10..=15) {
            assert_eq!(connection.text().await, ack_request(id, &numbered(n)));
            connection.ack(id).await;
        }
        let closing = addr.send(Close::within(HOUR));
        connection.closed().await;
        assert_eq!(soon("closed", closing).await.expect("lives").unsent, 0);
    }
}

#[actix::test]
async fn over_v2_a_dropped_message_is_skipped_and_what_was_sent_stays() {
    let server = RawServer::start().await;
    for builder in [reliable(server.url()), reliable(server.url()).outbox_in(Watched::new(|_| Ok(())))] {
        let (addr, mut events) = recorded(dropping(builder, 10).window(4, 1000));
        let (mut connection, hello) = v2_server::greeted(&server, false).await;
        events.connected().await;
        for n in 1..=4 {
            addr.do_send(numbered(n));
        }
        assert_eq!(heard(&mut connection).await["type"], "run");
        for n in 1..=4 {
            assert_eq!(heard(&mut connection).await["seq"], n);
        }
        for n in 5..=15 {
            addr.do_send(numbered(n));
        }
        dropped(&mut events, 5).await;
        let ack = |seq: usize| serde_json::json!({ "type": "ack", "run": hello["runs"][0]["run"], "seq": seq });
        v2_server::say(&mut connection, &ack(4)).await;
        let skip = heard(&mut connection).await;
        assert_eq!((&skip["type"], &skip["seq"], &skip["to"]), (&"skip".into(), &5.into(), &9.into()), "{skip}");
        for n in 10..=15 {
            let message = heard(&mut connection).await;
            assert_eq!((&message["seq"], &message["content"]), (&n.into(), &numbered(n).to_string().into()));
            v2_server::say(&mut connection, &ack(n)).await;
        }
        let closing = addr.send(Close::within(HOUR));
        connection.closed().await;
        assert_eq!(soon("closed", closing).await.expect("lives").unsent, 0);
    }
}

#[actix::test]
async fn where_all_was_sent_or_the_message_is_too_big_it_is_refused() {
    let server = RawServer::start().await;
    let builder = client(server.url()).outbox_bounds(3, 20).policy(OutboxPolicy::DropOldest);
    let (addr, mut events) = recorded(builder);
    let mut connection = server.connection().await;
    events.connected().await;
    let waits = [1, 2, 3].map(|n| addr.send(numbered(n).needs_ack(HOUR)));
    for n in 1..=3 {
        assert_eq!(connection.text().await, ack_request(n, &numbered(n as usize)));
    }
    let full = sent(addr.send(numbered(4))).await.expect_err("all was sent");
    assert!(matches!(full.reason, SendFailure::Full { messages: 3, bytes: 15 }), "{full}");
    assert_eq!(full.message, Outbound::from(numbered(4)));
    let long = sent(addr.send(Text("x".repeat(21)))).await.expect_err("longer than the outbox");
    assert!(matches!(long.reason, SendFailure::TooBig { limit: 20, .. }), "{long}");
    connection.close(CloseCode::AWAY).await;
    events.disconnected().await;
    let full = sent(addr.send(numbered(4))).await.expect_err("it was sent, though to nobody who is here");
    assert!(matches!(full.reason, SendFailure::Full { .. }), "{full}");
    let mut connection = server.connection().await;
    for n in 1..=3 {
        assert_eq!(connection.text().await, ack_request(n, &numbered(n as usize)));
        connection.ack(n).await;
    }
    for wait in waits {
        assert_eq!(sent(wait).await.expect("acked"), Receipt::Acked);
    }
    sent(addr.send(numbered(5))).await.expect("there is room");
    assert_eq!(connection.text().await, proxy::envelope("00005"));
}

#[actix::test]
async fn an_outbox_that_fails_to_load_or_to_remove_drops_later() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let done = Mutex::new(HashMap::<_, u32>::new());
    let outbox = Watched::new(move |op| {
        let mut done = done.lock().expect("nobody panics with it");
        let count = done.entry(op).or_default();
        *count += 1;
        match op {
            Op::Load | Op::Remove if *count == 2 => Err(OutboxError::Other("once".into())),
            _ => Ok(()),
        }
    });
    let (addr, mut events) = recorded(dropping(reliable(proxy.url()).outbox_in(outbox), 10));
    let mut accepted = Vec::new();
    for n in 0..40 {
        match sent(addr.send(numbered(n))).await {
            Ok(_) => accepted.push(numbered(n).to_string()),
            // What was to be kept together with a removal that failed.
            Err(error) => assert!(matches!(error.reason, SendFailure::Storage(_)), "{error}"),
        }
    }
    proxy.accept();
    let mut arrived = Vec::new();
    while arrived.last() != accepted.last() {
        arrived.push(received.text().await);
    }
    assert!(accepted.ends_with(&arrived) && arrived.len() <= 10, "{arrived:?}");
    dropped(&mut events, accepted.len() - arrived.len()).await;
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn what_an_earlier_process_may_have_sent_is_not_dropped() {
    for was_connected in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = RawServer::start().await;
        let (addr, _events) = recorded(dropping(reliable(server.url()).outbox(directory.path()), 3));
        let connection = if was_connected { Some(v2_server::greeted(&server, false).await.0) } else { None };
        for n in 0..3 {
            sent(addr.send(numbered(n))).await.expect("accepted");
        }
        let closing = addr.send(Close::within(Duration::ZERO));
        if let Some(connection) = connection {
            connection.closed().await;
        }
        assert_eq!(soon("closed", closing).await.expect("lives").unsent, 3);

        let (addr, mut events) = recorded(dropping(reliable(offline().0.url()).outbox(directory.path()), 3));
        match sent(addr.send(numbered(3))).await {
            Ok(_) if !was_connected => dropped(&mut events, 1).await,
            Err(SendError { reason: SendFailure::Full { messages: 3, .. }, .. }) if was_connected => {}
            other => panic!("another outcome: {other:?}"),
        }
        assert_eq!(close(&addr, Duration::ZERO).await, 3);
    }
}

#[actix::test]
async fn thousands_are_dropped_and_sent_and_nothing_is_counted_that_is_not_there() {
    const MANY: usize = 6000;
    let directory = tempfile::tempdir().expect("a directory");
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let on_disk = || SledOutbox::open(directory.path()).expect("opens");
    for on_disk in [None, Some(on_disk())] {
        let builder = match on_disk {
            None => reliable(proxy.url()),
            Some(outbox) => reliable(proxy.url()).outbox_in(outbox),
        };
        let (addr, mut events) = recorded(dropping(builder, 50).window(20, 1000));
        for n in 0..MANY {
            addr.do_send(numbered(n));
            if n == MANY / 3 {
                proxy.accept();
            }
            if n % 100 == 0 {
                sent(addr.send(Text("mark!"))).await.expect("accepted");
            }
            if n % 1000 == 999 {
                proxy.cut();
            }
        }
        sent(addr.send(Text("final").needs_ack(HOUR))).await.expect("acked");
        let (mut arrived, mut marks, mut last) = (0, 0, None);
        loop {
            let text = received.text().await;
            match &*text {
                "final" => break,
                "mark!" => marks += 1,
                number => {
                    let n = number.parse::<usize>().expect("a number");
                    assert!(last.is_none_or(|last| last < n), "in order, and once");
                    last = Some(n);
                    arrived += 1;
                }
            }
        }
        assert_eq!(last, Some(MANY - 1), "the newest stay");
        dropped(&mut events, MANY + MANY / 100 - arrived - marks).await;
        assert_eq!(close(&addr, HOUR).await, 0);
        proxy.refuse().await;
    }
}

#[actix::test]
async fn while_the_outbox_hangs_what_waits_for_it_is_bounded_and_the_oldest_of_it_are_dropped() {
    let barrier = Barrier::default();
    let outbox = Watched::new(barrier.before(Op::Append));
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(dropping(builder.outbox_in(outbox), 10));
    events.reconnecting().await;
    barrier.shut();
    addr.do_send(numbered(0));
    barrier.holds().await;
    for n in 1..=30 {
        addr.do_send(numbered(n));
    }
    dropped(&mut events, 20).await;
    barrier.open();
    dropped(&mut events, 1).await;
    assert_eq!(close(&addr, Duration::ZERO).await, 10);
}

#[actix::test]
async fn while_the_outbox_is_opened_the_newest_stay_too() {
    let barrier = Barrier::default();
    barrier.shut();
    let outbox = Watched::new(barrier.before(Op::Begin));
    let (_proxy, builder) = offline();
    let (addr, mut events) = recorded(dropping(builder.outbox_in(outbox), 2));
    let first = addr.send(numbered(1));
    let second = addr.send(numbered(2));
    addr.do_send(numbered(3));
    let error = sent(first).await.expect_err("it made room");
    assert!(matches!(error.reason, SendFailure::Dropped), "{error}");
    barrier.open();
    sent(second).await.expect("accepted");
    sent(addr.send(numbered(4))).await.expect("accepted");
    dropped(&mut events, 1).await;
    assert_eq!(close(&addr, Duration::ZERO).await, 2);
}

#[actix::test]
async fn a_server_drops_the_oldest_that_wait_for_a_client_that_is_away() {
    let (handler, mut received) = recorder();
    let builder = HookupServer::new(move || handler.clone()).outbox_bounds(2, 1000).policy(OutboxPolicy::DropOldest);
    let server = Server::start(builder);
    let (raw, welcome) = v2::greeted(server.addr, &hello(SESSION, 1)).await;
    let peer = received.connected().await.peer;
    raw.reset();
    received.disconnected().await;
    for n in 1..=5 {
        soon("acceptance", peer.send(numbered(n))).await.expect("accepted");
    }
    dropped(&mut received, 3).await;
    let (mut raw, _) = v2::greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert_eq!(frame(&mut raw).await["type"], "run");
    let skip = frame(&mut raw).await;
    assert_eq!((&skip["seq"], &skip["to"]), (&1.into(), &3.into()), "{skip}");
    for n in 4..=5 {
        assert_eq!(raw.next_text().await, text(n, &numbered(n as usize)));
    }
}
