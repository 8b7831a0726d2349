//! Calls of outboxes and session stores. They may block, and are made off the arbiters then; and they may be the user's,
//! so that a panic is an error like another.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use futures_util::future::{BoxFuture, ready};
use tokio::{runtime::Handle, task::spawn_blocking};

use crate::{outbox::OutboxError, panics::catch};

/// Makes a call of an outbox or a store, on this thread.
///
/// # Errors
/// Its own, and when it panicked.
pub(super) fn guard<T>(call: impl FnOnce() -> Result<T, OutboxError>) -> Result<T, OutboxError> {
    catch(call).unwrap_or(Err(OutboxError::Panicked))
}

/// What comes of a call of an outbox or a store.
pub type Called<T> = BoxFuture<'static, Result<T, OutboxError>>;

/// Makes a call of an outbox or a store: on a thread for blocking work, if it is durable, and otherwise here. It is made
/// whether this is awaited or not; a panic of it is an error.
pub fn call<T, F>(is_durable: bool, call: F) -> Called<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, OutboxError> + Send + 'static,
{
    if !is_durable {
        return Box::pin(ready(guard(call)));
    }
    let task = spawn_blocking(move || guard(call));
    // It fails when the runtime is shutting down.
    Box::pin(async { task.await.unwrap_or(Err(OutboxError::Closed)) })
}

/// An outbox, or a store. One that is durable may block when it is dropped, too: wherever that happens, it is dropped on a
/// thread for blocking work.
pub struct Held<T: Send + 'static> {
    /// `None` only while it is being dropped.
    value: Option<T>,
    is_durable: bool,
}

impl<T: Send + 'static> Held<T> {
    /// Holds it.
    pub fn new(value: T, is_durable: bool) -> Self {
        Self { value: Some(value), is_durable }
    }

    /// Whether it may block.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Drops it on this thread.
    pub fn close(mut self) {
        self.value = None;
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if self.is_durable => drop(runtime.spawn_blocking(move || drop(value))),
            // Without a runtime there is no arbiter to be held up.
            _ => drop(value),
        }
    }
}

impl<T: Send + 'static> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("is_durable", &self.is_durable).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread::{self, ThreadId},
    };

    use super::*;

    /// Says on which thread it was dropped.
    struct Told(mpsc::Sender<ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).expect("the test listens");
        }
    }

    fn dropped_on(is_durable: bool) -> ThreadId {
        let (sender, dropped) = mpsc::channel();
        drop(Held::new(Told(sender), is_durable));
        dropped.recv().expect("it is dropped")
    }

    #[actix::test]
    async fn what_is_durable_is_dropped_on_another_thread() {
        assert_ne!(dropped_on(true), thread::current().id());
        assert_eq!(dropped_on(false), thread::current().id());
    }

    #[test]
    fn without_a_runtime_it_is_dropped_where_it_is() {
        assert_eq!(dropped_on(true), thread::current().id());
    }

    #[actix::test]
    async fn a_call_that_panics_is_an_error() {
        for is_durable in [false, true] {
            let called = call(is_durable, || -> Result<(), OutboxError> { panic!("boom") }).await;
            assert!(matches!(called, Err(OutboxError::Panicked)), "{called:?}");
        }
    }
}
