//! The frames of `hookup.v2`, written (see the protocol document).

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use serde::Serialize;

use super::ids::RunId;
use crate::{message::Message, ws::Frame};

pub(super) fn tagged(kind: &'static str, content: &impl Serialize) -> Frame {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        r#type: &'static str,
        #[serde(flatten)]
        content: &'a T,
    }
    // Numbers, strings and lists: serde_json has a form for each.
    let text = serde_json::to_string(&Tagged { r#type: kind, content });
    Frame::Text(text.unwrap_or_default().into())
}

pub(super) fn run(run: RunId) -> Frame {
    Frame::Text(format!("{{\"type\":\"run\",\"run\":\"{run}\"}}").into())
}

pub(super) fn skip(seq: u64, to: u64, lost: u64) -> Frame {
    let lost = if lost > 0 { format!(",\"lost\":{lost}") } else { String::new() };
    Frame::Text(format!("{{\"type\":\"skip\",\"seq\":{seq},\"to\":{to}{lost}}}").into())
}

/// The `run` part of an ack, where it is not that of the last ack.
struct Of(Option<RunId>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |run| write!(f, ",\"run\":\"{run}\""))
    }
}

pub(super) fn ack(run: Option<RunId>, seq: u64) -> Frame {
    Frame::Text(format!("{{\"type\":\"ack\"{},\"seq\":{seq}}}", Of(run)).into())
}

/// The longest reason of a refusal, in bytes: a nack is no message, and must fit whatever the peer takes.
pub(super) const MAX_REASON: usize = 512;

/// The first part of a reason, if it is too long.
pub(super) fn shortened(reason: &str) -> &str {
    let end = (0..=MAX_REASON.min(reason.len())).rev().find(|&end| reason.is_char_boundary(end));
    &reason[..end.unwrap_or(0)]
}

pub(super) fn nack(run: Option<RunId>, seq: u64, reason: &str) -> Frame {
    // A string always has a form.
    let reason = serde_json::to_string(reason).unwrap_or_else(|_| "\"\"".into());
    Frame::Text(format!("{{\"type\":\"nack\"{},\"seq\":{seq},\"reason\":{reason}}}", Of(run)).into())
}

/// Writes `goaway`.
pub(super) fn goaway(from: Duration, to: Duration) -> Frame {
    Frame::Text(format!("{{\"type\":\"goaway\",\"retry_ms\":[{},{}]}}", from.as_millis(), to.as_millis()).into())
}

/// Writes a message; without `seq` as a volatile one.
pub(super) fn message(message: &Message, seq: Option<u64>) -> Frame {
    let mut head = String::with_capacity(message.len() + 64);
    let kind = match message {
        Message::Binary(binary) => {
            let mut frame = BytesMut::with_capacity(8 + binary.len());
            frame.put_u64(seq.unwrap_or(0));
            frame.extend_from_slice(binary);
            return Frame::Binary(frame.freeze());
        }
        Message::Text(_) => "text",
        Message::Json(_) => "json",
    };
    // Writing to a string does not fail.
    let _ = write!(head, "{{\"type\":\"{kind}\",");
    if let Some(seq) = seq {
        let _ = write!(head, "\"seq\":{seq},");
    }
    head.push_str("\"content\":");
    match message {
        Message::Text(text) => {
            let mut bytes = head.into_bytes();
            // Nor does a string lack a form, nor that form UTF-8.
            let _ = serde_json::to_writer(&mut bytes, text.as_str());
            bytes.push(b'}');
            return Frame::Text(ByteString::try_from(Bytes::from(bytes)).unwrap_or_default());
        }
        Message::Json(json) => head.push_str(json.as_str()),
        Message::Binary(_) => {}
    }
    head.push('}');
    Frame::Text(head.into())
}
