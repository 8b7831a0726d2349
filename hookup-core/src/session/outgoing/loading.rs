//! What is read from the outbox: to be sent, and to be dropped.

use super::Outgoing;
use crate::{
    outbox::{Entry, OutboxError, Usage},
    session::{keeper::Load, links::Links},
};

/// How many bytes are read at once to be dropped: an outbox on disk may have more above its bound than the memory holds.
const DROP_BYTES: u64 = 16 << 20;

impl Outgoing {
    /// What is to be read from the outbox: to be dropped, while it is over its bound, and to be sent. What was sent is not
    /// dropped, and so is read to be sent before; else they take turns.
    pub(super) fn next_load(&self, links: &Links) -> Option<Load> {
        let to_send = || self.load_to_send(links);
        let to_drop = || self.load_to_drop(links);
        let sends_first = self.sends_next || self.cursor <= self.room.sent();
        if sends_first { to_send().or_else(to_drop) } else { to_drop().or_else(to_send) }
    }

    fn load_to_drop(&self, links: &Links) -> Option<Load> {
        let Usage { messages, bytes } = self.room.excess().filter(|_| !self.is_draining())?;
        // As much again may have come when it is read, and what is behind that goes to the link.
        let (messages, bytes) = match messages {
            0 => (usize::MAX, bytes.saturating_mul(2).saturating_add(self.load_bytes)),
            _ => (messages.saturating_mul(2).saturating_add(links.room()), u64::MAX),
        };
        let bytes = bytes.min(self.load_bytes.max(DROP_BYTES));
        let from = self.cursor.max(self.room.sent() + 1).max(self.drop_from);
        let load = Load { from, upto: self.committed, messages, bytes, is_to_drop: true };
        (from <= load.upto).then_some(load)
    }

    fn load_to_send(&self, links: &Links) -> Option<Load> {
        let (from, upto, messages) = (self.cursor, self.committed, links.room());
        let load = Load { from, upto, messages, bytes: self.load_bytes, is_to_drop: false };
        (messages > 0 && from <= upto).then_some(load)
    }

    /// What was read goes to the link.
    pub(super) fn loaded(
        &mut self,
        load: Load,
        loaded: Result<Vec<Entry>, OutboxError>,
        links: &mut Links,
    ) -> Result<(), OutboxError> {
        let entries = loaded.inspect_err(|_| {
            // Not tried again at once, so as not to spin on a broken disk.
            self.stuck = true;
        })?;
        self.cursor = entries.last().map_or(load.upto, |last| last.seq) + 1;
        for entry in entries {
            if !self.keeper.is_removing(entry.seq) {
                self.push(entry, links);
            }
        }
        Ok(())
    }
}
