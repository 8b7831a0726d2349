//! What comes in: frames, and what their meaning comes to.

use super::{
    core::SessionCore,
    flow::Leaves,
    inbox::{Inbox, Origin},
    outgoing::Failed,
};
use crate::{
    ack::{AckOp, AckOutcome, AckOutcomes},
    error::{Error, Receipt, SendFailure},
    event::{Connected, Event},
    link::{News, v2},
    outbound::Outbound,
    ws::{CloseCode, CloseReason, Frame},
};

/// How many acks may wait for a peer that does not read them. To read no further instead could block both ends for ever.
const MAX_REPLIES: usize = 64 * 1024;

impl SessionCore {
    /// Frames came in together.
    ///
    /// # Errors
    /// The close reason that the connection is to end with, when the protocol or a wire format asks for it.
    pub fn receive(&mut self, frames: Vec<Frame>) -> Result<(), CloseReason> {
        self.check_replies()?;
        if self.is_broken {
            return Ok(());
        }
        // What is still to be told of the greetings has no place in the inbox.
        self.take_news(None);
        for frame in frames {
            let bytes = frame.len();
            self.flow.received(bytes);
            let limit = self.limits.max_message_bytes;
            let received = match self.links.is_open() && bytes > limit {
                // The transport lets the greetings of `hookup.v2` be longer.
                true => Err(CloseReason::new(CloseCode::TOO_BIG, format!("a message of more than {limit} bytes"))),
                false => self.links.receive(frame),
            };
            if !self.take_news(Some(bytes)) {
                self.flow.handled(bytes, true);
            }
            received.inspect_err(|_| self.is_broken = true)?;
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
    pub(super) fn take_news(&mut self, mut bytes: Option<usize>) -> bool {
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
                    self.is_told = true;
                    self.tell(Event::Connected(connected));
                }
                News::Message { message, ticket } => queue(&mut self.inbox, message.into(), ticket),
                // It takes its place in the inbox, so that a peer cannot fill the memory with such frames.
                News::Unparsed(error) => {
                    queue(&mut self.inbox, Event::Error(Error::Unparsed(error)), self.links.ticket());
                }
                // Likewise. Of several that one frame tells of, the first.
                News::Gap { missed, ticket } => {
                    let frame = bytes.take().map(|bytes| (bytes, self.connection));
                    is_queued |= frame.is_some();
                    self.inbox.push(Event::Gap { missed }, Origin::Gap { ticket, frame });
                }
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
                News::Acked { seq } if self.armed.is_armed(seq) => self.acks.push(AckOp::Acked { seq }),
                News::Acked { seq } => drop(self.late(seq)),
                News::Nacked { seq, reason } if self.armed.is_armed(seq) => {
                    self.acks.push(AckOp::Refused { seq, reason });
                }
                News::Nacked { seq, reason } => {
                    if let Some(outbound) = self.late(seq) {
                        self.fail(Failed { outbound, reason: SendFailure::Refused { reason }, waiter: None });
                    }
                }
                News::Goaway { retry } => self.goaway = Some(retry),
                News::Nothing => tracing::debug!("something that was handled before, or a late ack"),
            }
        }
        is_queued
    }

    /// The peer is done, over a format, with a message whose wait timed out under `hookup.v2`, so that it stayed. The
    /// supervisor knows nothing of it any more.
    fn late(&mut self, seq: u64) -> Option<Outbound> {
        self.has_progress = true;
        let (outbound, _) = self.links.ended(seq)?;
        self.armed.left(seq);
        self.outgoing.remove(seq, outbound.message().len() as u64);
        Some(outbound)
    }

    /// The peer is done with a message: it leaves the outbox. Given back if the supervisor does not wait for its ack.
    fn delivered(&mut self, seq: u64, outbound: Outbound, op: AckOp) -> Option<Failed> {
        // It may have been sent under a format before.
        self.links.gone(seq);
        self.outgoing.remove(seq, outbound.message().len() as u64);
        if !self.armed.is_armed(seq) {
            self.armed.left(seq);
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
            let left = match self.armed.ended(seq) {
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
}
