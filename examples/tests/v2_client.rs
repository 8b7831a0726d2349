//! What a client of `hookup.v2` does when its server closes, asks it to go away, or breaks the protocol.

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

use std::{cell::Cell, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use hookup_client::{
    Cause, Close, CloseCode, Error, Event, Receipt, Reconnect, SendFailure, Text,
    core::ws::{Outgoing, Signal},
};
use outboxes::{Barrier, Op, Watched};
use proxy::RawServer;
use serde_json::json;
use support::{HOUR, recorded, sent, soon};
use v2::reliable;
use v2_server::{code, greeted, heard, hello, say, text_frame, welcome};

#[actix::test]
async fn the_hello_names_the_same_session_and_run_on_every_connection() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    let (mut connection, first) = greeted(&server, false).await;
    let connected = events.connected().await;
    assert_eq!((connected.format.as_str(), connected.resumed), ("hookup.v2", false));
    assert_eq!(first["session"].as_str().map(str::len), Some(32));
    assert_eq!(first["runs"][0]["sent"], 0);
    assert_eq!(first["recv"], json!({}));

    addr.do_send(Text("one"));
    assert_eq!(heard(&mut connection).await["type"], "run");
    assert_eq!(heard(&mut connection).await, json!({ "type": "text", "seq": 1, "content": "one" }));
    drop(connection);
    events.disconnected().await;
    let (mut connection, second) = greeted(&server, true).await;
    assert!(events.connected().await.resumed);
    assert_eq!(second["session"], first["session"]);
    let run = json!({ "run": first["runs"][0]["run"], "lo": 1, "next": 2, "sent": 1 });
    assert_eq!(second["runs"], json!([run]));
    assert_eq!(second["recv"], json!({ "00000000000000bb": 0 }));
    assert_eq!(heard(&mut connection).await["type"], "run");
    assert_eq!(heard(&mut connection).await, json!({ "type": "text", "seq": 1, "content": "one" }), "it is sent again");
}

#[actix::test]
async fn after_1001_1011_4408_and_4429_the_client_reconnects() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(reliable(server.url()));
    for closing in [1001, 1011, 4408, 4429] {
        let (connection, _) = greeted(&server, closing != 1001).await;
        connection.close(code(closing)).await;
        assert_eq!(events.disconnected().await, Cause::PeerClosed(code(closing)));
        events.reconnecting().await;
    }
    greeted(&server, true).await;
}

#[actix::test]
async fn after_1000_and_4409_the_client_stops_until_it_is_told_to_reconnect() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    for closing in [1000, 4409] {
        let (connection, _) = greeted(&server, closing != 1000).await;
        events.connected().await;
        connection.close(code(closing)).await;
        assert!(matches!(events.next().await, Event::Disconnected(cause) if cause == Cause::PeerClosed(code(closing))));
        let refused = sent(addr.send(Text("x").needs_ack(HOUR))).await.expect_err("nobody waits for an ack offline");
        assert!(matches!(refused.reason, SendFailure::Offline), "{refused}");
        addr.do_send(Reconnect);
    }
    greeted(&server, true).await;
}

#[actix::test]
async fn after_4401_the_client_asks_for_credentials_again() {
    let server = RawServer::start().await;
    let asked = Cell::new(0);
    let (_addr, mut events) = recorded(reliable(server.url()).credentials(move || {
        asked.set(asked.get() + 1);
        let token = format!("Bearer {}", asked.get());
        async move { Ok::<_, String>([("Authorization", token)]) }
    }));
    for attempt in 1..=3 {
        let request = server.request().await;
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {attempt}")));
        let mut connection = request.upgrade(Some("hookup.v2")).await;
        connection.text().await;
        connection.close(code(4401)).await;
        let next = events.reconnecting().await;
        assert_eq!(next.cause, Cause::PeerClosed(code(4401)));
    }
}

#[actix::test]
async fn after_4400_three_times_without_progress_the_client_stops_with_an_error() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    for _ in 1..3 {
        greeted(&server, false).await.0.close(code(4400)).await;
        events.reconnecting().await;
    }
    // An ack is progress: the count starts again.
    let (mut connection, _) = greeted(&server, true).await;
    let acked = addr.send(Text("x").needs_ack(HOUR));
    let run = heard(&mut connection).await["run"].clone();
    heard(&mut connection).await;
    say(&mut connection, &json!({ "type": "ack", "run": run, "seq": 1 })).await;
    assert_eq!(sent(acked).await.expect("acked"), Receipt::Acked);
    connection.close(code(4400)).await;
    events.reconnecting().await;
    for last in [false, false, true] {
        let (connection, hello) = hello(&server).await;
        assert_eq!(hello["runs"][0]["lo"], 2);
        connection.close(code(4400)).await;
        if !last {
            events.reconnecting().await;
        }
    }
    let gave_up = |event: &Event| match event {
        Event::Error(Error::GaveUp { attempts: 3, cause }) => Some(cause.clone()),
        Event::Reconnecting(_) => panic!("it goes on"),
        _ => None,
    };
    assert!(events.until("the end of it", gave_up).await.contains("4400"));
}

#[actix::test]
async fn an_ack_that_comes_together_with_4400_is_progress() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    for n in 0..8 {
        addr.do_send(Text(n.to_string()));
    }
    for n in 1..=6_u64 {
        let (mut connection, hello) = greeted(&server, n > 1).await;
        while heard(&mut connection).await["seq"] != 8 {}
        // The third and the fifth come with an ack, after which the count starts again.
        let ack = json!({ "type": "ack", "run": hello["runs"][0]["run"], "seq": n });
        let ack = (n == 3 || n == 5).then(|| text_frame(&ack));
        connection.send_together(ack.into_iter().chain([Outgoing::Close(code(4400))])).await;
        while !matches!(connection.next().await, Signal::Close(_)) {}
        let told = |event: &Event| match event {
            Event::Reconnecting(_) => Some(false),
            Event::Error(Error::GaveUp { .. }) => Some(true),
            _ => None,
        };
        assert!(!events.until("what comes of it", told).await, "gave up after {n}, though an ack came in between");
    }
}

#[actix::test]
async fn each_connected_has_its_disconnected_though_the_outbox_is_still_at_work() {
    let server = RawServer::start().await;
    let barrier = Barrier::default();
    let pass = barrier.pass();
    let outbox = Watched::new(move |op| {
        if op == Op::Save {
            pass();
        }
        Ok(())
    });
    let (_addr, mut events) = recorded(reliable(server.url()).outbox_in(outbox));
    let (mut connection, hello) = hello(&server).await;
    barrier.shut();
    welcome(&mut connection, &hello, false).await;
    events.connected().await;
    connection.close(code(1001)).await;
    let next = events.next().await;
    assert!(matches!(&next, Event::Disconnected(cause) if *cause == Cause::PeerClosed(code(1001))), "{next:?}");
}

#[actix::test]
async fn a_message_that_is_too_big_for_the_server_fails_and_is_not_sent_for_ever() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    let (mut connection, _) = greeted(&server, false).await;
    events.connected().await;
    // The server said what it takes: 1000 bytes.
    let refused = sent(addr.send(Text("x".repeat(1000)).needs_ack(HOUR))).await.expect_err("too big");
    assert!(matches!(refused.reason, SendFailure::TooBig { limit: 1000, .. }), "{refused}");

    // And here it did not say all.
    let long = addr.send(Text("y".repeat(500)).needs_ack(HOUR));
    addr.do_send(Text("short"));
    while heard(&mut connection).await["seq"] != 3 {}
    connection.close(code(1009)).await;
    let refused = sent(long).await.expect_err("too big");
    assert!(matches!(refused.reason, SendFailure::TooBig { .. }), "{refused}");
    let (mut connection, hello) = greeted(&server, true).await;
    assert_eq!(hello["runs"][0]["lo"], 1);
    assert_eq!(heard(&mut connection).await["type"], "run");
    assert_eq!(heard(&mut connection).await, json!({ "type": "skip", "seq": 1, "to": 2 }));
    assert_eq!(heard(&mut connection).await, json!({ "type": "text", "seq": 3, "content": "short" }));
}

#[actix::test]
async fn a_goaway_makes_the_client_connect_again_after_a_wait_in_its_range() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    // It goes by itself,
    let (mut connection, _) = greeted(&server, false).await;
    events.connected().await;
    say(&mut connection, &json!({ "type": "goaway", "retry_ms": [1, 20] })).await;
    connection.closed().await;
    let (mut connection, _) = greeted(&server, true).await;
    events.connected().await;

    // or when the server ends the connection, and then it waits for the rest of the time.
    say(&mut connection, &json!({ "type": "goaway", "retry_ms": [3_600_000, 7_200_000] })).await;
    addr.do_send(Text("still here"));
    assert_eq!(heard(&mut connection).await["type"], "run");
    assert_eq!(heard(&mut connection).await["content"], "still here", "meanwhile messages flow");
    connection.close(code(1001)).await;
    let next = events.reconnecting().await;
    assert!(next.wait > Duration::from_secs(3500) && next.wait <= Duration::from_secs(7200), "{next:?}");
    addr.do_send(Reconnect);
    greeted(&server, true).await;
}

#[actix::test]
async fn a_client_that_waits_for_acks_before_its_end_rests_though_a_goaway_is_due() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    let (mut connection, _) = greeted(&server, false).await;
    events.connected().await;
    addr.do_send(Text("not acked"));
    while heard(&mut connection).await["seq"] != 1 {}
    say(&mut connection, &json!({ "type": "goaway", "retry_ms": [1, 2] })).await;
    let _closed = addr.send(Close::within(HOUR));
    connection.ping().await;
    // A clock that is paused goes on only while nobody has anything to do.
    tokio::time::pause();
    let (busy, is_busy) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(5));
        // The test is over, if all is well.
        let _ = busy.send(());
    });
    let rests = pin!(tokio::time::sleep(Duration::from_secs(1)));
    assert!(matches!(select(rests, is_busy).await, Either::Left(_)), "the client does not come to rest");
}

#[actix::test]
async fn a_server_that_breaks_the_protocol_is_closed_with_4400() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(reliable(server.url()));
    for (bad, is_greeted) in [
        (json!({ "type": "text", "content": "before the welcome" }), false),
        (json!({ "type": "welcome" }), false),
        (json!({ "type": "welcome", "resumed": true }), true),
        (json!({ "type": "ack", "seq": 1 }), true),
        (json!({ "type": "text", "seq": 1, "content": "before its run" }), true),
    ] {
        let (mut connection, _) = if is_greeted { greeted(&server, true).await } else { hello(&server).await };
        say(&mut connection, &bad).await;
        let closed = loop {
            if let Signal::Close(reason) = connection.next().await {
                break reason.expect("has a code");
            }
        };
        assert_eq!(closed.code, CloseCode::BAD_FRAME, "{bad}");
        drop(connection);
        let told = |event: &Event| match event {
            Event::Reconnecting(_) | Event::Error(Error::GaveUp { .. }) => Some(matches!(event, Event::Error(_))),
            _ => None,
        };
        if events.until("what comes of it", told).await {
            _addr.do_send(Reconnect);
        }
    }
}

#[actix::test]
async fn a_welcome_that_never_comes_ends_the_attempt() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(reliable(server.url()).connect_timeout(Duration::from_millis(100)));
    let (connection, _) = hello(&server).await;
    connection.closed().await;
    let cause = events.reconnecting().await.cause;
    assert!(matches!(&cause, Cause::WeClosed(reason) if reason.code == CloseCode::HELLO_TIMEOUT), "{cause:?}");
}

#[actix::test]
async fn a_client_that_requires_reliable_delivery_does_not_fall_back() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(reliable(server.url()));
    let _connection = server.request().await.upgrade(None).await;
    let cause = events.reconnecting().await.cause.to_string();
    assert!(cause.contains("did not choose hookup.v2"), "{cause}");
}

#[actix::test]
async fn a_session_that_the_server_has_lost_is_said_so_and_nothing_of_the_clients_is_lost() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(reliable(server.url()));
    let (connection, _) = greeted(&server, false).await;
    addr.do_send(Text("one"));
    drop(connection);
    let (mut connection, _) = greeted(&server, false).await;
    let lost = |event: &Event| matches!(event, Event::SessionLost).then_some(());
    events.until("the loss", lost).await;
    assert_eq!(heard(&mut connection).await["type"], "run");
    assert_eq!(heard(&mut connection).await["content"], "one");
    soon("nothing", async {}).await;
}
