//! A damaged directory is moved aside, and what can be read of it is put into a new one.
//!
//! The new one is made beside it, and takes its place when it is whole; so whenever the process ends, there is one of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Disk, Durability, SledOptions,
    catalog::Catalog,
    cursor::Cursor,
    directory::{remove_all, sync_above},
    failed,
    label::{self, Kind},
    ledger::{Ledger, Located},
    log,
    recovery::{Replay, log_path},
    scan::{Scan, Step},
    segment::Segment,
};
use crate::{
    link::v2::SessionId,
    outbox::{Changes, Entry, OutboxError, Quarantined},
};

/// How many messages are put into the new one at once.
const COPIED_AT_ONCE: usize = 256;

/// A path beside this one.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Where the new one is made, and where it is when it is whole.
fn making(path: &Path) -> PathBuf {
    beside(path, ".making")
}

fn made(path: &Path) -> PathBuf {
    beside(path, ".restored")
}

/// Ends a quarantine that was cut short between its two last steps.
pub(super) fn resume(path: &Path) -> Result<(), OutboxError> {
    let made = made(path);
    if !path.exists() && made.is_dir() {
        fs::rename(made, path).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// Moves a damaged directory aside.
pub(super) fn quarantine(
    path: &Path,
    kind: Kind,
    options: &SledOptions,
    problem: String,
) -> Result<Quarantined, OutboxError> {
    // `..` has no name to put something beside.
    let path = &fs::canonicalize(path).map_err(|error| failed(path, error))?;
    let failed = |error| failed(path, error);
    // Nobody else is to come in between; a label that is missing is what is damaged.
    let _lock = match label::lock(path) {
        Err(OutboxError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        locked => Some(locked?),
    };
    let (making, made) = (making(path), made(path));
    remove_all(&making).map_err(failed)?;
    remove_all(&made).map_err(failed)?;
    let saved = salvage(path, &making, kind, options)?;
    let moved_to = (1..).map(|number| beside(path, &format!(".damaged-{number}"))).find(|path| !path.exists());
    let moved_to = moved_to.ok_or_else(|| failed(io::ErrorKind::AlreadyExists.into()))?;
    fs::rename(&making, &made).map_err(failed)?;
    fs::rename(path, &moved_to).map_err(failed)?;
    fs::rename(&made, path).map_err(failed)?;
    if options.durability == Durability::PowerLoss {
        sync_above(path).map_err(failed)?;
    }
    tracing::error!(path = %path.display(), moved_to = %moved_to.display(), problem, saved, "an outbox was damaged");
    Ok(Quarantined { path: path.to_owned(), moved_to, problem, saved })
}

/// Copies all that can be read; returns how many messages that were.
fn salvage(path: &Path, to: &Path, kind: Kind, options: &SledOptions) -> Result<usize, OutboxError> {
    let copy = Disk::open_as_it_is(to, kind, options)?;
    // sled changes what it opens, so it is given a copy.
    let scratch = to.join("salvage");
    let copied = copy_files(&Catalog::path(path), &Catalog::path(&scratch));
    let mut catalog = copied.ok().and_then(|()| Catalog::open(&scratch, kind, false, false).ok());
    let covered = catalog.as_mut().and_then(|catalog| catalog.covered().ok()).unwrap_or_default();
    let mut replay = Replay::new(path, catalog.as_mut(), covered).lenient();
    let log = log_path(path);
    for number in log::files(&log).unwrap_or_default().into_keys() {
        read_what_can_be_read(&log, number, &mut replay).map_err(|error| failed(path, error))?;
    }
    let mut saved = 0;
    let mut ledgers = replay.into_ledgers();
    if let Some(catalog) = &mut catalog {
        // What comes before the first that cannot be read is as much as there is.
        let _ = catalog.each(|session, noted| {
            ledgers.entry(session).or_insert_with(|| noted.summary.into());
            Ok(())
        });
    }
    for (session, ledger) in ledgers {
        saved += copy_session(&log, session, &ledger, &copy)?;
    }
    drop(catalog);
    remove_all(&scratch).map_err(|error| failed(path, error))?;
    Ok(saved)
}

fn read_what_can_be_read(log: &Path, number: u64, replay: &mut Replay<'_>) -> io::Result<()> {
    let mut scan = Scan::open(log, number)?;
    loop {
        match scan.next()? {
            Step::Record(record, place) => {
                // What the catalog does not say, the log may say.
                let _ = replay.apply(&record, place);
            }
            Step::End(_) | Step::Damage(_) => {
                if !scan.recover()? {
                    return Ok(());
                }
            }
        }
    }
}

/// Copies a session; returns how many messages that were.
fn copy_session(log: &Path, session: SessionId, ledger: &Ledger, copy: &Disk) -> Result<usize, OutboxError> {
    if let (Some(at), Some(json)) = (ledger.ended_at(), ledger.state()) {
        return copy.commit_end(|state| state.end(session, at, json)).map(|()| 0);
    }
    if let Some(Ok(state)) = ledger.state().map(|json| copy.decode(json)) {
        copy.commit(session, &Changes::save(state))?;
    }
    let (mut from, mut saved) = (0, 0);
    while let Some(Located { place, seqs }) = ledger.find(from) {
        from = seqs.last().map_or(from, |range| range.end - 1) + 1;
        let bytes = Segment::open(log, place.file).and_then(|file| log::read(&file, place));
        let Ok(bytes) = bytes else { continue };
        let mut cursor = Cursor::new(session, place, bytes);
        let messages = seqs.into_iter().flatten().map_while(|seq| {
            let outbound = cursor.take(seq).ok()?;
            Some(Entry { seq, outbound })
        });
        for entries in messages.collect::<Vec<_>>().chunks(COPIED_AT_ONCE) {
            saved += entries.len();
            copy.commit(session, &Changes::append(entries))?;
        }
    }
    Ok(saved)
}

/// Copies the files in a directory and below.
pub(super) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
