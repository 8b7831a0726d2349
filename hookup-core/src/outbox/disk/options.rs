//! How an outbox or a session store on disk is opened.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{SledOutbox, SledStore, limits::Limits};
use crate::outbox::OutboxError;

/// What "accepted" and "saved" mean of an outbox or a session store on disk. In text: `"buffered"`, `"process-crash"`,
/// `"power-loss"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Durability {
    /// Written to the files within [`SledOptions::flush_every`]: what was accepted since is lost when the process is killed.
    Buffered,
    /// Written to the files: survives the end of the process, SIGKILL included; not, or not surely, a loss of power.
    #[default]
    ProcessCrash,
    /// Written to the files and synced: survives a loss of power, if the disk keeps what it says that it has.
    PowerLoss,
}

/// How an outbox, or a session store, on disk is opened.
///
/// ```no_run
/// # use hookup_core::{Durability, OutboxError, SledOptions};
/// # fn main() -> Result<(), OutboxError> {
/// let outbox = SledOptions::new().durability(Durability::PowerLoss).outbox("work/outbox")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SledOptions {
    pub(super) durability: Durability,
    pub(super) flush_every: Duration,
    pub(super) quarantine: bool,
    pub(super) limits: Limits,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            flush_every: Duration::from_millis(500),
            quarantine: false,
            limits: Limits::default(),
        }
    }
}

impl SledOptions {
    /// The defaults: [`Durability::ProcessCrash`], and a damaged directory is an error.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a message counts as accepted, and a state as saved. Default: [`Durability::ProcessCrash`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// After how long at the latest what is [`Durability::Buffered`] is written. Default: 500 ms; at least 1 ms.
    #[must_use]
    pub fn flush_every(mut self, interval: Duration) -> Self {
        self.flush_every = interval;
        self
    }

    /// Whether a damaged directory is moved aside, what can be read of it is copied into a new one, and
    /// [`Stored::quarantined`](crate::Stored::quarantined) says so. Default: no; it is an error.
    #[must_use]
    pub fn quarantine(mut self, quarantine: bool) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// Opens the outbox of a client in this directory, or makes one there. It blocks: for as long as it takes to read what
    /// is stored, and up to a second longer when the directory is in use.
    ///
    /// # Errors
    /// [`OutboxError`] when the directory is in use, is no outbox, is damaged, or cannot be used.
    pub fn outbox(&self, path: impl AsRef<Path>) -> Result<SledOutbox, OutboxError> {
        SledOutbox::with(path.as_ref(), self)
    }

    /// Opens the session store of a server in this directory, or makes one there. It blocks like [`SledOptions::outbox`].
    ///
    /// # Errors
    /// [`OutboxError`] when the directory is in use, is no session store, is damaged, or cannot be used.
    pub fn store(&self, path: impl AsRef<Path>) -> Result<SledStore, OutboxError> {
        SledStore::with(path.as_ref(), self)
    }
}
