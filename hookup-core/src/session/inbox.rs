//! Events on their way to the handler, one after the other, and as fast as they may.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{self, Poll},
    time::Instant,
};

use super::{Limits, call::Caller, rate::Bucket};
use crate::{
    driver,
    error::Error,
    event::Event,
    handler::{EventHandler, Refusal},
    link::Ticket,
    outbox::{OutboxError, Usage},
    peer::Peer,
};

/// How many undelivered messages wait for the handler as events; a program that sends into a full outbox makes them
/// faster than any handler takes them.
const MAX_FAILURES: usize = 1024;

/// How many errors of the outbox wait for the handler; a broken disk makes one with each message.
const MAX_OUTBOX_ERRORS: usize = 16;

pub(super) struct Inbox {
    caller: Caller,
    queue: VecDeque<(Event, Origin)>,
    /// Where the event came from that the handler is at work on.
    running: Option<Origin>,
    /// How fast messages may reach the handler, if not as fast as they come, and when the next one may.
    bucket: Option<Bucket>,
    next_at: Option<Instant>,
    /// Whether the handler is yet to be told that it has blocked its thread.
    is_blocked: bool,
    failures: usize,
    outbox_errors: usize,
    dropped: u64,
    /// Messages that made room for others: one event says how many, when the handler comes to it.
    made_room: Usage,
    /// The last event, handed out when there is nothing else, and how many failures may still come before it.
    last: Option<Event>,
    before_last: usize,
    /// Whether the handler was called since this was last asked, and may have sent something.
    has_worked: bool,
    /// What the peer keeps until it is handled is not handed out any more.
    holds_sequenced: bool,
}

/// Where an event came from, and so what is to be done when it has been handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A frame of this many bytes, of the connection with this number.
    Frame { ticket: Ticket, bytes: usize, connection: u64 },
    /// Messages that the peer no longer has, and of which, if not its greeting, a frame has told: its bytes, and its connection.
    Gap { ticket: Ticket, frame: Option<(usize, u64)> },
    /// A message of ours that was not delivered.
    Failure,
    /// Messages of ours that made room for others.
    Dropped,
    /// The outbox has failed.
    Outbox,
    /// The connection, or the session itself.
    State,
    /// The handler itself: a panic of it, or a time that it took.
    Fault,
}

impl Origin {
    /// Whether it is of `hookup.v2`, and the peer keeps it until it is handled.
    fn is_sequenced(self) -> bool {
        matches!(self, Self::Frame { ticket: Ticket::Sequenced { .. }, .. } | Self::Gap { .. })
    }
}

impl Inbox {
    pub(super) fn new(handler: Box<dyn EventHandler>, limits: &Limits) -> Self {
        Self {
            caller: Caller::new(handler, limits.handler_timeout),
            queue: VecDeque::new(),
            running: None,
            bucket: limits.rate.map(Bucket::new),
            next_at: None,
            is_blocked: false,
            failures: 0,
            outbox_errors: 0,
            dropped: 0,
            made_room: Usage::default(),
            last: None,
            before_last: 0,
            has_worked: false,
            holds_sequenced: false,
        }
    }

    pub(super) fn push(&mut self, event: Event, origin: Origin) {
        self.queue.push_back((event, origin));
    }

    /// Tells the handler of a message that was not delivered, unless too many of them are waiting already.
    pub(super) fn push_failure(&mut self, event: Event) {
        if self.failures < MAX_FAILURES {
            self.failures += 1;
            self.push(event, Origin::Failure);
        } else {
            tracing::error!(?event, "dropped: the handler does not keep up with the messages that were not delivered");
            self.dropped += 1;
        }
    }

    /// Tells the handler that the outbox has failed, unless it was told so often and has not listened yet.
    pub(super) fn push_outbox_error(&mut self, error: OutboxError) {
        if self.outbox_errors < MAX_OUTBOX_ERRORS {
            self.outbox_errors += 1;
            self.push(Event::Error(Error::Outbox(Arc::new(error))), Origin::Outbox);
        } else {
            tracing::error!(%error, "not told: the handler does not keep up with the outbox's errors");
        }
    }

    /// Tells the handler of a message that made room for others, together with all those before that it was not told of.
    pub(super) fn push_dropped(&mut self, bytes: u64) {
        if self.made_room == Usage::default() {
            self.push(Event::Dropped { messages: 0, bytes: 0 }, Origin::Dropped);
        }
        self.made_room.add(bytes);
    }

    /// The event that is handed out when there is nothing else any more.
    pub(super) fn push_last(&mut self, event: Option<Event>) {
        self.last = event;
        self.before_last = MAX_FAILURES;
    }

    /// How many events wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the handler is at work on a message of `hookup.v2`, of which is to be noted that it was handled.
    pub(super) fn is_running_sequenced(&self) -> bool {
        self.running.is_some_and(Origin::is_sequenced)
    }

    /// Hands out nothing more that the peer keeps until it is handled, and sends again.
    pub(super) fn hold_sequenced(&mut self) {
        self.holds_sequenced = true;
    }

    /// The place in the queue of the next event that may be handed out.
    fn place(&self) -> Option<usize> {
        self.queue.iter().position(|(_, origin)| !(self.holds_sequenced && origin.is_sequenced()))
    }

    /// Whether the handler is done with all that it is to be given.
    pub(super) fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.dropped == 0 && self.place().is_none()
    }

    /// Drops what the peer keeps until it is handled, and sends again.
    pub(super) fn drop_sequenced(&mut self) {
        self.queue.retain(|(_, origin)| !origin.is_sequenced());
    }

    /// Whether the handler may have sent something since this was last asked.
    pub(super) fn take_worked(&mut self) -> bool {
        std::mem::take(&mut self.has_worked)
    }

    /// Puts the last event behind nothing, if it is time; whether it did.
    pub(super) fn release_last(&mut self) -> bool {
        if !(self.queue.is_empty() && self.running.is_none() && self.dropped == 0) {
            return false;
        }
        // What goes wrong there is logged, and not told: nothing follows the last event.
        self.last.take().map(|last| self.push(last, Origin::Fault)).is_some()
    }

    /// Whether one more failure may come before the last event; it is counted.
    pub(super) fn takes_more_failures(&mut self) -> bool {
        let takes = self.last.is_some() && self.before_last > 0;
        self.before_last -= usize::from(takes);
        takes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none() && self.queue.is_empty() && self.running.is_none() && self.dropped == 0
    }

    /// Whether there is no handler any more: what it is given is refused.
    pub(super) fn is_gone(&self) -> bool {
        self.caller.is_gone()
    }

    /// The session ends: what has come in is handled as fast as it can be.
    pub(super) fn lift_rate(&mut self) {
        self.bucket = None;
    }

    /// When [`Inbox::poll`] is to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.caller.deadline().or(self.next_at.filter(|_| self.running.is_none()))
    }

    /// Hands out events until one has been handled, and says which and how.
    pub(super) fn poll(&mut self, peer: &Peer, cx: &mut task::Context<'_>) -> Poll<(Origin, Result<(), Refusal>)> {
        loop {
            let now = driver::now();
            if self.caller.rests(now) {
                return Poll::Pending;
            }
            if let Some(origin) = self.running {
                self.has_worked = true;
                let polled = self.caller.poll(cx);
                self.tell_faults(origin);
                return polled.map(|outcome| {
                    self.running = None;
                    (origin, outcome)
                });
            }
            let Some((event, origin)) = self.next(now) else { return Poll::Pending };
            self.has_worked = true;
            let outcome = self.caller.call(event, peer.clone());
            self.tell_faults(origin);
            match outcome {
                Some(outcome) => return Poll::Ready((origin, outcome)),
                None => self.running = Some(origin),
            }
        }
    }

    /// The next event that may reach the handler.
    fn next(&mut self, now: Instant) -> Option<(Event, Origin)> {
        if self.failures == 0 && self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            self.queue.push_front((Event::Error(Error::FailuresDropped { count }), Origin::State));
        }
        self.next_at = None;
        let mut place = self.place()?;
        if let (Some((_, Origin::Frame { .. })), Some(bucket)) = (self.queue.get(place), &mut self.bucket)
            && let Err(at) = bucket.take(now)
        {
            self.next_at = Some(at);
            // What is not about the peer's messages need not wait for them.
            place = self.queue.iter().position(|(_, origin)| {
                matches!(origin, Origin::Failure | Origin::Dropped | Origin::Outbox | Origin::Fault)
            })?;
        }
        let (mut event, origin) = self.queue.remove(place)?;
        match (origin, &event) {
            (Origin::Failure, _) => self.failures -= 1,
            (Origin::Outbox, _) => self.outbox_errors -= 1,
            (Origin::Fault, Event::Error(Error::HandlerBlocked { .. })) => self.is_blocked = false,
            (Origin::Dropped, _) => {
                let Usage { messages, bytes } = std::mem::take(&mut self.made_room);
                event = Event::Dropped { messages, bytes };
            }
            _ => {}
        }
        Some((event, origin))
    }

    /// Tells the handler what it did wrong; but not what it did while it was told of such. That it blocks, once at a time.
    fn tell_faults(&mut self, origin: Origin) {
        for fault in self.caller.take_faults() {
            let is_block = matches!(fault, Error::HandlerBlocked { .. });
            if origin != Origin::Fault && !(is_block && self.is_blocked) {
                self.is_blocked |= is_block;
                self.push(Event::Error(fault), Origin::Fault);
            }
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
