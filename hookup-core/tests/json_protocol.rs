//! `jsonProtocol` both ways: the protocol document's frames byte for byte, and what else peers send.

use std::time::Duration;

use hookup_core::{
    Binary, Json, JsonProtocol, Message, Outbound, Text, WireFormat,
    wire::{AckId, Inbound, WireError},
    ws::Frame,
};

fn parse(frame: &str) -> Result<Inbound, WireError> {
    JsonProtocol.parse(Frame::Text(frame.to_owned().into()))
}

fn text(text: &str) -> Message {
    Text(text.to_owned()).into()
}

fn json(raw: &str) -> Message {
    Json::from_raw(raw.to_owned()).expect("this is JSON").into()
}

fn id(id: u64) -> AckId {
    AckId::new(id).expect("in range")
}

fn request(number: u64, message: Message) -> Inbound {
    Inbound::Message { message, ack: Some(id(number)) }
}

#[track_caller]
fn assert_parses(frame: &str, expected: impl Into<Inbound>) {
    assert_eq!(parse(frame), Ok(expected.into()), "{frame}");
}

#[track_caller]
fn assert_malformed(frame: &str, problem: &str) {
    let error = parse(frame).expect_err("the envelope is malformed");
    assert_eq!(error.problem, problem, "{frame}");
    assert_eq!(error.frame, Frame::Text(frame.to_owned().into()), "the frame comes back");
    assert_eq!(error.close, None, "the connection goes on");
}

/// The protocol document's table.
fn documented() -> Vec<(Message, Option<AckId>, &'static str)> {
    let hi = "this is a text message";
    vec![
        (text(hi), None, r#"{"type":"text","content":"this is a text message"}"#),
        (json(r#"{"data":"a json message"}"#), None, r#"{"type":"json","content":{"data":"a json message"}}"#),
        (json(r#"["data","a json message"]"#), None, r#"{"type":"json","content":["data","a json message"]}"#),
        (
            text(hi),
            Some(id(3)),
            r#"{"type":"ack_request","id":3,"content":{"type":"text","content":"this is a text message"}}"#,
        ),
    ]
}

#[test]
fn the_documented_frames_are_rendered_byte_for_byte_and_read() {
    for (message, ack, frame) in documented() {
        assert_eq!(JsonProtocol.render(&message, ack), Ok(Frame::Text(frame.into())));
        assert_parses(frame, Inbound::Message { message, ack });
    }
    assert_eq!(JsonProtocol.render_ack(id(3)), Some(Frame::Text(r#"{"type":"ack","id":3}"#.into())));
    assert_parses(r#"{"type":"ack","id":3}"#, Inbound::Ack(id(3)));
}

#[test]
fn a_binary_message_is_a_binary_frame_and_cannot_be_acked() {
    let message = Message::from(Binary(vec![0, 255]));
    assert_eq!(JsonProtocol.render(&message, None), Ok(Frame::Binary(vec![0, 255].into())));
    assert_eq!(JsonProtocol.parse(Frame::Binary(vec![0, 255].into())), Ok(message.clone().into()));
    assert!(!JsonProtocol.can_ack(&message));
    assert!(JsonProtocol.can_ack(&text("a")) && JsonProtocol.can_ack(&json("[]")));
}

#[test]
fn there_is_no_frame_for_a_refusal() {
    assert_eq!(JsonProtocol.render_nack(id(3), "no"), None);
}

#[test]
fn an_ack_request_takes_an_envelope_under_content_or_message() {
    assert_parses(r#"{"type":"ack_request","id":1,"message":{"type":"text","content":"a"}}"#, request(1, text("a")));
    assert_parses(r#"{"type":"ack_request","id":1,"message":{"type":"json","content":[1]}}"#, request(1, json("[1]")));
    assert_parses(r#"{"type":"ack_request","id":1,"message":"b","content":"a"}"#, request(1, text("a")));
}

#[test]
fn an_ack_request_takes_a_bare_string_or_any_other_json() {
    assert_parses(r#"{"type":"ack_request","id":1,"content":"bare"}"#, request(1, text("bare")));
    for raw in ["{\"a\": 1}", "[1, 2]", "3", "1e400", "null", "true", r#"{"type":"ack","id":9}"#, r#"{"type":"text"}"#]
    {
        let frame = format!(r#"{{"type":"ack_request","id":1,"content":{raw}}}"#);
        assert_parses(&frame, request(1, json(raw)));
    }
}

#[test]
fn the_type_is_compared_without_regard_to_case() {
    assert_parses(r#"{"type":"TEXT","content":"a"}"#, text("a"));
    assert_parses(r#"{"type":"Json","content":[1]}"#, json("[1]"));
    assert_parses(r#"{"type":"aCk","id":1}"#, Inbound::Ack(id(1)));
    assert_parses(r#"{"type":"Ack_Request","id":1,"content":{"type":"Text","content":"a"}}"#, request(1, text("a")));
}

#[test]
fn an_object_without_a_known_type_and_an_array_is_a_json_message_of_itself() {
    for frame in [
        "{}",
        r#"{"data":1}"#,
        r#"{"type":"other","content":"a"}"#,
        r#"{"type":3,"content":"a"}"#,
        r#"{"type":null}"#,
        r#"{"type":["text"],"content":"a"}"#,
        r#"{"Type":"text","content":"a"}"#,
        r#"{"type":"needs_ack","timeout":5000,"content":"a"}"#,
        "[]",
        r#"["type","text"]"#,
        " [ 1 , 2 ] ",
    ] {
        assert_parses(frame, json(frame));
    }
}

#[test]
fn what_is_no_object_and_no_array_is_text() {
    for frame in
        ["", " ", "hello", "1", "\"quoted\"", "null", "{oops", "[1,", "{", "{\"type\":\"text\"} x", "\u{feff}{}"]
    {
        assert_parses(frame, text(frame));
    }
}

#[test]
fn blanks_before_the_brace_and_any_order_of_the_keys_make_no_difference() {
    assert_parses(" \t\r\n{\"type\":\"text\",\"content\":\"a\"}\n", text("a"));
    assert_parses(r#"{"content":"a","type":"text"}"#, text("a"));
    assert_parses(
        r#"{"content":{"content":"a","type":"text"},"x":[{}],"id":7,"type":"ack_request"}"#,
        request(7, text("a")),
    );
    assert_parses(r#"{ "type" : "json" , "content" :  {"a" : 1}  }"#, json(r#"{"a" : 1}"#));
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts() {
    assert_parses(r#"{"type":"json","content":1,"type":"text","content":"a","content":"b"}"#, text("b"));
    assert_parses(r#"{"type":"ack","id":0,"id":2}"#, Inbound::Ack(id(2)));
}

#[test]
fn keys_and_strings_may_be_escaped() {
    assert_parses(r#"{"\u0074ype":"te\u0078t","cont\u0065nt":"a\n\u00e4\ud83d\ude00\/"}"#, text("a\nä😀/"));
    assert_eq!(
        JsonProtocol.render(&text("\"\\\n\u{1}\u{7f}ä😀/"), None),
        Ok(Frame::Text("{\"type\":\"text\",\"content\":\"\\\"\\\\\\n\\u0001\u{7f}ä😀/\"}".into()))
    );
}

#[test]
fn a_lone_surrogate_is_kept_in_json_and_is_no_text() {
    assert_parses(r#"{"type":"json","content":["\ud800"]}"#, json(r#"["\ud800"]"#));
    assert_parses(r#"["\ud800"]"#, json(r#"["\ud800"]"#));
    assert_malformed(r#"{"type":"text","content":"\ud800"}"#, "a text message whose content is not a string");
}

#[test]
fn a_lone_surrogate_in_a_key_is_valid_json() {
    assert_parses(r#"{"\ud800":1}"#, json(r#"{"\ud800":1}"#));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for frame in [
        deep.clone(),
        format!(r#"{{"type":"json","content":{deep}}}"#),
        format!(r#"{{"type":"ack_request","id":1,"content":{deep}}}"#),
        format!(r#"{{"type":"text","content":"a","other":{deep},"type":"json","content":{deep}}}"#),
    ] {
        let Ok(Inbound::Message { message: Message::Json(json), .. }) = parse(&frame) else { unreachable!() };
        assert!(json.as_str() == deep, "the JSON text is kept as it came");
        assert!(json.parse::<serde_json::Value>().is_err(), "it is too deep for serde_json, and that is an error");
    }
    let unclosed = r#"{"type":"json","content":"#.repeat(100_000);
    assert!(parse(&unclosed) == Ok(text(&unclosed).into()));
}

#[test]
fn json_is_kept_as_it_came() {
    for raw in
        ["1e400", "1234567890123456789012345678901234567890", "-0.0", "1.50E+1", r#"{"b": 1,  "a": "\u0041", "b":2}"#]
    {
        assert_parses(&format!(r#"{{"type":"json","content":{raw}}}"#), json(raw));
    }
}

#[test]
fn an_id_is_an_integer_from_1_to_2_53_minus_1() {
    let problem = "an id that is not an integer from 1 to 2^53-1";
    for bad in ["0", "-1", "1.5", "1.0", "1e0", "9007199254740992", "99999999999999999999", "\"3\"", "null", "[1]"] {
        assert_malformed(&format!(r#"{{"type":"ack","id":{bad}}}"#), problem);
        assert_malformed(&format!(r#"{{"type":"ack_request","id":{bad},"content":"a"}}"#), problem);
    }
    assert_malformed(r#"{"type":"ack"}"#, problem);
    assert_parses(r#"{"type":"ack","id":9007199254740991}"#, Inbound::Ack(AckId::MAX));
    assert_parses(r#"{"type":"ack_request","id":1,"content":"a"}"#, request(1, text("a")));
}

#[test]
fn an_envelope_that_lacks_what_its_type_needs_is_an_error_that_carries_the_frame() {
    assert_malformed(r#"{"type":"text"}"#, "an envelope without content");
    assert_malformed(r#"{"type":"json","message":1}"#, "an envelope without content");
    assert_malformed(r#"{"type":"text","content":{"a":1}}"#, "a text message whose content is not a string");
    assert_malformed(r#"{"type":"ack_request","id":1}"#, "an ack_request without content");
}

#[test]
fn a_payload_without_escapes_lies_in_the_buffer_of_its_frame() {
    for (frame, payload) in [
        (r#"{"type":"text","content":"payload"}"#, "payload"),
        (r#"{"type":"json","content":{"a":"\n"}}"#, r#"{"a":"\n"}"#),
        (r#"{"type":"ack_request","id":1,"content":{"type":"text","content":"payload"}}"#, "payload"),
        (r#"{"type":"ack_request","id":1,"content":[1]}"#, "[1]"),
        ("[1, 2]", "[1, 2]"),
        ("text", "text"),
    ] {
        let buffer = bytestring::ByteString::from(frame.to_owned());
        let expected = buffer.as_ptr() as usize + frame.find(payload).expect("it is in there");
        let Ok(Inbound::Message { message, .. }) = JsonProtocol.parse(Frame::Text(buffer.clone())) else {
            unreachable!()
        };
        assert_eq!(message.as_bytes(), payload.as_bytes());
        assert_eq!(message.as_bytes().as_ptr() as usize, expected, "{frame}");
    }
}

#[test]
fn the_stored_form_is_the_documented_line() {
    let line = r#"{"type":"needs_ack","timeout":5000,"content":{"type":"text","content":"this is a text message"}}"#;
    let outbound = Text("this is a text message").needs_ack(Duration::from_secs(5));
    assert_eq!(JsonProtocol::to_stored(&outbound).as_deref(), Ok(line));
    assert_eq!(JsonProtocol::from_stored(line), Ok(outbound));
    for (message, ack, line) in documented().into_iter().filter(|(_, ack, _)| ack.is_none()) {
        assert_eq!((JsonProtocol::to_stored(&message.clone().into()).as_deref(), ack), (Ok(line), None));
        assert_eq!(JsonProtocol::from_stored(line), Ok(message.into()));
    }
}

#[test]
fn a_stored_line_that_lacks_something_is_an_error_in_words() {
    let from = JsonProtocol::from_stored;
    let timeout = Err("a needs_ack without a timeout in milliseconds".into());
    assert_eq!(from(r#"{"type":"needs_ack","content":"a"}"#), timeout);
    assert_eq!(from(r#"{"type":"needs_ack","timeout":-1,"content":"a"}"#), timeout);
    assert_eq!(from(r#"{"type":"needs_ack","timeout":1}"#), Err("a needs_ack without content".into()));
    assert_eq!(from(r#"{"type":"text"}"#), Err("an envelope without content".into()));
    assert!(JsonProtocol::to_stored(&Binary(vec![1]).into()).is_err());
}

#[test]
fn a_stored_line_that_is_no_envelope_is_a_message_of_itself() {
    for (line, message) in [("plain", text("plain")), ("[1]", json("[1]")), (r#"{"a":1}"#, json(r#"{"a":1}"#))] {
        assert_eq!(JsonProtocol::from_stored(line), Ok(message.into()));
    }
    let bare = JsonProtocol::from_stored(r#"{"content":"bare","timeout":1,"type":"NEEDS_ACK"}"#);
    assert_eq!(bare, Ok(Text("bare").needs_ack(Duration::from_millis(1))));
}

#[test]
fn a_stored_message_is_one_line_whatever_blanks_its_json_has() {
    let spread = Outbound::from(Json::from_raw("{\r\n  \"a\": 1\n}").expect("this is JSON"));
    let line = JsonProtocol::to_stored(&spread).expect("it has a form");
    assert_eq!(line.lines().count(), 1, "{line:?}");
}

#[test]
fn a_stored_message_with_the_longest_timeout_is_read_again() {
    let line = JsonProtocol::to_stored(&Text("a").needs_ack(Duration::MAX)).expect("it has a form");
    let read = JsonProtocol::from_stored(&line).map(Outbound::into_message);
    assert_eq!(read, Ok(text("a")));
}
