//! Strangers who want to harm: what becomes of them, and what their attacks cost a server in memory.
//!
//! The bounds are generous; without the limit that a test is about, they would be exceeded many times over.

#![cfg(target_os = "linux")]

#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/target.rs"]
mod target;
#[path = "support/v2.rs"]
mod v2;

use std::time::Duration;

use raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, UPGRADE, frame, header, request};
use serde_json::json;
use target::{MIB, Target, all};
use tokio::time::{sleep, timeout};
use v2::{SESSION, greeted, hello};

/// A mask of zeros.
const MASK: [u8; 4] = [0; 4];

/// The status of the answer, if there is one, and then the end.
async fn refused(raw: &mut Raw) -> Option<u16> {
    let bytes = raw.rest().await;
    let line = String::from_utf8_lossy(&bytes);
    line.split(' ').nth(1).and_then(|status| status.parse().ok())
}

#[actix::test]
async fn who_sends_a_request_byte_by_byte_or_not_at_all_is_closed() {
    // So little that actix-http would never close who sends nothing; it is given more.
    let target = Target::start(json!({ "handshake_timeout": "300ms" }));
    target
        .withstands_all(200, 8 * MIB, async |number| {
            let mut raw = Raw::connect(target.addr).await;
            if number % 2 == 0 {
                raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
                // Until it is closed, which a client learns from its writes last of all.
                while timeout(Duration::from_millis(20), raw.readable()).await.is_err() {
                    raw.try_write(b"x").await;
                }
            }
            assert_eq!(refused(&mut raw).await, Some(408));
        })
        .await;
}

#[actix::test]
async fn a_request_without_end_is_refused() {
    let target = Target::start(json!({}));
    target
        .withstands_all(20, 24 * MIB, async |_| {
            let mut raw = Raw::connect(target.addr).await;
            raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ").await;
            let part = vec![b'x'; 1 << 16];
            // 32 MiB, in all 640 MiB.
            for _ in 0..512 {
                if !raw.try_write(&part).await {
                    break;
                }
            }
            // The answer is lost to who writes on when the connection has been closed.
            assert!(matches!(refused(&mut raw).await, None | Some(431)));
        })
        .await;
}

#[actix::test]
async fn a_request_with_thousands_of_headers_is_refused() {
    let target = Target::start(json!({}));
    target
        .withstands_all(20, 24 * MIB, async |_| {
            let mut raw = Raw::connect(target.addr).await;
            let many = (0..5000).map(|number| (format!("X-{number}"), "x")).collect::<Vec<_>>();
            let many = many.iter().map(|(name, value)| (name.as_str(), *value));
            let headers = UPGRADE.into_iter().chain(many).collect::<Vec<_>>();
            raw.write(request("GET", "/", &headers)).await;
            assert_eq!(refused(&mut raw).await, Some(431));
        })
        .await;
}

#[actix::test]
async fn a_header_that_claims_a_gibibyte_or_far_more_is_closed_with_1009_and_costs_nothing() {
    let target = Target::start(json!({}));
    target
        .withstands_all(100, 16 * MIB, async |number| {
            let mut raw = Raw::open(target.addr, "simpleJson").await;
            let claimed = if number % 2 == 0 { 1 << 30 } else { 1 << 62 };
            raw.write([header(BINARY, claimed, true), MASK.into()].concat()).await;
            assert_eq!(raw.closed().await, Some(1009));
        })
        .await;
}

#[actix::test]
async fn a_message_in_fragments_is_closed_with_1009_when_it_is_too_long() {
    let target = Target::start(json!({ "max_message_bytes": "64KiB" }));
    target
        .withstands_all(50, 24 * MIB, async |_| {
            let mut raw = Raw::open(target.addr, "simpleJson").await;
            raw.write(frame(TEXT & 0x7f, [b'x'; 4096])).await;
            // 4 MiB, in all 200 MiB.
            raw.write(frame(0, [b'x'; 4096]).repeat(1023)).await;
            assert_eq!(raw.closed().await, Some(1009));
        })
        .await;
}

#[actix::test]
async fn a_message_of_empty_fragments_without_end_is_closed_with_1009() {
    let target = Target::start(json!({ "max_fragments": 1000 }));
    target
        .withstands_all(20, 16 * MIB, async |_| {
            let mut raw = Raw::open(target.addr, "simpleJson").await;
            raw.write(frame(TEXT & 0x7f, "")).await;
            raw.write(frame(0, "").repeat(10_000)).await;
            assert_eq!(raw.closed().await, Some(1009));
        })
        .await;
}

#[actix::test]
async fn a_long_message_that_comes_byte_by_byte_costs_no_more_than_its_length_and_is_taken_in_the_end() {
    let target = Target::start(json!({ "max_message_bytes": "64KiB" }));
    target
        .withstands_all(100, 24 * MIB, async |number| {
            const LEN: usize = 1 << 16;
            let mut raw = Raw::open(target.addr, "simpleJson").await;
            raw.write([header(TEXT, LEN as u64, true), MASK.into()].concat()).await;
            for _ in 0..50 {
                raw.write("x").await;
                // How slow it is.
                sleep(Duration::from_millis(10)).await;
            }
            if number == 0 {
                raw.write(vec![b'x'; LEN - 50]).await;
                assert_eq!(raw.next().await.expect("a frame, not the end").1.len(), LEN);
            }
            raw
        })
        .await;
}

#[actix::test]
async fn pings_without_end_cost_nothing() {
    let target = Target::start(json!({}));
    target
        .withstands(16 * MIB, async || {
            let (mut raw, _) = greeted(target.addr, &hello(SESSION, 1)).await;
            // 13 MB, each ping as long as it may be.
            for round in 0..100_u8 {
                raw.write(frame(PING, [0; 125]).repeat(1000)).await;
                raw.write(frame(PING, [round])).await;
                // Not each needs an answer, but the last does.
                while raw.next().await.expect("a pong, not the end") != (PONG, vec![round]) {}
            }
            raw
        })
        .await;
}

#[actix::test]
async fn who_sends_pings_without_end_and_reads_no_pongs_is_cut() {
    // Who is not read any more, as it cannot be answered, has two heartbeats to change that.
    let target = Target::start(json!({ "heartbeat": "300ms" }));
    target
        .withstands_all(4, 24 * MIB, async |_| {
            let mut raw = Raw::connect_narrow(target.addr).await;
            let response = raw.handshake("/", &[]).await;
            assert_eq!(response.status, 101);
            // Of pings that come together only the last is answered; these come one by one.
            let ping = frame(PING, [0; 125]);
            while raw.try_write(&ping).await {}
            raw.cut().await;
        })
        .await;
}

#[actix::test]
async fn messages_without_end_behind_a_slow_handler_are_not_read() {
    let target = Target::start(json!({ "inbox": { "messages": 64, "bytes": "64KiB" } }));
    target
        .withstands_all(20, 40 * MIB, async |_| {
            let mut raw = Raw::open(target.addr, "simpleJson").await;
            raw.text("wait for ever").await;
            let flood = frame(TEXT, [b'x'; 8192]).repeat(4096);
            // 32 MiB, in all 640 MiB. It is not taken in any time; this is how long the attack lasts.
            let written = timeout(Duration::from_millis(500), raw.try_write(&flood)).await;
            assert!(written.is_err(), "it was taken, or the connection has ended");
            raw
        })
        .await;
}

#[actix::test]
async fn connections_above_the_bound_are_answered_with_503() {
    // One more is the bystander's.
    let target = Target::start(json!({ "max_connections": 21 }));
    target
        .withstands(16 * MIB, async || {
            let kept = all(20, async |_| placed(&target).await).await;
            all(200, async |_| {
                let mut raw = Raw::connect(target.addr).await;
                assert_eq!(raw.handshake("/", &[]).await.status, 503);
            })
            .await;
            kept
        })
        .await;
}

/// A connection that is let in; places of those that have gone are given back only when the server has seen it.
async fn placed(target: &Target) -> Raw {
    loop {
        let mut raw = Raw::connect(target.addr).await;
        match raw.handshake("/", &[]).await.status {
            101 => return raw,
            status => assert_eq!(status, 503),
        }
    }
}

#[actix::test]
async fn sessions_above_the_bound_are_closed_with_1001() {
    let target = Target::start(json!({ "max_sessions": 20 }));
    target
        .withstands(16 * MIB, async || {
            let greetings = all(100, async |_| greet(&target).await).await;
            let kept = greetings.into_iter().flatten().collect::<Vec<_>>();
            assert!(kept.len() < 20, "{} have a session", kept.len());
            kept
        })
        .await;
}

/// A connection with a session of a random id, if there is a place for it.
async fn greet(target: &Target) -> Option<Raw> {
    let mut raw = Raw::open(target.addr, "hookup.v2").await;
    raw.text(&hello(&format!("{:032x}", fastrand::u128(..)), 1)).await;
    match raw.next().await.expect("an answer, not the end") {
        (TEXT, _) => Some(raw),
        (CLOSE, payload) => {
            assert_eq!(payload[..2], 1001_u16.to_be_bytes());
            None
        }
        other => panic!("neither a welcome nor a close: {other:?}"),
    }
}

#[actix::test]
async fn sessions_that_are_begun_and_left_make_room_for_each_other() {
    let target = Target::start(json!({ "max_sessions": 50 }));
    target
        .withstands(24 * MIB, async || {
            for _ in 0..20 {
                let begun = all(50, async |_| greet(&target).await).await;
                assert!(begun.iter().any(Option::is_some), "some have got a session");
                begun.into_iter().flatten().for_each(Raw::reset);
            }
        })
        .await;
}

#[actix::test]
async fn who_says_no_hello_is_closed_with_4408() {
    let target = Target::start(json!({ "hello_timeout": "300ms" }));
    target
        .withstands_all(100, 16 * MIB, async |_| {
            let mut raw = Raw::open(target.addr, "hookup.v2").await;
            assert_eq!(raw.closed().await, Some(4408));
        })
        .await;
}
