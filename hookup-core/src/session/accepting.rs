//! What is submitted, and what is told of a message that fails.

use super::{core::SessionCore, outgoing::Failed, submission::Waiter};
use crate::{
    driver,
    error::{Error, Receipt, SendError, SendFailure},
    event::Event,
    outbound::Outbound,
    outbox::Entry,
};

impl SessionCore {
    /// Accepts nothing any more, but what was submitted before.
    pub fn stop_accepting(&mut self) {
        self.accept_submitted();
        self.accepts = false;
    }

    pub(super) fn accept_submitted(&mut self) {
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
            None => self.offer(outbound, waiter),
        };
        if let Some(failed) = failed {
            self.fail(failed);
        }
    }

    fn offer(&mut self, outbound: Outbound, waiter: Waiter) -> Option<Failed> {
        self.slow.accepts(self.outgoing.usage());
        let refused = self.outgoing.accept(outbound, waiter)?;
        if self.is_open() {
            self.slow.refused();
        }
        Some(refused)
    }

    fn accept_volatile(&mut self, outbound: Outbound, waiter: Waiter) {
        let sends = self.is_open() && !self.outgoing.is_behind() && self.flow.has_room();
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

    /// A message has failed, and leaves the outbox.
    pub(super) fn withdrawn(&mut self, entry: Entry, reason: SendFailure) {
        self.armed.ended(entry.seq);
        self.armed.left(entry.seq);
        self.links.gone(entry.seq);
        let waiter = self.outgoing.forget(entry.seq, entry.bytes());
        self.fail(Failed { outbound: entry.outbound, reason, waiter });
    }

    /// A message was not delivered: whoever waits for it is told, and if nobody does, the handler.
    pub(super) fn fail(&mut self, Failed { outbound, reason, waiter }: Failed) {
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
        } else if let (false, SendFailure::Dropped) = (wants_ack, &error.reason) {
            // There may be as many of them as there are messages.
            self.inbox.push_dropped(error.message.message().len() as u64);
        } else if wants_ack {
            self.inbox.push_failure(Event::AckFailed(error));
        } else {
            self.inbox.push_failure(Event::Error(Error::NotSent(error)));
        }
    }
}
