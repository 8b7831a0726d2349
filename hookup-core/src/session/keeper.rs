//! Runs an outbox: what piled up while one call was made is done by the next, so that many messages share one commit.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::blocking::{Held, guard};
use crate::{
    link::v2::State,
    outbox::{Changes, Entry, Outbox, OutboxError, Removal, Usage},
};

pub(super) struct Keeper {
    stage: Stage,
    is_durable: bool,
    /// Whether the work that is being done has appends.
    is_appending: bool,
    work: Work,
    /// What is to be appended, and what that amounts to.
    appends: VecDeque<Entry>,
    waiting: Usage,
    /// What is to be removed, by `seq`, with its bytes.
    removes: BTreeMap<u64, u64>,
    /// Removing has failed; it is tried again when there is something else to do, or when that is asked for.
    holds_removes: bool,
}

enum Stage {
    /// The outbox is not open yet; work waits for it.
    Unopened,
    Idle(Held<Box<dyn Outbox>>),
    Busy(JoinHandle<(Held<Box<dyn Outbox>>, Done)>),
    Closing(JoinHandle<()>),
    Closed,
}

/// What is to be done with the outbox: first what changes it, then the load.
#[derive(Debug, Default)]
struct Work {
    changes: Changes,
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
    /// It is to be dropped, and not to be sent.
    pub(super) is_to_drop: bool,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) appended: Vec<Entry>,
    /// How that went.
    pub(super) append: Result<(), OutboxError>,
    /// Whether there was a state to be saved.
    pub(super) had_state: bool,
    /// How the rest of the changes went.
    pub(super) rest: Result<(), OutboxError>,
    /// What could not be removed.
    removes: Vec<Removal>,
    pub(super) loaded: Option<(Load, Result<Vec<Entry>, OutboxError>)>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.load.is_none()
    }

    fn run(mut self, outbox: &mut dyn Outbox) -> Done {
        let mut commit = |changes: &Changes| if changes.is_empty() { Ok(()) } else { guard(|| outbox.commit(changes)) };
        let append = commit(&self.changes);
        let appended = std::mem::take(&mut self.changes.appends);
        let (append, rest) = match append {
            // What could not be appended may be too much for a disk that has room for the rest.
            Err(error) if !appended.is_empty() => (Err(error), commit(&self.changes)),
            done => (Ok(()), done),
        };
        let Changes { removes, state, .. } = self.changes;
        let removes = if rest.is_err() { removes } else { Vec::new() };
        let loaded = self.load.map(|load| (load, guard(|| outbox.load(load.from, load.messages, load.bytes))));
        Done { appended, append, had_state: state.is_some(), rest, removes, loaded }
    }

    /// What becomes of work that has no outbox any more.
    fn fail(self) -> Done {
        let Changes { appends, state, .. } = self.changes;
        Done {
            append: if appends.is_empty() { Ok(()) } else { Err(OutboxError::Closed) },
            appended: appends,
            had_state: state.is_some(),
            rest: if state.is_some() { Err(OutboxError::Closed) } else { Ok(()) },
            removes: Vec::new(),
            loaded: self.load.map(|load| (load, Err(OutboxError::Closed))),
        }
    }
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self {
            is_durable: false,
            stage: Stage::Unopened,
            is_appending: false,
            work: Work::default(),
            appends: VecDeque::new(),
            waiting: Usage::default(),
            removes: BTreeMap::new(),
            holds_removes: false,
        }
    }

    pub(super) fn opened(&mut self, outbox: Held<Box<dyn Outbox>>) {
        self.is_durable = outbox.is_durable();
        self.stage = Stage::Idle(outbox);
    }

    /// There is no outbox, and there will be none.
    pub(super) fn not_opened(&mut self) {
        self.stage = Stage::Closed;
    }

    pub(super) fn is_durable(&self) -> bool {
        self.is_durable
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.waiting.add(entry.bytes());
        self.appends.push_back(entry);
    }

    /// What no append has begun to keep.
    pub(super) fn waiting(&self) -> Usage {
        self.waiting
    }

    /// Takes out the oldest message that no append has begun to keep.
    pub(super) fn withdraw(&mut self) -> Option<Entry> {
        let entry = self.appends.pop_front()?;
        self.waiting.subtract(entry.bytes());
        Some(entry)
    }

    pub(super) fn remove(&mut self, removal: Removal) {
        self.removes.insert(removal.seq, removal.bytes);
    }

    /// Whether a message is about to be removed, and must not be sent any more.
    pub(super) fn is_removing(&self, seq: u64) -> bool {
        self.removes.contains_key(&seq)
    }

    pub(super) fn save(&mut self, state: State) {
        self.work.changes.state = Some(state);
    }

    pub(super) fn load(&mut self, load: Load) {
        self.work.load = Some(load);
    }

    /// Tries again what could not be removed.
    pub(super) fn retry(&mut self) {
        self.holds_removes = false;
    }

    /// Whether something could not be removed, and is to be tried again.
    pub(super) fn has_failed(&self) -> bool {
        self.holds_removes
    }

    fn has_work(&self) -> bool {
        !self.work.is_empty() || !self.appends.is_empty() || !self.removes.is_empty() && !self.holds_removes
    }

    fn take_work(&mut self) -> Work {
        let removes = std::mem::take(&mut self.removes).into_iter();
        self.work.changes.removes = removes.map(|(seq, bytes)| Removal { seq, bytes }).collect();
        self.work.changes.appends = std::mem::take(&mut self.appends).into();
        self.waiting = Usage::default();
        std::mem::take(&mut self.work)
    }

    /// What was done; what could not be removed is kept.
    fn done(&mut self, mut done: Done) -> Done {
        self.holds_removes = !done.removes.is_empty();
        self.removes.extend(done.removes.drain(..).map(|removal| (removal.seq, removal.bytes)));
        done
    }

    /// Does what has piled up; pending when there is nothing to do, or while it is being done.
    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Done> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Closed) {
                Stage::Busy(mut task) => match Pin::new(&mut task).poll(cx) {
                    Poll::Ready(Ok((outbox, done))) => {
                        self.stage = Stage::Idle(outbox);
                        return Poll::Ready(self.done(done));
                    }
                    // The runtime is shutting down; the state is closed from here on.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => {
                        self.stage = Stage::Busy(task);
                        return Poll::Pending;
                    }
                },
                Stage::Idle(mut outbox) => {
                    if !self.has_work() {
                        self.stage = Stage::Idle(outbox);
                        return Poll::Pending;
                    }
                    let work = self.take_work();
                    self.is_appending = !work.changes.appends.is_empty();
                    if self.is_durable {
                        self.stage = Stage::Busy(spawn_blocking(move || {
                            let done = work.run(&mut **outbox);
                            (outbox, done)
                        }));
                    } else {
                        let done = work.run(&mut **outbox);
                        self.stage = Stage::Idle(outbox);
                        return Poll::Ready(self.done(done));
                    }
                }
                Stage::Unopened => {
                    self.stage = Stage::Unopened;
                    return Poll::Pending;
                }
                closed => {
                    self.stage = closed;
                    if !self.has_work() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(self.take_work().fail());
                }
            }
        }
    }

    /// Whether messages are on their way into the outbox.
    pub(super) fn is_appending(&self) -> bool {
        !self.appends.is_empty() || self.is_appending && matches!(self.stage, Stage::Busy(_))
    }

    /// Whether nothing is to be done or being done.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_work() && !matches!(self.stage, Stage::Busy(_))
    }

    /// Closes the outbox, off the arbiter if it may block. To be called when it is idle.
    pub(super) fn poll_close(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Closed) {
                Stage::Idle(outbox) if self.is_durable => {
                    self.stage = Stage::Closing(spawn_blocking(move || outbox.close()));
                }
                Stage::Closing(mut task) => {
                    if Pin::new(&mut task).poll(cx).is_pending() {
                        self.stage = Stage::Closing(task);
                        return Poll::Pending;
                    }
                }
                Stage::Idle(_) | Stage::Closed => return Poll::Ready(()),
                stage @ (Stage::Unopened | Stage::Busy(_)) => {
                    self.stage = stage;
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
