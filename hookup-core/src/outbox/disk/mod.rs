//! Outboxes on disk: a log of messages and of all that happens to them, and a catalog of sessions beside it.
//!
//! ```text
//! hookup-outbox   says what the directory is; locked while it is in use
//! log/            files of some 16 MiB, written one after the other
//! catalog/        a summary of each session as of one of these files, kept by sled
//! reserve         space that is given back to a full disk, for what makes room
//! ```
//!
//! What is promised, and what keeps it:
//!
//! - **A commit is one write**, and for [`Durability::PowerLoss`] one sync, which those who wait at the same time share. What
//!   is found after a crash is what the first so many commits left, the last perhaps in part.
//! - **Nothing is accepted in part.** What could not be written wholly is cut off again, and kept from being built upon until
//!   that is done.
//! - **Damage is noticed.** Every record has a checksum, a file knows its length, a finished one that it has a successor, and
//!   the catalog which messages there must be. All of it is read when a directory is opened.
//! - **A full disk can be drained.** Some space is kept for what makes room; messages are refused before it is touched.
//! - **Space comes back.** A file is deleted when nothing in it is kept and the catalog covers it; what pins an old file is moved
//!   to the end.
//! - **Memory does not grow with the backlog.** What is known of messages is where each 64 KiB of them are.

mod catalog;
mod cursor;
mod directory;
mod flusher;
mod label;
mod ledger;
mod limits;
mod log;
mod options;
mod outbox;
mod quarantine;
mod record;
mod recovery;
mod reserve;
mod scan;
mod segment;
mod state;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod value;

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    cursor::Cursor,
    flusher::Flusher,
    ledger::{Located, Place},
    state::State,
    sync::Syncs,
};
pub use self::{
    options::{Durability, SledOptions},
    outbox::SledOutbox,
    store::SledStore,
};
use super::{Changes, Entry, OutboxError};
use crate::link::v2::{self, SessionId};

/// A directory in use, by any number of sessions. It is free again when the last outbox in it is dropped.
pub(super) struct Disk {
    path: PathBuf,
    durability: Durability,
    state: Arc<Mutex<State>>,
    syncs: Syncs,
    /// Dropped before the state, as it has it, too.
    _flusher: Option<Flusher>,
    _lock: File,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic of sled's may come through here; it leaves nothing halfway that is not read anew.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn failed(&self, error: io::Error) -> OutboxError {
        failed(&self.path, error)
    }

    /// Makes changes to a session's outbox.
    fn commit(&self, session: SessionId, changes: &Changes) -> Result<(), OutboxError> {
        let json = changes.state.as_ref().map(|state| self.encode(state)).transpose()?;
        let position = self.state().commit(session, changes, json.as_deref())?;
        // What has left may turn up again after a crash; that is not worth a sync.
        if changes.appends.is_empty() && json.is_none() { Ok(()) } else { self.sync(position) }
    }

    /// Ends a session, or forgets it.
    fn commit_end(&self, end: impl FnOnce(&mut State) -> Result<u64, OutboxError>) -> Result<(), OutboxError> {
        let position = end(&mut self.state())?;
        self.sync(position)
    }

    /// Returns when the log is synced up to this position, where that is waited for.
    fn sync(&self, position: u64) -> Result<(), OutboxError> {
        if self.durability < Durability::PowerLoss {
            return Ok(());
        }
        self.syncs.sync(position, &self.state).map_err(|error| self.failed(error))
    }

    /// The messages of a session from `from` on: as many as fit the limits, but at least one if there is one.
    fn load(
        &self,
        session: SessionId,
        cursor: &mut Option<Cursor>,
        mut from: u64,
        messages: usize,
        bytes: u64,
    ) -> Result<Vec<Entry>, OutboxError> {
        let (mut loaded, mut held) = (Vec::new(), 0);
        loop {
            let (place, seqs, file) = {
                let mut state = self.state();
                let Some(Located { place, seqs }) = state.find(session, from)? else { return Ok(loaded) };
                let file = state.reader(place.file)?;
                (place, seqs, file)
            };
            let first = seqs.first().map_or(from, |range| range.start);
            let read = |place| log::read(&file, place).map_err(|error| self.failed(error));
            match cursor {
                Some(cursor) if cursor.leads_to(first, place) => {
                    if let Some(rest) = cursor.grown(place) {
                        cursor.extend(place, read(rest)?);
                    }
                }
                _ => *cursor = Some(Cursor::new(session, place, read(place)?)),
            }
            let Some(cursor) = cursor else { return Ok(loaded) };
            let count = seqs.iter().map(|range| range.end - range.start).sum::<u64>();
            loaded.reserve(messages.saturating_sub(loaded.len()).min(usize::try_from(count).unwrap_or(usize::MAX)));
            for seq in seqs.into_iter().flatten() {
                if loaded.len() >= messages {
                    return Ok(loaded);
                }
                let outbound = cursor.take(seq).map_err(|_| unreadable(&self.path, place, seq))?;
                let entry = Entry { seq, outbound };
                held += entry.bytes();
                if held > bytes && !loaded.is_empty() {
                    cursor.put_back(entry);
                    return Ok(loaded);
                }
                loaded.push(entry);
                from = seq + 1;
            }
        }
    }

    fn encode(&self, state: &v2::State) -> Result<Vec<u8>, OutboxError> {
        serde_json::to_vec(state).map_err(|error| self.failed(error.into()))
    }

    /// The state in this JSON.
    fn decode(&self, json: &[u8]) -> Result<v2::State, OutboxError> {
        let state = serde_json::from_slice(json);
        state.map_err(|_| damaged(&self.path, "a session's state is not in a form that this version knows"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.state().log.close() {
            tracing::error!(%error, path = %self.path.display(), "what was buffered could not be written");
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).field("durability", &self.durability).finish_non_exhaustive()
    }
}

fn failed(path: &Path, source: io::Error) -> OutboxError {
    OutboxError::Io { path: path.display().to_string(), source }
}

fn unreadable(path: &Path, place: Place, seq: u64) -> OutboxError {
    damaged(path, format_args!("file {} of its log: message {seq} is not where it was", place.file))
}

fn damaged(path: &Path, problem: impl fmt::Display) -> OutboxError {
    OutboxError::Damaged { path: path.display().to_string(), problem: problem.to_string() }
}
