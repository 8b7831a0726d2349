//! Events on their way to the handler, one after the other, and what becomes of a handler that panics.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{self, Poll},
};

use futures_util::{FutureExt as _, future::LocalBoxFuture};

use crate::{
    error::Error,
    event::Event,
    handler::{EventHandler, Handling, Refusal, State},
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
    handler: Box<dyn EventHandler>,
    queue: VecDeque<(Event, Origin)>,
    running: Option<(LocalBoxFuture<'static, Result<(), Refusal>>, Origin)>,
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
    /// Messages that the peer no longer has.
    Gap { ticket: Ticket },
    /// A message of ours that was not delivered.
    Failure,
    /// Messages of ours that made room for others.
    Dropped,
    /// The outbox has failed.
    Outbox,
    /// The connection, or the session itself.
    State,
    /// A panic of the handler.
    Panic,
}

impl Origin {
    /// Whether it is of `hookup.v2`, and the peer keeps it until it is handled.
    fn is_sequenced(self) -> bool {
        matches!(self, Self::Frame { ticket: Ticket::Sequenced { .. }, .. } | Self::Gap { .. })
    }
}

impl Inbox {
    pub(super) fn new(handler: Box<dyn EventHandler>) -> Self {
        Self {
            handler,
            queue: VecDeque::new(),
            running: None,
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
        self.running.as_ref().is_some_and(|(_, origin)| origin.is_sequenced())
    }

    /// Hands out nothing more that the peer keeps until it is handled, and sends again.
    pub(super) fn hold_sequenced(&mut self) {
        self.holds_sequenced = true;
    }

    /// The next event to hand out, as its place in the queue.
    fn next(&self) -> Option<usize> {
        self.queue.iter().position(|(_, origin)| !(self.holds_sequenced && origin.is_sequenced()))
    }

    /// Whether the handler is done with all that it is to be given.
    pub(super) fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.dropped == 0 && self.next().is_none()
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
        // A panic of it is logged, and not told: nothing follows the last event.
        self.last.take().map(|last| self.push(last, Origin::Panic)).is_some()
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

    /// Hands out events until one has been handled, and says which and how.
    pub(super) fn poll(&mut self, peer: &Peer, cx: &mut task::Context<'_>) -> Poll<(Origin, Result<(), Refusal>)> {
        loop {
            if let Some((future, origin)) = &mut self.running {
                self.has_worked = true;
                let origin = *origin;
                let polled = match catch_unwind(AssertUnwindSafe(|| future.poll_unpin(cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(outcome)) => outcome,
                    Err(panic) => self.panicked(&*panic, origin),
                };
                self.running = None;
                return Poll::Ready((origin, polled));
            }
            if self.failures == 0 && self.dropped > 0 {
                let count = std::mem::take(&mut self.dropped);
                self.queue.push_front((Event::Error(Error::FailuresDropped { count }), Origin::State));
            }
            let next = self.next().and_then(|at| self.queue.remove(at));
            let Some((mut event, origin)) = next else { return Poll::Pending };
            self.has_worked = true;
            match origin {
                Origin::Failure => self.failures -= 1,
                Origin::Outbox => self.outbox_errors -= 1,
                _ => {}
            }
            if origin == Origin::Dropped {
                let Usage { messages, bytes } = std::mem::take(&mut self.made_room);
                event = Event::Dropped { messages, bytes };
            }
            let handler = &mut self.handler;
            match catch_unwind(AssertUnwindSafe(|| handler.handle(event, peer.clone()))) {
                Ok(Handling(State::Later(future))) => self.running = Some((future, origin)),
                Ok(Handling(State::Done(outcome))) => return Poll::Ready((origin, outcome)),
                Err(panic) => return Poll::Ready((origin, self.panicked(&*panic, origin))),
            }
        }
    }

    /// Logs the panic, and tells the handler; but not of a panic while it was told of one.
    fn panicked(&mut self, panic: &(dyn Any + Send), origin: Origin) -> Result<(), Refusal> {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = words.unwrap_or_else(|| "a value that is not a string".into());
        tracing::error!(%message, "a handler panicked; the session goes on");
        if origin != Origin::Panic {
            self.push(Event::Error(Error::HandlerPanicked { message }), Origin::Panic);
        }
        Err(Refusal::new("the handler failed"))
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
