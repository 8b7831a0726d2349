//! Messages to bytes.

use actix_http::ws::{Codec, Message};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::Encoder as _;

use super::{CloseReason, Frame, Role};

/// Something to be written to the socket.
#[derive(Debug)]
pub enum Outgoing {
    /// A data message.
    Frame(Frame),
    /// A ping without a payload.
    Ping,
    /// A pong that answers a ping with this payload.
    Pong(Bytes),
    /// A close frame.
    Close(CloseReason),
}

impl From<Outgoing> for Message {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Frame(Frame::Text(text)) => Self::Text(text),
            Outgoing::Frame(Frame::Binary(bytes)) => Self::Binary(bytes),
            Outgoing::Ping => Self::Ping(Bytes::new()),
            Outgoing::Pong(payload) => Self::Pong(payload),
            Outgoing::Close(reason) => Self::Close(reason.to_wire()),
        }
    }
}

/// Turns messages into the bytes of one connection's direction.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
}

impl Encoder {
    /// An encoder of what this end sends.
    pub fn new(role: Role) -> Self {
        Self { codec: role.codec() }
    }

    /// Appends the bytes of one message.
    pub fn encode(&mut self, outgoing: Outgoing, buffer: &mut BytesMut) {
        // Only continuation frames can fail, and none are sent.
        let result = self.codec.encode(outgoing.into(), buffer);
        debug_assert!(result.is_ok(), "{result:?}");
    }
}
