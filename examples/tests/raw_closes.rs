//! A server and a peer that writes and reads the bytes itself: how connections end, and all that a peer may do wrong, while
//! another one beside it goes on.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use std::time::Duration;

use hookup_server::{Cause, Error, Event, Peer, Text};
use raw::{BINARY, CLOSE, PING, Raw, TEXT, close_payload, frame, header};
use sessions::{open, works};
use support::{HOUR, Server, recording, recording_with, soon};

#[actix::test]
async fn a_close_is_answered_with_its_code_and_then_the_socket_is_closed() {
    let (server, mut events) = recording();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    for (payload, code, reason) in [
        (close_payload(1000, b""), Some(1000), "1000"),
        (close_payload(4711, "fertig für heute".as_bytes()), Some(4711), "4711 (fertig für heute)"),
        (Vec::new(), None, "1005"),
    ] {
        let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
        raw.write(frame(CLOSE, payload)).await;
        assert_eq!(raw.closed().await, code);
        let cause = events.ended().await;
        assert!(matches!(&cause, Cause::PeerClosed(found) if found.to_string() == reason), "{cause}");
        works(&mut beside, &mut events).await;
    }
}

#[actix::test]
async fn what_came_before_a_close_is_handled() {
    let (server, mut events) = recording();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.write([frame(TEXT, "last words"), frame(CLOSE, "")].concat()).await;
    assert_eq!(events.text().await, "last words");
    assert!(matches!(events.ended().await, Cause::PeerClosed(_)));
}

#[actix::test]
async fn the_server_closes_the_socket_though_the_peer_does_not() {
    let (server, _events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.next().await, Some((CLOSE, close_payload(1000, b""))));
    assert_eq!(raw.next().await, None);
}

#[actix::test]
async fn a_stream_that_ends_without_a_close_ends_its_session_alone() {
    let (server, mut events) = recording();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.finish().await;
    assert_eq!(events.ended().await, Cause::EndOfStream);
    assert_eq!(raw.next().await, None);
    works(&mut beside, &mut events).await;
}

#[actix::test]
async fn a_reset_ends_its_session_alone() {
    let (server, mut events) = recording();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    let (raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    raw.reset();
    let cause = events.ended().await;
    assert!(matches!(cause, Cause::Failed(_) | Cause::EndOfStream), "{cause}");
    assert!(soon("its end", peer.send(Text("too late"))).await.is_err());
    works(&mut beside, &mut events).await;
}

#[actix::test]
async fn half_a_handshake_leaves_no_trace() {
    let (server, mut events) = recording();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    let request = raw::request("GET", "/", &raw::UPGRADE);
    for end in [Raw::reset, drop] {
        let mut raw = Raw::connect(server.addr).await;
        raw.write(&request[..request.len() / 2]).await;
        end(raw);
        works(&mut beside, &mut events).await;
    }
    assert_eq!(server.hookup.peers().await.len(), 1);
}

/// Each of these, sent over a connection of its own, closes it with this code, is told, and harms no other connection.
async fn each_closes_with(code: u16, violations: &[(&str, Vec<u8>)]) {
    let (server, mut events) = recording_with(|builder| builder.max_message_bytes(1000));
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    for (what, bytes) in violations {
        let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
        raw.write([frame(TEXT, "before").as_slice(), bytes].concat()).await;
        assert_eq!(raw.closed().await, Some(code), "{what}");
        assert_eq!(events.text().await, "before");
        let event = events.next().await;
        assert!(matches!(&event, Event::Error(Error::Protocol(reason)) if reason.code.0 == code), "{what}: {event:?}");
        let cause = events.ended().await;
        assert!(matches!(&cause, Cause::WeClosed(reason) if reason.code.0 == code), "{what}: {cause}");
        works(&mut beside, &mut events).await;
    }
}

#[actix::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    each_closes_with(
        1007,
        &[
            ("a byte that UTF-8 does not know", frame(TEXT, [b'o', b'k', 0xff])),
            ("a surrogate", frame(TEXT, [0xed, 0xa0, 0x80])),
            ("a character without its end", [frame(0x01, "ok"), frame(0x80, [0xc3])].concat()),
            ("a close with such a reason", frame(CLOSE, close_payload(1000, &[0xff]))),
        ],
    )
    .await;
}

#[actix::test]
async fn frames_that_the_protocol_forbids_close_with_1002() {
    let unmasked = [header(TEXT, 2, false), b"hi".to_vec()].concat();
    each_closes_with(
        1002,
        &[
            ("a reserved bit", frame(0xc1, "hi")),
            ("an opcode that is not defined", frame(0x83, "hi")),
            ("a control opcode that is not defined", frame(0x8b, "hi")),
            ("a frame without a mask", unmasked),
            ("a continuation of nothing", frame(0x80, "hi")),
            ("a message within a message", [frame(0x01, "hi"), frame(TEXT, "hi")].concat()),
            ("a beginning within a message", [frame(0x01, "hi"), frame(0x02, "hi")].concat()),
            ("a ping in fragments", frame(0x09, "hi")),
            ("a length that there cannot be", header(BINARY, u64::MAX, true)),
            ("a length in more bytes than it needs", vec![BINARY, 0xfe, 0, 125]),
            ("a close with half a code", frame(CLOSE, [3])),
            ("a close with a code that must not be sent", frame(CLOSE, close_payload(1005, b""))),
            ("a close with a code below all", frame(CLOSE, close_payload(999, b""))),
        ],
    )
    .await;
}

#[actix::test]
async fn a_control_frame_that_is_too_long_closes_with_1002() {
    each_closes_with(1002, &[("a ping", frame(PING, "x".repeat(126))), ("a close", frame(CLOSE, [4; 126]))]).await;
}

#[actix::test]
async fn a_control_frame_that_is_too_long_closes_with_1002_at_its_header() {
    each_closes_with(
        1002,
        &[("a ping of 126", header(PING, 126, true)), ("a ping of 1 GiB", header(PING, 1 << 30, true))],
    )
    .await;
}

#[actix::test]
async fn a_message_in_too_many_fragments_closes_with_1009() {
    let (server, mut events) = recording_with(|builder| builder.max_fragments(3));
    let (mut raw, _) = open(&server, &mut events, "simpleJson").await;
    raw.write([frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c")].concat()).await;
    assert_eq!(events.text().await, "abc");
    raw.write([frame(0x01, "a"), frame(0x00, "b"), frame(0x00, "c"), frame(0x80, "d")].concat()).await;
    assert_eq!(raw.closed().await, Some(1009));
}

#[actix::test]
async fn what_came_before_a_violation_is_answered_before_the_close() {
    let server = Server::with(|| {
        async |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(text);
            }
        }
    });
    let mut raw = Raw::open(server.addr, "simpleJson").await;
    raw.write([frame(TEXT, "one"), frame(TEXT, "two"), frame(0xc1, "bad"), frame(TEXT, "three")].concat()).await;
    assert_eq!(raw.next_text().await, "one");
    assert_eq!(raw.next_text().await, "two");
    assert_eq!(raw.closed().await, Some(1002));
}

#[actix::test]
async fn a_message_that_is_too_big_closes_with_1009_at_its_header() {
    each_closes_with(
        1009,
        &[
            ("a byte too much", header(TEXT, 1001, true)),
            ("1 GiB", header(BINARY, 1 << 30, true)),
            ("as much as there can be", header(BINARY, u64::MAX >> 1, true)),
            ("fragments in sum", [frame(0x01, "x".repeat(600)), header(0x80, 401, true)].concat()),
        ],
    )
    .await;
}

#[actix::test]
async fn a_violation_does_not_wait_for_a_slow_handler_for_ever() {
    let (addr, mut events) = clock::server(|builder| builder.heartbeat(100 * HOUR).rate_limit(1, 100 * HOUR));
    let mut raw = Raw::open(addr, "simpleJson").await;
    // With one write, so that all of it is read when the first is handled: the second of two would wait for TCP.
    raw.write([frame(TEXT, "handled"), frame(TEXT, "waits"), frame(0xc1, "a reserved bit")].concat()).await;
    assert_eq!(events.text().await, "handled");
    clock::server_passes(addr, Duration::from_secs(10)).await;
    assert_eq!(raw.closed().await, Some(1002));
}

#[actix::test]
async fn after_its_close_a_server_answers_nothing_but_the_close() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    peer.close(hookup_server::CloseCode::NORMAL.into());
    assert_eq!(raw.next().await.expect("a close").0, CLOSE);
    raw.write([frame(PING, "still there?"), frame(CLOSE, close_payload(1000, b""))].concat()).await;
    assert_eq!(raw.next().await, None);
}
