//! What came before the outbox was open.

use std::sync::Arc;

use super::{Failed, Outgoing, Report};
use crate::{
    error::SendFailure,
    outbox::{Outbox, OutboxError, Stored, Usage},
    session::blocking::Held,
};

impl Outgoing {
    /// The outbox is open, and holds this; `base` is a `seq` that was given to a message before, whether the outbox has one
    /// of it still or not, and `sent` the last that may have been sent. What came early goes behind it, as far as there is
    /// room.
    pub(in crate::session) fn opened(
        &mut self,
        outbox: Held<Box<dyn Outbox>>,
        stored: &Stored,
        base: u64,
        sent: u64,
    ) -> Report {
        self.keeper.opened(outbox);
        self.room.opened(stored.usage, stored.last_seq, sent);
        self.last_seq = stored.last_seq.max(base);
        self.committed = self.last_seq;
        let early = self.early.take().unwrap_or_default().into_iter();
        let failed = early.filter_map(|(outbound, waiter)| self.accept(outbound, waiter)).collect();
        Report { failed, errors: Vec::new() }
    }

    /// The outbox could not be opened. What came early fails with this; what is still to come finds it closed.
    pub(in crate::session) fn not_opened(&mut self, error: &Arc<OutboxError>) -> Report {
        self.keeper.not_opened();
        self.room.opened(Usage::default(), 0, 0);
        let early = self.early.take().unwrap_or_default().into_iter();
        let failed =
            early.map(|(outbound, waiter)| Failed { outbound, reason: SendFailure::Storage(error.clone()), waiter });
        Report { failed: failed.collect(), errors: Vec::new() }
    }
}
