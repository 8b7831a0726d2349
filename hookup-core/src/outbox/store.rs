//! Where a server keeps the outboxes of its sessions.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Changes, MemoryOutbox, Outbox, OutboxError};
use crate::link::v2::{SessionId, State};

/// Where a server keeps its sessions of `hookup.v2`: for each the messages that it has queued for its client, and the state.
///
/// Its calls are made on a thread for blocking work if it is durable, and on an arbiter if not. Several may be made at a
/// time, but for one session only one, and none while its outbox is open.
/// [`testkit::session_store`](crate::testkit::session_store) checks an implementation.
pub trait SessionStore: Send + Sync + 'static {
    /// Whether sessions outlive the process.
    fn is_durable(&self) -> bool;

    /// The sessions that it holds and that have not ended, in no order. Asked when the server starts, before any is
    /// opened, and again if that failed.
    ///
    /// # Errors
    /// When they could not be read.
    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError>;

    /// Opens the outbox of a session. Of a session that it does not know it is empty, and has no state; of one that has
    /// ended it is empty, and has the state that was kept.
    ///
    /// # Errors
    /// When it could not be opened.
    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError>;

    /// A session has ended at `now`, in milliseconds since the Unix epoch, and its outbox was dropped: its messages are
    /// forgotten, and of its state is kept what [`State::ended`] says, so that what was handled is not handled again.
    ///
    /// # Errors
    /// When that failed.
    fn end(&self, state: &State, now: u64) -> Result<(), OutboxError>;

    /// Forgets what was kept of sessions that ended before `time`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When that failed.
    fn forget(&self, time: u64) -> Result<(), OutboxError>;
}

impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn is_durable(&self) -> bool {
        (**self).is_durable()
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        (**self).sessions()
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        (**self).open(session)
    }

    fn end(&self, state: &State, now: u64) -> Result<(), OutboxError> {
        (**self).end(state, now)
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        (**self).forget(time)
    }
}

/// How many ended sessions a store remembers; then the one that ended first is forgotten.
pub(super) const MAX_ENDED: usize = 100_000;

/// The default store: sessions live and die with the server's process.
#[derive(Default)]
pub struct MemoryStore {
    ended: Mutex<Ended>,
}

#[derive(Default)]
struct Ended {
    states: HashMap<SessionId, (State, (u64, u64))>,
    /// By the time of their end, and a number that keeps those of the same time apart.
    by_time: BTreeMap<(u64, u64), SessionId>,
    count: u64,
}

impl Ended {
    fn insert(&mut self, state: State, now: u64) {
        self.remove(state.session);
        self.count += 1;
        let time = (now, self.count);
        self.by_time.insert(time, state.session);
        self.states.insert(state.session, (state, time));
        if self.states.len() > MAX_ENDED {
            self.pop_first();
        }
    }

    fn remove(&mut self, session: SessionId) -> Option<State> {
        let (state, time) = self.states.remove(&session)?;
        self.by_time.remove(&time);
        Some(state)
    }

    fn pop_first(&mut self) {
        if let Some((_, session)) = self.by_time.pop_first() {
            self.states.remove(&session);
        }
    }
}

impl MemoryStore {
    fn ended(&self) -> std::sync::MutexGuard<'_, Ended> {
        // Nothing in here panics halfway.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        Ok(Vec::new())
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        let mut outbox = MemoryOutbox::default();
        if let Some(state) = self.ended().remove(session) {
            outbox.commit(&Changes::save(state))?;
        }
        Ok(Box::new(outbox))
    }

    fn end(&self, state: &State, now: u64) -> Result<(), OutboxError> {
        self.ended().insert(state.ended(), now);
        Ok(())
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        let mut ended = self.ended();
        while ended.by_time.first_key_value().is_some_and(|(&(at, _), _)| at < time) {
            ended.pop_first();
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("ended", &self.ended().states.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_store_keeps_the_contract() {
        crate::testkit::session_store(&MemoryStore::default());
    }
}
