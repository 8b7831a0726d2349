//! WebSocket framing, for both ends: bytes to messages and back, and close codes.
//!
//! The decoder is our own, and pure: it says of every byte sequence what it comes to, and which close code what is wrong asks
//! for, as early as that can be known. actix-http's codec writes the frames that we send.

mod batch;
mod close;
mod decoder;
mod encoder;
mod header;
mod mask;
mod utf8;

use bytes::Bytes;
use bytestring::ByteString;

pub use self::{
    batch::{Batch, End, MAX_PINGS, Pings},
    close::{CloseCode, CloseReason},
    decoder::Decoder,
    encoder::{Encoder, Outgoing},
};

/// A whole data message of a WebSocket, as a wire format sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(ByteString),
    /// A binary frame.
    Binary(Bytes),
}

impl Frame {
    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a peer's bytes come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A data message, its fragments joined.
    Frame(Frame),
    /// A ping, to be answered with a pong of the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// A close frame; nothing comes after it.
    Close(Option<CloseReason>),
}

/// Which end of a connection this is: a client masks what it sends, a server does not (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
}

impl Role {
    fn codec(self) -> actix_http::ws::Codec {
        match self {
            Self::Client => actix_http::ws::Codec::new().client_mode(),
            Self::Server => actix_http::ws::Codec::new(),
        }
    }
}
