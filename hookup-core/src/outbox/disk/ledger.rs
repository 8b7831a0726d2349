//! What is known of one session without reading its messages: which it has, and where they are.

use std::{collections::BTreeMap, ops::Range};

use super::record::Head;
use crate::{
    outbox::{Removal, Usage},
    ranges::Ranges,
};

/// How much of a file one place may span, in bytes: about as much as is read at once.
const EXTENT_BYTES: u64 = 64 * 1024;

/// How many places with messages that are kept each file of the log has.
pub(super) type Tally = BTreeMap<u64, usize>;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the file.
    pub(super) file: u64,
    pub(super) at: u64,
    pub(super) len: u64,
}

impl Place {
    fn end(&self) -> u64 {
        self.at + self.len
    }
}

/// Where messages are, and which of those that are there.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) place: Place,
    pub(super) seqs: Vec<Range<u64>>,
}

/// A stretch of a file in which messages of a session are found, up to `end`. Other records may be between them.
#[derive(Debug, Clone, Copy)]
struct Extent {
    end: u64,
    place: Place,
}

/// One session.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Which messages it has.
    alive: Ranges,
    /// Where they are, by the first `seq`. They do not overlap.
    extents: BTreeMap<u64, Extent>,
    usage: Usage,
    last_seq: u64,
    /// Its state, as JSON.
    state: Option<Vec<u8>>,
    /// When it ended, if it has, in milliseconds since the Unix epoch.
    ended_at: Option<u64>,
    /// Whether each record is a place of its own.
    is_apart: bool,
}

/// What of a ledger is kept in the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) alive: Ranges,
    pub(super) usage: Usage,
    pub(super) last_seq: u64,
    pub(super) state: Option<Vec<u8>>,
    pub(super) ended_at: Option<u64>,
}

impl From<Summary> for Ledger {
    fn from(summary: Summary) -> Self {
        let Summary { alive, usage, last_seq, state, ended_at } = summary;
        Self { alive, extents: BTreeMap::new(), usage, last_seq, state, ended_at, is_apart: false }
    }
}

impl Ledger {
    /// There may be anything between two records.
    pub(super) fn apart(self) -> Self {
        Self { is_apart: true, ..self }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            alive: self.alive.clone(),
            usage: self.usage,
            last_seq: self.last_seq,
            state: self.state.clone(),
            ended_at: self.ended_at,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(super) fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    pub(super) fn ended_at(&self) -> Option<u64> {
        self.ended_at
    }

    /// Whether it is nowhere in the log.
    pub(super) fn is_bare(&self) -> bool {
        self.extents.is_empty()
    }

    /// Whether there is nothing to know of it.
    pub(super) fn is_empty(&self) -> bool {
        self.alive.is_empty() && self.state.is_none()
    }

    /// A batch was written: new messages, or ones that moved. A session that had ended goes on.
    pub(super) fn append(&mut self, head: &Head, place: Place, tally: &mut Tally) {
        // A batch moves as a whole, or is new as a whole.
        if !self.alive.contains(head.first) {
            self.alive.insert(head.first..head.end());
            self.usage.messages += head.count as usize;
            self.usage.bytes += head.bytes;
        }
        self.last_seq = self.last_seq.max(head.end() - 1);
        self.ended_at = None;
        self.locate(head, place, tally);
    }

    /// Notes where messages are, of which some may have left. Where they were before, they are not any more.
    pub(super) fn locate(&mut self, head: &Head, place: Place, tally: &mut Tally) {
        let seqs = head.first..head.end();
        if self.alive.overlaps(seqs.clone()).next().is_none() {
            return;
        }
        self.vacate(seqs.clone(), tally);
        if let Some((_, last)) = self.extents.range_mut(..seqs.start).next_back()
            && !self.is_apart
            && last.end == seqs.start
            && last.place.file == place.file
            && last.place.at <= place.at
            && place.end() - last.place.at <= EXTENT_BYTES
        {
            last.end = seqs.end;
            last.place.len = place.end() - last.place.at;
            return;
        }
        self.extents.insert(seqs.start, Extent { end: seqs.end, place });
        *tally.entry(place.file).or_default() += 1;
    }

    /// Cuts a range of messages out of the places.
    fn vacate(&mut self, seqs: Range<u64>, tally: &mut Tally) {
        let before = self.extents.range(..seqs.start).next_back().filter(|(_, extent)| extent.end > seqs.start);
        let first = before.map_or(seqs.start, |(&first, _)| first);
        let hit = self.extents.range(first..seqs.end).map(|(&first, _)| first).collect::<Vec<_>>();
        for first in hit {
            let Some(extent) = self.extents.remove(&first) else { continue };
            release(extent.place.file, tally);
            for part in [first..seqs.start.min(extent.end), seqs.end.max(first)..extent.end] {
                if self.alive.overlaps(part.clone()).next().is_some() {
                    self.extents.insert(part.start, Extent { end: part.end, place: extent.place });
                    *tally.entry(extent.place.file).or_default() += 1;
                }
            }
        }
    }

    /// Messages have left. Unknown ones are ignored.
    pub(super) fn remove(&mut self, removes: &[Removal], tally: &mut Tally) {
        // Mostly they follow each other, as they came.
        for run in removes.chunk_by(|one, next| one.seq.checked_add(1) == Some(next.seq)) {
            let seqs = run[0].seq..run[0].seq.saturating_add(run.len() as u64);
            if self.alive.remove(seqs.clone()) {
                self.usage.messages = self.usage.messages.saturating_sub(run.len());
                let bytes = run.iter().fold(0, |bytes: u64, removal| bytes.saturating_add(removal.bytes));
                self.usage.bytes = self.usage.bytes.saturating_sub(bytes);
            } else {
                for removal in run {
                    if self.alive.contains(removal.seq) && self.alive.remove(removal.seq..removal.seq + 1) {
                        self.usage.subtract(removal.bytes);
                    }
                }
            }
            self.drop_dead(seqs, tally);
        }
    }

    /// These were written from this place on, and were taken out again with all that is behind `end` in its file.
    pub(super) fn withdraw(&mut self, removes: &[Removal], from: Place, end: u64, tally: &mut Tally) {
        self.remove(removes, tally);
        let first = removes.first().map_or(0, |removal| removal.seq);
        // What was before them may have grown by them.
        if let Some((_, last)) = self.extents.range_mut(..first).next_back()
            && last.place.file == from.file
            && (last.place.at..last.place.end()).contains(&from.at)
        {
            last.end = last.end.min(first);
            // Records of another kind may have been between them.
            last.place.len = from.at.min(end).saturating_sub(last.place.at);
        }
    }

    /// Forgets the places of these messages in which none is left.
    fn drop_dead(&mut self, seqs: Range<u64>, tally: &mut Tally) {
        let before = self.extents.range(..=seqs.start).next_back().filter(|(_, extent)| extent.end > seqs.start);
        let mut from = before.map_or(seqs.start, |(&first, _)| first);
        while from < seqs.end
            && let Some((&first, extent)) = self.extents.range(from..seqs.end).next()
        {
            from = extent.end;
            if self.alive.overlaps(first..extent.end).next().is_none() {
                release(extent.place.file, tally);
                self.extents.remove(&first);
            }
        }
    }

    pub(super) fn save(&mut self, state: &[u8]) {
        self.state = Some(state.to_vec());
        self.ended_at = None;
    }

    /// The session has ended: its messages are forgotten, and of its state this is kept.
    pub(super) fn end(&mut self, at: u64, state: &[u8], tally: &mut Tally) {
        self.clear(tally);
        self.state = Some(state.to_vec());
        self.ended_at = Some(at);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, tally: &mut Tally) {
        for extent in std::mem::take(&mut self.extents).into_values() {
            release(extent.place.file, tally);
        }
        *self = Self::default();
    }

    /// The first place with a message from `from` on: where it is, and which of the messages there are to be read.
    pub(super) fn find(&self, from: u64) -> Option<Located> {
        let around = self.extents.range(..=from).next_back().filter(|(_, extent)| extent.end > from);
        let start = around.map_or(from, |(&first, _)| first);
        self.extents.range(start..).find_map(|(&first, extent)| self.located(first.max(from), extent))
    }

    /// The places with messages that it has in this file.
    pub(super) fn in_file(&self, file: u64) -> impl Iterator<Item = Located> {
        let extents = self.extents.iter().filter(move |(_, extent)| extent.place.file == file);
        extents.filter_map(|(&first, extent)| self.located(first, extent))
    }

    fn located(&self, first: u64, extent: &Extent) -> Option<Located> {
        let seqs = self.alive.overlaps(first..extent.end).collect::<Vec<_>>();
        (!seqs.is_empty()).then_some(Located { place: extent.place, seqs })
    }

    /// Messages that it has and that are nowhere.
    pub(super) fn missing(&self) -> Option<Range<u64>> {
        self.alive.iter().find_map(|range| {
            let mut at = range.start;
            while at < range.end {
                match self.extents.range(..=at).next_back() {
                    Some((_, extent)) if extent.end > at => at = extent.end,
                    _ => return Some(at..range.end),
                }
            }
            None
        })
    }
}

fn release(file: u64, tally: &mut Tally) {
    if let Some(count) = tally.get_mut(&file) {
        *count -= 1;
        if *count == 0 {
            tally.remove(&file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::v2::SessionId;

    #[test]
    fn removals_that_cannot_be_are_ignored() {
        let (mut ledger, mut tally) = (Ledger::default(), Tally::new());
        let head = Head { session: SessionId(1), first: 1, count: 3, bytes: 30 };
        ledger.append(&head, Place { file: 1, at: 40, len: 100 }, &mut tally);
        let absurd = [u64::MAX - 1, u64::MAX].map(|seq| Removal { seq, bytes: u64::MAX });
        ledger.remove(&absurd, &mut tally);
        assert_eq!(ledger.usage(), Usage { messages: 3, bytes: 30 });
    }
}
