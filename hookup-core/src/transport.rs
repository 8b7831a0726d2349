//! What passes between a session and whatever holds its socket.
//!
//! On the server that is the `Connection` actor, on the client the socket task. Both speak this, so that a session
//! knows nothing of either, and one wake-up's frames travel as one batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    event::Cause,
    outbox::Usage,
    ws::{CloseReason, Frame},
};

/// How long a transport waits for a peer's answer to a close frame.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a session that is to close waits for what was sent before to be written.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// From the session to its transport.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub enum Command {
    /// Write these frames, in order, with one write; and `credit` frames that came in have been handled.
    Transmit {
        /// The frames.
        frames: Vec<Frame>,
        /// What has been handled, and may be read again.
        credit: Credit,
    },
    /// Send a ping.
    Ping,
    /// Send a close frame, wait a little for the answer, and end.
    Close(CloseReason),
    /// End at once: the peer is dead.
    Abort,
}

/// From a transport to its session.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub enum Notice {
    /// Frames that came in together, in order.
    Frames(Vec<Frame>),
    /// Something came in that carries no message: a ping or a pong.
    Alive,
    /// This many more frames, in the order of the `Transmit`s, were written.
    Written(usize),
    /// The peer broke the protocol: the connection is being closed with this. `Ended` follows.
    Violated(CloseReason),
    /// The connection is over; nothing follows.
    Ended(Cause),
}

/// An amount of frames that came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credit {
    /// How many frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Credit {
    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        self.frames == 0
    }

    /// Adds one frame.
    pub fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }
}

/// A bound as it is set.
impl From<Usage> for Credit {
    fn from(bound: Usage) -> Self {
        Self { frames: bound.messages, bytes: usize::try_from(bound.bytes).unwrap_or(usize::MAX) }
    }
}

impl From<Credit> for Usage {
    fn from(credit: Credit) -> Self {
        Self { messages: credit.frames, bytes: u64::try_from(credit.bytes).unwrap_or(u64::MAX) }
    }
}

/// Counts what came in and is not handled yet; a transport reads no further while it is at its bound.
#[derive(Debug)]
pub struct ReadGate {
    unhandled: Credit,
    bound: Credit,
    draining: Option<Drained>,
}

/// What a gate that is to be drained waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// All of it to be handled.
    Handling,
    /// What was sent in answer to be on its way.
    Answers,
}

impl ReadGate {
    /// A gate that shuts when `bound` is reached, in frames or in bytes.
    pub fn new(bound: Credit) -> Self {
        Self { unhandled: Credit::default(), bound, draining: None }
    }

    /// Whether more may be read.
    pub fn is_open(&self) -> bool {
        if self.draining.is_some() {
            return self.unhandled.is_none();
        }
        self.unhandled.frames < self.bound.frames && self.unhandled.bytes < self.bound.bytes
    }

    /// Whether all that came in has been handled, and answered. While it has not, the gate is shut; when it has just
    /// been handled, this must be asked again after others had their turn: what a handler sent is on its way then.
    pub fn is_drained(&mut self) -> bool {
        match self.draining {
            None if self.unhandled.is_none() => return true,
            None => self.draining = Some(Drained::Handling),
            Some(_) if !self.unhandled.is_none() => {}
            Some(Drained::Handling) => self.draining = Some(Drained::Answers),
            Some(Drained::Answers) => return true,
        }
        false
    }

    /// Whether it is waited for that, as the connection is to be closed then.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// It is waited for no longer, whatever is handled.
    pub fn open_for_good(&mut self) {
        *self = Self::new(Credit { frames: usize::MAX, bytes: usize::MAX });
    }

    /// A frame of this many bytes came in.
    pub fn received(&mut self, bytes: usize) {
        self.unhandled.add(bytes);
    }

    /// This much came in another way, and is not handled yet.
    pub fn owe(&mut self, unhandled: Credit) {
        self.unhandled.frames += unhandled.frames;
        self.unhandled.bytes += unhandled.bytes;
    }

    /// What is not handled yet.
    pub fn unhandled(&self) -> Credit {
        self.unhandled
    }

    /// The session has handled this much.
    pub fn handled(&mut self, credit: Credit) {
        self.unhandled.frames = self.unhandled.frames.saturating_sub(credit.frames);
        self.unhandled.bytes = self.unhandled.bytes.saturating_sub(credit.bytes);
    }
}

/// Counts whenever a peer takes something of what is written to it: the transport notes, the session reads. So a long
/// message that a slow line takes its time for can be told from a peer that takes nothing.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    count: AtomicU64,
    waits: AtomicBool,
}

impl Progress {
    /// The socket took something.
    pub fn note(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Whether the transport has something that the socket is yet to take, though it counts as written. To be said after what the
    /// socket took before was noted.
    pub fn set_waiting(&self, waits: bool) {
        self.0.waits.store(waits, Ordering::Release);
    }

    /// Whether that is so.
    pub fn is_waiting(&self) -> bool {
        self.0.waits.load(Ordering::Acquire)
    }
}
