//! The outbox of one session on disk.

use std::{fmt, path::Path, sync::Arc};

use super::{Cursor, Disk, SledOptions, label::Kind};
use crate::{
    link::v2::SessionId,
    outbox::{Changes, Entry, Outbox, OutboxError, Quarantined, Stored},
};

/// The session in a client's directory, which holds only one. Its real id is in its state.
const ONLY: SessionId = SessionId(0);

/// A client's outbox in a directory of its own; or a session's of a [`SledStore`](crate::SledStore).
///
/// Messages are in a log of files, and a summary of the session beside it in sled. What it has accepted, and the state that it
/// has saved, survive what the [`Durability`](crate::Durability) says that it was opened with. What has left it may turn up
/// again after a crash, and is sent again then.
pub struct SledOutbox {
    disk: Arc<Disk>,
    session: SessionId,
    /// Where the last load ended; loads mostly follow each other.
    cursor: Option<Cursor>,
    quarantined: Option<Quarantined>,
}

impl SledOutbox {
    /// Opens the outbox in this directory with the default [`SledOptions`], or makes one there.
    ///
    /// # Errors
    /// As [`SledOptions::outbox`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        SledOptions::new().outbox(path)
    }

    pub(super) fn with(path: &Path, options: &SledOptions) -> Result<Self, OutboxError> {
        let (disk, quarantined) = Disk::open(path, Kind::Outbox, options)?;
        let mut outbox = Self::of(Arc::new(disk), ONLY)?;
        outbox.quarantined = quarantined;
        Ok(outbox)
    }

    /// The outbox of a session.
    pub(super) fn of(disk: Arc<Disk>, session: SessionId) -> Result<Self, OutboxError> {
        disk.state().open(session)?;
        // Whatever comes of it, it is closed when it is dropped.
        let outbox = Self { disk, session, cursor: None, quarantined: None };
        let disk = &outbox.disk;
        let mut state = disk.state();
        let ledger = state.ledger(session)?;
        if let Some(missing) = ledger.missing() {
            return Err(super::damaged(&disk.path, format_args!("message {} is missing", missing.start)));
        }
        ledger.state().map(|json| disk.decode(json)).transpose()?;
        drop(state);
        Ok(outbox)
    }
}

impl Outbox for SledOutbox {
    fn stored(&self) -> Stored {
        let mut state = self.disk.state();
        // It is in memory for as long as it is open, and its state was decoded when it was opened.
        let Ok(ledger) = state.ledger(self.session) else { return Stored::default() };
        Stored {
            last_seq: ledger.last_seq(),
            usage: ledger.usage(),
            state: ledger.state().and_then(|json| self.disk.decode(json).ok()),
            quarantined: self.quarantined.clone(),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        if changes.is_empty() {
            return Ok(());
        }
        let committed = self.disk.commit(self.session, changes);
        if committed.is_err() {
            // What was read may have been taken out again.
            self.cursor = None;
        }
        committed
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        let loaded = self.disk.load(self.session, &mut self.cursor, from, messages, bytes);
        if loaded.is_err() {
            self.cursor = None;
        }
        loaded
    }
}

impl Drop for SledOutbox {
    fn drop(&mut self) {
        self.disk.state().close(self.session);
    }
}

impl fmt::Debug for SledOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledOutbox").field("disk", &self.disk).field("session", &self.session).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::v2::{RunId, State},
        message::Text,
        outbound::Outbound,
        outbox::{Durability, Usage},
    };

    fn entry(seq: u64, text: &'static str) -> Entry {
        Entry { seq, outbound: Text(text).into() }
    }

    #[test]
    fn the_sled_outbox_keeps_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        crate::testkit::outbox(&mut SledOutbox::open(directory.path()).expect("opens"));
    }

    #[test]
    fn the_sled_outbox_is_durable_at_each_level() {
        for durability in [Durability::Buffered, Durability::ProcessCrash, Durability::PowerLoss] {
            let directory = tempfile::tempdir().expect("a directory");
            let options = SledOptions::new().durability(durability);
            crate::testkit::durable_outbox(|| options.outbox(directory.path()).expect("opens"));
        }
    }

    #[test]
    fn what_was_accepted_and_saved_is_there_when_it_is_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("made/on/demand");
        let mut outbox = SledOutbox::open(&path).expect("opens");
        assert_eq!(outbox.stored(), Stored::default());
        let mut state = State::new(SessionId(7), None);
        state.begin_run(RunId(1), 0);
        outbox.commit(&Changes::save(state.clone())).expect("saves");
        let late = Entry { seq: 3, outbound: Outbound::from(Text("three")).expiring_at(1234) };
        outbox.commit(&Changes::append([entry(1, "one"), entry(2, "two"), late.clone()])).expect("appends");
        outbox.commit(&Changes::remove([&entry(2, "two")])).expect("removes");
        state.begin_run(RunId(2), 3);
        outbox.commit(&Changes::save(state.clone())).expect("saves");
        drop(outbox);
        let mut outbox = SledOutbox::open(&path).expect("opens");
        assert_eq!(outbox.load(0, 10, 1000).expect("loads"), [entry(1, "one"), late]);
        let usage = Usage { messages: 2, bytes: 8 };
        assert_eq!(outbox.stored(), Stored { last_seq: 3, usage, state: Some(state), quarantined: None });
    }
}
