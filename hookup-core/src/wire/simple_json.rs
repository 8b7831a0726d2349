//! `simpleJson`: nothing is wrapped, nothing is acked.

use std::borrow::Cow;

use super::{AckId, Inbound, WireError, WireFormat, envelope};
use crate::{
    message::{Binary, Json, Message, Text},
    ws::Frame,
};

/// The original Hookup's plain format, for WebSocket applications that know nothing of Hookup.
///
/// A text frame that parses as a JSON object or array is a json message, any other a text message; a binary frame is a
/// binary message. So a text that is itself a JSON object or array arrives as a json message, and a json message that is
/// a string, number, boolean or null arrives as text: the format cannot tell them apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimpleJson;

impl WireFormat for SimpleJson {
    fn name(&self) -> &str {
        "simpleJson"
    }

    fn render(&self, message: &Message, _: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        Ok(match message {
            Message::Text(text) => Frame::Text(text.clone().into_inner()),
            Message::Json(json) => Frame::Text(json.clone().into_inner()),
            Message::Binary(binary) => Frame::Binary(binary.clone().into_inner()),
        })
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        let message: Message = match frame {
            Frame::Text(text) if envelope::is_object_or_array(&text) => Json::checked(text).into(),
            Frame::Text(text) => Text(text).into(),
            Frame::Binary(bytes) => Binary(bytes).into(),
        };
        Ok(message.into())
    }
}
