//! The one engine behind a server session and a client.

use std::{
    sync::Arc,
    task::{self, Poll, ready},
    time::{Duration, Instant},
};

use actix::Recipient;

use super::{
    Limits, Submission, Submissions,
    armed::Armed,
    flow::{Flow, Leaves},
    inbox::{Inbox, Origin},
    links::Links,
    outgoing::{Failed, Outgoing, Report},
    submission::Waiter,
};
use crate::{
    ack::{AckHandle, AckOp, AckOutcome, AckOutcomes},
    driver,
    error::{Error, Receipt, SendError, SendFailure},
    event::{Connected, Event},
    handler::EventHandler,
    link::{News, Ticket, Transmit, v2},
    message::Outbound,
    outbox::Outbox,
    peer::Peer,
    transport::Credit,
    wire::WireFormat,
    ws::{CloseCode, CloseReason, Frame},
};

/// How many acks may wait for a peer that does not read them. To read no further instead could block both ends for ever.
const MAX_REPLIES: usize = 64 * 1024;

/// How long what failed in the outbox is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the handler may be at work before what it handled is acked, and others have their turn.
const BURST: Duration = Duration::from_millis(50);

/// One end of a session.
#[derive(Debug)]
pub struct SessionCore {
    limits: Limits,
    peer: Peer,
    links: Links,
    inbox: Inbox,
    outgoing: Outgoing,
    acks: AckHandle,
    armed: Armed,
    submissions: Submissions,
    flow: Flow,
    /// Counts the connections.
    connection: u64,
    is_connected: bool,
    /// A wait that the server's goaway asked for.
    goaway: Option<(Duration, Duration)>,
    retry_at: Option<Instant>,
    has_progress: bool,
    accepts: bool,
    ended: bool,
    /// How many messages were handled since others had their turn.
    burst: usize,
    /// Something changed that the next poll acts on.
    changed: bool,
}

impl SessionCore {
    /// A session without a connection, with what its outbox holds already; with a link of `hookup.v2` that was opened on
    /// the outbox's state, if it is to speak that.
    pub fn new(
        limits: Limits,
        peer: Peer,
        handler: Box<dyn EventHandler>,
        outbox: Box<dyn Outbox>,
        outcomes: Recipient<AckOutcomes>,
        v2: Option<v2::Link>,
    ) -> Self {
        let base = v2.as_ref().map_or(0, v2::Link::base);
        Self {
            limits,
            peer,
            links: Links::new(limits.window, limits.max_message_bytes, v2),
            inbox: Inbox::new(handler),
            outgoing: Outgoing::new(outbox, base, limits.outbox, limits.window.bytes),
            acks: AckHandle::enrol(outcomes),
            armed: Armed::default(),
            submissions: Submissions::default(),
            flow: Flow::new(limits.inbox),
            connection: 0,
            is_connected: false,
            goaway: None,
            retry_at: None,
            has_progress: false,
            accepts: true,
            ended: false,
            burst: 0,
            changed: false,
        }
    }

    /// Whom this session talks to.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The session goes on with the same peer, at another address.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Takes a message to be sent; the actor returns this from its `handle`.
    pub fn submit(&self, outbound: impl Into<Outbound>) -> Submission {
        self.submissions.submit(outbound)
    }

    /// A connection of a format has opened.
    pub fn connected(&mut self, format: Arc<dyn WireFormat>) {
        let name = format.name().to_owned();
        let armed = &self.armed;
        self.links.connected(format, |seq| armed.is_armed(seq));
        self.outgoing.rewind();
        self.begin_connection();
        self.tell(Event::Connected(Connected::new(self.peer.clone(), name)));
    }

    /// A client's connection of `hookup.v2` has opened. `Connected` follows when the server's welcome has come.
    pub fn connected_v2(&mut self) {
        if self.links.connected_v2() {
            self.outgoing.rewind();
        }
        self.begin_connection();
    }

    /// A client has sent its hello to this server. `Connected` follows when the welcome is sent.
    ///
    /// # Errors
    /// 4400 when the hello claims what cannot be; then nothing has changed.
    pub fn greeted(&mut self, hello: &v2::Hello) -> Result<(), CloseReason> {
        if let Some(link) = self.links.v2() {
            link.greeted(hello)?;
        }
        self.begin_connection();
        Ok(())
    }

    fn begin_connection(&mut self) {
        self.connection += 1;
        self.is_connected = true;
        self.goaway = None;
        self.flow.reset();
        self.outgoing.retry();
        self.changed = true;
    }

    /// The peer has closed the connection with this; [`SessionCore::disconnected`] is to follow.
    pub fn peer_closed(&mut self, reason: &CloseReason) {
        if reason.code == CloseCode::TOO_BIG
            && let Some(Transmit::Failed { entry, failure }) = self.links.too_big()
        {
            self.acks.push(AckOp::Acked { seq: entry.seq });
            self.armed.ended(entry.seq);
            let waiter = self.outgoing.forget(entry.seq, entry.bytes());
            self.fail(Failed { outbound: entry.outbound, reason: failure, waiter });
        }
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.links.disconnected();
        if !self.links.is_v2() {
            self.outgoing.rewind();
        }
        self.is_connected = false;
        self.flow.reset();
    }

    /// Whose session it is, on a server with authentication.
    pub fn principal(&mut self) -> Option<&str> {
        self.links.session().and_then(|link| link.principal())
    }

    /// What is to be kept of a `hookup.v2` session that has ended.
    pub fn ended_state(&mut self) -> Option<v2::State> {
        self.links.session().map(|link| link.state().ended())
    }

    /// Has this written over a connection of `hookup.v2`, ahead of what waits.
    pub fn send_goaway(&mut self, from: Duration, to: Duration) {
        if let Some(link) = self.links.v2() {
            link.goaway(from, to);
        }
    }

    /// Whether messages flow.
    pub fn is_open(&self) -> bool {
        self.is_connected && self.links.is_open()
    }

    /// The range of waits that the server asked for before the next connection, if it did.
    pub fn goaway(&self) -> Option<(Duration, Duration)> {
        self.goaway
    }

    /// Tells the handler something that is not about a message.
    pub fn tell(&mut self, event: Event) {
        self.inbox.push(event, Origin::State);
        self.changed = true;
    }

    /// Frames came in together.
    ///
    /// # Errors
    /// The close reason that the connection is to end with, when the protocol or a wire format asks for it.
    pub fn receive(&mut self, frames: Vec<Frame>) -> Result<(), CloseReason> {
        self.check_replies()?;
        for frame in frames {
            let bytes = frame.len();
            self.flow.received(bytes);
            let received = self.links.receive(frame);
            if !self.take_news(Some(bytes)) {
                self.flow.handled(bytes, true);
            }
            received?;
        }
        self.check_replies()
    }

    fn check_replies(&self) -> Result<(), CloseReason> {
        match self.links.replies() > MAX_REPLIES {
            true => Err(CloseReason::new(CloseCode::ERROR, "acks are asked for, and not read")),
            false => Ok(()),
        }
    }

    /// Acts on what the links have to say; whether a frame of this many bytes has gone to the inbox.
    fn take_news(&mut self, bytes: Option<usize>) -> bool {
        let mut is_queued = false;
        while let Some(news) = self.links.poll_news() {
            self.changed = true;
            let mut queue = |inbox: &mut Inbox, event, ticket| {
                is_queued = true;
                let bytes = bytes.unwrap_or_default();
                inbox.push(event, Origin::Frame { ticket, bytes, connection: self.connection });
            };
            match news {
                News::Opened { resumed } => {
                    let mut connected = Connected::new(self.peer.clone(), v2::NAME);
                    connected.resumed = resumed;
                    self.tell(Event::Connected(connected));
                }
                News::Message { message, ticket } => queue(&mut self.inbox, message.into(), ticket),
                // It takes its place in the inbox, so that a peer cannot fill the memory with such frames.
                News::Unparsed(error) => {
                    queue(&mut self.inbox, Event::Error(Error::Unparsed(error)), self.links.ticket());
                }
                News::Gap { missed, ticket } => self.inbox.push(Event::Gap { missed }, Origin::Gap { ticket }),
                News::SessionLost => self.tell(Event::SessionLost),
                News::Delivered { entry } => {
                    self.has_progress = true;
                    self.delivered(entry.seq, entry.outbound, AckOp::Acked { seq: entry.seq });
                }
                News::Refused { entry, reason } => {
                    self.has_progress = true;
                    let op = AckOp::Refused { seq: entry.seq, reason: reason.clone() };
                    if let Some(failed) = self.delivered(entry.seq, entry.outbound, op) {
                        self.fail(Failed { reason: SendFailure::Refused { reason }, ..failed });
                    }
                }
                News::Acked { seq } => self.acks.push(AckOp::Acked { seq }),
                News::Nacked { seq, reason } => self.acks.push(AckOp::Refused { seq, reason }),
                News::Goaway { retry } => self.goaway = Some(retry),
                News::Nothing => tracing::debug!("something that was handled before, or a late ack"),
            }
        }
        is_queued
    }

    /// The peer is done with a message: it leaves the outbox. Given back if the supervisor does not wait for its ack.
    fn delivered(&mut self, seq: u64, outbound: Outbound, op: AckOp) -> Option<Failed> {
        self.outgoing.remove(seq, outbound.message().len() as u64);
        if !self.armed.is_armed(seq) {
            self.armed.delivered(seq);
            return Some(Failed { outbound, reason: SendFailure::Lost, waiter: None });
        }
        self.armed.answered(seq, outbound);
        self.acks.push(op);
        None
    }

    /// The supervisor has decided how acks ended.
    pub fn acks_ended(&mut self, AckOutcomes(outcomes): AckOutcomes) {
        for (seq, outcome) in outcomes {
            let is_acked = matches!(outcome, AckOutcome::Acked);
            let delivered = self.armed.ended(seq);
            let left = match delivered {
                // It has left the outbox already.
                Some(outbound) => (outbound, self.outgoing.take_waiter(seq), false),
                None => match self.links.ended(seq) {
                    Some((outbound, true)) => {
                        let waiter = self.outgoing.forget(seq, outbound.message().len() as u64);
                        (outbound, waiter, false)
                    }
                    Some((outbound, false)) => {
                        self.armed.stays(seq);
                        (outbound, self.outgoing.take_waiter(seq), true)
                    }
                    None => continue,
                },
            };
            let (outbound, waiter, stays) = left;
            if is_acked {
                self.has_progress = true;
                if let Some(waiter) = waiter {
                    // Whoever waited may have stopped to; the message has arrived all the same.
                    let _ = waiter.send(Ok(Receipt::Acked));
                }
                continue;
            }
            let within = outbound.ack_within().unwrap_or_default();
            let reason = match outcome {
                AckOutcome::Refused(reason) => SendFailure::Refused { reason },
                AckOutcome::TimedOut => SendFailure::TimedOut { within, stays },
                AckOutcome::Lost | AckOutcome::Acked => SendFailure::Lost,
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
        if self.retry_at.is_some_and(|at| at <= now) {
            self.outgoing.retry();
        }
        self.burst = 0;
        let limit = (self.limits.window.messages / 2).max(1);
        loop {
            while self.burst < limit && self.work(cx) {
                if self.burst.is_multiple_of(16) && driver::now().duration_since(now) > BURST {
                    self.burst = limit;
                }
            }
            let has_sent = self.transmit(now, &mut transmit);
            if self.burst >= limit {
                // What was handled is acked, and others have their turn.
                cx.waker().wake_by_ref();
                break;
            }
            if !has_sent {
                break;
            }
        }
        self.acks.flush();
        self.changed = false;
        self.retry_at = match self.outgoing.has_failed() {
            true => self.retry_at.filter(|&at| at > now).or(Some(now + RETRY_AFTER)),
            false => None,
        };
    }

    /// When [`SessionCore::poll`] is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether something changed since the last poll that nothing else wakes the actor for.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes messages in, runs the outbox and the handler; whether any of that came to something.
    fn work(&mut self, cx: &mut task::Context<'_>) -> bool {
        self.accept_submitted();
        let kept = self.outgoing.poll(&mut self.links, cx).map(|report| self.report(report));
        self.take_news(None);
        let handled = self.inbox.poll(&self.peer, cx).map(|(origin, outcome)| {
            let outcome = outcome.as_ref().map(|&()| ()).map_err(|refusal| refusal.reason());
            match origin {
                Origin::Frame { ticket, bytes, connection } => {
                    let is_current = self.is_connected && connection == self.connection;
                    self.links.handled(ticket, outcome);
                    self.flow.handled(bytes, is_current);
                    self.has_progress |= matches!(ticket, Ticket::Sequenced { .. });
                    self.burst += 1;
                }
                Origin::Gap { ticket } => self.links.handled(ticket, Ok(())),
                Origin::Failure | Origin::State | Origin::Panic => {}
            }
        });
        kept.is_ready() || handled.is_ready()
    }

    fn report(&mut self, report: Report) {
        report.failed.into_iter().for_each(|failed| self.fail(failed));
        report.errors.into_iter().for_each(|error| self.tell(Event::Error(Error::Outbox(error))));
    }

    /// Hands the next batch to the transport; whether there was anything to do.
    fn transmit(&mut self, now: Instant, transmit: &mut impl FnMut(Vec<Frame>, Credit)) -> bool {
        let (mut frames, mut failed) = (Vec::new(), false);
        let wall = driver::wall_clock();
        while self.flow.has_room() {
            let Some(next) = self.links.poll_transmit(wall) else { break };
            let (frame, leaves) = match next {
                Transmit::Reply(frame) | Transmit::Frame(frame) => (frame, None),
                Transmit::Message { frame, entry } => (frame, Some(Leaves { seq: entry.seq, bytes: entry.bytes() })),
                Transmit::Request { frame, seq, within } => {
                    if let Some(within) = within
                        && self.armed.arm(seq)
                    {
                        self.acks.arm(seq, within, now);
                    }
                    (frame, None)
                }
                Transmit::Failed { entry, failure } => {
                    self.armed.ended(entry.seq);
                    let waiter = self.outgoing.forget(entry.seq, entry.bytes());
                    self.fail(Failed { outbound: entry.outbound, reason: failure, waiter });
                    failed = true;
                    continue;
                }
            };
            self.flow.hand(frame.len(), leaves);
            frames.push(frame);
        }
        self.take_news(None);
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

    /// Whether the connection has been of use since this was last asked: an ack has come, or a message of `hookup.v2` was
    /// handled.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progress)
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
        self.outgoing.is_handed_over() && self.links.is_flushed() && self.flow.is_written()
    }

    /// Whether nothing is left to be sent, written, acked or handled.
    pub fn is_idle(&self) -> bool {
        self.unsent() == 0
            && self.outgoing.is_idle()
            && self.flow.is_written()
            && self.links.is_idle()
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

    /// Ends the session here, once its outbox has done what it was asked to. Every waiter is resolved. What is left
    /// `stays` in an outbox that is durable, or else is reported: as lost, if it was sent, and as not sent, if not. What the
    /// peer sent over `hookup.v2` and was not handled is dropped: the peer keeps it. Then the outbox is closed, and `last`
    /// is the last event, if there is to be one.
    pub fn poll_end(&mut self, stays: bool, last: Option<Event>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.stop_accepting();
        self.links.disconnected();
        self.is_connected = false;
        self.inbox.drop_sequenced();
        while self.work(cx) {}
        self.acks.flush();
        self.changed = false;
        let stays = stays && self.outgoing.is_durable();
        if !stays && self.outgoing.is_draining() {
            // What was asked of the outbox before has been done.
        } else if !self.outgoing.is_idle() || self.links.has_answered() || self.armed.has_answered() {
            return Poll::Pending; // The supervisor's answer wakes the actor.
        }
        loop {
            let armed = &self.armed;
            let report = ready!(self.outgoing.poll_give_up(stays, &mut self.links, |seq| armed.is_armed(seq), cx));
            if report.is_empty() {
                break;
            }
            self.report(report);
        }
        if self.inbox.is_running_sequenced() || !self.outgoing.is_saved(&mut self.links) {
            return Poll::Pending; // The handler, or the outbox, wakes the actor.
        }
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
        let outbound = outbound.accepted_at(driver::wall_clock());
        // What is longer than the whole outbox would never fit.
        let outbox = usize::try_from(self.limits.outbox.bytes).unwrap_or(usize::MAX);
        let (len, limit) = (outbound.message().len(), self.limits.max_message_bytes.min(outbox));
        let refusal = if !self.accepts {
            Some(SendFailure::Closed)
        } else if len > limit {
            Some(SendFailure::TooBig { len, limit })
        } else if outbound.is_volatile() {
            return self.accept_volatile(outbound, waiter);
        } else {
            self.links.unsupported(&outbound)
        };
        let failed = match refusal {
            Some(reason) => Some(Failed { outbound, reason, waiter }),
            None => self.outgoing.accept(outbound, waiter),
        };
        if let Some(failed) = failed {
            self.fail(failed);
        }
    }

    fn accept_volatile(&mut self, outbound: Outbound, waiter: Waiter) {
        let sends = self.is_open() && self.outgoing.is_handed_over() && self.flow.has_room();
        let result = if outbound.ack_within().is_some() {
            Err(SendFailure::Unsupported { format: "a volatile message".into() })
        } else if sends && self.links.push_volatile(&outbound) {
            Ok(Receipt::Accepted)
        } else {
            Err(SendFailure::Dropped)
        };
        match (result, waiter) {
            (Err(reason @ SendFailure::Unsupported { .. }), waiter) => {
                self.fail(Failed { outbound, reason, waiter });
            }
            (result, Some(waiter)) => {
                let result = result.map_err(|reason| SendError { message: outbound, reason });
                // Whoever waited may have stopped to; nobody else is told of a volatile message.
                let _ = waiter.send(result);
            }
            (result, None) => tracing::debug!(?result, "a volatile message"),
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
