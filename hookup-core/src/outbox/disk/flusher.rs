//! Writes what is only buffered, now and then.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{lock, state::State};

/// A thread that writes what was gathered, in intervals. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Flusher {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(state: &Arc<Mutex<State>>, every: Duration) -> std::io::Result<Self> {
        let ended = Arc::<(Mutex<bool>, Condvar)>::default();
        let (state, end) = (Arc::downgrade(state), Arc::clone(&ended));
        let thread = thread::Builder::new().name("hookup-outbox".into()).spawn(move || run(&state, &end, every))?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

fn run(state: &Weak<Mutex<State>>, (ended, told): &(Mutex<bool>, Condvar), every: Duration) {
    let mut has_failed = false;
    loop {
        let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = told.wait_timeout_while(guard, every, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
        if *guard {
            return;
        }
        drop(guard);
        let Some(state) = state.upgrade() else { return };
        // What is gathered stays until it could be written; the commit that finds no more room for it fails.
        match lock(&state).log.write() {
            Err(error) if !std::mem::replace(&mut has_failed, true) => {
                tracing::error!(%error, "what an outbox has buffered could not be written");
            }
            Err(_) => {}
            Ok(()) => has_failed = false,
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
        // It may have the state for a moment longer, and with it the catalog open.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
