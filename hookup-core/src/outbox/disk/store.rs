//! The sessions of a server on disk.

use std::{fmt, path::Path, sync::Arc};

use super::{Disk, SledOptions, SledOutbox, damaged, label::Kind};
use crate::{
    link::v2::{SessionId, State},
    outbox::{Outbox, OutboxError, Quarantined, SessionStore, store::MAX_ENDED},
};

/// A server's sessions in a directory of its own: those of all of them in one log, and a summary of each beside it in sled.
///
/// What a session's outbox has accepted, the state that it has saved, and that it has ended, survive what the
/// [`Durability`](crate::Durability) says that the store was opened with. What has left an outbox may turn up again after a
/// crash, and is sent again then. Of sessions that have ended it remembers 100,000; then the one that ended first is forgotten.
///
/// The directory is in use until the store and all outboxes that it has opened are dropped.
pub struct SledStore {
    pub(super) disk: Arc<Disk>,
    quarantined: Option<Quarantined>,
    max_ended: usize,
}

impl SledStore {
    /// Opens the session store in this directory with the default [`SledOptions`], or makes one there.
    ///
    /// # Errors
    /// As [`SledOptions::store`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        SledOptions::new().store(path)
    }

    pub(super) fn with(path: &Path, options: &SledOptions) -> Result<Self, OutboxError> {
        let (disk, quarantined) = Disk::open(path, Kind::Sessions, options)?;
        let mut ended = Vec::new();
        disk.state().each(|session, ledger| {
            if let Some(missing) = ledger.missing() {
                return Err(damaged(path, format_args!("message {} of session {session} is missing", missing.start)));
            }
            ledger.state().map(|json| disk.decode(json)).transpose()?;
            ended.extend(ledger.ended_at().map(|at| (at, session)));
            Ok(())
        })?;
        disk.state().ended.extend(ended);
        Ok(Self { disk: Arc::new(disk), quarantined, max_ended: MAX_ENDED })
    }

    /// What became of a damaged directory that this one took the place of.
    pub fn quarantined(&self) -> Option<&Quarantined> {
        self.quarantined.as_ref()
    }
}

impl SessionStore for SledStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        let mut sessions = Vec::new();
        self.disk.state().each(|session, ledger| {
            if ledger.state().is_some() && ledger.ended_at().is_none() {
                sessions.push(session);
            }
            Ok(())
        })?;
        Ok(sessions)
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        Ok(Box::new(SledOutbox::of(Arc::clone(&self.disk), session)?))
    }

    fn end(&self, state: &State, now: u64) -> Result<(), OutboxError> {
        let json = self.disk.encode(&state.ended())?;
        self.disk.commit_end(|disk| {
            let position = disk.end(state.session, now, &json)?;
            while disk.forget_first(|_, count| count > self.max_ended)? {}
            Ok(position)
        })
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        let mut state = self.disk.state();
        while state.forget_first(|at, _| at < time)? {}
        Ok(())
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("disk", &self.disk).finish_non_exhaustive()
    }
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
        store.disk.state().each(|session, _| panic!("{session} is left behind")).expect("reads");
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
}
