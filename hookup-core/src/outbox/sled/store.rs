//! The sessions of a server on disk.

use std::{fmt, io, path::Path, sync::Arc};

use super::{
    Database, SledOutbox, Value,
    ended::{Ended, Reopened},
    label::Kind,
    value::{encode_state, split_state},
};
use crate::{
    link::v2::{SessionId, State},
    outbox::{Outbox, OutboxError, SessionStore, store::MAX_ENDED},
};

/// A server's sessions in a directory of its own, kept by sled.
///
/// What a session's outbox has accepted, the state that it has saved, and that it has ended, survive the end of the
/// process, SIGKILL included; not, or not surely, a loss of power. What has left an outbox may turn up again after a
/// crash, and is sent again then. Of sessions that have ended it remembers 100,000; then the one that ended first is
/// forgotten.
///
/// The directory is in use until the store and all outboxes that it has opened are dropped.
pub struct SledStore {
    database: Arc<Database>,
    ended: Arc<Ended>,
    max_ended: usize,
}

impl SledStore {
    /// Opens the session store in this directory, or makes one there. It blocks for a moment, for as long as a second
    /// when the directory is in use; it reads the states of all sessions, not their messages.
    ///
    /// # Errors
    /// [`OutboxError`] when the directory is in use, is no session store, is damaged, or cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let database = Database::open(path.as_ref(), Kind::Sessions)?;
        let ended = Ended::default();
        for item in database.states() {
            let (session, value) = item?;
            if let Some(at) = ended_at(&database, &value)? {
                ended.lock().insert((at, session));
            }
        }
        Ok(Self { database: Arc::new(database), ended: Arc::new(ended), max_ended: MAX_ENDED })
    }

    /// Takes a session from the ended ones, if it is one of them.
    fn reopen(&self, session: SessionId) -> Result<Option<Reopened>, OutboxError> {
        // Under the lock it is not forgotten between the reading and the taking.
        let mut ended = self.ended.lock();
        let Some(value) = self.database.state(session)? else { return Ok(None) };
        let Some(at) = ended_at(&self.database, &value)? else { return Ok(None) };
        ended.remove(&(at, session));
        drop(ended);
        let reopened = Reopened::new(Arc::clone(&self.ended), at, session);
        // `end` may have been cut short.
        self.database.remove_messages(session)?;
        Ok(Some(reopened))
    }

    /// Forgets the session that ended first, if `is_due` with the time of that and the number of the ended ones.
    fn forget_first(&self, is_due: impl FnOnce(u64, usize) -> bool) -> Result<bool, OutboxError> {
        let mut ended = self.ended.lock();
        let Some(&(at, session)) = ended.first().filter(|(at, _)| is_due(*at, ended.len())) else { return Ok(false) };
        let is_ended = match self.database.state(session)? {
            Some(value) => ended_at(&self.database, &value)? == Some(at),
            None => false,
        };
        if is_ended {
            // Messages first: where a crash comes between, they are still those of a session that has ended.
            self.database.remove_messages(session)?;
            self.database.remove_state(session)?;
        }
        ended.pop_first();
        Ok(true)
    }
}

impl SessionStore for SledStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        let mut sessions = Vec::new();
        for item in self.database.states() {
            let (session, value) = item?;
            if ended_at(&self.database, &value)?.is_none() {
                sessions.push(session);
            }
        }
        Ok(sessions)
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        let reopened = self.reopen(session)?;
        Ok(Box::new(SledOutbox::of(Arc::clone(&self.database), session, reopened)?))
    }

    fn end(&self, state: &State, now: u64) -> Result<(), OutboxError> {
        let session = state.session;
        let failed =
            |error| OutboxError::Io { path: self.database.path.display().to_string(), source: io::Error::from(error) };
        let value = encode_state(&state.ended(), Some(now)).map(Value::from).map_err(failed)?;
        // The state first: where a crash comes between, the session has ended, and what is left of its messages goes when
        // it is opened or forgotten. The other way round it would lack messages and not say so.
        let mut ended = self.ended.lock();
        let before = self.database.put_state(session, value)?;
        if let Some(at) = before.as_deref().and_then(split_state).and_then(|(at, _)| at) {
            ended.remove(&(at, session));
        }
        drop(ended);
        self.database.remove_messages(session)?;
        self.ended.lock().insert((now, session));
        while self.forget_first(|_, count| count > self.max_ended)? {}
        self.database.flush()
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        while self.forget_first(|at, _| at < time)? {}
        Ok(())
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("path", &self.database.path).field("ended", &self.ended).finish()
    }
}

/// When the session of this state ended, if it has.
fn ended_at(database: &Database, value: &[u8]) -> Result<Option<u64>, OutboxError> {
    let split = split_state(value).map(|(at, _)| at);
    split.ok_or_else(|| database.damaged("a state in it is not in a form that this version knows"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::v2::RunId,
        message::Text,
        outbox::{Changes, Entry, Stored},
    };

    fn store() -> (tempfile::TempDir, SledStore) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(directory.path()).expect("opens");
        (directory, store)
    }

    fn whole(session: SessionId) -> State {
        let mut state = State::new(session, None);
        state.begin_run(RunId(1), 0);
        state
    }

    fn entry(seq: u64) -> Entry {
        Entry { seq, outbound: Text(seq.to_string()).into() }
    }

    fn only(state: State) -> Stored {
        Stored { state: Some(state), ..Stored::default() }
    }

    /// A session with a state and one message.
    fn begin(store: &SledStore, session: SessionId) {
        let mut outbox = store.open(session).expect("opens");
        outbox.commit(&Changes::save(whole(session))).expect("saves");
        outbox.commit(&Changes::append([entry(1)])).expect("appends");
    }

    #[test]
    fn the_sled_store_keeps_the_contract() {
        let (_directory, store) = store();
        crate::testkit::session_store(&store);
        assert_eq!(store.database.messages.len() + store.database.states.len(), 0, "and leaves nothing behind");
    }

    #[test]
    fn sessions_and_ended_ones_are_there_when_it_is_opened_again() {
        let (directory, store) = store();
        let [live, ended, later] = [SessionId(1), SessionId(2), SessionId(3)];
        for session in [live, ended, later] {
            begin(&store, session);
        }
        store.end(&whole(ended), 1000).expect("ends");
        store.end(&whole(later), 2000).expect("ends");
        drop(store);
        let store = SledStore::open(directory.path()).expect("opens");
        assert_eq!(store.sessions().expect("reads"), [live]);
        store.forget(2000).expect("forgets");
        assert_eq!(store.open(ended).expect("opens").stored(), Stored::default());
        assert_eq!(store.open(later).expect("opens").stored(), only(whole(later).ended()));
        let mut outbox = store.open(live).expect("opens");
        assert_eq!(outbox.stored().state, Some(whole(live)));
        assert_eq!(outbox.load(0, 10, 100).expect("loads"), [entry(1)]);
    }

    #[test]
    fn an_end_that_was_cut_short_is_an_end() {
        let (directory, store) = store();
        let (opened, forgotten) = (SessionId(1), SessionId(2));
        for session in [opened, forgotten] {
            begin(&store, session);
            let value = encode_state(&whole(session).ended(), Some(1000)).expect("encodes");
            store.database.put_state(session, value.into()).expect("puts");
        }
        drop(store);
        let store = SledStore::open(directory.path()).expect("opens");
        assert_eq!(store.sessions().expect("reads"), []);
        assert_eq!(store.open(opened).expect("opens").stored(), only(whole(opened).ended()));
        store.forget(1001).expect("forgets");
        assert_eq!(store.database.messages.len(), 0, "no messages are left behind");
    }

    #[test]
    fn a_session_that_was_opened_after_its_end_and_left_alone_is_forgotten_in_time() {
        let (_directory, store) = store();
        let session = SessionId(1);
        store.end(&whole(session), 1000).expect("ends");
        drop(store.open(session).expect("opens"));
        assert_eq!(store.sessions().expect("reads"), []);
        store.forget(1001).expect("forgets");
        assert_eq!(store.open(session).expect("opens").stored(), Stored::default());
    }

    #[test]
    fn a_message_makes_a_session_that_had_ended_live_again() {
        let (directory, store) = store();
        let session = SessionId(1);
        store.end(&whole(session), 1000).expect("ends");
        store.open(session).expect("opens").commit(&Changes::append([entry(1)])).expect("appends");
        drop(store);
        let store = SledStore::open(directory.path()).expect("opens");
        assert_eq!(store.sessions().expect("reads"), [session]);
        store.forget(u64::MAX).expect("forgets");
        let mut outbox = store.open(session).expect("opens");
        assert_eq!(outbox.load(0, 10, 100).expect("loads"), [entry(1)]);
        assert_eq!(outbox.stored().state, Some(whole(session).ended()), "what it lacks, it still lacks");
    }

    #[test]
    fn when_too_many_have_ended_the_first_is_forgotten() {
        let (_directory, mut store) = store();
        store.max_ended = 2;
        for n in 1..=3_u32 {
            let session = SessionId(n.into());
            store.end(&State::new(session, None), n.into()).expect("ends");
        }
        let has_state = |n| store.open(SessionId(n)).expect("opens").stored().state.is_some();
        assert_eq!([1, 2, 3].map(has_state), [false, true, true]);
    }

    #[test]
    fn a_state_in_an_unknown_form_is_an_error() {
        let (directory, store) = store();
        store.database.put_state(SessionId(1), Value::from(b"nonsense")).expect("puts");
        assert!(store.open(SessionId(1)).is_err() && store.sessions().is_err());
        drop(store);
        let error = SledStore::open(directory.path()).expect_err("broken");
        assert!(matches!(error, OutboxError::Damaged { .. }), "{error}");
    }
}
