//! Messages from acceptance to their end: counted, kept in the outbox, handed to the link in order, and reported.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{self, Poll},
};

use actix::dev::OneshotSender;

use super::{
    keeper::{Done, Keeper, Load},
    submission::Waiter,
};
use crate::{
    error::{Receipt, SendFailure, SendResult},
    link::Link,
    message::Outbound,
    outbox::{Entry, Outbox, OutboxError, Usage},
};

/// What one end has accepted and not seen the end of.
#[derive(Debug)]
pub(super) struct Outgoing {
    keeper: Keeper,
    bound: Usage,
    /// How many bytes are loaded at once.
    load_bytes: u64,
    /// What is in the outbox, or on its way there.
    usage: Usage,
    /// The last `seq` that was given to a message, and the last that the outbox has confirmed.
    last_seq: u64,
    committed: u64,
    /// The next `seq` that goes to the link.
    cursor: u64,
    loading: bool,
    /// A load has failed; the next is tried when the outbox has kept something, or a new connection begins.
    stuck: bool,
    waiters: Waiters,
    offline: bool,
}

/// A message that was not delivered, and who waits to hear of it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) outbound: Outbound,
    pub(super) reason: SendFailure,
    pub(super) waiter: Waiter,
}

/// What the outbox did that someone has to be told of.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) failed: Vec<Failed>,
    pub(super) errors: Vec<OutboxError>,
}

/// Who waits for what; for a message of a `do_send`, nobody does.
#[derive(Debug, Default)]
struct Waiters {
    /// For messages to be accepted.
    accepted: HashMap<u64, OneshotSender<SendResult>>,
    /// For messages to be acked.
    acked: HashMap<u64, (OneshotSender<SendResult>, Outbound)>,
}

impl Waiters {
    fn insert(&mut self, seq: u64, waiter: Waiter, outbound: &Outbound) {
        match waiter {
            Some(waiter) if outbound.ack_within().is_some() => {
                self.acked.insert(seq, (waiter, outbound.clone()));
            }
            Some(waiter) => {
                self.accepted.insert(seq, waiter);
            }
            None => {}
        }
    }

    fn take(&mut self, seq: u64) -> Waiter {
        self.accepted.remove(&seq).or_else(|| self.acked.remove(&seq).map(|(waiter, _)| waiter))
    }
}

impl Outgoing {
    pub(super) fn new(outbox: Box<dyn Outbox>, bound: Usage, load_bytes: u64) -> Self {
        let stored = outbox.stored();
        Self {
            keeper: Keeper::new(outbox),
            bound,
            load_bytes,
            usage: stored.usage,
            last_seq: stored.last_seq,
            committed: stored.last_seq,
            cursor: 0,
            loading: false,
            stuck: false,
            waiters: Waiters::default(),
            offline: false,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether nothing is to be done, or being done, with the outbox.
    pub(super) fn is_idle(&self) -> bool {
        self.keeper.is_idle()
    }

    /// Whether the link has been given everything.
    pub(super) fn is_handed_over(&self) -> bool {
        self.keeper.is_idle() && (self.stuck || self.cursor > self.committed)
    }

    /// A new connection begins with what is oldest: what was not written, or not acked, is still there.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
        self.stuck = false;
    }

    /// Takes a message, unless the outbox is at its bound.
    pub(super) fn accept(&mut self, outbound: Outbound, waiter: Waiter) -> Result<(), Failed> {
        let bytes = outbound.message().len() as u64;
        if !self.usage.admits(bytes, self.bound) {
            let reason = SendFailure::Full { messages: self.usage.messages, bytes: self.usage.bytes };
            return Err(Failed { outbound, reason, waiter });
        }
        self.last_seq += 1;
        self.usage.add(bytes);
        self.waiters.insert(self.last_seq, waiter, &outbound);
        self.keeper.append(Entry { seq: self.last_seq, outbound });
        Ok(())
    }

    /// A message has been delivered, or is not to be.
    pub(super) fn forget(&mut self, seq: u64, bytes: u64) -> Waiter {
        self.usage.subtract(bytes);
        self.keeper.remove(seq);
        self.waiters.take(seq)
    }

    /// Lets the outbox work, and gives the link what it has room for. Pending when there is nothing to do.
    pub(super) fn poll(&mut self, link: &mut Link, cx: &mut task::Context<'_>) -> Poll<Report> {
        let messages = link.room();
        if !self.stuck && !self.loading && messages > 0 && self.cursor <= self.committed {
            self.loading = true;
            self.keeper.load(Load { from: self.cursor, upto: self.committed, messages, bytes: self.load_bytes });
        }
        self.keeper.poll(cx).map(|done| self.kept(done, link))
    }

    fn kept(&mut self, done: Done, link: &mut Link) -> Report {
        let mut report = Report::default();
        match done.append {
            Ok(()) => self.appended(done.appended, link),
            Err(error) => {
                let error = Arc::new(error);
                // These leave a hole in the sequence; what is behind it is reached by loading.
                report.failed.extend(done.appended.into_iter().map(|Entry { seq, outbound }| {
                    self.usage.subtract(outbound.message().len() as u64);
                    let reason = SendFailure::Storage(error.clone());
                    Failed { outbound, reason, waiter: self.waiters.take(seq) }
                }));
            }
        }
        report.errors.extend(done.remove.err());
        if let Some((load, loaded)) = done.loaded {
            self.loading = false;
            // A load for a connection that has ended is of no use.
            if load.from == self.cursor {
                report.errors.extend(self.loaded(load, loaded, link).err());
            }
        }
        report
    }

    fn appended(&mut self, entries: Vec<Entry>, link: &mut Link) {
        for entry in entries {
            self.stuck = false;
            self.committed = entry.seq;
            if let Some(waiter) = self.waiters.accepted.remove(&entry.seq) {
                // Whoever waited may have stopped to; the message is in the outbox all the same.
                let _ = waiter.send(Ok(Receipt::Accepted));
            }
            // Where nothing older waits in the outbox, it need not be read back.
            if self.cursor == entry.seq && link.room() > 0 {
                self.cursor += 1;
                link.push(entry);
            }
        }
        if self.offline {
            self.release_waiters(|| SendFailure::Offline);
        }
    }

    fn loaded(
        &mut self,
        load: Load,
        loaded: Result<Vec<Entry>, OutboxError>,
        link: &mut Link,
    ) -> Result<(), OutboxError> {
        let entries = loaded.inspect_err(|_| {
            // Not tried again at once, so as not to spin on a broken disk.
            self.stuck = true;
        })?;
        self.cursor = entries.last().map_or(load.upto, |last| last.seq) + 1;
        for entry in entries {
            if !self.keeper.is_removing(entry.seq) {
                link.push(entry);
            }
        }
        Ok(())
    }

    /// Whether no connection is being tried for. Whoever waits for an ack then is told so; the messages stay.
    pub(super) fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
        if offline {
            self.release_waiters(|| SendFailure::Offline);
        }
    }

    /// Tells those whose message stays in the outbox that they need not wait.
    fn release_waiters(&mut self, reason: impl Fn() -> SendFailure) {
        for (_, (waiter, message)) in self.waiters.acked.drain() {
            // The message is safe, so nobody needs to be told if nobody waits.
            let _ = waiter.send(Err(crate::SendError { message, reason: reason() }));
        }
    }

    /// Gives up what is left, when the outbox is idle: what was sent and not acked is lost; what was not sent stays in a
    /// durable outbox, and fails from one that is not.
    pub(super) fn give_up(&mut self, link: &mut Link, cx: &mut task::Context<'_>) -> Vec<Failed> {
        let mut failed = Vec::new();
        while let Some((seq, outbound)) = link.first_awaiting().and_then(|seq| Some((seq, link.ended(seq)?))) {
            let waiter = match self.keeper.is_durable() {
                true => self.waiters.take(seq),
                false => self.forget(seq, outbound.message().len() as u64),
            };
            failed.push(Failed { outbound, reason: SendFailure::Lost, waiter });
        }
        if !self.keeper.is_durable() {
            // Such an outbox answers at once: first the removals above, then what is left.
            self.keeper.load(Load { from: 0, upto: self.committed, messages: usize::MAX, bytes: u64::MAX });
            while let Poll::Ready(done) = self.keeper.poll(cx) {
                for entry in done.loaded.and_then(|(_, loaded)| loaded.ok()).into_iter().flatten() {
                    let waiter = self.forget(entry.seq, entry.bytes());
                    failed.push(Failed { outbound: entry.outbound, reason: SendFailure::Closed, waiter });
                }
            }
        }
        self.release_waiters(|| SendFailure::Closed);
        failed
    }

    /// Closes the outbox, when it is idle.
    pub(super) fn poll_close(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.keeper.poll_close(cx)
    }
}
