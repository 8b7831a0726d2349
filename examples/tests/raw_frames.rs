//! A server and a peer that writes and reads the bytes itself: the frames as they stand in the protocol, and all that a
//! peer may do wrong, while another one beside it goes on.

#[path = "support/raw.rs"]
mod raw;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hookup_client::Close;
use hookup_server::{
    Binary, Cause, Error, Event, HookupServer, Json, Message, Peer, Receipt, SendError, SendFailure, ServerBuilder,
    Text,
};
use raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, close_payload, frame, header};
use support::{Events, Server, recorder, soon};
use tokio::sync::{mpsc, oneshot};

/// Long enough never to pass.
const LONG: Duration = Duration::from_secs(600);
/// Short enough to pass at once.
const SHORT: Duration = Duration::from_millis(1);

fn server_with(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::start(set(HookupServer::new(move || handler.clone()))), events)
}

fn server() -> (Server, Events) {
    server_with(|builder| builder)
}

/// A connection, and its peer as the server knows it.
async fn open(server: &Server, events: &mut Events, subprotocol: &str) -> (Raw, Peer) {
    let raw = Raw::open(server.addr, subprotocol).await;
    (raw, events.connected().await.peer)
}

/// A message goes in, is handled, and is acked: the connection works, and nothing came over it or was told before.
async fn works(raw: &mut Raw, events: &mut Events) {
    raw.text(r#"{"type":"ack_request","id":77,"content":"still there"}"#).await;
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":77}"#);
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "still there"), "{event:?}");
}

/// A message that was not acked, and why.
async fn ack_failed(events: &mut Events) -> SendError {
    match events.next().await {
        Event::AckFailed(error) => error,
        other => panic!("not a failed ack: {other:?}"),
    }
}

fn text_of(error: &SendError) -> &str {
    match error.message.message() {
        Message::Text(text) => text.as_str(),
        other => panic!("not a text: {other:?}"),
    }
}

// Frames as they stand in the protocol.

#[actix::test]
async fn every_form_of_a_message_is_understood() {
    let (server, mut events) = server();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;

    for (frame, text) in [
        (r#"{"type":"text","content":"this is a text message"}"#, "this is a text message"),
        (r#" {"content":"a line\nand \u00e4","type":"TEXT"}"#, "a line\nand ä"),
        ("not an envelope", "not an envelope"),
        (r#"{"type":"text","#, r#"{"type":"text","#),
        ("", ""),
    ] {
        raw.text(frame).await;
        let event = events.next().await;
        assert!(matches!(&event, Event::Text(found) if &**found == text), "{frame}: {event:?}");
    }
    for (frame, json) in [
        (r#"{"type":"json","content":{"data":"a json message"}}"#, r#"{"data":"a json message"}"#),
        (r#"{"type":"json","content":["data","a json message"]}"#, r#"["data","a json message"]"#),
        (r#"["bare"]"#, r#"["bare"]"#),
        (r#"{"type":"other","id":1}"#, r#"{"type":"other","id":1}"#),
        (r#"{"type":"json","content":null}"#, "null"),
    ] {
        raw.text(frame).await;
        let event = events.next().await;
        assert!(matches!(&event, Event::Json(found) if found.as_str() == json), "{frame}: {event:?}");
    }
    raw.write(frame(BINARY, [0, 255])).await;
    assert!(matches!(events.next().await, Event::Binary(bytes) if *bytes == [0, 255]));
    raw.nothing_came().await;
}

#[actix::test]
async fn every_form_of_an_ack_request_is_acked_byte_for_byte() {
    let (server, mut events) = server();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    for (frame, ack) in [
        (r#"{"type":"ack_request","id":3,"content":{"type":"text","content":"hi"}}"#, r#"{"type":"ack","id":3}"#),
        (r#"{"type":"ack_request","id":3,"content":"hi"}"#, r#"{"type":"ack","id":3}"#),
        (r#"{"type":"Ack_Request","id":1,"message":{"type":"text","content":"hi"}}"#, r#"{"type":"ack","id":1}"#),
        (
            r#"{"content":{"type":"text","content":"hi"},"id":9007199254740991,"type":"ack_request"}"#,
            r#"{"type":"ack","id":9007199254740991}"#,
        ),
    ] {
        raw.text(frame).await;
        assert_eq!(raw.next().await, Some((TEXT, ack.into())), "{frame}");
        assert_eq!(events.text().await, "hi");
    }
    raw.text(r#"{"type":"ack_request","id":4,"content":{"data":1}}"#).await;
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":4}"#);
    assert!(matches!(events.next().await, Event::Json(json) if json.as_str() == r#"{"data":1}"#));
}

#[actix::test]
async fn what_the_server_sends_is_what_the_protocol_says() {
    let (server, mut events) = server();
    for _ in 0..2 {
        // Ids are per connection.
        let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
        peer.do_send(Text("a \"text\""));
        peer.do_send(Json(&["data"]).expect("json"));
        peer.do_send(Binary(vec![0, 255]));
        peer.do_send(Text("this is a text message").needs_ack(LONG));
        peer.do_send(Json(&[1]).expect("json").needs_ack(LONG));
        assert_eq!(raw.next_text().await, r#"{"type":"text","content":"a \"text\""}"#);
        assert_eq!(raw.next_text().await, r#"{"type":"json","content":["data"]}"#);
        assert_eq!(raw.next().await, Some((BINARY, vec![0, 255])));
        assert_eq!(
            raw.next_text().await,
            r#"{"type":"ack_request","id":1,"content":{"type":"text","content":"this is a text message"}}"#
        );
        assert_eq!(raw.next_text().await, r#"{"type":"ack_request","id":2,"content":{"type":"json","content":[1]}}"#);
    }

    let (mut raw, peer) = open(&server, &mut events, "simpleJson").await;
    peer.do_send(Text("a \"text\""));
    peer.do_send(Json(&["data"]).expect("json"));
    peer.do_send(Binary(vec![0, 255]));
    assert_eq!(raw.next_text().await, "a \"text\"");
    assert_eq!(raw.next_text().await, r#"["data"]"#);
    assert_eq!(raw.next().await, Some((BINARY, vec![0, 255])));
}

#[actix::test]
async fn the_ack_waits_for_the_handler() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (release, held) = oneshot::channel::<()>();
    let held = Arc::new(Mutex::new(Some(held)));
    let server = Server::with(move || {
        let (begun, held) = (begun.clone(), held.clone());
        move |event: Event, _: Peer| {
            let held = matches!(event, Event::Text(_)).then(|| held.lock().expect("not poisoned").take()).flatten();
            let begun = begun.clone();
            async move {
                if let Some(held) = held {
                    begun.send(()).expect("the test goes on");
                    held.await.expect("is released");
                }
            }
        }
    });
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    raw.text(r#"{"type":"ack_request","id":1,"content":"held"}"#).await;
    raw.text(r#"{"type":"ack_request","id":2,"content":"behind it"}"#).await;
    soon("the handler", has_begun.recv()).await.expect("begins");
    raw.nothing_came().await;
    release.send(()).expect("the handler waits");
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":1}"#);
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":2}"#);
}

#[actix::test]
async fn frames_that_come_together_are_handled_in_order_however_many() {
    let (server, mut events) = server_with(|builder| builder.inbox(3, 100));
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    let request = |id: usize| frame(TEXT, format!(r#"{{"type":"ack_request","id":{id},"content":"{id}"}}"#));
    raw.write((1..=500).flat_map(request).collect::<Vec<_>>()).await;
    for id in 1..=500 {
        assert_eq!(raw.next_text().await, format!(r#"{{"type":"ack","id":{id}}}"#));
        assert!(matches!(events.next().await, Event::Text(text) if *text == id.to_string()));
    }
}

#[actix::test]
async fn frames_that_come_with_the_handshake_are_not_lost() {
    let (server, mut events) = server();
    let mut raw = Raw::connect(server.addr).await;
    let mut bytes = raw::request("GET", "/", &raw::UPGRADE).into_bytes();
    bytes.extend(frame(TEXT, "early"));
    raw.write(bytes).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(events.text().await, "early");
}

// Pings, fragments and closes.

#[actix::test]
async fn a_ping_is_answered_with_its_payload() {
    let (server, _events) = server();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    for payload in ["", "payload", &"x".repeat(125)] {
        raw.write(frame(PING, payload)).await;
        assert_eq!(raw.next().await, Some((PONG, payload.into())));
    }
}

#[actix::test]
async fn a_message_in_fragments_is_joined_around_a_ping() {
    let (server, mut events) = server();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.write(frame(0x01, r#"{"type":"text","#)).await;
    raw.write(frame(0x00, "")).await;
    raw.nothing_came().await;
    raw.write(frame(0x80, r#""content":"in parts"}"#)).await;
    assert!(matches!(events.next().await, Event::Text(text) if &*text == "in parts"));
}

#[actix::test]
async fn a_close_is_answered_with_its_code_and_then_the_socket_is_closed() {
    let (server, mut events) = server();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    for (payload, code, reason) in [
        (close_payload(1000, b""), Some(1000), "1000"),
        (close_payload(4711, "fertig für heute".as_bytes()), Some(4711), "4711 (fertig für heute)"),
        (Vec::new(), None, "1005"),
    ] {
        let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
        raw.write(frame(CLOSE, payload)).await;
        assert_eq!(raw.closed().await, code);
        let cause = events.disconnected().await;
        assert!(matches!(&cause, Cause::PeerClosed(found) if found.to_string() == reason), "{cause}");
        works(&mut beside, &mut events).await;
    }
}

#[actix::test]
async fn what_came_before_a_close_is_handled() {
    let (server, mut events) = server();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.write([frame(TEXT, "last words"), frame(CLOSE, "")].concat()).await;
    assert_eq!(events.text().await, "last words");
    assert!(matches!(events.disconnected().await, Cause::PeerClosed(_)));
}

#[actix::test]
async fn the_server_closes_the_socket_though_the_peer_does_not() {
    let (server, _events) = server();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.next().await, Some((CLOSE, close_payload(1000, b""))));
    assert_eq!(raw.next().await, None);
}

#[actix::test]
async fn a_stream_that_ends_without_a_close_ends_its_session_alone() {
    let (server, mut events) = server();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.finish().await;
    assert_eq!(events.disconnected().await, Cause::EndOfStream);
    assert_eq!(raw.next().await, None);
    works(&mut beside, &mut events).await;
}

#[actix::test]
async fn a_reset_ends_its_session_alone() {
    let (server, mut events) = server();
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    let (raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    raw.reset();
    let cause = events.disconnected().await;
    assert!(matches!(cause, Cause::Failed(_) | Cause::EndOfStream), "{cause}");
    assert!(soon("its end", peer.send(Text("too late"))).await.is_err());
    works(&mut beside, &mut events).await;
}

#[actix::test]
async fn half_a_handshake_leaves_no_trace() {
    let (server, mut events) = server();
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

// Violations of the protocol.

/// Each of these, sent over a connection of its own, closes it with this code, is told, and harms no other connection.
async fn each_closes_with(code: u16, violations: &[(&str, Vec<u8>)]) {
    let (server, mut events) = server_with(|builder| builder.max_message_bytes(1000));
    let (mut beside, _) = open(&server, &mut events, "jsonProtocol").await;
    for (what, bytes) in violations {
        let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
        raw.write([frame(TEXT, "before").as_slice(), bytes].concat()).await;
        assert_eq!(raw.closed().await, Some(code), "{what}");
        assert_eq!(events.text().await, "before");
        let event = events.next().await;
        assert!(matches!(&event, Event::Error(Error::Protocol(reason)) if reason.code.0 == code), "{what}: {event:?}");
        let cause = events.disconnected().await;
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
            ("a close with half a code", frame(CLOSE, [3])),
            ("a close with a code that must not be sent", frame(CLOSE, close_payload(1005, b""))),
            ("a close with a code below all", frame(CLOSE, close_payload(999, b""))),
            ("a close with a reason that is not UTF-8", frame(CLOSE, close_payload(1000, &[0xff]))),
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
async fn a_message_that_is_too_big_closes_with_1009_at_its_header() {
    each_closes_with(
        1009,
        &[
            ("a byte too much", header(TEXT, 1001, true)),
            ("1 GiB", header(BINARY, 1 << 30, true)),
            ("more than there can be", header(BINARY, u64::MAX, true)),
            ("fragments in sum", [frame(0x01, "x".repeat(600)), header(0x80, 401, true)].concat()),
        ],
    )
    .await;
}

#[actix::test]
async fn a_message_that_is_as_big_as_may_be_arrives() {
    let (server, mut events) = server_with(|builder| builder.max_message_bytes(1000));
    let (mut raw, _) = open(&server, &mut events, "simpleJson").await;
    raw.text(&"x".repeat(1000)).await;
    assert_eq!(events.text().await.len(), 1000);
    raw.write([frame(0x01, "x".repeat(600)), frame(0x80, "x".repeat(400))].concat()).await;
    assert_eq!(events.text().await.len(), 1000);
}

#[actix::test]
async fn a_message_at_the_limit_arrives_or_is_refused_and_does_not_cost_the_connection() {
    let (server, _events) = server_with(|builder| builder.max_message_bytes(1000));
    let (on_client, mut events) = recorder();
    let client = server.client().max_message_bytes(1000).start(on_client).expect("starts");
    events.connected().await;
    for text in ["x".repeat(1000), "\n".repeat(1000)] {
        let sent = client.send(Text(text).needs_ack(Duration::from_secs(10)));
        match soon("the ack", sent).await.expect("lives") {
            Ok(_) | Err(SendError { reason: SendFailure::TooBig { .. }, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    soon("the close", client.send(Close::within(Duration::ZERO))).await.expect("lives");
    let event = events.next().await;
    assert!(matches!(&event, Event::Disconnected(Cause::WeClosed(_))), "{event:?}");
}

#[actix::test]
async fn the_limit_for_messages_does_not_count_for_pings_and_closes() {
    let (server, mut events) = server_with(|builder| builder.max_message_bytes(1));
    let (mut raw, _) = open(&server, &mut events, "simpleJson").await;
    raw.write(frame(PING, "more than one byte")).await;
    assert_eq!(raw.next().await, Some((PONG, b"more than one byte".to_vec())));
    raw.write(frame(CLOSE, close_payload(1000, b"bye"))).await;
    assert_eq!(raw.closed().await, Some(1000));
}

#[actix::test]
async fn an_envelope_that_lacks_something_is_told_with_its_frame_and_the_connection_goes_on() {
    let (server, mut events) = server();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    for malformed in [
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","id":0}"#,
        r#"{"type":"ack","id":"1"}"#,
        r#"{"type":"ack","id":9007199254740992}"#,
        r#"{"type":"ack_request","id":1}"#,
        r#"{"type":"ack_request","content":"hi"}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"text","content":1}"#,
        r#"{"type":"json"}"#,
    ] {
        raw.text(malformed).await;
        let event = events.next().await;
        let Event::Error(Error::Unparsed(error)) = event else { panic!("{malformed}: {event:?}") };
        assert_eq!(error.frame, hookup_server::core::ws::Frame::Text(malformed.into()));
        works(&mut raw, &mut events).await;
    }
}

// Acks of what the server sent.

#[actix::test]
async fn a_peer_that_never_acks_fails_the_message() {
    let (server, mut events) = server();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("in vain").needs_ack(SHORT));
    let error = ack_failed(&mut events).await;
    assert!(matches!(error.reason, SendFailure::TimedOut { within: SHORT }), "{error}");
    assert_eq!(text_of(&error), "in vain");

    let error = soon("the timeout", peer.send(Text("in vain, too").needs_ack(SHORT))).await.expect_err("no ack");
    assert!(matches!(error.reason, SendFailure::TimedOut { within: SHORT }), "{error}");
    assert_eq!(text_of(&error), "in vain, too");

    // Who waited was told; the handler was not.
    for _ in 0..2 {
        assert!(raw.next_text().await.contains("in vain"), "both were sent");
    }
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn an_ack_that_is_late_is_ignored() {
    let (server, mut events) = server();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("slow").needs_ack(SHORT));
    assert!(raw.next_text().await.contains(r#""id":1"#));
    assert_eq!(text_of(&ack_failed(&mut events).await), "slow");
    raw.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut raw, &mut events).await;

    // It does not stand for the next one either.
    let sent = actix::spawn(async move { peer.send(Text("next").needs_ack(LONG)).await });
    assert!(raw.next_text().await.contains(r#""id":2"#));
    raw.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut raw, &mut events).await;
    assert!(!sent.is_finished());
    raw.text(r#"{"type":"ack","id":2}"#).await;
    let receipt = soon("the ack", sent).await.expect("joins").expect("acked");
    assert_eq!(receipt, Receipt::Acked);
}

#[actix::test]
async fn an_ack_of_nothing_is_ignored_and_a_second_one_counts_once() {
    let (server, mut events) = server();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    for id in [1, 2, 1_u64 << 50] {
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    works(&mut raw, &mut events).await;

    peer.do_send(Text("one").needs_ack(LONG));
    let sent = actix::spawn(async move { peer.send(Text("two").needs_ack(LONG)).await });
    assert!(raw.next_text().await.contains(r#""id":1"#));
    assert!(raw.next_text().await.contains(r#""id":2"#));
    for id in [1, 1, 2, 2, 1] {
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    assert_eq!(soon("the ack", sent).await.expect("joins").expect("acked"), Receipt::Acked);
    works(&mut raw, &mut events).await;
    drop(raw);
    // Not lost: it was acked. The end is the next thing that the handler is told.
    assert!(matches!(events.next().await, Event::Disconnected(_)));
}

#[actix::test]
async fn a_time_that_makes_no_sense_is_no_harm() {
    let (server, mut events) = server();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    let error = soon("the timeout", peer.send(Text("none").needs_ack(Duration::ZERO))).await.expect_err("no ack");
    assert!(matches!(error.reason, SendFailure::TimedOut { within: Duration::ZERO }), "{error}");
    assert!(raw.next_text().await.contains("none"));

    let sent = actix::spawn(async move { peer.send(Text("for ever").needs_ack(Duration::MAX)).await });
    assert!(raw.next_text().await.contains("for ever"));
    raw.text(r#"{"type":"ack","id":2}"#).await;
    assert_eq!(soon("the ack", sent).await.expect("joins").expect("acked"), Receipt::Acked);
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn no_more_is_sent_unacked_than_the_window() {
    let (server, mut events) = server_with(|builder| builder.window(2, 1));
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    // In bytes one of these is more than the window: then it goes alone.
    for text in ["one", "two", "three"] {
        peer.do_send(Text(text).needs_ack(LONG));
    }
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert!(raw.next_text().await.contains(text));
        raw.nothing_came().await;
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn an_ack_on_another_connection_counts_for_nothing() {
    let (server, mut events) = server();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    let (mut other, _) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("mine").needs_ack(LONG));
    assert!(raw.next_text().await.contains(r#""id":1"#));
    other.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut other, &mut events).await;
    drop(raw);
    assert!(matches!(ack_failed(&mut events).await.reason, SendFailure::Lost));
}

#[actix::test]
async fn needs_ack_where_the_format_has_no_ack_is_refused_at_once_and_not_sent() {
    let (server, mut events) = server();
    let text = || Text("acked?").needs_ack(LONG);
    let binary = || Binary(vec![1]).needs_ack(LONG);
    for (subprotocol, message) in [("simpleJson", text()), ("simpleJson", binary()), ("jsonProtocol", binary())] {
        let (mut raw, peer) = open(&server, &mut events, subprotocol).await;
        let is_refusal = |error: &SendError| {
            let named = matches!(&error.reason, SendFailure::Unsupported { format } if format == subprotocol);
            named && error.message == message
        };
        let error = soon("a refusal", peer.send(message.clone())).await.expect_err("refused");
        assert!(is_refusal(&error), "{error}");
        peer.do_send(message.clone());
        let error = ack_failed(&mut events).await;
        assert!(is_refusal(&error), "{error}");
        raw.nothing_came().await;
        drop(raw);
        events.disconnected().await;
    }
}

#[actix::test]
async fn a_session_that_ends_tells_of_every_message_once() {
    let (server, mut events) = server_with(|builder| builder.window(2, 1000));
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    for text in ["sent 1", "sent 2", "queued 1", "queued 2"] {
        peer.do_send(Text(text).needs_ack(LONG));
    }
    peer.do_send(Text("queued 3"));
    let waiting = peer.clone();
    let waiting = actix::spawn(async move { waiting.send(Text("waiting").needs_ack(LONG)).await });
    assert!(raw.next_text().await.contains("sent 1"));
    assert!(raw.next_text().await.contains("sent 2"));
    // Whoever is answered was taken in after all the others.
    assert_eq!(soon("its acceptance", peer.send(Text("queued 4"))).await.expect("accepted"), Receipt::Accepted);
    raw.nothing_came().await;
    drop(raw);

    let mut told = Vec::new();
    loop {
        match events.next().await {
            Event::AckFailed(error) => told.push(format!("{} {}", text_of(&error), error.reason)),
            Event::Error(Error::NotSent(error)) => told.push(format!("{} {}, no ack", text_of(&error), error.reason)),
            Event::Disconnected(_) => break,
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    let expected = [
        "queued 1 the session is closed",
        "queued 2 the session is closed",
        "queued 3 the session is closed, no ack",
        "queued 4 the session is closed, no ack",
        "sent 1 the session ended before the ack came",
        "sent 2 the session ended before the ack came",
    ];
    assert_eq!(told, expected);
    let error = soon("its end", waiting).await.expect("joins").expect_err("not acked");
    assert_eq!((text_of(&error), error.reason.to_string().as_str()), ("waiting", "the session is closed"));
    assert!(matches!(peer.send(Text("too late")).await, Err(SendError { reason: SendFailure::Closed, .. })));
}

#[actix::test]
async fn a_peer_that_stops_reading_fills_its_own_outbox_and_nothing_else() {
    const LEN: usize = 64 * 1024;
    let (server, mut events) = server_with(|builder| builder.outbox_bounds(100_000, 4 * LEN as u64));
    let (mut stalled, peer) = open(&server, &mut events, "jsonProtocol").await;
    let mut accepted = 0;
    let error = loop {
        let mut text = format!("{accepted} ");
        text.extend(std::iter::repeat_n('x', LEN - text.len()));
        match soon("an answer", peer.send(Text(text))).await {
            Ok(receipt) => assert_eq!(receipt, Receipt::Accepted),
            Err(error) => break error,
        }
        accepted += 1;
        assert!(accepted < 4096, "256 MiB, and the outbox is not full");
    };
    assert!(matches!(error.reason, SendFailure::Full { messages: 4, bytes: 262_144 }), "{error}");
    assert!(text_of(&error).starts_with(&format!("{accepted} ")));

    // Whom nobody waits for is told as an event.
    peer.do_send(Text("x".repeat(LEN)));
    let event = events.next().await;
    assert!(matches!(&event, Event::Error(Error::NotSent(error)) if text_of(error).len() == LEN));
    for _ in 0..4 {
        let (mut beside, peer) = open(&server, &mut events, "jsonProtocol").await;
        works(&mut beside, &mut events).await;
        peer.do_send(Text("hi"));
        assert!(beside.next_text().await.contains("hi"));
        drop(beside);
        events.disconnected().await;
    }

    // When it reads again, all that was accepted is there, in order, and there is room again.
    for n in 0..accepted {
        assert!(stalled.next_text().await.starts_with(&format!(r#"{{"type":"text","content":"{n} "#)));
    }
    works(&mut stalled, &mut events).await;
    assert_eq!(soon("room", peer.send(Text("room again"))).await.expect("accepted"), Receipt::Accepted);
    assert!(stalled.next_text().await.contains("room again"));
}
