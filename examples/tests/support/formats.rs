//! Wire formats of one's own.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::borrow::Cow;

use hookup_server::{
    JsonProtocol, Message, WireFormat,
    core::{
        wire::{AckId, Inbound, WireError},
        ws::Frame,
    },
};

/// A wire format with a name, and nothing else.
pub(crate) struct Named(pub(crate) &'static str);

impl WireFormat for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn render(&self, _: &Message, _: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        Err("it renders nothing".into())
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        Err(WireError::new("it parses nothing", frame))
    }
}

/// `jsonProtocol` with refusals: `no 7 because it is late`.
pub(crate) struct Refusing;

impl WireFormat for Refusing {
    fn name(&self) -> &str {
        "refusing"
    }

    fn can_ack(&self, message: &Message) -> bool {
        JsonProtocol.can_ack(message)
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        JsonProtocol.render(message, ack)
    }

    fn render_ack(&self, id: AckId) -> Option<Frame> {
        JsonProtocol.render_ack(id)
    }

    fn render_nack(&self, id: AckId, reason: &str) -> Option<Frame> {
        Some(Frame::Text(format!("no {id} because {reason}").into()))
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        let Frame::Text(text) = &frame else { return JsonProtocol.parse(frame) };
        let refusal = text.strip_prefix("no ").and_then(|rest| rest.split_once(" because "));
        match refusal.and_then(|(id, reason)| Some((AckId::new(id.parse().ok()?)?, reason.to_owned()))) {
            Some((id, reason)) => Ok(Inbound::Nack { id, reason }),
            None => JsonProtocol.parse(frame),
        }
    }
}
