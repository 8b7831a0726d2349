//! Runs an outbox: what piled up while one call was made is done by the next, so that many messages share one commit.

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{self, Poll},
};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    link::v2::State,
    outbox::{Entry, Outbox, OutboxError},
};

pub(super) struct Keeper {
    stage: Stage,
    durable: bool,
    /// Whether the work that is being done has appends.
    is_appending: bool,
    work: Work,
}

enum Stage {
    Idle(Box<dyn Outbox>),
    Busy(JoinHandle<(Box<dyn Outbox>, Done)>),
    Closing(JoinHandle<()>),
    Closed,
}

/// What is to be done with the outbox, in this order.
#[derive(Debug, Default)]
struct Work {
    appends: Vec<Entry>,
    removes: BTreeSet<u64>,
    save: Option<State>,
    load: Option<Load>,
}

/// What is to be loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) from: u64,
    /// The last `seq` that the outbox had when it was asked.
    pub(super) upto: u64,
    pub(super) messages: usize,
    pub(super) bytes: u64,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) appended: Vec<Entry>,
    pub(super) append: Result<(), OutboxError>,
    pub(super) remove: Result<(), OutboxError>,
    /// How the save went, if there was one.
    pub(super) saved: Option<Result<(), OutboxError>>,
    pub(super) loaded: Option<(Load, Result<Vec<Entry>, OutboxError>)>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.removes.is_empty() && self.save.is_none() && self.load.is_none()
    }

    fn run(self, outbox: &mut dyn Outbox) -> Done {
        let append = if self.appends.is_empty() { Ok(()) } else { guard(|| outbox.append(&self.appends)) };
        let removes = self.removes.into_iter().collect::<Vec<_>>();
        let remove = if removes.is_empty() { Ok(()) } else { guard(|| outbox.remove(&removes)) };
        let saved = self.save.map(|state| guard(|| outbox.save(&state)));
        let loaded = self.load.map(|load| (load, guard(|| outbox.load(load.from, load.messages, load.bytes))));
        Done { appended: self.appends, append, remove, saved, loaded }
    }

    /// What becomes of work that has no outbox any more.
    fn fail(self) -> Done {
        let loaded = self.load.map(|load| (load, Err(OutboxError::Closed)));
        let append = if self.appends.is_empty() { Ok(()) } else { Err(OutboxError::Closed) };
        let saved = self.save.map(|_| Err(OutboxError::Closed));
        Done { appended: self.appends, append, remove: Ok(()), saved, loaded }
    }
}

/// A panic of an outbox is an error like another: the messages that it was given are still ours.
fn guard<T>(call: impl FnOnce() -> Result<T, OutboxError>) -> Result<T, OutboxError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(OutboxError::Panicked))
}

impl Keeper {
    pub(super) fn new(outbox: Box<dyn Outbox>) -> Self {
        Self { durable: outbox.is_durable(), stage: Stage::Idle(outbox), is_appending: false, work: Work::default() }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.work.appends.push(entry);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        self.work.removes.insert(seq);
    }

    /// Whether a message is about to be removed, and must not be sent any more.
    pub(super) fn is_removing(&self, seq: u64) -> bool {
        self.work.removes.contains(&seq)
    }

    pub(super) fn save(&mut self, state: State) {
        self.work.save = Some(state);
    }

    pub(super) fn load(&mut self, load: Load) {
        self.work.load = Some(load);
    }

    /// Does what has piled up; pending when there is nothing to do, or while it is being done.
    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Done> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Closed) {
                Stage::Busy(mut task) => match Pin::new(&mut task).poll(cx) {
                    Poll::Ready(Ok((outbox, done))) => {
                        self.stage = Stage::Idle(outbox);
                        return Poll::Ready(done);
                    }
                    // The runtime is shutting down; the state is closed from here on.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => {
                        self.stage = Stage::Busy(task);
                        return Poll::Pending;
                    }
                },
                Stage::Idle(mut outbox) => {
                    if self.work.is_empty() {
                        self.stage = Stage::Idle(outbox);
                        return Poll::Pending;
                    }
                    let work = std::mem::take(&mut self.work);
                    self.is_appending = !work.appends.is_empty();
                    if self.durable {
                        self.stage = Stage::Busy(spawn_blocking(move || {
                            let done = work.run(&mut *outbox);
                            (outbox, done)
                        }));
                    } else {
                        let done = work.run(&mut *outbox);
                        self.stage = Stage::Idle(outbox);
                        return Poll::Ready(done);
                    }
                }
                closed => {
                    self.stage = closed;
                    if self.work.is_empty() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(std::mem::take(&mut self.work).fail());
                }
            }
        }
    }

    /// Whether messages are on their way into the outbox.
    pub(super) fn is_appending(&self) -> bool {
        !self.work.appends.is_empty() || self.is_appending && matches!(self.stage, Stage::Busy(_))
    }

    /// Whether nothing is to be done or being done.
    pub(super) fn is_idle(&self) -> bool {
        self.work.is_empty() && !matches!(self.stage, Stage::Busy(_))
    }

    /// Closes the outbox, off the arbiter if it may block. To be called when it is idle.
    pub(super) fn poll_close(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Closed) {
                Stage::Idle(outbox) if self.durable => {
                    self.stage = Stage::Closing(spawn_blocking(move || drop(outbox)));
                }
                Stage::Closing(mut task) => {
                    if Pin::new(&mut task).poll(cx).is_pending() {
                        self.stage = Stage::Closing(task);
                        return Poll::Pending;
                    }
                }
                Stage::Idle(_) | Stage::Closed => return Poll::Ready(()),
                busy @ Stage::Busy(_) => {
                    self.stage = busy;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("work", &self.work).finish_non_exhaustive()
    }
}
