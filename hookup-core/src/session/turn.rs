//! One wake-up: all that changed is acted upon, and what is to be written goes out as one batch.

use std::{
    task,
    time::{Duration, Instant},
};

use super::{core::SessionCore, flow::Leaves, inbox::Origin, outgoing::Report};
use crate::{
    driver,
    link::{Ticket, Transmit},
    transport::Credit,
    ws::Frame,
};

/// How long what failed in the outbox is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the handler may be at work before what it handled is acked, and others have their turn.
const BURST: Duration = Duration::from_millis(50);

impl SessionCore {
    /// Acts on what changed since the last call. What is to be written goes to `transmit`, as one batch if it fits,
    /// with what may be read again.
    pub fn poll(&mut self, now: Instant, cx: &mut task::Context<'_>, mut transmit: impl FnMut(Vec<Frame>, Credit)) {
        // After the end there is no outbox any more, and nothing to be tried again.
        if !self.ended && self.retry_at.is_some_and(|at| at <= now) {
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
            let mut has_sent = self.transmit(now, &mut transmit);
            has_sent |= self.outgoing.had_its_turn();
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
        [self.retry_at, self.slow.stall.deadline(), self.handler_deadline()].into_iter().flatten().min()
    }

    /// When it, [`SessionCore::poll_end`] or [`SessionCore::poll_told`] is to be called at the latest, also when the session
    /// is at its end: because of the handler alone.
    pub fn handler_deadline(&self) -> Option<Instant> {
        self.inbox.deadline()
    }

    /// Whether something changed since the last poll that nothing else wakes the actor for.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes messages in, runs the outbox and the handler; whether any of that came to something.
    pub(super) fn work(&mut self, cx: &mut task::Context<'_>) -> bool {
        self.accept_submitted();
        let kept = self.outgoing.poll(&mut self.links, cx).map(|report| self.report(report));
        self.take_news(None);
        let handled = self.inbox.poll(&self.peer, cx).map(|(origin, outcome)| {
            let outcome = outcome.as_ref().map(|&()| ()).map_err(|refusal| refusal.reason());
            match origin {
                Origin::Frame { ticket: Ticket::Sequenced { .. }, .. } | Origin::Gap { .. }
                    if self.ends_with_handler && self.inbox.is_gone() => {}
                Origin::Frame { ticket, bytes, connection } => {
                    self.links.handled(ticket, outcome);
                    self.give_credit(bytes, connection);
                    self.has_progress |= matches!(ticket, Ticket::Sequenced { .. });
                    self.burst = self.burst.saturating_add(1);
                }
                Origin::Gap { ticket, frame } => {
                    self.links.handled(ticket, Ok(()));
                    if let Some((bytes, connection)) = frame {
                        self.give_credit(bytes, connection);
                    }
                }
                Origin::Failure | Origin::Dropped | Origin::Outbox | Origin::State | Origin::Fault => {}
            }
            if self.inbox.is_gone() {
                // Whoever drives this is to know before more is refused.
                self.burst = usize::MAX;
            }
        });
        kept.is_ready() || handled.is_ready()
    }

    /// A frame of this connection has been handled.
    fn give_credit(&mut self, bytes: usize, connection: u64) {
        let is_current = self.is_connected && connection >= self.credited_from;
        self.flow.handled(bytes, is_current);
    }

    pub(super) fn report(&mut self, report: Report) {
        report.failed.into_iter().for_each(|failed| self.fail(failed));
        for error in report.errors {
            self.inbox.push_outbox_error(error);
            self.changed = true;
        }
    }

    /// Hands the next batch to the transport; whether there was anything to do.
    fn transmit(&mut self, now: Instant, transmit: &mut impl FnMut(Vec<Frame>, Credit)) -> bool {
        let (mut frames, mut failed) = (Vec::new(), false);
        let wall = driver::wall_clock();
        while self.flow.has_room() {
            let Some(next) = self.links.poll_transmit(wall) else { break };
            let (frame, leaves) = match next {
                Transmit::Reply(frame) | Transmit::Frame(frame) => (frame, None),
                Transmit::Message { frame, entry } => {
                    self.outgoing.sent(entry.seq, entry.bytes());
                    (frame, Some(Leaves { seq: entry.seq, bytes: entry.bytes() }))
                }
                Transmit::Request { frame, seq, within } => {
                    self.outgoing.sent(seq, self.links.bytes_of(seq));
                    if let Some(within) = within
                        && self.armed.arm(seq)
                    {
                        self.acks.arm(seq, within, now);
                    }
                    (frame, None)
                }
                Transmit::Failed { entry, failure } => {
                    self.withdrawn(entry, failure);
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
}
