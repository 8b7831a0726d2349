//! Which sessions of a store have ended, and when: what is to be forgotten is found without a walk over the disk.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::link::v2::SessionId;

/// The sessions that have ended and that nobody has open, by the time of their end. Each is in the database, too, with
/// the same time; while the lock is held, nothing of that changes.
#[derive(Default)]
pub(super) struct Ended {
    by_time: Mutex<BTreeSet<(u64, SessionId)>>,
}

impl Ended {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeSet<(u64, SessionId)>> {
        // Nothing is changed halfway when a panic of sled's comes through here.
        self.by_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended", self.lock().len())
    }
}

/// A session that had ended when it was opened. While it is open it is not forgotten; it goes back to the ended ones
/// when it is dropped before anything was kept of it.
pub(super) struct Reopened {
    ended: Arc<Ended>,
    at: u64,
    session: SessionId,
    is_live: bool,
}

impl Reopened {
    /// It was taken from the ended sessions.
    pub(super) fn new(ended: Arc<Ended>, at: u64, session: SessionId) -> Self {
        Self { ended, at, session, is_live: false }
    }

    /// The database says of it that it lives.
    pub(super) fn lives(mut self) {
        self.is_live = true;
    }
}

impl Drop for Reopened {
    fn drop(&mut self) {
        if !self.is_live {
            self.ended.lock().insert((self.at, self.session));
        }
    }
}
