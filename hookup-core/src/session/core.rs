//! The one engine behind a server session and a client.

use std::{
    sync::Arc,
    task::{self, Poll, ready},
    time::Instant,
};

use actix::Recipient;

use super::{
    Limits, Submission, Submissions,
    flow::{Flow, Leaves},
    inbox::{Inbox, Origin},
    outgoing::{Failed, Outgoing},
    submission::Waiter,
};
use crate::{
    ack::{AckHandle, AckOp, AckOutcome, AckOutcomes},
    error::{Error, Receipt, SendError, SendFailure},
    event::{Connected, Event},
    handler::EventHandler,
    link::{Link, Received, Transmit},
    message::Outbound,
    outbox::Outbox,
    peer::Peer,
    transport::Credit,
    wire::WireFormat,
    ws::{CloseCode, CloseReason, Frame},
};

/// How many acks may wait for a peer that does not read them. To read no further instead could block both ends for ever.
const MAX_REPLIES: usize = 64 * 1024;

/// One end of a session.
#[derive(Debug)]
pub struct SessionCore {
    limits: Limits,
    peer: Peer,
    link: Link,
    inbox: Inbox,
    outgoing: Outgoing,
    acks: AckHandle,
    submissions: Submissions,
    flow: Flow,
    acked: bool,
    accepts: bool,
    ended: bool,
    /// Something changed that the next poll acts on.
    changed: bool,
}

impl SessionCore {
    /// A session without a connection, with what its outbox holds already.
    pub fn new(
        limits: Limits,
        peer: Peer,
        handler: Box<dyn EventHandler>,
        outbox: Box<dyn Outbox>,
        outcomes: Recipient<AckOutcomes>,
    ) -> Self {
        Self {
            limits,
            peer,
            link: Link::new(limits.window).max_frame_bytes(limits.max_message_bytes),
            inbox: Inbox::new(handler),
            outgoing: Outgoing::new(outbox, limits.outbox, limits.window.bytes),
            acks: AckHandle::enrol(outcomes),
            submissions: Submissions::default(),
            flow: Flow::new(limits.inbox),
            acked: false,
            accepts: true,
            ended: false,
            changed: false,
        }
    }

    /// Whom this session talks to.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Takes a message to be sent; the actor returns this from its `handle`.
    pub fn submit(&self, outbound: impl Into<Outbound>) -> Submission {
        self.submissions.submit(outbound)
    }

    /// A connection has opened.
    pub fn connected(&mut self, format: Arc<dyn WireFormat>) {
        let name = format.name().to_owned();
        self.link.connected(format);
        self.reset_connection();
        self.tell(Event::Connected(Connected::new(self.peer.clone(), name)));
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.link.disconnected();
        self.reset_connection();
    }

    fn reset_connection(&mut self) {
        self.flow.reset();
        self.outgoing.rewind();
    }

    /// Tells the handler something that is not about a message.
    pub fn tell(&mut self, event: Event) {
        self.inbox.push(event, Origin::State);
        self.changed = true;
    }

    /// Frames came in together.
    ///
    /// # Errors
    /// The close reason that the connection is to end with, when a wire format asks for it.
    pub fn receive(&mut self, frames: Vec<Frame>) -> Result<(), CloseReason> {
        self.check_replies()?;
        for frame in frames {
            let bytes = frame.len();
            self.flow.received(bytes);
            match self.link.receive(frame) {
                Ok(Received::Message { message, ticket }) => {
                    self.inbox.push(message.into(), Origin::Frame { ticket, bytes });
                    continue;
                }
                Ok(Received::Acked { seq }) => self.acks.push(AckOp::Acked { seq }),
                Ok(Received::Refused { seq, reason }) => self.acks.push(AckOp::Refused { seq, reason }),
                Ok(Received::Unknown) => tracing::debug!("an ack that is late, unknown or a duplicate"),
                Err(error) => {
                    let close = error.close.map(|code| CloseReason::new(code, error.problem.clone().into_owned()));
                    // It takes its place in the inbox, so that a peer cannot fill the memory with such frames.
                    let ticket = self.link.ticket();
                    self.inbox.push(Event::Error(Error::Unparsed(error)), Origin::Frame { ticket, bytes });
                    close.map_or(Ok(()), Err)?;
                    continue;
                }
            }
            self.flow.handled(bytes, true);
        }
        self.check_replies()
    }

    fn check_replies(&self) -> Result<(), CloseReason> {
        match self.link.replies() > MAX_REPLIES {
            true => Err(CloseReason::new(CloseCode::ERROR, "acks are asked for, and not read")),
            false => Ok(()),
        }
    }

    /// The supervisor has decided how acks ended.
    pub fn acks_ended(&mut self, AckOutcomes(outcomes): AckOutcomes) {
        for (seq, outcome) in outcomes {
            let Some(outbound) = self.link.ended(seq) else { continue };
            let waiter = self.outgoing.forget(seq, outbound.message().len() as u64);
            let reason = match outcome {
                AckOutcome::Acked => {
                    self.acked = true;
                    if let Some(waiter) = waiter {
                        // Whoever waited may have stopped to; the message has arrived all the same.
                        let _ = waiter.send(Ok(Receipt::Acked));
                    }
                    continue;
                }
                AckOutcome::Refused(reason) => SendFailure::Refused { reason },
                AckOutcome::TimedOut => SendFailure::TimedOut { within: outbound.ack_within().unwrap_or_default() },
                AckOutcome::Lost => SendFailure::Lost,
            };
            self.fail(Failed { outbound, reason, waiter });
        }
    }

    /// The transport has written this many more frames.
    pub fn written(&mut self, frames: usize) {
        for _ in 0..frames {
            if let Some(Leaves { seq, bytes }) = self.flow.written() {
                self.outgoing.forget(seq, bytes);
            }
        }
    }

    /// Acts on what changed since the last call. What is to be written goes to `transmit`, as one batch if it fits,
    /// with what may be read again.
    pub fn poll(&mut self, now: Instant, cx: &mut task::Context<'_>, mut transmit: impl FnMut(Vec<Frame>, Credit)) {
        while self.work(cx) || self.transmit(now, &mut transmit) {}
        self.acks.flush();
        self.changed = false;
    }

    /// Whether something changed since the last poll that nothing else wakes the actor for.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes messages in, runs the outbox and the handler; whether any of that came to something.
    fn work(&mut self, cx: &mut task::Context<'_>) -> bool {
        self.accept_submitted();
        let kept = self.outgoing.poll(&mut self.link, cx).map(|report| {
            report.failed.into_iter().for_each(|failed| self.fail(failed));
            report.errors.into_iter().for_each(|error| self.tell(Event::Error(Error::Outbox(error))));
        });
        let handled = self.inbox.poll(&self.peer, cx).map(|(origin, outcome)| {
            let Origin::Frame { ticket, bytes } = origin else { return };
            let is_current = self.link.is_current(ticket);
            self.link.handled(ticket, outcome.as_ref().map(|&()| ()).map_err(|refusal| refusal.reason()));
            self.flow.handled(bytes, is_current);
        });
        kept.is_ready() || handled.is_ready()
    }

    /// Hands the next batch to the transport; whether there was anything to do.
    fn transmit(&mut self, now: Instant, transmit: &mut impl FnMut(Vec<Frame>, Credit)) -> bool {
        let (mut frames, mut failed) = (Vec::new(), false);
        while self.flow.has_room() {
            let Some(next) = self.link.poll_transmit() else { break };
            let (frame, leaves) = match next {
                Transmit::Reply(frame) => (frame, None),
                Transmit::Message { frame, entry } => (frame, Some(Leaves { seq: entry.seq, bytes: entry.bytes() })),
                Transmit::Request { frame, seq, within } => {
                    self.acks.arm(seq, within, now);
                    (frame, None)
                }
                Transmit::Failed { entry, failure } => {
                    let waiter = self.outgoing.forget(entry.seq, entry.bytes());
                    self.fail(Failed { outbound: entry.outbound, reason: failure, waiter });
                    failed = true;
                    continue;
                }
            };
            self.flow.hand(frame.len(), leaves);
            frames.push(frame);
        }
        let credit = self.flow.take_credit();
        let has_batch = !frames.is_empty() || !credit.is_none();
        if has_batch {
            transmit(frames, credit);
        }
        has_batch || failed
    }

    /// Whether there is room for more frames, so that they are read: not while the handler is behind by the inbox's bound.
    /// The silence of a peer that is not listened to means nothing.
    pub fn is_reading(&self) -> bool {
        self.flow.is_reading()
    }

    /// Whether an ack has come since this was last asked.
    pub fn take_acked(&mut self) -> bool {
        std::mem::take(&mut self.acked)
    }

    /// Whether no connection is being tried for. Whoever waits for an ack then is told so; the messages stay.
    pub fn set_offline(&mut self, offline: bool) {
        self.outgoing.set_offline(offline);
    }

    /// Accepts nothing any more, but what was submitted before.
    pub fn stop_accepting(&mut self) {
        self.accept_submitted();
        self.accepts = false;
    }

    /// How many messages are in the outbox.
    pub fn unsent(&self) -> usize {
        self.outgoing.usage().messages
    }

    /// Whether all that was accepted has been written.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_handed_over() && self.link.is_flushed() && self.flow.is_written()
    }

    /// Whether nothing is left to be sent, written, acked or handled.
    pub fn is_idle(&self) -> bool {
        self.unsent() == 0
            && self.outgoing.is_idle()
            && self.flow.is_written()
            && self.link.is_idle()
            && self.inbox.is_empty()
    }

    /// After [`SessionCore::poll_end`]: tells the handler the rest, and what comes of what it still sends, and then its last
    /// event. To be called once per wake-up, when the mailbox is empty.
    pub fn poll_told(&mut self, now: Instant, cx: &mut task::Context<'_>) -> Poll<()> {
        self.poll(now, cx, |_, _| {});
        // What the handler has sent is in the mailbox, and is to be answered before anything ends.
        let is_running = self.inbox.is_running();
        if self.inbox.take_worked() && !is_running || self.inbox.release_last() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.inbox.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends the session for good, once its outbox has done what it was asked to. Every waiter is resolved; what was
    /// sent and not acked is reported as lost; what was never sent stays in a durable outbox, and is reported as
    /// not sent from one that is not. Then the outbox is closed, and `last` is the last event.
    pub fn poll_end(&mut self, last: Event, cx: &mut task::Context<'_>) -> Poll<()> {
        self.stop_accepting();
        self.link.disconnected();
        while self.work(cx) {}
        self.acks.flush();
        self.changed = false;
        if !self.outgoing.is_idle() || self.link.has_answered() {
            return Poll::Pending; // The supervisor's answer wakes the actor.
        }
        let left = self.outgoing.give_up(&mut self.link, cx);
        left.into_iter().for_each(|failed| self.fail(failed));
        ready!(self.outgoing.poll_close(cx));
        self.inbox.push_last(last);
        self.ended = true;
        Poll::Ready(())
    }

    fn accept_submitted(&mut self) {
        for (outbound, waiter) in self.submissions.take() {
            self.accept(outbound, waiter);
        }
    }

    fn accept(&mut self, outbound: Outbound, waiter: Waiter) {
        // What is longer than the whole outbox would never fit.
        let outbox = usize::try_from(self.limits.outbox.bytes).unwrap_or(usize::MAX);
        let (len, limit) = (outbound.message().len(), self.limits.max_message_bytes.min(outbox));
        let refusal = if !self.accepts {
            Some(SendFailure::Closed)
        } else if len > limit {
            Some(SendFailure::TooBig { len, limit })
        } else {
            self.link.unsupported(&outbound)
        };
        let accepted = match refusal {
            Some(reason) => Err(Failed { outbound, reason, waiter }),
            None => self.outgoing.accept(outbound, waiter),
        };
        if let Err(failed) = accepted {
            self.fail(failed);
        }
    }

    /// A message was not delivered: whoever waits for it is told, and if nobody does, the handler.
    fn fail(&mut self, Failed { outbound, reason, waiter }: Failed) {
        let wants_ack = outbound.ack_within().is_some();
        let mut result = Err(SendError { message: outbound, reason });
        if let Some(waiter) = waiter {
            match waiter.send(result) {
                Ok(()) => return,
                Err(returned) => result = returned,
            }
        }
        let Err(error) = result else { return };
        if self.ended && !self.inbox.takes_more_failures() {
            // The handler has had its last event, or answers every failure with a message, and would never end.
            tracing::warn!(%error, message = ?error.message, "not sent after the session's end");
        } else if wants_ack {
            self.inbox.push_failure(Event::AckFailed(error));
        } else {
            self.inbox.push_failure(Event::Error(Error::NotSent(error)));
        }
    }
}
