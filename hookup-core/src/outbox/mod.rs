//! The outbox: what has been accepted and has not left yet.

mod memory;
mod sled;
mod store;

use std::io;

pub use self::{
    memory::MemoryOutbox,
    sled::{SledOutbox, SledStore},
    store::{MemoryStore, SessionStore},
};
use crate::{link::v2::State, outbound::Outbound};

/// A message in an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of acceptance, from 1. Unique within one outbox.
    pub seq: u64,
    /// The message.
    pub outbound: Outbound,
}

impl Entry {
    /// What it counts against the outbox's bound, in bytes.
    pub fn bytes(&self) -> u64 {
        self.outbound.message().len() as u64
    }
}

/// Where accepted messages are kept until they have left. Implement it to keep them elsewhere.
///
/// One session owns it, and makes one call at a time. A durable outbox may block: its calls are made on a thread for
/// blocking work, never on an arbiter. After a crash, it holds what the first so many of its calls, in their order, would
/// have left, the last of them perhaps in part: all of those that had to be durable, and perhaps more.
/// [`testkit::outbox`](crate::testkit::outbox) checks an implementation.
pub trait Outbox: Send + 'static {
    /// What it holds. Asked when it was opened, before anything else.
    fn stored(&self) -> Stored;

    /// Whether its messages outlive the process. One that is not durable is called on the arbiter and must not block.
    fn is_durable(&self) -> bool;

    /// Keeps these entries, whose `seq` rise and are above all before. It returns when they are as durable as it makes them.
    ///
    /// # Errors
    /// When they could not be kept; then none of them may turn up later.
    fn append(&mut self, entries: &[Entry]) -> Result<(), OutboxError>;

    /// Forgets these entries. Unknown ones are ignored. A durable outbox may forget a little later.
    ///
    /// # Errors
    /// When it failed. Entries that turn up again are sent again.
    fn remove(&mut self, seqs: &[u64]) -> Result<(), OutboxError>;

    /// The entries with `seq >= from`, in order: as many as fit the limits, but at least one if there is one.
    ///
    /// # Errors
    /// When they could not be read.
    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError>;

    /// Keeps the state of the `hookup.v2` session beside its messages, in place of the one before. It returns when that
    /// is as durable as an entry. It is called about once for each batch of messages that is received.
    ///
    /// # Errors
    /// When it could not be kept. Nothing is acked then, and it is tried again.
    fn save(&mut self, state: &State) -> Result<(), OutboxError>;
}

/// What an outbox holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The highest `seq` that it holds; 0 when it holds nothing.
    pub last_seq: u64,
    /// What it holds.
    pub usage: Usage,
    /// The state that was last saved, if one was.
    pub state: Option<State>,
}

/// An amount of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many.
    pub messages: usize,
    /// Their payloads' bytes.
    pub bytes: u64,
}

impl Usage {
    /// Adds one message.
    pub fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Takes one message away.
    pub fn subtract(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether one more message fits within `bound`.
    pub fn admits(&self, bytes: u64, bound: Usage) -> bool {
        self.messages < bound.messages && self.bytes.saturating_add(bytes) <= bound.bytes
    }
}

/// Why an outbox or a session store could not be opened, or could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// Another process, or another client or server of this one, has it open.
    #[error("the outbox {path} is in use; one client or server at a time can use it")]
    Locked {
        /// Where it is.
        path: String,
    },
    /// What is stored there is not what was to be opened, is of another version, or is not whole.
    #[error(
        "the outbox {path} cannot be used: {problem}; choose another one, or move the directory away to start afresh"
    )]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The storage below failed.
    #[error("the outbox {path} failed: {source}")]
    Io {
        /// Where it is.
        path: String,
        /// The failure.
        source: io::Error,
    },
    /// The outbox's code panicked.
    #[error("the outbox's code panicked")]
    Panicked,
    /// The outbox has been closed.
    #[error("the outbox is closed")]
    Closed,
    /// A failure of an outbox that is not ours.
    #[error("the outbox failed: {0}")]
    Other(String),
}
