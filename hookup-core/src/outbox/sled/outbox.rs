//! The outbox of one session on disk.

use std::{fmt, io, path::Path, sync::Arc};

use super::{
    Database, Value,
    ended::Reopened,
    label::Kind,
    value::{decode, decode_state, encode, encode_state, payload_len, split_state},
};
use crate::{
    link::v2::{SessionId, State},
    outbox::{Changes, Entry, Outbox, OutboxError, Removal, Stored, Usage},
};

/// The session in a client's directory, which holds only one. Its real id is in its state.
const ONLY: SessionId = SessionId(0);

/// A client's outbox in a directory of its own, kept by sled; or a session's of a [`SledStore`](crate::SledStore).
///
/// What it has accepted, and the state that it has saved, survive the end of the process, SIGKILL included; not, or not
/// surely, a loss of power. What has left it may turn up again after a crash, and is sent again then.
pub struct SledOutbox {
    database: Arc<Database>,
    session: SessionId,
    last_seq: u64,
    usage: Usage,
    state: Option<Value>,
    reopened: Option<Reopened>,
}

impl SledOutbox {
    /// Opens the outbox in this directory, or makes one there. It blocks for a moment, for as long as a second when the
    /// directory is in use.
    ///
    /// # Errors
    /// [`OutboxError`] when the directory is in use, is no outbox, is damaged, or cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let database = Database::open(path.as_ref(), Kind::Outbox)?;
        Self::of(Arc::new(database), ONLY, None)
    }

    /// The outbox of a session.
    pub(super) fn of(
        database: Arc<Database>,
        session: SessionId,
        reopened: Option<Reopened>,
    ) -> Result<Self, OutboxError> {
        let state = database.state(session)?;
        if state.as_deref().is_some_and(|value| decode_state(value).is_none()) {
            return Err(database.damaged("the state in it is not in a form that this version knows"));
        }
        let mut outbox = Self { database, session, last_seq: 0, usage: Usage::default(), state, reopened };
        for message in outbox.database.messages(session, 0) {
            let (seq, value) = message?;
            outbox.usage.add(outbox.payload_len(&value)?);
            outbox.last_seq = seq;
        }
        Ok(outbox)
    }

    fn payload_len(&self, value: &[u8]) -> Result<u64, OutboxError> {
        payload_len(value).ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> OutboxError {
        self.database.damaged("a message in it is not in a form that this version knows")
    }

    fn put_state(&mut self, value: Value) -> Result<(), OutboxError> {
        self.database.put_state(self.session, value.clone())?;
        self.state = Some(value);
        if let Some(reopened) = self.reopened.take() {
            reopened.lives();
        }
        Ok(())
    }

    /// A session that had ended must not be given a message while the database says so: what is left of such a session's
    /// messages is thrown away.
    fn revive(&mut self) -> Result<(), OutboxError> {
        if self.reopened.is_none() {
            return Ok(());
        }
        match self.stored().state {
            Some(state) => self.put_state(self.encode_state(&state)?),
            None => Ok(()),
        }
    }

    fn encode_state(&self, state: &State) -> Result<Value, OutboxError> {
        let value = encode_state(state, None);
        value.map(Value::from).map_err(|error| OutboxError::Io {
            path: self.database.path.display().to_string(),
            source: io::Error::from(error),
        })
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), OutboxError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.revive()?;
        if let Err(error) = self.put_all(entries) {
            for entry in entries {
                // The disk has failed already; there is nothing more that could be done about it.
                let _ = self.database.remove_message(self.session, entry.seq);
            }
            return Err(error);
        }
        for entry in entries {
            self.usage.add(entry.bytes());
            self.last_seq = entry.seq;
        }
        Ok(())
    }

    fn remove(&mut self, removes: &[Removal]) -> Result<(), OutboxError> {
        for removal in removes {
            if let Some(value) = self.database.remove_message(self.session, removal.seq)? {
                self.usage.subtract(self.payload_len(&value)?);
            }
        }
        Ok(())
    }

    fn save(&mut self, state: &State) -> Result<(), OutboxError> {
        self.put_state(self.encode_state(state)?)?;
        self.database.flush()
    }

    fn put_all(&self, entries: &[Entry]) -> Result<(), OutboxError> {
        let mut value = Vec::new();
        for entry in entries {
            value.clear();
            encode(&entry.outbound, &mut value);
            self.database.put_message(self.session, entry.seq, &value)?;
        }
        self.database.flush()
    }
}

impl Outbox for SledOutbox {
    fn stored(&self) -> Stored {
        // It was decoded when it was read, or else encoded here.
        let state = self.state.as_deref().and_then(decode_state);
        Stored { last_seq: self.last_seq, usage: self.usage, state, quarantined: None }
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.append(&changes.appends)?;
        self.remove(&changes.removes)?;
        match &changes.state {
            Some(state) => self.save(state),
            None => Ok(()),
        }
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        let (mut loaded, mut held) = (Vec::new(), 0);
        for message in self.database.messages(self.session, from).take(messages) {
            let (seq, value) = message?;
            held += self.payload_len(&value)?;
            if held > bytes && !loaded.is_empty() {
                break;
            }
            loaded.push(Entry { seq, outbound: decode(&value).ok_or_else(|| self.unknown())? });
        }
        Ok(loaded)
    }
}

impl fmt::Debug for SledOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended_at = self.state.as_deref().and_then(split_state).and_then(|(at, _)| at);
        f.debug_struct("SledOutbox")
            .field("path", &self.database.path)
            .field("last_seq", &self.last_seq)
            .field("usage", &self.usage)
            .field("ended_at", &ended_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link::v2::RunId, message::Text, outbound::Outbound};

    fn entry(seq: u64, text: &'static str) -> Entry {
        Entry { seq, outbound: Text(text).into() }
    }

    #[test]
    fn the_sled_outbox_keeps_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        crate::testkit::outbox(&mut SledOutbox::open(directory.path()).expect("opens"));
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

    #[test]
    fn values_in_an_unknown_form_are_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut outbox = SledOutbox::open(directory.path()).expect("opens");
        let broken = |outbox: Result<SledOutbox, OutboxError>, what: &str| {
            let error = outbox.expect_err("broken");
            assert!(matches!(error, OutboxError::Damaged { .. }) && error.to_string().contains(what), "{error}");
        };
        outbox.database.put_message(ONLY, 1, &[0xff]).expect("puts");
        broken(SledOutbox::of(Arc::clone(&outbox.database), ONLY, None), "a message in it");
        outbox.commit(&Changes::append([entry(1, "one")])).expect("appends");
        outbox.put_state(Value::from(b"\0{}")).expect("puts");
        broken(SledOutbox::of(Arc::clone(&outbox.database), ONLY, None), "the state in it");
    }
}
