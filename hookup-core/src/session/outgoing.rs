//! Messages from acceptance to their end: counted, kept in the outbox, handed to the link in order, and reported.

use std::{
    sync::Arc,
    task::{self, Poll},
};

use super::{
    blocking::Held,
    keeper::{Done, Keeper, Load},
    links::Links,
    submission::Waiter,
    waiters::Waiters,
};
use crate::{
    error::{Receipt, SendFailure},
    outbound::Outbound,
    outbox::{Entry, Outbox, OutboxError, Removal, Stored, Usage},
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
    /// A load has failed; the next is tried when the outbox has kept something, a new connection begins, or time passed.
    stuck: bool,
    /// A save has failed; likewise.
    unsaved: bool,
    /// What is left is being read, to be given up.
    is_draining: bool,
    waiters: Waiters,
    offline: bool,
    /// What came before the outbox was open; `None` since it is, or is known never to be.
    early: Option<Vec<(Outbound, Waiter)>>,
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

impl Report {
    pub(super) fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.errors.is_empty()
    }
}

impl Outgoing {
    pub(super) fn new(bound: Usage, load_bytes: u64) -> Self {
        Self {
            keeper: Keeper::new(),
            bound,
            load_bytes,
            usage: Usage::default(),
            last_seq: 0,
            committed: 0,
            cursor: 0,
            loading: false,
            stuck: false,
            unsaved: false,
            is_draining: false,
            waiters: Waiters::default(),
            offline: false,
            early: Some(Vec::new()),
        }
    }

    /// The outbox is open, and holds this; `base` is a `seq` that was given to a message before, whether the outbox has one
    /// of it still or not. What came early goes behind it, as far as there is room.
    pub(super) fn opened(&mut self, outbox: Held<Box<dyn Outbox>>, stored: &Stored, base: u64) -> Report {
        self.keeper.opened(outbox);
        self.usage = stored.usage;
        self.last_seq = stored.last_seq.max(base);
        self.committed = self.last_seq;
        let early = self.early.take().unwrap_or_default().into_iter();
        let failed = early.filter_map(|(outbound, waiter)| self.accept(outbound, waiter)).collect();
        Report { failed, errors: Vec::new() }
    }

    /// The outbox could not be opened. What came early fails with this; what is still to come finds it closed.
    pub(super) fn not_opened(&mut self, error: &Arc<OutboxError>) -> Report {
        self.keeper.not_opened();
        self.usage = Usage::default();
        let early = self.early.take().unwrap_or_default().into_iter();
        let failed =
            early.map(|(outbound, waiter)| Failed { outbound, reason: SendFailure::Storage(error.clone()), waiter });
        Report { failed: failed.collect(), errors: Vec::new() }
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

    /// Whether something was accepted that the link was not given yet.
    pub(super) fn is_behind(&self) -> bool {
        // From an outbox that is empty nothing will be loaded, even where that is not known yet.
        self.keeper.is_appending() || self.usage.messages > 0 && self.cursor <= self.committed
    }

    /// A new connection begins with what is oldest: what was not written, or not acked, is still there.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
    }

    /// Tries again what has failed.
    pub(super) fn retry(&mut self) {
        self.stuck = false;
        self.unsaved = false;
        self.keeper.retry();
    }

    /// Whether something has failed, and is to be tried again.
    pub(super) fn has_failed(&self) -> bool {
        self.stuck || self.unsaved || self.keeper.has_failed()
    }

    /// Takes a message. Given back if the outbox is at its bound.
    pub(super) fn accept(&mut self, outbound: Outbound, waiter: Waiter) -> Option<Failed> {
        let bytes = outbound.message().len() as u64;
        if !self.usage.admits(bytes, self.bound) {
            let reason = SendFailure::Full { messages: self.usage.messages, bytes: self.usage.bytes };
            return Some(Failed { outbound, reason, waiter });
        }
        self.usage.add(bytes);
        if let Some(early) = &mut self.early {
            early.push((outbound, waiter));
            return None;
        }
        self.last_seq += 1;
        self.waiters.insert(self.last_seq, waiter, &outbound);
        self.keeper.append(Entry { seq: self.last_seq, outbound });
        None
    }

    /// A message has been delivered, or is not to be: who waits for it.
    pub(super) fn forget(&mut self, seq: u64, bytes: u64) -> Waiter {
        self.remove(seq, bytes);
        self.waiters.take(seq)
    }

    /// A message has been delivered; the supervisor decides what to tell who waits for it.
    pub(super) fn remove(&mut self, seq: u64, bytes: u64) {
        self.usage.subtract(bytes);
        self.keeper.remove(Removal { seq, bytes });
    }

    /// Who waits for a message, whether it stays or not.
    pub(super) fn take_waiter(&mut self, seq: u64) -> Waiter {
        self.waiters.take(seq)
    }

    /// Lets the outbox work, and gives the link what it has room for. Pending when there is nothing to do.
    pub(super) fn poll(&mut self, links: &mut Links, cx: &mut task::Context<'_>) -> Poll<Report> {
        // A link that waited for a save may have room after it.
        self.save(links);
        let messages = links.room();
        if !self.stuck && !self.loading && messages > 0 && self.cursor <= self.committed {
            self.loading = true;
            self.keeper.load(Load { from: self.cursor, upto: self.committed, messages, bytes: self.load_bytes });
        }
        self.keeper.poll(cx).map(|done| self.kept(done, links))
    }

    /// Has the link's state saved, where that is due.
    fn save(&mut self, links: &mut Links) {
        let Some(link) = links.session() else { return };
        if !self.keeper.is_durable() {
            // It lives as long as the link does.
            if link.begin_save() {
                link.saved(true);
            }
        } else if !self.unsaved
            && let Some(state) = link.poll_save()
        {
            self.keeper.save(state);
        }
    }

    /// Whether the link's state is as it is persisted, or cannot be.
    pub(super) fn is_saved(&self, links: &mut Links) -> bool {
        self.unsaved || links.session().is_none_or(|link| !link.is_saving())
    }

    fn kept(&mut self, done: Done, links: &mut Links) -> Report {
        let mut report = Report::default();
        match done.append {
            Ok(()) => self.appended(done.appended, links),
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
        if let (true, Some(link)) = (done.had_state, links.session()) {
            link.saved(done.rest.is_ok());
            self.unsaved = done.rest.is_err();
        }
        report.errors.extend(done.rest.err());
        if let Some((load, loaded)) = done.loaded {
            self.loading = false;
            if self.is_draining {
                match loaded {
                    Ok(entries) => {
                        let failed = entries.into_iter().map(|entry| self.fail(entry, SendFailure::Closed));
                        report.failed.extend(failed);
                    }
                    Err(error) => report.errors.push(error),
                }
            } else if load.from == self.cursor {
                // A load for a connection that has ended is of no use.
                report.errors.extend(self.loaded(load, loaded, links).err());
            }
        }
        report
    }

    fn appended(&mut self, entries: Vec<Entry>, links: &mut Links) {
        for entry in entries {
            self.stuck = false;
            self.committed = entry.seq;
            links.committed(entry.seq);
            if let Some(waiter) = self.waiters.accepted.remove(&entry.seq) {
                // Whoever waited may have stopped to; the message is in the outbox all the same.
                let _ = waiter.send(Ok(Receipt::Accepted));
            }
            // Where nothing older waits in the outbox, it need not be read back.
            if self.cursor == entry.seq && links.room() > 0 {
                self.cursor += 1;
                links.push(entry);
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
        links: &mut Links,
    ) -> Result<(), OutboxError> {
        let entries = loaded.inspect_err(|_| {
            // Not tried again at once, so as not to spin on a broken disk.
            self.stuck = true;
        })?;
        self.cursor = entries.last().map_or(load.upto, |last| last.seq) + 1;
        for entry in entries {
            if !self.keeper.is_removing(entry.seq) {
                links.push(entry);
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

    pub(super) fn is_durable(&self) -> bool {
        self.keeper.is_durable()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    fn fail(&mut self, entry: Entry, reason: SendFailure) -> Failed {
        let waiter = self.forget(entry.seq, entry.bytes());
        Failed { outbound: entry.outbound, reason, waiter }
    }

    /// Gives up what is left. Where it stays in the outbox, only those are told who wait for an ack. Otherwise each
    /// message fails: as lost, if it was sent, and as not sent, if not.
    pub(super) fn poll_give_up(
        &mut self,
        stays: bool,
        links: &mut Links,
        is_armed: impl Fn(u64) -> bool,
        cx: &mut task::Context<'_>,
    ) -> Poll<Report> {
        let mut report = Report::default();
        while let Some((entry, was_sent)) = links.give_up() {
            if !stays {
                let reason = if was_sent { SendFailure::Lost } else { SendFailure::Closed };
                report.failed.push(self.fail(entry, reason));
            } else if is_armed(entry.seq) {
                let waiter = self.waiters.take(entry.seq);
                report.failed.push(Failed { outbound: entry.outbound, reason: SendFailure::Lost, waiter });
            }
        }
        if !stays && self.usage.messages > 0 && !self.stuck && !self.is_draining {
            self.is_draining = true;
            self.keeper.load(Load { from: 0, upto: self.committed, messages: usize::MAX, bytes: u64::MAX });
        }
        while let Poll::Ready(done) = self.keeper.poll(cx) {
            let kept = self.kept(done, links);
            report.failed.extend(kept.failed);
            report.errors.extend(kept.errors);
        }
        self.release_waiters(|| SendFailure::Closed);
        if report.is_empty() && !self.keeper.is_idle() {
            return Poll::Pending;
        }
        Poll::Ready(report)
    }

    /// Closes the outbox, when it is idle.
    pub(super) fn poll_close(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.keeper.poll_close(cx)
    }
}
