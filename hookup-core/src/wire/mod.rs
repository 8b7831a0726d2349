//! Wire formats: how messages, ack requests and acks look as WebSocket frames.

pub(crate) mod envelope;
mod formats;
mod json_protocol;
mod simple_json;

use std::{borrow::Cow, fmt};

pub use self::{
    formats::{Formats, Negotiation, Protocol},
    json_protocol::JsonProtocol,
    simple_json::SimpleJson,
};
use crate::{
    message::Message,
    ws::{CloseCode, Frame},
};

/// A wire format: a subprotocol's name, and how its frames are rendered and parsed.
///
/// Implement it for a format of your own, and register it by its name with `wire_format` on the server's and the
/// client's builder. It holds no state: one value serves all connections.
pub trait WireFormat: Send + Sync + 'static {
    /// The subprotocol's name, a token of RFC 9110, section 5.6.2.
    fn name(&self) -> &str;

    /// Whether this message can be sent with a request for an ack. Default: none can.
    fn can_ack(&self, message: &Message) -> bool {
        let _ = message;
        false
    }

    /// Renders a message; with an ack request of this id, if there is one. It is asked for one only where
    /// [`can_ack`](Self::can_ack) allows it.
    ///
    /// # Errors
    /// In words, when the format has no form for the message; its sender is told.
    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>>;

    /// Renders the ack of the peer's message with this id.
    fn render_ack(&self, id: AckId) -> Option<Frame> {
        let _ = id;
        None
    }

    /// Renders the refusal of the peer's message with this id, where the format has such a frame.
    fn render_nack(&self, id: AckId, reason: &str) -> Option<Frame> {
        let _ = (id, reason);
        None
    }

    /// Parses a frame. What it returns may share the frame's buffer.
    ///
    /// # Errors
    /// [`WireError`] with the frame in it. The handler is told; the connection goes on unless the error names a close code.
    fn parse(&self, frame: Frame) -> Result<Inbound, WireError>;
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A message, and the id to ack it with, if its sender wants that.
    Message {
        /// The message.
        message: Message,
        /// The id.
        ack: Option<AckId>,
    },
    /// The ack of a message of ours.
    Ack(AckId),
    /// The refusal of a message of ours.
    Nack {
        /// The message's id.
        id: AckId,
        /// The peer's words.
        reason: String,
    },
}

impl From<Message> for Inbound {
    fn from(message: Message) -> Self {
        Self::Message { message, ack: None }
    }
}

/// A message's number on one connection in one direction: from 1 to 2^53-1, the integers that JSON peers keep exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(u64);

impl AckId {
    /// The first id of a connection.
    pub const FIRST: Self = Self(1);
    /// The highest id.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// An id, if the number is in range.
    pub fn new(id: u64) -> Option<Self> {
        (Self::FIRST.0..=Self::MAX.0).contains(&id).then_some(Self(id))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A frame that a wire format could not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame was not understood: {problem}")]
pub struct WireError {
    /// What is wrong with it.
    pub problem: Cow<'static, str>,
    /// The frame, as it came.
    pub frame: Frame,
    /// The code to close the connection with; `None` lets it go on.
    pub close: Option<CloseCode>,
}

impl WireError {
    /// An error that lets the connection go on.
    pub fn new(problem: impl Into<Cow<'static, str>>, frame: Frame) -> Self {
        Self { problem: problem.into(), frame, close: None }
    }

    /// The same, closing the connection with this code.
    pub fn closing(mut self, code: CloseCode) -> Self {
        self.close = Some(code);
        self
    }
}
