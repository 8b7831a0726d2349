//! Conformance to RFC 6455: one table of conversations, which a server and a client are both put through by a peer that
//! writes and reads the bytes itself.
//!
//! The conversations are numbered as those of the public suite, Autobahn|Testsuite, where it has them.

#![allow(dead_code, reason = "each test uses a part of it")]

mod closing;
mod fragments;
mod framing;
mod limits;
mod peer;
mod utf8;

use hookup_server::{Event, Peer as Other};

pub(crate) use self::peer::Peer;

/// The tests that put an end through all of the table, a part at a time, by this function.
macro_rules! tests {
    ($plays:ident) => {
        #[actix::test]
        async fn framing_pings_reserved_bits_and_opcodes() {
            $plays($crate::conformance::framing()).await;
        }

        #[actix::test]
        async fn fragments() {
            $plays($crate::conformance::fragments()).await;
        }

        #[actix::test]
        async fn utf8() {
            $plays($crate::conformance::utf8()).await;
        }

        #[actix::test]
        async fn closing() {
            $plays($crate::conformance::closing()).await;
        }

        #[actix::test]
        async fn limits() {
            $plays($crate::conformance::limits()).await;
        }
    };
}

pub(crate) use tests;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The longest message that may be sent.
pub(crate) const LONGEST: usize = 16 << 20;

/// A frame as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// The last fragment's bit, the reserved bits, and the opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
    /// What the header says, where that is not the payload's length.
    pub(crate) claims: Option<u64>,
    /// Whether the mask's bit is the wrong one.
    pub(crate) is_masked_wrongly: bool,
}

/// A frame that is a message's last or only one.
pub(crate) fn last(opcode: u8, payload: impl AsRef<[u8]>) -> Sent {
    Sent { first: 0x80 | opcode, ..more(opcode, payload) }
}

/// A frame that more fragments follow.
pub(crate) fn more(opcode: u8, payload: impl AsRef<[u8]>) -> Sent {
    Sent { first: opcode, payload: payload.as_ref().to_vec(), claims: None, is_masked_wrongly: false }
}

/// A close frame.
pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Sent {
    last(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A step of a conversation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These frames go out with one write.
    Send(Vec<Sent>),
    /// These frames go out in writes of so many bytes.
    Chop(usize, Vec<Sent>),
    /// These bytes of a payload go out, masked as the frame before them, behind what it had.
    Rest(Vec<u8>),
    /// This comes next.
    Expect(u8, Vec<u8>),
    /// Nothing has come: a ping is answered, and that comes next.
    Silence,
}

/// How a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer closes with 1000, and is answered.
    Clean,
    /// Next comes a close frame with this code, or without one, and then the end.
    Closed(Option<u16>),
}

/// A conversation.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

impl Case {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new(), ending: Ending::Clean }
    }

    fn send(mut self, frames: impl IntoIterator<Item = Sent>) -> Self {
        self.steps.push(Step::Send(frames.into_iter().collect()));
        self
    }

    /// Each of these frames with a write of its own.
    fn send_each(self, frames: impl IntoIterator<Item = Sent>) -> Self {
        frames.into_iter().fold(self, |case, frame| case.send([frame]))
    }

    fn chop(mut self, size: usize, frames: impl IntoIterator<Item = Sent>) -> Self {
        self.steps.push(Step::Chop(size, frames.into_iter().collect()));
        self
    }

    fn rest(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Rest(bytes.as_ref().to_vec()));
        self
    }

    fn expect(mut self, opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Expect(opcode, payload.as_ref().to_vec()));
        self
    }

    fn silence(mut self) -> Self {
        self.steps.push(Step::Silence);
        self
    }

    fn closed(mut self, code: impl Into<Option<u16>>) -> Self {
        self.ending = Ending::Closed(code.into());
        self
    }
}

/// The conversations about framing, pings, reserved bits and opcodes: 1 to 4.
pub(crate) fn framing() -> Vec<Case> {
    framing::cases()
}

/// Those about fragments: 5 and 10.
pub(crate) fn fragments() -> Vec<Case> {
    fragments::cases()
}

/// Those about UTF-8: 6.
pub(crate) fn utf8() -> Vec<Case> {
    utf8::cases()
}

/// Those about closing: 7.
pub(crate) fn closing() -> Vec<Case> {
    closing::cases()
}

/// Those about limits: 9.
pub(crate) fn limits() -> Vec<Case> {
    limits::cases()
}

/// Sends back what comes.
pub(crate) async fn echo(event: Event, other: Other) {
    match event {
        Event::Text(text) => other.do_send(text),
        Event::Json(json) => other.do_send(json),
        Event::Binary(binary) => other.do_send(binary),
        _ => {}
    }
}
