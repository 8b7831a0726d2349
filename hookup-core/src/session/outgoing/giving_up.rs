//! The end of a session: what becomes of what is left.

use std::task::{self, Poll};

use super::{Failed, Outgoing, Report};
use crate::{
    error::SendFailure,
    session::{keeper::Load, links::Links},
};

impl Outgoing {
    /// Gives up what is left. Where it stays in the outbox, only those are told who wait for an ack. Otherwise each
    /// message fails: as lost, if it was sent, and as not sent, if not.
    pub(in crate::session) fn poll_give_up(
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
        if !stays && self.usage().messages > 0 && !self.stuck && !self.is_draining {
            self.is_draining = true;
            let (messages, bytes) = (usize::MAX, u64::MAX);
            self.keeper.load(Load { from: 0, upto: self.committed, messages, bytes, is_to_drop: false });
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
}
