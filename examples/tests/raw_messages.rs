//! A server and a peer that writes and reads the bytes itself: messages, ack requests and pings as they stand in the protocol.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hookup_client::Close;
use hookup_server::{Binary, Cause, Error, Event, Json, Peer, SendError, SendFailure, Text};
use raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, close_payload, frame};
use sessions::{open, works};
use support::{HOUR, Server, recorder, recording, recording_with, soon};
use tokio::sync::{mpsc, oneshot};

#[actix::test]
async fn every_form_of_a_message_is_understood() {
    let (server, mut events) = recording();
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
    let (server, mut events) = recording();
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
    let (server, mut events) = recording();
    for _ in 0..2 {
        // Ids are per connection.
        let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
        peer.do_send(Text("a \"text\""));
        peer.do_send(Json(&["data"]).expect("json"));
        peer.do_send(Binary(vec![0, 255]));
        peer.do_send(Text("this is a text message").needs_ack(HOUR));
        peer.do_send(Json(&[1]).expect("json").needs_ack(HOUR));
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
    let (server, mut events) = recording_with(|builder| builder.inbox(3, 100));
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
    let (server, mut events) = recording();
    let mut raw = Raw::connect(server.addr).await;
    let mut bytes = raw::request("GET", "/", &raw::UPGRADE).into_bytes();
    bytes.extend(frame(TEXT, "early"));
    raw.write(bytes).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(events.text().await, "early");
}

#[actix::test]
async fn a_ping_is_answered_with_its_payload() {
    let (server, _events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    for payload in ["", "payload", &"x".repeat(125)] {
        raw.write(frame(PING, payload)).await;
        assert_eq!(raw.next().await, Some((PONG, payload.into())));
    }
}

#[actix::test]
async fn each_of_several_pings_is_answered_up_to_a_number() {
    let (server, _events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    let pings = |numbers: std::ops::Range<u32>| numbers.flat_map(|n| frame(PING, n.to_string())).collect::<Vec<_>>();
    raw.write(pings(0..40)).await;
    for number in 0..40 {
        assert_eq!(raw.next().await, Some((PONG, number.to_string().into_bytes())));
    }
    // Of a flood the last one is answered, whatever else is.
    raw.write(pings(0..10_000)).await;
    while raw.next().await != Some((PONG, b"9999".to_vec())) {}
}

#[actix::test]
async fn a_message_in_fragments_is_joined_around_a_ping() {
    let (server, mut events) = recording();
    let (mut raw, _) = open(&server, &mut events, "jsonProtocol").await;
    raw.write(frame(0x01, r#"{"type":"text","#)).await;
    raw.write(frame(0x00, "")).await;
    raw.nothing_came().await;
    raw.write(frame(0x80, r#""content":"in parts"}"#)).await;
    assert!(matches!(events.next().await, Event::Text(text) if &*text == "in parts"));
}

#[actix::test]
async fn a_message_that_is_as_big_as_may_be_arrives() {
    let (server, mut events) = recording_with(|builder| builder.max_message_bytes(1000));
    let (mut raw, _) = open(&server, &mut events, "simpleJson").await;
    raw.text(&"x".repeat(1000)).await;
    assert_eq!(events.text().await.len(), 1000);
    raw.write([frame(0x01, "x".repeat(600)), frame(0x80, "x".repeat(400))].concat()).await;
    assert_eq!(events.text().await.len(), 1000);
}

#[actix::test]
async fn a_message_at_the_limit_arrives_or_is_refused_and_does_not_cost_the_connection() {
    let (server, _events) = recording_with(|builder| builder.max_message_bytes(1000));
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
    let (server, mut events) = recording_with(|builder| builder.max_message_bytes(1));
    let (mut raw, _) = open(&server, &mut events, "simpleJson").await;
    raw.write(frame(PING, "more than one byte")).await;
    assert_eq!(raw.next().await, Some((PONG, b"more than one byte".to_vec())));
    raw.write(frame(CLOSE, close_payload(1000, b"bye"))).await;
    assert_eq!(raw.closed().await, Some(1000));
}

#[actix::test]
async fn an_envelope_that_lacks_something_is_told_with_its_frame_and_the_connection_goes_on() {
    let (server, mut events) = recording();
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
