//! What is kept of sessions beside the log: a summary of each as of one of the log's files. The one file that names sled.
//!
//! The log would have to be kept for ever, were it all that there is. So, when a file of it is full, the sessions that
//! changed are noted here, and the file is needed only for the messages in it. sled keeps many small values by their keys, and
//! writes only those that changed. It is written about once in 16 MiB of the log.
//!
//! sled writes what is done into a log of its own, in order, and after a crash cuts that at the first record that is not
//! whole. So whatever is found was so at some time; each summary says up to which file of the log it is right; and the number
//! that all of them have reached comes last. Only single operations are used: a transaction or a batch would turn on a lock
//! that every later operation of the process takes, in the databases of others, too.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    damaged,
    directory::sync_all,
    failed,
    label::Kind,
    ledger::Summary,
    value::{Fields, put_varint},
};
use crate::{
    link::v2::SessionId,
    outbox::{OutboxError, Usage},
    panics::catch,
    ranges::Ranges,
};

/// The key in sled's default tree that says whose directory it is, and the one that says up to which file of the log all
/// summaries are right.
const MARK: &[u8] = b"hookup";
const COVERED: &[u8] = b"covered";

const HAS_STATE: u8 = 1;
const HAS_ENDED: u8 = 2;

/// How often sled tidies up, in milliseconds. What must be in its files is flushed when it must.
const TIDY_EVERY_MS: u64 = 5000;

/// How long sled's lock is tried for, which only this process can have.
const PATIENCE: Duration = Duration::from_secs(1);

const NO_SENSE: &str = "sled could not make sense of its files";

/// A summary, and the last file of the log that it takes into account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) upto: u64,
    pub(super) summary: Summary,
}

/// The sessions, by id.
pub(super) struct Catalog {
    path: PathBuf,
    is_synced: bool,
    /// After a failure sled refuses everything; then it is opened again.
    open: Option<Open>,
}

struct Open {
    db: sled::Db,
    sessions: sled::Tree,
}

impl Catalog {
    /// The directory of the catalog in one of ours.
    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join("catalog")
    }

    /// Opens the catalog, or makes it where `is_new`.
    pub(super) fn open(directory: &Path, kind: Kind, is_new: bool, is_synced: bool) -> Result<Self, OutboxError> {
        let path = Self::path(directory);
        if is_new {
            // sled refuses to read what it had made in part when it was killed.
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(directory, error)),
                _ => {}
            }
        } else if !path.join("db").exists() || !path.join("conf").exists() {
            return Err(damaged(directory, "files of its catalog are missing"));
        }
        let mut catalog = Self { path, is_synced, open: None };
        let open = catalog.opened()?;
        let mark = open.db.get(MARK).map_err(|error| catalog.failure(error))?;
        match mark.as_deref() {
            Some(mark) if *mark == *kind.mark() => {}
            Some(_) => return Err(damaged(directory, "its catalog is of another kind or version")),
            None if !is_new => return Err(damaged(directory, "the contents of its catalog are gone")),
            None => {
                catalog.put(MARK, kind.mark())?;
                catalog.flush()?;
            }
        }
        Ok(catalog)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn opened(&mut self) -> Result<&Open, OutboxError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open_sled(&self.path).map_err(|error| self.failure(error))?,
        };
        Ok(self.open.insert(open))
    }

    fn failure(&self, error: sled::Error) -> OutboxError {
        match error {
            sled::Error::Io(source) => failed(self.directory(), source),
            error => damaged(self.directory(), format_args!("its catalog: {error}")),
        }
    }

    /// Does something with the database; after a failure it is opened again by the next call.
    fn with<T>(&mut self, call: impl FnOnce(&Open) -> sled::Result<T>) -> Result<T, OutboxError> {
        let open = self.opened()?;
        let done = catch(|| call(open)).unwrap_or_else(|_| Err(sled::Error::ReportableBug(NO_SENSE.into())));
        done.map_err(|error| {
            self.open = None;
            self.failure(error)
        })
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), OutboxError> {
        self.with(|open| open.db.insert(key, value)).map(drop)
    }

    /// Up to which file of the log all summaries are right.
    pub(super) fn covered(&mut self) -> Result<u64, OutboxError> {
        let value = self.with(|open| open.db.get(COVERED))?;
        let Some(value) = value else { return Ok(0) };
        let number = <[u8; 8]>::try_from(&*value).map(u64::from_le_bytes);
        number.map_err(|_| damaged(self.directory(), "its catalog is not in a form that this version knows"))
    }

    /// What is noted of a session.
    pub(super) fn get(&mut self, session: SessionId) -> Result<Option<Noted>, OutboxError> {
        let value = self.with(|open| open.sessions.get(session.0.to_be_bytes()))?;
        value.map(|value| self.decode(&value)).transpose()
    }

    /// What is noted of all sessions, one after the other.
    pub(super) fn each(
        &mut self,
        mut see: impl FnMut(SessionId, Noted) -> Result<(), OutboxError>,
    ) -> Result<(), OutboxError> {
        let mut sessions = self.opened()?.sessions.iter();
        while let Some(item) = self.with(|_| sessions.next().transpose())? {
            let (key, value) = item;
            let session = <[u8; 16]>::try_from(&*key).map(|id| SessionId(u128::from_be_bytes(id)));
            let session = session.map_err(|_| damaged(self.directory(), "a session in its catalog has no id"))?;
            see(session, self.decode(&value)?)?;
        }
        Ok(())
    }

    /// Notes these sessions as of file `upto` of the log; of those without a summary, nothing is kept.
    pub(super) fn note(
        &mut self,
        upto: u64,
        sessions: impl Iterator<Item = (SessionId, Option<Summary>)>,
    ) -> Result<(), OutboxError> {
        for (session, summary) in sessions {
            let key = session.0.to_be_bytes();
            match summary {
                Some(summary) => {
                    let value = encode(upto, &summary);
                    self.with(|open| open.sessions.insert(key, value))?;
                }
                None => drop(self.with(|open| open.sessions.remove(key))?),
            }
        }
        self.put(COVERED, &upto.to_le_bytes())?;
        self.flush()
    }

    /// Has all that was done in sled's files, and those on the disk if that is asked for. sled itself never syncs the files
    /// that it keeps large values in.
    fn flush(&mut self) -> Result<(), OutboxError> {
        self.with(|open| open.db.flush())?;
        if !self.is_synced {
            return Ok(());
        }
        sync_all(&self.path).map_err(|error| failed(self.directory(), error))
    }

    fn decode(&self, value: &[u8]) -> Result<Noted, OutboxError> {
        decode(value).ok_or_else(|| {
            damaged(self.directory(), "a session in its catalog is not in a form that this version knows")
        })
    }
}

fn open_sled(path: &Path) -> sled::Result<Open> {
    // sled takes a snapshot of its own that it was writing when the process was killed for one that is whole. It does
    // without.
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(entry.path())?;
        }
    }
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(4 << 20)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(TIDY_EVERY_MS));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It panics on some kinds of damage.
        let opened = catch(|| {
            let db = config.open()?;
            let sessions = db.open_tree("sessions")?;
            Ok(Open { db, sessions })
        });
        match opened {
            // Its own lock is released a little after it was dropped; it says so in words only.
            Ok(Err(sled::Error::Io(error)))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(opened) => return opened,
            Err(_) => return Err(sled::Error::ReportableBug(NO_SENSE.into())),
        }
    }
}

fn encode(upto: u64, summary: &Summary) -> Vec<u8> {
    let mut value = Vec::with_capacity(256);
    value.extend_from_slice(&upto.to_le_bytes());
    let has = |is: bool, flag| if is { flag } else { 0 };
    value.push(has(summary.state.is_some(), HAS_STATE) | has(summary.ended_at.is_some(), HAS_ENDED));
    if let Some(at) = summary.ended_at {
        value.extend_from_slice(&at.to_le_bytes());
    }
    put_varint(summary.last_seq, &mut value);
    put_varint(summary.usage.messages as u64, &mut value);
    put_varint(summary.usage.bytes, &mut value);
    put_varint(summary.alive.iter().count() as u64, &mut value);
    let mut last = 0;
    for range in summary.alive.iter() {
        put_varint(range.start - last, &mut value);
        put_varint(range.end - range.start, &mut value);
        last = range.end;
    }
    value.extend_from_slice(summary.state.as_deref().unwrap_or_default());
    value
}

fn decode(value: &[u8]) -> Option<Noted> {
    let mut fields = Fields::new(value);
    let upto = u64::from_le_bytes(fields.array()?);
    let [flags] = fields.array()?;
    let ended_at = if flags & HAS_ENDED != 0 { Some(u64::from_le_bytes(fields.array()?)) } else { None };
    let last_seq = fields.varint()?;
    let usage = Usage { messages: usize::try_from(fields.varint()?).ok()?, bytes: fields.varint()? };
    let (mut alive, mut last) = (Ranges::default(), 0_u64);
    for _ in 0..fields.varint()? {
        let start = last.checked_add(fields.varint()?)?;
        last = start.checked_add(fields.varint()?)?;
        alive.insert(start..last);
    }
    let state = (flags & HAS_STATE != 0).then(|| fields.rest().to_vec());
    Some(Noted { upto, summary: Summary { alive, usage, last_seq, state, ended_at } })
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.path).finish_non_exhaustive()
    }
}
