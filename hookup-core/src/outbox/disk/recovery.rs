//! What was there when a directory is opened: the catalog, and the log read from beginning to end.
//!
//! The whole log is read, so that damage is known before anything is built on it: a message that was accepted is found, or its
//! absence is an error.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    catalog::Catalog,
    damaged, failed,
    ledger::{Ledger, Place, Tally},
    log,
    record::Record,
    scan::{Scan, Step},
    segment::Segment,
};
use crate::{link::v2::SessionId, outbox::OutboxError};

/// What was found.
pub(super) struct Found {
    pub(super) ledgers: BTreeMap<SessionId, Ledger>,
    /// The sessions that the log knows more of than the catalog.
    pub(super) changed: BTreeSet<SessionId>,
    pub(super) tally: Tally,
    /// The files of the log and their lengths.
    pub(super) files: BTreeMap<u64, u64>,
    /// The file that is written on, and where; `None` where there is none yet.
    pub(super) last: Option<(u64, u64)>,
    pub(super) covered: u64,
}

/// The reading of a log.
pub(super) struct Replay<'a> {
    directory: &'a Path,
    catalog: Option<&'a mut Catalog>,
    covered: u64,
    /// With the last file of the log that each takes into account already.
    ledgers: BTreeMap<SessionId, (u64, Ledger)>,
    changed: BTreeSet<SessionId>,
    tally: Tally,
    is_lenient: bool,
}

/// Whether a log may be one that nothing was accepted into yet.
pub(super) fn is_unused(log: &Path) -> io::Result<bool> {
    let files = match log::files(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        files => files?,
    };
    match files.into_keys().collect::<Vec<_>>()[..] {
        [] => Ok(true),
        [1] => Scan::open(log, 1)?.is_unused(),
        _ => Ok(false),
    }
}

/// Reads everything; anything that is not as it should be is an error.
pub(super) fn recover(directory: &Path, catalog: &mut Catalog, is_new: bool) -> Result<Found, OutboxError> {
    let path = log_path(directory);
    let mut files = log::files(&path).map_err(|error| failed(directory, error))?;
    let covered = catalog.covered()?;
    let mut replay = Replay::new(directory, Some(catalog), covered);
    drop_unused(directory, &mut files)?;
    let last = files.last_key_value().map(|(&number, _)| number);
    if !is_new && last.is_none_or(|last| last <= covered) {
        return Err(damaged(directory, "files of its log are missing"));
    }
    if let Some(last) = last
        && let Some(missing) = (covered + 1..last).find(|number| !files.contains_key(number))
    {
        return Err(damaged(directory, format_args!("file {missing} of its log is missing")));
    }
    let (mut lengths, mut end) = (BTreeMap::new(), None);
    for &number in files.keys() {
        let (length, open_at) = replay.file(number)?;
        lengths.insert(number, length);
        match open_at {
            None if Some(number) == last => return Err(damaged(directory, "the last file of its log is missing")),
            Some(_) if Some(number) != last => return Err(wrong(directory, number, "it was not finished")),
            open_at => end = open_at.map(|at| (number, at)),
        }
    }
    replay.finish(lengths, end)
}

/// Deletes a last file that was being made when the process ended, and that nothing was written to: the one before it is not
/// finished then.
fn drop_unused(directory: &Path, files: &mut BTreeMap<u64, PathBuf>) -> Result<(), OutboxError> {
    let failed = |error| failed(directory, error);
    let mut numbers = files.keys().rev().copied();
    let (last, before) = (numbers.next(), numbers.next());
    let Some(last) = last else { return Ok(()) };
    let log = log_path(directory);
    let mut scan = Scan::open(&log, last).map_err(failed)?;
    if !scan.is_unused().map_err(failed)? {
        return Ok(());
    }
    let follows = match before {
        Some(before) => is_finished(&log, before).map_err(failed)?,
        // The first file: without a header it was not made yet.
        None => scan.header().is_ok(),
    };
    if !follows {
        fs::remove_file(Segment::path(&log, last)).map_err(failed)?;
        files.remove(&last);
    }
    Ok(())
}

/// Whether a file ends with what says that there is another.
fn is_finished(log: &Path, number: u64) -> io::Result<bool> {
    let mut scan = Scan::open(log, number)?;
    loop {
        match scan.next()? {
            Step::Record(Record::Sealed, _) => return Ok(true),
            Step::Record(..) => {}
            Step::End(_) => return Ok(false),
            // What is wrong is told when it is read for what it says.
            Step::Damage(_) => return Ok(true),
        }
    }
}

pub(super) fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn wrong(directory: &Path, number: u64, problem: &str) -> OutboxError {
    damaged(directory, format_args!("file {number} of its log: {problem}"))
}

fn missing(directory: &Path, seqs: &Range<u64>) -> OutboxError {
    damaged(directory, format_args!("messages {} to {} are missing", seqs.start, seqs.end - 1))
}

impl<'a> Replay<'a> {
    pub(super) fn new(directory: &'a Path, catalog: Option<&'a mut Catalog>, covered: u64) -> Self {
        let (ledgers, changed) = (BTreeMap::new(), BTreeSet::new());
        Self { directory, catalog, covered, ledgers, changed, tally: Tally::new(), is_lenient: false }
    }

    /// There may be anything between two records.
    pub(super) fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// Reads a file: its length, and where it is written on, if it is not finished.
    fn file(&mut self, number: u64) -> Result<(u64, Option<u64>), OutboxError> {
        let directory = self.directory;
        let failed = |error| failed(directory, error);
        let mut scan = Scan::open(&log_path(directory), number).map_err(failed)?;
        let header = scan.header().map_err(|problem| wrong(directory, number, problem))?;
        if header.covered > self.covered {
            return Err(damaged(directory, "its catalog is older than its log"));
        }
        loop {
            match scan.next().map_err(failed)? {
                Step::Record(Record::Sealed, place) => return Ok((place.at + place.len, None)),
                Step::Record(record, place) => self.apply(&record, place)?,
                Step::End(at) => return Ok((header.length, Some(at))),
                Step::Damage(problem) => return Err(wrong(directory, number, problem)),
            }
        }
    }

    /// Acts on a record as was done when it was written.
    pub(super) fn apply(&mut self, record: &Record<'_>, place: Place) -> Result<(), OutboxError> {
        let session = match *record {
            Record::Batch(head, _) => head.session,
            Record::Removed(session, _)
            | Record::State(session, _)
            | Record::Ended(session, ..)
            | Record::Forgotten(session) => session,
            Record::Sealed => return Ok(()),
        };
        let noted = self.covered;
        let (upto, ledger) = match self.ledgers.entry(session) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(entry) => {
                let found = self.catalog.as_mut().map_or(Ok(None), |catalog| catalog.get(session))?;
                // Of a session that the catalog does not know, there is nothing in the files that it covers.
                let (upto, ledger) =
                    found.map_or((noted, Ledger::default()), |noted| (noted.upto, noted.summary.into()));
                entry.insert((upto, if self.is_lenient { ledger.apart() } else { ledger }))
            }
        };
        let tally = &mut self.tally;
        if place.file <= *upto {
            if let Record::Batch(head, _) = record {
                ledger.locate(head, place, tally);
            }
            return Ok(());
        }
        match record {
            Record::Batch(head, _) => ledger.append(head, place, tally),
            Record::Removed(_, removes) => ledger.remove(removes, tally),
            Record::State(_, json) => ledger.save(json),
            Record::Ended(_, at, json) => ledger.end(*at, json, tally),
            Record::Forgotten(_) => ledger.clear(tally),
            Record::Sealed => {}
        }
        self.changed.insert(session);
        Ok(())
    }

    /// All that is known of the sessions of which the log says anything.
    pub(super) fn into_ledgers(self) -> BTreeMap<SessionId, Ledger> {
        self.ledgers.into_iter().map(|(session, (_, ledger))| (session, ledger)).collect()
    }

    fn finish(mut self, files: BTreeMap<u64, u64>, last: Option<(u64, u64)>) -> Result<Found, OutboxError> {
        for (_, ledger) in self.ledgers.values() {
            if let Some(seqs) = ledger.missing() {
                return Err(missing(self.directory, &seqs));
            }
        }
        if let Some(catalog) = self.catalog.take() {
            let (directory, ledgers) = (self.directory, &self.ledgers);
            // Of what is in no file at all, only the catalog knows that it was.
            catalog.each(|session, noted| match noted.summary.alive.iter().next() {
                Some(seqs) if !ledgers.contains_key(&session) => Err(missing(directory, &seqs)),
                _ => Ok(()),
            })?;
        }
        let Self { covered, changed, tally, ledgers, .. } = self;
        let ledgers = ledgers.into_iter().map(|(session, (_, ledger))| (session, ledger));
        // What was forgotten leaves an empty one.
        let ledgers = ledgers.filter(|(_, ledger)| !ledger.is_empty()).collect();
        Ok(Found { ledgers, changed, tally, files, last, covered })
    }
}
