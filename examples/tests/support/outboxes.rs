//! Outboxes and stores that a test holds up, or lets fail.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::{Arc, Condvar, Mutex};

use hookup_server::{
    MemoryStore, SessionId, SessionStore,
    core::{Changes, Entry, MemoryOutbox, Outbox, OutboxError, SessionState, Stored},
};
use tokio::sync::Notify;

use crate::support::soon;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// Of a store: to say which sessions it has, and to open the outbox of one.
    List,
    Open,
    /// To save the first state of a session, which ends the opening of its outbox.
    Begin,
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
        Self::over(MemoryOutbox::default(), watch)
    }

    /// One that begins with what this has.
    pub(crate) fn over(
        outbox: impl Outbox,
        watch: impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static,
    ) -> Self {
        Self { outbox: Box::new(outbox), watch: Arc::new(watch) }
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
        let save = if self.outbox.stored().state.is_some() { Op::Save } else { Op::Begin };
        let (appends, removes) = (!changes.appends.is_empty(), !changes.removes.is_empty());
        let ops = [(Op::Append, appends), (Op::Remove, removes), (save, changes.state.is_some())];
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
    store: Box<dyn SessionStore>,
    watch: Watch,
}

impl WatchedStore {
    pub(crate) fn new(watch: impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static) -> Self {
        Self::over(MemoryStore::default(), watch)
    }

    /// The same of another store.
    pub(crate) fn over(
        store: impl SessionStore,
        watch: impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static,
    ) -> Self {
        Self { store: Box::new(store), watch: Arc::new(watch) }
    }
}

impl SessionStore for WatchedStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn sessions(&self) -> Result<Vec<SessionId>, OutboxError> {
        (self.watch)(Op::List)?;
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
    held: Notify,
}

impl Barrier {
    pub(crate) fn shut(&self) {
        *self.0.is_shut.lock().expect("nobody panics with it") = true;
    }

    pub(crate) fn open(&self) {
        *self.0.is_shut.lock().expect("nobody panics with it") = false;
        self.0.opened.notify_all();
    }

    /// A thread has come to it while it was shut.
    pub(crate) async fn holds(&self) {
        soon("a call that hangs", self.0.held.notified()).await;
    }

    /// Waits until it is open, where this is to be done.
    pub(crate) fn before(&self, op: Op) -> impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static {
        let pass = self.pass();
        move |next| {
            if next == op {
                pass();
            }
            Ok(())
        }
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self) -> impl Fn() + Send + Sync + 'static {
        let shut = self.0.clone();
        move || {
            let is_shut = shut.is_shut.lock().expect("nobody panics with it");
            if *is_shut {
                shut.held.notify_one();
            }
            drop(shut.opened.wait_while(is_shut, |is_shut| *is_shut).expect("nobody panics with it"));
        }
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.open();
    }
}
