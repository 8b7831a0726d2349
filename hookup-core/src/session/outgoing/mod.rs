//! Messages from acceptance to their end: counted, kept in the outbox, handed to the link in order, and reported.

mod dropping;
mod giving_up;
mod loading;
mod opening;

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{self, Poll},
};

use super::{
    Limits,
    keeper::{Done, Keeper},
    links::Links,
    room::Room,
    submission::Waiter,
    waiters::Waiters,
};
use crate::{
    error::{Receipt, SendFailure},
    outbound::Outbound,
    outbox::{Entry, OutboxError, Removal, Usage},
};

/// What one end has accepted and not seen the end of.
#[derive(Debug)]
pub(super) struct Outgoing {
    keeper: Keeper,
    /// What is in the outbox, or on its way there.
    room: Room,
    /// How many bytes are loaded at once.
    load_bytes: u64,
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
    early: Option<VecDeque<(Outbound, Waiter)>>,
    /// What was dropped to make room and is not reported yet; and where what may still be dropped begins in the outbox.
    dropped: Vec<Failed>,
    drop_from: u64,
    /// Those of them whose place the link was not told.
    lost: Vec<u64>,
    /// The link was given what it had no chance to send yet, and is to have one before that is dropped. For the same reason
    /// loads to drop and loads to send take turns.
    is_fresh: bool,
    sends_next: bool,
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
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            keeper: Keeper::new(),
            room: Room::new(limits),
            load_bytes: limits.window.bytes,
            last_seq: 0,
            committed: 0,
            cursor: 0,
            loading: false,
            stuck: false,
            unsaved: false,
            is_draining: false,
            waiters: Waiters::default(),
            offline: false,
            early: Some(VecDeque::new()),
            dropped: Vec::new(),
            drop_from: 0,
            lost: Vec::new(),
            is_fresh: false,
            sends_next: false,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.room.usage()
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
        self.keeper.is_appending() || self.usage().messages > 0 && self.cursor <= self.committed
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

    /// Takes a message. Given back if the outbox is at its bound, and is not to drop others for it, or cannot.
    pub(super) fn accept(&mut self, outbound: Outbound, waiter: Waiter) -> Option<Failed> {
        let bytes = outbound.message().len() as u64;
        self.make_room(bytes);
        if !self.room.admits(bytes) {
            let Usage { messages, bytes } = self.usage();
            return Some(Failed { outbound, reason: SendFailure::Full { messages, bytes }, waiter });
        }
        self.room.add(bytes);
        if let Some(early) = &mut self.early {
            early.push_back((outbound, waiter));
            return None;
        }
        self.last_seq += 1;
        self.waiters.insert(self.last_seq, waiter, &outbound);
        self.keeper.append(Entry { seq: self.last_seq, outbound });
        None
    }

    fn push(&mut self, entry: Entry, links: &mut Links) {
        self.is_fresh = true;
        links.push(entry);
    }

    /// The link has sent what it can. Whether something is to be dropped that it could not send.
    pub(super) fn had_its_turn(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh) && self.room.excess().is_some()
    }

    /// A message was handed to a transport: it is not dropped any more.
    pub(super) fn sent(&mut self, seq: u64, bytes: u64) {
        self.room.send(seq, bytes);
    }

    /// A message has been delivered, or is not to be: who waits for it.
    pub(super) fn forget(&mut self, seq: u64, bytes: u64) -> Waiter {
        self.remove(seq, bytes);
        self.waiters.take(seq)
    }

    /// A message has been delivered; the supervisor decides what to tell who waits for it.
    pub(super) fn remove(&mut self, seq: u64, bytes: u64) {
        self.room.remove(seq, bytes);
        self.keeper.remove(Removal { seq, bytes });
    }

    /// Who waits for a message, whether it stays or not.
    pub(super) fn take_waiter(&mut self, seq: u64) -> Waiter {
        self.waiters.take(seq)
    }

    /// Lets the outbox work, and gives the link what it has room for. Pending when there is nothing to do.
    pub(super) fn poll(&mut self, links: &mut Links, cx: &mut task::Context<'_>) -> Poll<Report> {
        self.lost.drain(..).for_each(|seq| links.dropped(seq));
        // A link that waited for a save may have room after it.
        self.save(links);
        if self.is_fresh && links.is_open() && self.room.excess().is_some() {
            // The link sends first; this is called again then.
            return Poll::Pending;
        }
        self.drop_loaded(links);
        if !self.stuck
            && !self.loading
            && let Some(load) = self.next_load(links)
        {
            self.loading = true;
            self.sends_next = load.is_to_drop;
            self.keeper.load(load);
        }
        if !self.dropped.is_empty() {
            return Poll::Ready(Report { failed: std::mem::take(&mut self.dropped), errors: Vec::new() });
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
                    self.room.remove(seq, outbound.message().len() as u64);
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
            } else if load.is_to_drop {
                report.errors.extend(self.drop_stored(load, loaded, links).err());
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
            let is_next = self.cursor > self.committed;
            self.committed = entry.seq;
            links.committed(entry.seq);
            if let Some(waiter) = self.waiters.accepted.remove(&entry.seq) {
                // Whoever waited may have stopped to; the message is in the outbox all the same.
                let _ = waiter.send(Ok(Receipt::Accepted));
            }
            // Where nothing older waits in the outbox, it need not be read back.
            if is_next && links.room() > 0 {
                self.cursor = entry.seq + 1;
                self.push(entry, links);
            }
        }
        if self.offline {
            self.release_waiters(|| SendFailure::Offline);
        }
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

    /// Closes the outbox, when it is idle.
    pub(super) fn poll_close(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.keeper.poll_close(cx)
    }
}
