//! Outboxes and stores that a test holds up, or lets fail.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::{Arc, Condvar, Mutex};

use hookup_server::{
    MemoryStore, SessionId, SessionStore,
    core::{Changes, Entry, MemoryOutbox, Outbox, OutboxError, SessionState, Stored},
};

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Open,
    Append,
    Remove,
    Load,
    Save,
}

/// Is asked before anything is done, on the thread that is to do it, and may wait or fail.
type Watch = Arc<dyn Fn(Op) -> Result<(), OutboxError> + Send + Sync>;

/// An outbox in memory that is worked on off the arbiter, as one on disk is.
pub(crate) struct Watched {
    outbox: Box<dyn Outbox>,
    watch: Watch,
}

impl Watched {
    pub(crate) fn new(watch: impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static) -> Self {
        Self { outbox: Box::<MemoryOutbox>::default(), watch: Arc::new(watch) }
    }
}

impl Outbox for Watched {
    fn stored(&self) -> Stored {
        self.outbox.stored()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        // Without the first state there is no session to test.
        let saves = changes.state.is_some() && self.outbox.stored().state.is_some();
        let ops =
            [(Op::Append, !changes.appends.is_empty()), (Op::Remove, !changes.removes.is_empty()), (Op::Save, saves)];
        ops.into_iter().filter(|&(_, is_asked)| is_asked).try_for_each(|(op, _)| (self.watch)(op))?;
        self.outbox.commit(changes)
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        (self.watch)(Op::Load)?;
        self.outbox.load(from, messages, bytes)
    }
}

/// A store in memory that is asked off the arbiter, as one on disk is.
pub(crate) struct WatchedStore {
    store: MemoryStore,
    watch: Watch,
}

impl WatchedStore {
    pub(crate) fn new(watch: impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static) -> Self {
        Self { store: MemoryStore::default(), watch: Arc::new(watch) }
    }
}

impl SessionStore for WatchedStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        self.store.sessions()
    }

    fn open(&self, session: SessionId) -> Result<Box<dyn Outbox>, OutboxError> {
        (self.watch)(Op::Open)?;
        Ok(Box::new(Watched { outbox: self.store.open(session)?, watch: self.watch.clone() }))
    }

    fn end(&self, state: &SessionState, now: u64) -> Result<(), OutboxError> {
        self.store.end(state, now)
    }

    fn forget(&self, time: u64) -> Result<(), OutboxError> {
        self.store.forget(time)
    }
}

/// What threads wait at while it is shut. It opens when the test that holds it ends, so that none of them waits for ever.
#[derive(Default)]
pub(crate) struct Barrier(Arc<Shut>);

#[derive(Default)]
struct Shut {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Barrier {
    pub(crate) fn shut(&self) {
        *self.0.is_shut.lock().expect("nobody panics with it") = true;
    }

    pub(crate) fn open(&self) {
        *self.0.is_shut.lock().expect("nobody panics with it") = false;
        self.0.opened.notify_all();
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self) -> impl Fn() + Send + Sync + 'static {
        let shut = self.0.clone();
        move || {
            let is_shut = shut.is_shut.lock().expect("nobody panics with it");
            drop(shut.opened.wait_while(is_shut, |is_shut| *is_shut).expect("nobody panics with it"));
        }
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.open();
    }
}
