//! The outbox: what has been accepted and has not left yet.

mod disk;
mod memory;
mod store;

use std::{io, path::PathBuf};

pub use self::{
    disk::{Durability, SledOptions, SledOutbox, SledStore},
    memory::MemoryOutbox,
    store::{MemoryStore, SessionStore},
};
use serde::{Deserialize, Serialize};

use crate::{link::v2::State, outbound::Outbound, settings::text};

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
/// [`testkit::outbox`](crate::testkit::outbox) checks an implementation, and
/// [`testkit::durable_outbox`](crate::testkit::durable_outbox) one that is durable.
pub trait Outbox: Send + 'static {
    /// What it holds. Asked when it was opened, before anything else.
    fn stored(&self) -> Stored;

    /// Whether its messages outlive the process. One that is not durable is called on the arbiter and must not block.
    fn is_durable(&self) -> bool;

    /// Makes these changes, in the order of the fields. It returns when they are as durable as it makes them.
    ///
    /// # Errors
    /// When they could not be made. Then none of the appended entries may turn up later; the removals and the state may have
    /// been made or not, and are asked for again.
    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError>;

    /// The entries with `seq >= from`, in order: as many as fit the limits, but at least one if there is one.
    ///
    /// # Errors
    /// When they could not be read.
    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError>;
}

/// What is to be done to an outbox at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is to be kept: entries whose `seq` rise and are above all before.
    pub appends: Vec<Entry>,
    /// What is to be forgotten, by rising `seq`. Unknown ones are ignored. A durable outbox may forget a little later; what
    /// turns up again after a crash is sent again.
    pub removes: Vec<Removal>,
    /// The state of the `hookup.v2` session, to be kept beside the messages in place of the one before. There is one about
    /// once for each batch of messages that is received.
    pub state: Option<State>,
}

/// An entry that has left its outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// Which.
    pub seq: u64,
    /// Its [`Entry::bytes`].
    pub bytes: u64,
}

impl From<&Entry> for Removal {
    fn from(entry: &Entry) -> Self {
        Self { seq: entry.seq, bytes: entry.bytes() }
    }
}

impl Changes {
    /// Entries to be kept.
    pub fn append(appends: impl Into<Vec<Entry>>) -> Self {
        Self { appends: appends.into(), ..Self::default() }
    }

    /// Entries to be forgotten.
    pub fn remove<'a>(removes: impl IntoIterator<Item = &'a Entry>) -> Self {
        Self { removes: removes.into_iter().map(Removal::from).collect(), ..Self::default() }
    }

    /// A state to be kept.
    pub fn save(state: State) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.removes.is_empty() && self.state.is_none()
    }
}

/// What an outbox holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The highest `seq` that it holds; or, where it remembers that, that it has held. 0 when there was none.
    pub last_seq: u64,
    /// What it holds.
    pub usage: Usage,
    /// The state that was last saved, if one was.
    pub state: Option<State>,
    /// What became of a damaged outbox that this one took the place of.
    pub quarantined: Option<Quarantined>,
}

/// A damaged outbox, or session store, was moved aside, and what could be read of it is in the one that took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Where it was, and where its successor is.
    pub path: PathBuf,
    /// Where it is now.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub problem: String,
    /// How many messages could be saved.
    pub saved: usize,
}

impl Quarantined {
    /// What was at `path`, and is at `moved_to` now; for an outbox of your own.
    pub fn new(
        path: impl Into<PathBuf>,
        moved_to: impl Into<PathBuf>,
        problem: impl Into<String>,
        saved: usize,
    ) -> Self {
        Self { path: path.into(), moved_to: moved_to.into(), problem: problem.into(), saved }
    }
}

/// An amount of messages. In text: `{ messages = 256, bytes = "1MiB" }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of messages and bytes")]
pub struct Usage {
    /// How many.
    pub messages: usize,
    /// Their payloads' bytes.
    #[serde(with = "text::bytes")]
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
