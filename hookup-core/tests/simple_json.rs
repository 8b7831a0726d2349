//! `simpleJson` both ways: what is a json message, what is text, and that nothing is copied.

use hookup_core::{
    Binary, Json, Message, SimpleJson, Text, WireFormat,
    wire::{AckId, Inbound},
    ws::Frame,
};

fn parse(frame: impl Into<String>) -> Message {
    match SimpleJson.parse(Frame::Text(frame.into().into())) {
        Ok(Inbound::Message { message, ack: None }) => message,
        other => unreachable!("simpleJson knows messages only, not {other:?}"),
    }
}

fn text(text: &str) -> Message {
    Text(text.to_owned()).into()
}

fn json(raw: &str) -> Message {
    Json::from_raw(raw.to_owned()).expect("this is JSON").into()
}

#[test]
fn nothing_is_wrapped() {
    let render = |message: Message| SimpleJson.render(&message, None).expect("every message has a form");
    assert_eq!(render(text("this is a text message")), Frame::Text("this is a text message".into()));
    assert_eq!(render(json(r#"{"data":"a json message"}"#)), Frame::Text(r#"{"data":"a json message"}"#.into()));
    assert_eq!(render(Binary(vec![0, 255]).into()), Frame::Binary(vec![0, 255].into()));
}

#[test]
fn nothing_is_acked() {
    let messages = [text("a"), json("[1]"), Binary(vec![1]).into()];
    assert!(messages.iter().all(|message| !SimpleJson.can_ack(message)));
    assert_eq!(SimpleJson.render_ack(AckId::FIRST), None);
    assert_eq!(SimpleJson.render_nack(AckId::FIRST, "no"), None);
}

#[test]
fn an_object_or_array_is_json_and_its_text_is_kept() {
    for frame in
        ["{}", "[]", r#"{"data":"a json message"}"#, "[1,\t2 ]", " \r\n\t{ \"a\" : 1.50 } ", r#"{"a":1,"a":2}"#]
    {
        assert_eq!(parse(frame), json(frame), "{frame}");
    }
}

#[test]
fn an_envelope_means_nothing_here() {
    for frame in [r#"{"type":"text","content":"hi"}"#, r#"{"type":"ack","id":3}"#] {
        assert_eq!(parse(frame), json(frame), "{frame}");
    }
}

#[test]
fn numbers_strings_and_the_like_are_text() {
    for frame in ["", " ", "1", "-1.5e3", "\"quoted\"", "null", "true", "hello", "ünï"] {
        assert_eq!(parse(frame), text(frame), "{frame:?}");
    }
}

#[test]
fn what_only_looks_like_json_is_text() {
    for frame in
        ["{oops", "[1,", "{", "[", "{}x", "[] []", "{'a':1}", "[01]", "[\"\t\"]", "\u{feff}{}", "\u{a0}{}", "\u{c}{}"]
    {
        assert_eq!(parse(frame), text(frame), "{frame:?}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let frame = open.repeat(100_000) + "1" + &close.repeat(100_000);
        let Message::Json(json) = parse(frame.clone()) else { unreachable!("it is valid JSON") };
        assert_eq!(json.as_str(), frame);
        assert!(json.parse::<serde_json::Value>().is_err(), "it is too deep for serde_json, and that is an error");
        assert_eq!(parse(&frame[1..]), text(&frame[1..]), "and without its first bracket it is no JSON");
    }
}

#[test]
fn numbers_that_no_type_can_hold_are_kept_as_they_came() {
    for frame in
        ["[1e400]", "[1234567890123456789012345678901234567890]", "[0.1234567890123456789012345678901234567890]"]
    {
        assert_eq!(parse(frame).as_bytes(), frame.as_bytes());
    }
    let Message::Json(huge) = parse("[1e400]") else { unreachable!("it is valid JSON") };
    assert!(huge.parse::<Vec<f64>>().is_err());
}

#[test]
fn a_lone_surrogate_is_valid_in_a_value_and_in_a_key() {
    for frame in [r#"["\ud800"]"#, r#"{"\udc00":1}"#] {
        assert_eq!(parse(frame), json(frame), "{frame}");
    }
}

#[test]
fn a_message_shares_the_buffer_of_its_frame() {
    for content in ["plain text", r#" {"a":1}"#] {
        let frame = bytestring::ByteString::from(content);
        let address = frame.as_ptr();
        let Ok(Inbound::Message { message, .. }) = SimpleJson.parse(Frame::Text(frame)) else { unreachable!() };
        assert_eq!(message.as_bytes().as_ptr(), address);
    }
    let bytes = bytes::Bytes::from(vec![1, 2, 3]);
    let address = bytes.as_ptr();
    let Ok(Inbound::Message { message, .. }) = SimpleJson.parse(Frame::Binary(bytes)) else { unreachable!() };
    assert_eq!(message.as_bytes().as_ptr(), address);
}
