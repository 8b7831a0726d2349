//! What holds for every message in every wire format, and a format of a user's own.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hookup_core::{
    Binary, CloseCode, Json, JsonProtocol, Message, SimpleJson, Text, WireFormat,
    wire::{AckId, Formats, Inbound, Negotiation, Protocol, WireError},
    ws::Frame,
};
use proptest::prelude::*;
use serde_json::Value;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop_oneof![any::<String>(), "type|content|id|message|timeout"];
        let entries = prop::collection::vec((key, inner.clone()), 0..6);
        prop_oneof![prop::collection::vec(inner, 0..6).prop_map(Value::from), entries.prop_map(Value::from_iter),]
    })
}

fn json() -> impl Strategy<Value = Json> {
    value().prop_map(|value| Json(&value).expect("a value has a form"))
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        any::<String>().prop_map(|text| Text(text).into()),
        json().prop_map(Message::from),
        any::<Vec<u8>>().prop_map(|bytes| Binary(bytes).into()),
    ]
}

/// Texts that are, or nearly are, envelopes: a valid one, cut somewhere or with a character put into it.
fn broken_envelope() -> impl Strategy<Value = String> {
    let kind = "text|json|ack|ack_request|needs_ack|other";
    let cut = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<Option<char>>());
    (kind, value(), value(), cut).prop_map(|(kind, id, content, (from, to, put))| {
        let envelope = format!(r#"{{"type":"{kind}","id":{id},"content":{content}}}"#).chars().collect::<Vec<_>>();
        let (from, to) = (from.index(envelope.len()), to.index(envelope.len()));
        envelope[..from.max(to)].iter().copied().chain(put).chain(envelope[to..].iter().copied()).collect()
    })
}

fn is_object_or_array(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object() || value.is_array())
}

/// Parses, and checks that whatever the frame is, the handler is given it, a part of it, or an error with it in it.
fn assert_nothing_is_lost(format: &dyn WireFormat, frame: Frame) -> Result<(), TestCaseError> {
    match format.parse(frame.clone()) {
        Ok(Inbound::Message { message: Message::Text(text), .. })
            if Frame::Text(text.clone().into_inner()) != frame =>
        {
            let raw = serde_json::to_string(&*text).expect("a string has a form");
            let Frame::Text(whole) = frame else { return Err(TestCaseError::fail("text out of a binary frame")) };
            let unescaped = serde_json::from_str::<Value>(&whole).map(|value| value.to_string());
            // A number that no type can hold keeps serde_json from looking, not us.
            prop_assert!(unescaped.map_or(true, |whole| whole.contains(&raw)), "{} is not in {}", raw, whole);
        }
        Ok(Inbound::Message { message: Message::Json(json), .. }) => {
            let Frame::Text(whole) = frame else { return Err(TestCaseError::fail("json out of a binary frame")) };
            prop_assert!(whole.contains(json.as_str()), "the JSON text is not as it came");
            prop_assert!(Json::from_raw(json.into_inner()).is_ok(), "what is called JSON is JSON");
        }
        Ok(Inbound::Message { .. } | Inbound::Ack(_) | Inbound::Nack { .. }) => {}
        Err(error) => prop_assert_eq!(error.frame, frame),
    }
    Ok(())
}

proptest! {
    #[test]
    fn json_protocol_carries_every_message(message in message(), id in proptest::option::of(1..1_u64 << 53)) {
        let ack = id.and_then(AckId::new).filter(|_| JsonProtocol.can_ack(&message));
        let frame = JsonProtocol.render(&message, ack).expect("it has a form");
        prop_assert_eq!(JsonProtocol.parse(frame), Ok(Inbound::Message { message, ack }));
    }

    #[test]
    fn json_protocol_carries_json_without_the_blanks_around_it(json in json(), blanks in "[ \t\r\n]{0,3}") {
        let blanked = Json::from_raw(format!("{blanks}{json}{blanks}")).expect("this is JSON");
        let frame = JsonProtocol.render(&blanked.into(), None).expect("it has a form");
        prop_assert_eq!(JsonProtocol.parse(frame), Ok(Message::from(json).into()));
    }

    #[test]
    fn json_protocol_stores_every_message_but_binary(message in message(), ms in proptest::option::of(any::<u32>())) {
        let mut outbound = hookup_core::Outbound::from(message);
        if let Some(ms) = ms {
            outbound = outbound.needs_ack(std::time::Duration::from_millis(ms.into()));
        }
        match JsonProtocol::to_stored(&outbound) {
            Ok(line) => prop_assert_eq!(JsonProtocol::from_stored(&line), Ok(outbound)),
            Err(_) => prop_assert!(matches!(outbound.message(), Message::Binary(_))),
        }
    }

    #[test]
    fn simple_json_carries_every_message_whose_kind_shows(message in message()) {
        let frame = SimpleJson.render(&message, None).expect("it has a form");
        let Ok(Inbound::Message { message: parsed, ack: None }) = SimpleJson.parse(frame) else { unreachable!() };
        prop_assert_eq!(parsed.as_bytes(), message.as_bytes(), "what it says is never changed");
        let same_kind = match &message {
            Message::Text(text) => !is_object_or_array(text),
            Message::Json(json) => is_object_or_array(json.as_str()),
            Message::Binary(_) => true,
        };
        prop_assert_eq!(parsed == message, same_kind);
    }

    #[test]
    fn in_simple_json_text_that_is_an_object_or_array_arrives_as_json_and_a_scalar_as_text(json in json()) {
        let raw = json.as_str().to_owned();
        let expected = if is_object_or_array(&raw) { Message::from(json.clone()) } else { Text(raw.clone()).into() };
        for message in [Message::from(json), Text(raw).into()] {
            let frame = SimpleJson.render(&message, None).expect("it has a form");
            prop_assert_eq!(SimpleJson.parse(frame), Ok(expected.clone().into()));
        }
    }

    #[test]
    fn no_frame_makes_a_format_panic_or_lose_what_it_says(
        text in prop_oneof![any::<String>(), broken_envelope(), "[\\[\\]{}\",:0-9a\\\\u ]{0,40}"],
        bytes in any::<Vec<u8>>(),
    ) {
        let formats: [&dyn WireFormat; 2] = [&JsonProtocol, &SimpleJson];
        for format in formats {
            assert_nothing_is_lost(format, Frame::Text(text.as_str().into()))?;
            assert_nothing_is_lost(format, Frame::Binary(bytes.clone().into()))?;
        }
    }
}

/// A format of a user's own: `kind|id|payload`, with acks and refusals.
struct Pipes;

impl WireFormat for Pipes {
    fn name(&self) -> &str {
        "pipes.v1"
    }

    fn can_ack(&self, message: &Message) -> bool {
        matches!(message, Message::Text(_))
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        let Message::Text(text) = message else { return Err("pipes carry text only".into()) };
        let id = ack.map(|id| id.to_string()).unwrap_or_default();
        Ok(Frame::Text(format!("text|{id}|{text}").into()))
    }

    fn render_ack(&self, id: AckId) -> Option<Frame> {
        Some(Frame::Text(format!("ack|{id}|").into()))
    }

    fn render_nack(&self, id: AckId, reason: &str) -> Option<Frame> {
        Some(Frame::Text(format!("nack|{id}|{reason}").into()))
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        let malformed = |frame| WireError::new("not kind|id|payload", frame).closing(CloseCode(4400));
        let Frame::Text(text) = &frame else { return Err(malformed(frame)) };
        let mut parts = text.splitn(3, '|');
        let (Some(kind), Some(id), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed(frame));
        };
        match (kind, id.parse().ok().and_then(AckId::new)) {
            ("text", ack) => Ok(Inbound::Message { message: Text(text.slice_ref(rest)).into(), ack }),
            ("ack", Some(id)) => Ok(Inbound::Ack(id)),
            ("nack", Some(id)) => Ok(Inbound::Nack { id, reason: rest.to_owned() }),
            _ => Err(malformed(frame)),
        }
    }
}

#[test]
fn a_format_of_ones_own_is_registered_under_its_name_and_negotiated() {
    let mut formats = Formats::default();
    formats.register(Pipes);
    assert_eq!(formats.names(), "pipes.v1, hookup.v2, jsonProtocol, simpleJson");
    assert_eq!(formats.validate(), Ok(()));

    let default = Protocol::Format(Arc::new(SimpleJson));
    let Negotiation::Chosen(Protocol::Format(format)) = formats.negotiate(["other, pipes.v1, jsonProtocol"], &default)
    else {
        unreachable!("it is known");
    };
    assert_eq!(format.name(), "pipes.v1");
    let (id, message) = (AckId::FIRST, Message::from(Text("a|b")));
    let frame = format.render(&message, Some(id)).expect("it is text");
    assert_eq!(frame, Frame::Text("text|1|a|b".into()));
    assert_eq!(format.parse(frame), Ok(Inbound::Message { message, ack: Some(id) }));
    let refusal = format.render_nack(id, "no|thanks").expect("it has a form");
    assert_eq!(format.parse(refusal), Ok(Inbound::Nack { id, reason: "no|thanks".into() }));
    assert_eq!(format.parse(Frame::Text("oops".into())).map_err(|error| error.close), Err(Some(CloseCode(4400))));
}

#[test]
fn a_format_is_asked_for_its_name_when_it_is_registered_and_never_again() {
    struct Once(AtomicBool);
    impl WireFormat for Once {
        fn name(&self) -> &str {
            assert!(!self.0.swap(true, Ordering::Relaxed), "it was asked before");
            "once"
        }
        fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
            SimpleJson.render(message, ack)
        }
        fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
            SimpleJson.parse(frame)
        }
    }
    let mut formats = Formats::default();
    formats.register(Once(AtomicBool::new(false)));
    formats.validate().expect("it is a name");
    let Some(Protocol::Format(once)) = formats.find("once") else { panic!("it is known") };
    assert_eq!(once.name(), "once");
}

#[test]
fn a_format_that_is_registered_twice_takes_the_place_of_the_first() {
    struct Loud;
    impl WireFormat for Loud {
        fn name(&self) -> &str {
            "simpleJson"
        }
        fn render(&self, message: &Message, _: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
            Ok(Frame::Text(String::from_utf8_lossy(message.as_bytes()).to_uppercase().into()))
        }
        fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
            SimpleJson.parse(frame)
        }
    }
    let mut formats = Formats::default();
    formats.register(Loud);
    assert_eq!(formats.names(), "simpleJson, hookup.v2, jsonProtocol");
    let Some(Protocol::Format(loud)) = formats.find("simpleJson") else { panic!("it is known") };
    assert_eq!(loud.render(&Text("hi").into(), None), Ok(Frame::Text("HI".into())));
    assert!(!loud.can_ack(&Text("hi").into()), "by default no message can be acked");
}

#[test]
fn a_name_that_cannot_stand_in_the_header_is_refused() {
    struct Blank;
    impl WireFormat for Blank {
        fn name(&self) -> &str {
            "my format"
        }
        fn render(&self, _: &Message, _: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
            Err("nothing has a form".into())
        }
        fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
            Err(WireError::new("nothing is understood", frame))
        }
    }
    let mut formats = Formats::default();
    formats.register(Blank);
    let error = formats.validate().expect_err("a blank is no token");
    assert!(error.to_string().contains("\"my format\" cannot be a subprotocol's name"), "{error}");
}
