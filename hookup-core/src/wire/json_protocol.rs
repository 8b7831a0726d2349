//! `jsonProtocol`: every message in an envelope, and acks per message.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use super::{
    AckId, Inbound, WireError, WireFormat,
    envelope::{self, Fields, Shape},
};
use crate::{
    error::LONGEST,
    message::{Binary, Json, Message, Text},
    outbound::Outbound,
    ws::Frame,
};

/// The original Hookup's format with acks.
///
/// | message | frame |
/// | --- | --- |
/// | text | `{"type":"text","content":"this is a text message"}` |
/// | json | `{"type":"json","content":{"data":"a json message"}}` |
/// | ack | `{"type":"ack","id":3}` |
/// | ack request | `{"type":"ack_request","id":3,"content":{"type":"text","content":"this is a text message"}}` |
/// | binary | a binary frame, never acked |
///
/// A JSON object without a known `type`, and an array, is a json message of itself; any other text frame is a text
/// message. An object with a known `type` that lacks what the type needs is an error that the handler is told of.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonProtocol;

impl WireFormat for JsonProtocol {
    fn name(&self) -> &str {
        "jsonProtocol"
    }

    fn can_ack(&self, message: &Message) -> bool {
        !matches!(message, Message::Binary(_))
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        let mut frame = Vec::with_capacity(message.len() + 72);
        if let Some(id) = ack {
            frame.extend_from_slice(b"{\"type\":\"ack_request\",\"id\":");
            frame.extend_from_slice(id.to_string().as_bytes());
            frame.extend_from_slice(b",\"content\":");
        }
        match message {
            Message::Binary(binary) => return Ok(Frame::Binary(binary.clone().into_inner())),
            Message::Text(_) | Message::Json(_) => envelope_of(message, &mut frame)?,
        }
        if ack.is_some() {
            frame.push(b'}');
        }
        into_text(frame).map(Frame::Text)
    }

    fn render_ack(&self, id: AckId) -> Option<Frame> {
        Some(Frame::Text(format!("{{\"type\":\"ack\",\"id\":{id}}}").into()))
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        let text = match frame {
            Frame::Binary(bytes) => return Ok(Message::from(Binary(bytes)).into()),
            Frame::Text(text) => text,
        };
        let fields = match Shape::of(&text) {
            Shape::Object(fields) => fields,
            Shape::Array => return Ok(Message::from(Json::checked(text)).into()),
            Shape::Text => return Ok(Message::from(Text(text)).into()),
        };
        let parsed = match Kind::of(&fields) {
            Kind::Text | Kind::Json => unwrap(&text, &fields).map(Inbound::from),
            Kind::Ack => id_of(&fields).map(Inbound::Ack),
            Kind::AckRequest => ack_request(&text, &fields),
            // A message's stored form has no meaning on the wire.
            Kind::NeedsAck | Kind::Other => Ok(Message::from(Json::checked(text.clone())).into()),
        };
        parsed.map_err(|problem| WireError::new(problem, Frame::Text(text)))
    }
}

impl JsonProtocol {
    /// The form in which the original Hookup's file buffer keeps a message that was not sent yet, a line each:
    /// the envelope, or `{"type":"needs_ack","timeout":5000,"content":…}` with the timeout in milliseconds.
    ///
    /// # Errors
    /// In words, for a binary message: the form has none.
    pub fn to_stored(outbound: &Outbound) -> Result<String, Cow<'static, str>> {
        let mut line = Vec::with_capacity(outbound.message().len() + 72);
        if let Some(within) = outbound.ack_within() {
            line.extend_from_slice(b"{\"type\":\"needs_ack\",\"timeout\":");
            line.extend_from_slice(within.min(LONGEST).as_millis().to_string().as_bytes());
            line.extend_from_slice(b",\"content\":");
        }
        envelope_of(outbound.message(), &mut line)?;
        // Within JSON, line breaks stand between tokens only.
        line.iter_mut().filter(|b| matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
        if outbound.ack_within().is_some() {
            line.push(b'}');
        }
        String::from_utf8(line).map_err(|error| error.to_string().into())
    }

    /// Reads a line of the original Hookup's file buffer; see [`to_stored`](Self::to_stored).
    ///
    /// # Errors
    /// In words, when a `needs_ack` line lacks its timeout or content, or an envelope its content.
    pub fn from_stored(line: &str) -> Result<Outbound, Cow<'static, str>> {
        let text = ByteString::from(line);
        let Shape::Object(fields) = Shape::of(&text) else {
            let parsed = Self.parse(Frame::Text(text.clone())).map_err(|error| error.problem)?;
            return match parsed {
                Inbound::Message { message, .. } => Ok(message.into()),
                _ => Err("not a message".into()),
            };
        };
        match Kind::of(&fields) {
            Kind::NeedsAck => {
                let timeout = fields.timeout.and_then(|raw| raw.get().parse().ok());
                let timeout = timeout.ok_or("a needs_ack without a timeout in milliseconds")?;
                let content = fields.content.ok_or("a needs_ack without content")?;
                Ok(Outbound::from(content_of(&text, content)).needs_ack(Duration::from_millis(timeout)))
            }
            Kind::Text | Kind::Json => Ok(unwrap(&text, &fields)?.into()),
            _ => Ok(Message::from(Json::checked(text.clone())).into()),
        }
    }
}

/// The known types. They are compared without regard to case.
enum Kind {
    Text,
    Json,
    Ack,
    AckRequest,
    NeedsAck,
    Other,
}

impl Kind {
    fn of(fields: &Fields<'_>) -> Self {
        let Some(name) = fields.kind.and_then(envelope::string) else { return Self::Other };
        let known = [
            ("text", Self::Text),
            ("json", Self::Json),
            ("ack", Self::Ack),
            ("ack_request", Self::AckRequest),
            ("needs_ack", Self::NeedsAck),
        ];
        let found = known.into_iter().find(|(kind, _)| name.eq_ignore_ascii_case(kind));
        found.map_or(Self::Other, |(_, kind)| kind)
    }
}

/// Renders a text or json message's envelope.
fn envelope_of(message: &Message, frame: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
    match message {
        Message::Text(text) => {
            frame.extend_from_slice(b"{\"type\":\"text\",\"content\":");
            serde_json::to_writer(&mut *frame, text.as_str()).map_err(|error| error.to_string())?;
        }
        Message::Json(json) => {
            frame.extend_from_slice(b"{\"type\":\"json\",\"content\":");
            frame.extend_from_slice(json.as_str().as_bytes());
        }
        Message::Binary(_) => return Err("a binary message has no JSON form".into()),
    }
    frame.push(b'}');
    Ok(())
}

fn into_text(frame: Vec<u8>) -> Result<ByteString, Cow<'static, str>> {
    ByteString::try_from(Bytes::from(frame)).map_err(|error| error.to_string().into())
}

/// The message in a text or json envelope.
fn unwrap(frame: &ByteString, fields: &Fields<'_>) -> Result<Message, Cow<'static, str>> {
    let content = fields.content.ok_or("an envelope without content")?;
    match Kind::of(fields) {
        Kind::Text => text(frame, content).ok_or_else(|| "a text message whose content is not a string".into()),
        _ => Ok(json(frame, content)),
    }
}

fn ack_request(frame: &ByteString, fields: &Fields<'_>) -> Result<Inbound, Cow<'static, str>> {
    let ack = Some(id_of(fields)?);
    let content = fields.content.or(fields.message).ok_or("an ack_request without content")?;
    Ok(Inbound::Message { message: content_of(frame, content), ack })
}

/// An ack request's content: an envelope, a bare string, or any other JSON.
fn content_of(frame: &ByteString, content: &RawValue) -> Message {
    let enveloped = match Shape::of(content.get()) {
        Shape::Object(fields) if matches!(Kind::of(&fields), Kind::Text | Kind::Json) => unwrap(frame, &fields).ok(),
        Shape::Object(_) | Shape::Array => None,
        Shape::Text => text(frame, content),
    };
    enveloped.unwrap_or_else(|| json(frame, content))
}

fn id_of(fields: &Fields<'_>) -> Result<AckId, Cow<'static, str>> {
    let id = fields.id.and_then(|raw| raw.get().parse().ok()).and_then(AckId::new);
    id.ok_or_else(|| "an id that is not an integer from 1 to 2^53-1".into())
}

fn text(frame: &ByteString, content: &RawValue) -> Option<Message> {
    let text = match envelope::string(content)? {
        Cow::Borrowed(part) => frame.slice_ref(part),
        Cow::Owned(unescaped) => unescaped.into(),
    };
    Some(Text(text).into())
}

fn json(frame: &ByteString, content: &RawValue) -> Message {
    Json::checked(frame.slice_ref(content.get())).into()
}
