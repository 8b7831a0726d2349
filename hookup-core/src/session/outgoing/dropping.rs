//! A full outbox whose oldest messages make room: from the link, from the outbox, and from what is on its way there.

use super::{Failed, Outgoing};
use crate::{
    error::SendFailure,
    outbox::{Entry, OutboxError},
    session::{keeper::Load, links::Links},
};

impl Outgoing {
    /// Drops the oldest of what was not given to the outbox yet, while a message of so many bytes has no place behind it: all
    /// that is older is about to leave, too, and none of them need be kept first.
    pub(super) fn make_room(&mut self, bytes: u64) {
        if let Some(early) = &mut self.early {
            while self.room.is_over_with(bytes)
                && let Some((outbound, waiter)) = early.pop_front()
            {
                // It has no number yet.
                self.room.remove(u64::MAX, outbound.message().len() as u64);
                self.dropped.push(Failed { outbound, reason: SendFailure::Dropped, waiter });
            }
            return;
        }
        while self.room.drops_for(self.keeper.waiting(), bytes)
            && let Some(Entry { seq, outbound }) = self.keeper.withdraw()
        {
            self.room.remove(seq, outbound.message().len() as u64);
            self.lost.push(seq);
            let waiter = self.waiters.take(seq);
            self.dropped.push(Failed { outbound, reason: SendFailure::Dropped, waiter });
        }
    }

    /// Drops what the link has and has not sent: that is older than what is in the outbox only.
    pub(super) fn drop_loaded(&mut self, links: &mut Links) {
        while self.room.excess().is_some()
            && let Some(entry) = links.take_unsent(self.room.sent())
        {
            self.drop_entry(entry, links);
        }
    }

    /// Drops what was read, as far as that is still to be; the rest is for the link, if it is what it needs next.
    pub(super) fn drop_stored(
        &mut self,
        load: Load,
        loaded: Result<Vec<Entry>, OutboxError>,
        links: &mut Links,
    ) -> Result<(), OutboxError> {
        let entries = loaded.inspect_err(|_| self.stuck = true)?;
        let is_next = load.from == self.cursor;
        let mut next = if entries.is_empty() { load.upto + 1 } else { load.from };
        for entry in entries {
            let seq = entry.seq;
            let is_ours = seq > self.room.sent() && seq >= self.cursor && !self.keeper.is_removing(seq);
            if is_ours && self.room.excess().is_some() {
                self.drop_entry(entry, links);
            } else if is_ours && is_next && links.room() > 0 {
                self.push(entry, links);
            } else if is_ours {
                break;
            }
            next = seq + 1;
        }
        if is_next {
            self.cursor = next;
        } else {
            self.drop_from = self.drop_from.max(next);
        }
        Ok(())
    }

    fn drop_entry(&mut self, entry: Entry, links: &mut Links) {
        links.dropped(entry.seq);
        let failed = self.fail(entry, SendFailure::Dropped);
        self.dropped.push(failed);
    }
}
