//! The log: files that are written one after the other, and deleted when nothing in them is kept any more.

mod files;
mod syncing;

use std::{collections::BTreeMap, fs::File, io, path::PathBuf, sync::Arc};

pub(super) use self::{
    files::{files, read},
    syncing::lost,
};
use super::{
    ledger::{Place, Tally},
    limits::Limits,
    options::Durability,
    record::{self, Head},
    segment::{START, Segment, sync_directory},
};
use crate::{link::v2::SessionId, outbox::Entry};

/// How much is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The files, of which the last is written.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    durability: Durability,
    limits: Limits,
    /// The lengths of the files that are not written any more, by number.
    sealed: BTreeMap<u64, u64>,
    /// The sum of these lengths.
    sealed_bytes: u64,
    number: u64,
    active: Segment,
    /// Opened to be read.
    open: Option<(u64, Arc<File>)>,
    /// What is to be written behind the active file's end.
    buffer: Vec<u8>,
    /// Where the active file is to be cut, which has failed.
    cut_at: Option<u64>,
    /// How many bytes were appended since the log was opened; it never falls.
    position: u64,
    /// Up to which position everything was synced when the active file was begun, or when more than a commit had to be; and
    /// where the active file ended then.
    safe: u64,
    safe_end: u64,
    /// A sync has failed of which those who wait for it do not know yet; the next may say that all is well when it is not.
    pub(super) has_lost: bool,
    /// The longest that the log was since it was last small, in bytes.
    peak: u64,
    /// Nothing more can be appended.
    #[cfg(test)]
    pub(super) is_full: bool,
}

/// What is about to be appended, as a whole or not at all.
#[derive(Debug)]
pub(super) struct Mark {
    end: u64,
}

impl Log {
    /// A log of these files, written on at this place of its last; or a new one.
    pub(super) fn open(
        directory: PathBuf,
        durability: Durability,
        limits: Limits,
        mut sealed: BTreeMap<u64, u64>,
        last: Option<(u64, u64)>,
    ) -> io::Result<Self> {
        let is_strict = durability == Durability::PowerLoss;
        let (number, active) = match last {
            Some((number, end)) => (number, Segment::resume(&directory, number, end, is_strict)?),
            None => {
                let number = sealed.last_key_value().map_or(1, |(number, _)| number + 1);
                (number, Segment::create(&directory, number, 0, is_strict)?)
            }
        };
        sealed.remove(&number);
        let mut log = Self {
            directory,
            durability,
            limits,
            sealed_bytes: sealed.values().sum(),
            sealed,
            number,
            active,
            open: None,
            buffer: Vec::new(),
            cut_at: None,
            position: 0,
            safe: 0,
            safe_end: START,
            has_lost: false,
            peak: 0,
            #[cfg(test)]
            is_full: false,
        };
        log.settle()?;
        log.peak = log.length();
        Ok(log)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The number of the file that is written.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were appended since the log was opened.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The length of all files.
    pub(super) fn length(&self) -> u64 {
        self.sealed_bytes + self.active.length()
    }

    /// The oldest file that is not written any more.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.sealed.first_key_value().map(|(&number, _)| number)
    }

    /// Where the next record goes in the file that is written.
    pub(super) fn end(&self) -> u64 {
        self.active.end() + self.buffer.len() as u64
    }

    /// Begins to append.
    pub(super) fn begin(&mut self) -> io::Result<Mark> {
        self.cut()?;
        Ok(Mark { end: self.end() })
    }

    /// Cuts off what could not be cut off before.
    fn cut(&mut self) -> io::Result<()> {
        if let Some(end) = self.cut_at {
            self.active.cut(end)?;
            self.cut_at = None;
        }
        Ok(())
    }

    /// Appends the records that `fill` puts into a buffer.
    pub(super) fn put(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        #[cfg(test)]
        if self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let before = self.buffer.len();
        fill(&mut self.buffer);
        self.position += (self.buffer.len() - before) as u64;
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.write() }
    }

    /// Appends batches of these entries; where they are is added to `places`.
    pub(super) fn put_entries(
        &mut self,
        session: SessionId,
        mut entries: &[Entry],
        places: &mut Vec<(Head, Place)>,
    ) -> io::Result<()> {
        while !entries.is_empty() {
            let at = self.end();
            let mut head = None;
            self.put(|buffer| (head, entries) = record::put_batch(session, entries, buffer))?;
            if let Some(head) = head {
                // What was put may have been written by now; the log's end has moved by its length all the same.
                places.push((head, Place { file: self.number, at, len: self.end() - at }));
            }
        }
        Ok(())
    }

    /// Ends what was begun: it is as safe as it gets without a sync.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.durability == Durability::Buffered { Ok(()) } else { self.write() }
    }

    /// Takes back what was appended since the mark.
    pub(super) fn roll_back(&mut self, mark: &Mark) {
        match usize::try_from(mark.end.wrapping_sub(self.active.end())) {
            Ok(len) if len <= self.buffer.len() => self.buffer.truncate(len),
            _ => self.buffer.clear(),
        }
        // What is still to be cut off goes with it.
        self.cut_at = Some(mark.end.min(self.cut_at.unwrap_or(self.active.end())));
        if let Err(error) = self.cut() {
            tracing::error!(%error, "what was written to the log in part could not be cut off yet");
        }
    }

    /// Writes what was gathered.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.cut()?;
            self.active.write(&self.buffer)?;
            self.buffer.clear();
            self.buffer.shrink_to(2 * BUFFER_BYTES);
        }
        Ok(())
    }

    /// Whether syncs are waited for.
    pub(super) fn is_strict(&self) -> bool {
        self.durability == Durability::PowerLoss
    }

    /// Nothing more will be written for now: what is gathered is, and the file says what is synced.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.cut()?;
        self.write()?;
        self.active.note_synced()
    }

    /// Whether it is time for another file.
    pub(super) fn is_full(&mut self, tally: &Tally) -> bool {
        self.peak = self.peak.max(self.length());
        let full = match tally.is_empty() {
            false => self.limits.full,
            true if self.peak > self.limits.long => self.limits.small,
            true => self.limits.full_when_empty,
        };
        self.end() >= full
    }

    /// Goes on in another file, whose header says what the catalog covers.
    pub(super) fn roll(&mut self, covered: u64) -> io::Result<()> {
        let mark = self.begin()?;
        let next = Segment::create(&self.directory, self.number + 1, covered, self.is_strict())?;
        if self.is_strict() {
            next.file().sync_all()?;
            sync_directory(&self.directory)?;
        }
        // It is sealed only when the next one exists: a file that is sealed is not the last.
        let sealed = self.put(record::put_sealed).and_then(|()| self.write()).and_then(|()| self.active.finish());
        let synced = sealed.and_then(|()| if self.is_strict() { self.sync_active() } else { Ok(()) });
        if let Err(error) = synced {
            self.roll_back(&mark);
            return Err(error);
        }
        self.sealed.insert(self.number, self.active.length());
        self.sealed_bytes += self.active.length();
        self.number += 1;
        self.active = next;
        (self.safe, self.safe_end) = (self.position, START);
        Ok(())
    }

    /// Says in the file that is written what the catalog covers.
    pub(super) fn note_covered(&self, covered: u64) -> io::Result<()> {
        self.active.note_covered(covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(durability: Durability) -> (tempfile::TempDir, Log) {
        let directory = tempfile::tempdir().expect("a directory");
        let log = Log::open(directory.path().to_owned(), durability, Limits::default(), BTreeMap::new(), None);
        (directory, log.expect("opens"))
    }

    fn forget(log: &mut Log, session: u128) {
        log.put(|buffer| record::put_forgotten(SessionId(session), buffer)).expect("appends");
    }

    #[test]
    fn what_could_not_be_cut_off_is_cut_off_before_more_is_written() {
        let (_directory, mut log) = log(Durability::Buffered);
        let end = log.end();
        // It was written in part.
        forget(&mut log, 1);
        log.write().expect("writes");
        log.cut_at = Some(end);
        forget(&mut log, 2);
        log.write().expect("writes");
        log.begin().expect("begins");
        let bytes = std::fs::read(Segment::path(&log.directory, log.number)).expect("reads");
        let mut expected = Vec::new();
        record::put_forgotten(SessionId(2), &mut expected);
        assert_eq!(log.end(), end + expected.len() as u64);
        assert_eq!(bytes[START as usize..][..expected.len()], expected);
    }

    #[test]
    fn what_is_taken_back_does_not_come_back_with_what_could_not_be_cut_off() {
        let (_directory, mut log) = log(Durability::PowerLoss);
        forget(&mut log, 1);
        log.write().expect("writes");
        log.cut_at = Some(log.end() - 1);
        log.take_back(START);
        log.begin().expect("begins");
        assert_eq!(log.end(), START);
    }
}
