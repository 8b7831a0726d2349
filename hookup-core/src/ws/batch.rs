//! What one read from a socket comes to.

use bytes::Bytes;

use super::{CloseReason, Decoder, Frame, Signal};
use crate::transport::ReadGate;

/// The messages that came in together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The data messages, in order.
    pub frames: Vec<Frame>,
    /// The pings, to be answered.
    pub pings: Pings,
    /// Whether a ping or a pong was among them.
    pub alive: bool,
    /// Whether an end has come that must be taken once more, after others had their turn.
    pub is_held: bool,
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

/// How many pings are answered one by one while no answer leaves.
pub const MAX_PINGS: usize = 64;

/// The payloads of pings that are to be answered.
///
/// Each gets its pong, as peers are entitled to expect, up to [`MAX_PINGS`] that wait together; of more, the last takes the
/// place of the one before it: answering the last is enough (RFC 6455, section 5.5.3), and keeps what waits small.
#[derive(Debug, Default)]
pub struct Pings(Vec<Bytes>);

impl Pings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, payload: Bytes) {
        if self.0.len() == MAX_PINGS {
            self.0.pop();
        }
        self.0.push(payload);
    }
}

impl Extend<Bytes> for Pings {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, payloads: I) {
        payloads.into_iter().for_each(|payload| self.push(payload));
    }
}

impl IntoIterator for Pings {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
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
                    self.pings.push(payload);
                    self.alive = true;
                }
                Ok(Some(Signal::Pong)) => self.alive = true,
                Ok(Some(Signal::Close(reason))) => self.end = Some(End::Close(reason)),
                Err(reason) if gate.is_drained() => self.end = Some(End::Violation(reason)),
                // What came before a violation is to be handled, and answered, before the connection is closed for it.
                Err(_) => {
                    self.is_held = gate.is_open();
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Role, *};
    use crate::transport::Credit;

    #[test]
    fn a_violation_waits_until_what_came_before_it_is_handled_and_answered() {
        let mut decoder = Decoder::new(Role::Client, 100, 1);
        let mut gate = ReadGate::new(Credit { frames: 10, bytes: 100 });
        decoder.buffer().extend_from_slice(&[0x81, 2, b'h', b'i', 0xff]);
        let mut take = |gate: &mut ReadGate| {
            let mut batch = Batch::default();
            batch.take(&mut decoder, gate);
            (batch.frames.len(), batch.is_held, batch.end.is_some())
        };
        assert_eq!(take(&mut gate), (1, false, false));
        assert!(!gate.is_open());
        assert_eq!(take(&mut gate), (0, false, false), "it is not handled");
        gate.handled(Credit { frames: 1, bytes: 2 });
        assert_eq!(take(&mut gate), (0, true, false), "its answer is not on its way");
        assert_eq!(take(&mut gate), (0, false, true));
    }

    #[test]
    fn of_too_many_pings_the_first_and_the_last_are_answered() {
        let mut pings = Pings::default();
        pings.extend((0..200).map(|n: usize| Bytes::from(n.to_string())));
        let numbers = pings.into_iter().map(|ping| String::from_utf8_lossy(&ping).parse::<usize>().ok());
        assert!(numbers.eq((0..MAX_PINGS - 1).chain([199]).map(Some)));
    }
}
