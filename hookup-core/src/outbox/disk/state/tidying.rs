//! When the log goes on in another file, and how space comes back.

use super::State;
use crate::outbox::{
    Entry, OutboxError,
    disk::{
        cursor::Cursor,
        failed,
        ledger::{Ledger, Located, Place},
        log,
        record::Head,
        reserve::is_full,
        unreadable,
    },
};

/// How many times as long as what is kept a log may be from some length on.
const MOVE_FACTOR: u64 = 4;

/// How many times as long as what is kept the log has to be for a full disk to gain by it.
const ROOM_FACTOR: u64 = 2;

/// What a message takes in the log beside its payload, about, in bytes.
const MESSAGE_BYTES: u64 = 64;

/// After how many more bytes of the log what failed is tried again.
const AGAIN_BYTES: u64 = 64 * 1024;

impl State {
    /// Begins another file when it is time, and gives back the space that is not needed any more. What was committed is safe
    /// whether that succeeds or not, and what fails is tried again later.
    pub(crate) fn tidy(&mut self) {
        let tidied = match self.try_tidy() {
            Err(error) if is_full(&error) && self.reserve.release() => {
                self.tidied = 0;
                self.try_tidy()
            }
            tidied => tidied,
        };
        if let Err(error) = tidied {
            tracing::error!(%error, "the outbox takes more space than it needs for now");
        }
        self.delete_dead();
    }

    /// Deletes the files in which nothing is kept, unless there is something of which only the memory says that it has left.
    fn delete_dead(&mut self) {
        if !self.knows_more() {
            self.log.delete_dead(self.covered, &self.tally);
        }
    }

    /// Whether something has left that neither the log nor the catalog says has.
    fn knows_more(&self) -> bool {
        self.has_taken_back || !self.unlogged.is_empty()
    }

    fn try_tidy(&mut self) -> Result<(), OutboxError> {
        let is_cover_due = self.log.position() >= self.tidied && self.is_cover_due();
        if !self.log.is_full(&self.tally) && !is_cover_due {
            return Ok(());
        }
        // Where it fails, not every commit is to begin another file.
        self.tidied = self.log.position() + AGAIN_BYTES;
        self.log.roll(self.covered).map_err(|error| self.failed(error))?;
        if self.is_cover_due() || self.knows_more() {
            self.cover()?;
            self.move_oldest(self.log.limits().moved_from, MOVE_FACTOR)?;
        }
        self.tidied = 0;
        Ok(())
    }

    /// The disk is full: gives back what is not needed any more, if that is about half of the log; whether it did.
    pub(super) fn make_room(&mut self) -> bool {
        let before = self.log.length();
        if before < ROOM_FACTOR * self.kept() {
            return false;
        }
        self.reserve.release();
        let rolled = self.log.roll(self.covered).map_err(|error| self.failed(error));
        let made = rolled.and_then(|()| self.cover()).and_then(|()| {
            let mut oldest = None;
            // What cannot be deleted is not moved once more.
            while self.log.oldest() != oldest && self.move_oldest(0, ROOM_FACTOR)? {
                oldest = self.log.oldest();
                self.delete_dead();
            }
            Ok(())
        });
        self.delete_dead();
        if let Err(error) = made {
            tracing::error!(%error, "a full disk could not be given space back");
        }
        self.log.length() < before
    }

    /// About how long the log would be without what is not needed any more.
    fn kept(&self) -> u64 {
        let kept = self.ledgers.values().map(Ledger::usage);
        kept.map(|usage| usage.bytes + usage.messages as u64 * MESSAGE_BYTES).sum()
    }

    /// Whether the catalog is to be written: a file could be deleted then, or many wait for it.
    fn is_cover_due(&self) -> bool {
        let waiting = self.covered + 1..self.log.number();
        waiting.end - waiting.start >= self.log.limits().uncovered
            || waiting.into_iter().any(|file| !self.tally.contains_key(&file))
    }

    /// Writes the sessions that changed to the catalog, so that it covers all files of the log but the last, which was just
    /// begun.
    fn cover(&mut self) -> Result<(), OutboxError> {
        let upto = self.log.number() - 1;
        let ledgers = &self.ledgers;
        let changed = self.changed.iter();
        self.catalog.note(upto, changed.map(|session| (*session, ledgers.get(session).map(Ledger::summary))))?;
        self.covered = upto;
        self.changed.clear();
        // The catalog knows what has left.
        self.unlogged.clear();
        self.has_taken_back = false;
        self.ledgers.retain(|session, ledger| !ledger.is_bare() || self.opened.contains(session));
        // Where that fails, the next file says it.
        self.log.note_covered(upto).map_err(|error| self.failed(error))
    }

    /// When the log is this many bytes longer than this many times what is kept, moves what is kept in its oldest file to its
    /// end; whether it did.
    fn move_oldest(&mut self, slack: u64, factor: u64) -> Result<bool, OutboxError> {
        let Some(oldest) = self.log.oldest().filter(|_| self.log.length() > slack + factor * self.kept()) else {
            return Ok(false);
        };
        let mark = self.log.begin().map_err(|error| self.failed(error))?;
        let mut moved = Vec::new();
        let copied = self.copy_to_end(oldest, &mut moved);
        let settled = copied.and_then(|()| self.log.settle().map_err(|error| self.failed(error)));
        if let Err(error) = settled {
            self.log.roll_back(&mark);
            return Err(error);
        }
        for (head, place) in moved {
            self.ledgers.entry(head.session).or_default().append(&head, place, &mut self.tally);
            self.changed.insert(head.session);
        }
        Ok(true)
    }

    /// Appends what is kept in a file of the log once more; where that is, is added to `places`.
    fn copy_to_end(&mut self, file: u64, places: &mut Vec<(Head, Place)>) -> Result<(), OutboxError> {
        let reader = self.reader(file)?;
        for (&session, ledger) in &self.ledgers {
            for Located { place, seqs } in ledger.in_file(file) {
                let bytes = log::read(&reader, place).map_err(|error| failed(&self.path, error))?;
                let mut cursor = Cursor::new(session, place, bytes);
                let mut entries = Vec::new();
                for seq in seqs.into_iter().flatten() {
                    let outbound = cursor.take(seq).map_err(|_| unreadable(&self.path, place, seq))?;
                    entries.push(Entry { seq, outbound });
                }
                let put = self.log.put_entries(session, &entries, places);
                put.map_err(|error| failed(&self.path, error))?;
            }
        }
        Ok(())
    }
}
