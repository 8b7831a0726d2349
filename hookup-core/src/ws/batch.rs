//! What one read from a socket comes to.

use bytes::Bytes;

use super::{CloseReason, Decoder, Frame, Signal};
use crate::transport::ReadGate;

/// The messages that came in together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The data messages, in order.
    pub frames: Vec<Frame>,
    /// The payload of the last ping, to be answered; answering the last is enough (RFC 6455, section 5.5.3).
    pub ping: Option<Bytes>,
    /// Whether a ping or a pong was among them.
    pub alive: bool,
    /// The end of the stream, if it came.
    pub end: Option<End>,
}

/// How a peer's stream of frames ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Close(Option<CloseReason>),
    /// With a violation of the protocol, to be answered with this close frame.
    Violation(CloseReason),
}

impl Batch {
    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && !self.alive && self.end.is_none()
    }

    /// Takes what a decoder has, for as long as the gate lets it. After an end nothing must be taken any more.
    pub fn take(&mut self, decoder: &mut Decoder, gate: &mut ReadGate) {
        while gate.is_open() && self.end.is_none() {
            match decoder.next_signal() {
                Ok(None) => break,
                Ok(Some(Signal::Frame(frame))) => {
                    gate.received(frame.len());
                    self.frames.push(frame);
                }
                Ok(Some(Signal::Ping(payload))) => {
                    self.ping = Some(payload);
                    self.alive = true;
                }
                Ok(Some(Signal::Pong)) => self.alive = true,
                Ok(Some(Signal::Close(reason))) => self.end = Some(End::Close(reason)),
                Err(reason) => self.end = Some(End::Violation(reason)),
            }
        }
    }
}
