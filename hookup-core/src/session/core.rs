//! The one engine behind a server session and a client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{self, Poll, ready},
    time::Instant,
};

use actix::{Recipient, dev::OneshotSender};

use super::{
    Limits, Submission, Submissions,
    inbox::{Inbox, Origin},
    keeper::{Done, Keeper, Load},
    submission::Waiter,
};
use crate::{
    ack::{AckHandle, AckOp, AckOutcome, AckOutcomes},
    error::{Error, Receipt, SendError, SendFailure, SendResult},
    event::{Connected, Event},
    handler::EventHandler,
    link::{Link, Received, Transmit},
    message::Outbound,
    outbox::{Entry, Outbox, OutboxError, Usage},
    peer::Peer,
    transport::{Credit, ReadGate},
    wire::WireFormat,
    ws::{CloseReason, Frame},
};

/// How many bytes are handed to a transport before it has to say that it wrote some.
const TRANSMIT_BYTES: usize = 64 * 1024;

/// One end of a session.
#[derive(Debug)]
pub struct SessionCore {
    limits: Limits,
    peer: Peer,
    link: Link,
    inbox: Inbox,
    keeper: Keeper,
    acks: AckHandle,
    submissions: Submissions,
    /// Who waits for the ack of which message; for one of a `do_send`, nobody does.
    waiters: HashMap<u64, (OneshotSender<SendResult>, Outbound)>,
    /// Who waits for a message to be accepted.
    accepting: HashMap<u64, OneshotSender<SendResult>>,
    /// What is in the outbox, or on its way there.
    usage: Usage,
    /// The last `seq` that was given to a message, and the last that the outbox has confirmed.
    last_seq: u64,
    committed: u64,
    /// The next `seq` that goes to the link.
    cursor: u64,
    loading: bool,
    /// What the transport has and has not confirmed: the plain message to be forgotten then, if any, and its bytes.
    handed: VecDeque<(Option<Forget>, usize)>,
    handed_bytes: usize,
    /// What has been handled since the last batch, and, as the transport counts it, what has not been.
    credit: Credit,
    gate: ReadGate,
    acked: bool,
    accepts: bool,
    offline: bool,
    ended: bool,
}

/// A message that leaves the outbox.
#[derive(Debug, Clone, Copy)]
struct Forget {
    seq: u64,
    bytes: u64,
}

impl From<&Entry> for Forget {
    fn from(entry: &Entry) -> Self {
        Self { seq: entry.seq, bytes: entry.bytes() }
    }
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
        let stored = outbox.stored();
        Self {
            limits,
            peer,
            link: Link::new(limits.window),
            inbox: Inbox::new(handler),
            keeper: Keeper::new(outbox),
            acks: AckHandle::enrol(outcomes),
            submissions: Submissions::default(),
            waiters: HashMap::new(),
            accepting: HashMap::new(),
            usage: stored.usage,
            last_seq: stored.last_seq,
            committed: stored.last_seq,
            cursor: 0,
            loading: false,
            handed: VecDeque::new(),
            handed_bytes: 0,
            credit: Credit::default(),
            gate: ReadGate::new(limits.inbox),
            acked: false,
            accepts: true,
            offline: false,
            ended: false,
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
        self.handed.clear();
        self.handed_bytes = 0;
        self.credit = Credit::default();
        self.gate = ReadGate::new(self.limits.inbox);
        // What was not written, or written and not acked, is still in the outbox, and is sent again from its beginning.
        self.cursor = 0;
    }

    /// Tells the handler something that is not about a message.
    pub fn tell(&mut self, event: Event) {
        self.inbox.push(event, Origin::State);
    }

    /// Frames came in together.
    ///
    /// # Errors
    /// The close reason that the connection is to end with, when a wire format asks for it.
    pub fn receive(&mut self, frames: Vec<Frame>) -> Result<(), CloseReason> {
        for frame in frames {
            let bytes = frame.len();
            self.gate.received(bytes);
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
                    self.tell(Event::Error(Error::Unparsed(error)));
                    close.map_or(Ok(()), Err)?;
                }
            }
            self.handled_frame(bytes);
        }
        Ok(())
    }

    /// The supervisor has decided how acks ended.
    pub fn acks_ended(&mut self, AckOutcomes(outcomes): AckOutcomes) {
        for (seq, outcome) in outcomes {
            let Some(outbound) = self.link.ended(seq) else { continue };
            self.forget(Forget { seq, bytes: outbound.message().len() as u64 });
            let waiter = self.take_waiter(seq);
            match outcome {
                AckOutcome::Acked => {
                    self.acked = true;
                    succeed(waiter, Receipt::Acked);
                }
                AckOutcome::Refused(reason) => self.fail(outbound, SendFailure::Refused { reason }, waiter),
                AckOutcome::TimedOut => {
                    let within = outbound.ack_within().unwrap_or_default();
                    self.fail(outbound, SendFailure::TimedOut { within }, waiter);
                }
                AckOutcome::Lost => self.fail(outbound, SendFailure::Lost, waiter),
            }
        }
    }

    /// The transport has written this many more frames.
    pub fn written(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some((forget, bytes)) = self.handed.pop_front() else { break };
            self.handed_bytes -= bytes;
            if let Some(forget) = forget {
                self.forget(forget);
            }
        }
    }

    /// Acts on what changed since the last call. What is to be written goes to `transmit`, as one batch if it fits,
    /// with what may be read again.
    pub fn poll(&mut self, now: Instant, cx: &mut task::Context<'_>, mut transmit: impl FnMut(Vec<Frame>, Credit)) {
        while self.work(cx) || self.transmit(now, &mut transmit) {}
        self.acks.flush();
    }

    /// Takes messages in, runs the outbox and the handler; whether any of that came to something.
    fn work(&mut self, cx: &mut task::Context<'_>) -> bool {
        for (outbound, waiter) in self.submissions.take() {
            self.accept(outbound, waiter);
        }
        self.load();
        let kept = self.keeper.poll(cx).map(|done| self.kept(done));
        let handled = self.inbox.poll(&self.peer, cx).map(|(origin, outcome)| {
            let Origin::Frame { ticket, bytes } = origin else { return };
            if self.link.is_current(ticket) {
                self.link.handled(ticket, outcome.as_ref().map(|&()| ()).map_err(|refusal| refusal.reason()));
                self.handled_frame(bytes);
            }
        });
        kept.is_ready() || handled.is_ready()
    }

    /// Hands the next batch to the transport; whether there was anything to do.
    fn transmit(&mut self, now: Instant, transmit: &mut impl FnMut(Vec<Frame>, Credit)) -> bool {
        let (mut frames, mut failed) = (Vec::new(), false);
        while self.handed_bytes < TRANSMIT_BYTES {
            let Some(next) = self.link.poll_transmit() else { break };
            let (frame, forget) = match next {
                Transmit::Reply(frame) => (frame, None),
                Transmit::Message { frame, entry } => (frame, Some(Forget::from(&entry))),
                Transmit::Request { frame, seq, within } => {
                    self.acks.arm(seq, within, now);
                    (frame, None)
                }
                Transmit::Failed { entry, failure } => {
                    self.forget(Forget::from(&entry));
                    let waiter = self.take_waiter(entry.seq);
                    self.fail(entry.outbound, failure, waiter);
                    failed = true;
                    continue;
                }
            };
            self.handed.push_back((forget, frame.len()));
            self.handed_bytes += frame.len();
            frames.push(frame);
        }
        let credit = std::mem::take(&mut self.credit);
        let has_batch = !frames.is_empty() || !credit.is_none();
        if has_batch {
            transmit(frames, credit);
        }
        has_batch || failed
    }

    /// Whether frames are read at all: not while the handler is behind by the inbox's bound. The silence of a peer that is
    /// not listened to means nothing.
    pub fn is_reading(&self) -> bool {
        self.gate.is_open()
    }

    fn handled_frame(&mut self, bytes: usize) {
        self.credit.add(bytes);
        let mut one = Credit::default();
        one.add(bytes);
        self.gate.handled(one);
    }

    /// Whether an ack has come since this was last asked.
    pub fn take_acked(&mut self) -> bool {
        std::mem::take(&mut self.acked)
    }

    /// Whether no connection is being tried for. Whoever waits for an ack then is told so; the messages stay.
    pub fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
        if offline {
            self.release_waiters(|| SendFailure::Offline);
        }
    }

    /// Accepts nothing any more.
    pub fn stop_accepting(&mut self) {
        self.accepts = false;
    }

    /// How many messages are in the outbox.
    pub fn unsent(&self) -> usize {
        self.usage.messages
    }

    /// Whether all that was accepted has been handed to the transport.
    pub fn is_flushed(&self) -> bool {
        self.keeper.is_idle() && self.cursor > self.committed && self.link.is_flushed()
    }

    /// Whether nothing is left to be sent, written, acked or handled.
    pub fn is_idle(&self) -> bool {
        self.usage.messages == 0
            && self.keeper.is_idle()
            && self.handed.is_empty()
            && self.link.is_idle()
            && self.inbox.is_empty()
    }

    /// Whether every event has been handled.
    pub fn is_told(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Ends the session for good, once its outbox has done what it was asked to. Every waiter is resolved; what was
    /// sent and not acked is reported as lost; what was never sent stays in a durable outbox, and is reported as
    /// not sent from one that is not. Then the outbox is closed, and `last` is the last event.
    pub fn poll_end(&mut self, last: Event, cx: &mut task::Context<'_>) -> Poll<()> {
        self.accepts = false;
        self.link.disconnected();
        while self.work(cx) {}
        if !self.keeper.is_idle() {
            return Poll::Pending;
        }
        while let Some(seq) = self.link.first_awaiting() {
            let Some(outbound) = self.link.ended(seq) else { break };
            if !self.keeper.is_durable() {
                self.forget(Forget { seq, bytes: outbound.message().len() as u64 });
            }
            let waiter = self.take_waiter(seq);
            self.fail(outbound, SendFailure::Lost, waiter);
        }
        if !self.keeper.is_durable() {
            // Such an outbox answers at once: first the removals above, then what is left.
            self.keeper.load(Load { from: 0, upto: self.committed, messages: usize::MAX, bytes: u64::MAX });
            while let Poll::Ready(done) = self.keeper.poll(cx) {
                for entry in done.loaded.and_then(|(_, loaded)| loaded.ok()).into_iter().flatten() {
                    self.forget(Forget::from(&entry));
                    let waiter = self.take_waiter(entry.seq);
                    self.fail(entry.outbound, SendFailure::Closed, waiter);
                }
            }
        }
        self.release_waiters(|| SendFailure::Closed);
        ready!(self.keeper.poll_close(cx));
        self.tell(last);
        self.ended = true;
        Poll::Ready(())
    }

    fn accept(&mut self, outbound: Outbound, waiter: Waiter) {
        let len = outbound.message().len();
        let failure = if !self.accepts {
            Some(SendFailure::Closed)
        } else if len > self.limits.max_message_bytes {
            Some(SendFailure::TooBig { len, limit: self.limits.max_message_bytes })
        } else if !self.usage.admits(len as u64, self.limits.outbox) {
            Some(SendFailure::Full { messages: self.usage.messages, bytes: self.usage.bytes })
        } else {
            self.link.unsupported(&outbound)
        };
        if let Some(failure) = failure {
            return self.fail(outbound, failure, waiter);
        }
        self.last_seq += 1;
        self.usage.add(len as u64);
        match waiter {
            Some(waiter) if outbound.ack_within().is_some() => {
                self.waiters.insert(self.last_seq, (waiter, outbound.clone()));
            }
            Some(waiter) => {
                self.accepting.insert(self.last_seq, waiter);
            }
            None => {}
        }
        self.keeper.append(Entry { seq: self.last_seq, outbound });
    }

    /// The outbox has done something.
    fn kept(&mut self, done: Done) {
        match done.append {
            Ok(()) => {
                for entry in done.appended {
                    self.committed = entry.seq;
                    succeed(self.accepting.remove(&entry.seq), Receipt::Accepted);
                    // Where nothing older waits in the outbox, it need not be read back.
                    if self.cursor == entry.seq && self.link.room() > 0 {
                        self.cursor += 1;
                        self.link.push(entry);
                    }
                }
                if self.offline {
                    self.release_waiters(|| SendFailure::Offline);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for entry in done.appended {
                    self.usage.subtract(entry.bytes());
                    // A hole in the sequence: what is behind it is reached by loading.
                    let waiter = self.take_waiter(entry.seq);
                    self.fail(entry.outbound, SendFailure::Storage(error.clone()), waiter);
                }
            }
        }
        if let Err(error) = done.remove {
            self.tell(Event::Error(Error::Outbox(error)));
        }
        if let Some((load, loaded)) = done.loaded {
            self.loading = false;
            self.loaded(load, loaded);
        }
    }

    fn loaded(&mut self, load: Load, loaded: Result<Vec<Entry>, OutboxError>) {
        if load.from != self.cursor {
            return; // It was for a connection that has ended.
        }
        match loaded {
            Ok(entries) => {
                // Only if nothing is left between the last one and what was committed when it was asked.
                self.cursor = entries.last().map_or(load.upto, |last| last.seq) + 1;
                for entry in entries {
                    if !self.keeper.is_removing(entry.seq) {
                        self.link.push(entry);
                    }
                }
            }
            Err(error) => {
                // Not tried again before the next connection, so as not to spin on a broken disk.
                self.cursor = u64::MAX;
                self.tell(Event::Error(Error::Outbox(error)));
            }
        }
    }

    /// Asks the outbox for what the link has room for.
    fn load(&mut self) {
        let messages = self.link.room();
        if !self.loading && messages > 0 && self.cursor <= self.committed {
            self.loading = true;
            let bytes = self.limits.window.bytes;
            self.keeper.load(Load { from: self.cursor, upto: self.committed, messages, bytes });
        }
    }

    fn take_waiter(&mut self, seq: u64) -> Waiter {
        self.accepting.remove(&seq).or_else(|| self.waiters.remove(&seq).map(|(waiter, _)| waiter))
    }

    /// Tells those whose message stays in the outbox that they need not wait.
    fn release_waiters(&mut self, reason: impl Fn() -> SendFailure) {
        for (_, (waiter, message)) in self.waiters.drain() {
            // The message is safe, so nobody needs to be told if nobody waits.
            let _ = waiter.send(Err(SendError { message, reason: reason() }));
        }
    }

    /// A message leaves the outbox.
    fn forget(&mut self, Forget { seq, bytes }: Forget) {
        self.usage.subtract(bytes);
        self.keeper.remove(seq);
    }

    /// A message was not delivered: whoever waits for it is told, and if nobody does, the handler.
    fn fail(&mut self, message: Outbound, reason: SendFailure, waiter: Waiter) {
        let wants_ack = message.ack_within().is_some();
        let mut result = Err(SendError { message, reason });
        if let Some(waiter) = waiter {
            match waiter.send(result) {
                Ok(()) => return,
                Err(returned) => result = returned,
            }
        }
        let Err(error) = result else { return };
        if self.ended {
            // The handler has had its last event; one that answers every failure with a message would never end.
            tracing::warn!(%error, message = ?error.message, "not sent after the session's end");
        } else {
            self.inbox.push_failure(match wants_ack {
                true => Event::AckFailed(error),
                false => Event::Error(Error::NotSent(error)),
            });
        }
    }
}

fn succeed(waiter: Waiter, receipt: Receipt) {
    if let Some(waiter) = waiter {
        // Whoever waited may have stopped to; the message has arrived all the same.
        let _ = waiter.send(Ok(receipt));
    }
}
