//! An outbox on disk. The one file that names sled.

mod label;
mod value;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use hookup_core::{Entry, Outbox, OutboxError, Stored};

use self::{
    label::Label,
    value::{decode, encode},
};

/// The key in sled's default tree that says whose directory it is, and its value.
const MARK: (&[u8], &[u8]) = (b"hookup", b"outbox 1");

/// How long a locked directory is tried for: a lock is released a little after its owner has gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// An outbox in a directory of its own, kept by sled.
///
/// What it has accepted survives the end of the process, SIGKILL included; not, or not surely, a loss of power. What has
/// left it may turn up again after a crash, and is sent again then.
pub struct SledOutbox {
    db: sled::Db,
    messages: sled::Tree,
    path: PathBuf,
    stored: Stored,
}

impl SledOutbox {
    /// Opens the outbox in this directory, or makes one there. It blocks for a moment, for as long as a second when the
    /// directory is in use.
    ///
    /// # Errors
    /// [`OutboxError`] when the directory is in use, is no outbox, is damaged, or cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let path = path.as_ref().to_owned();
        if path.as_os_str().is_empty() {
            // The empty path is the present directory to some calls, and nothing to others.
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path is empty; name a directory");
            return Err(OutboxError::Io { path: String::new(), source });
        }
        let is_made = match Label::read(&path)? {
            Some(label) => label == Label::Made,
            None => Label::Making.write(&path).map(|()| false)?,
        };
        if !is_made {
            Label::clean(&path)?;
        }
        let db = open_db(&path)?;
        let failed = |error| failure(&path, error);
        let is_marked = db.get(MARK.0).map_err(failed)?.as_deref() == Some(MARK.1);
        if is_made && !is_marked {
            return Err(damaged(&path, "its contents are gone"));
        }
        if !is_made {
            db.insert(MARK.0, MARK.1).map_err(failed)?;
            db.flush().map_err(failed)?;
            Label::Made.write(&path)?;
        }
        let messages = db.open_tree("messages").map_err(failed)?;
        let mut stored = Stored::default();
        for item in &messages {
            let (key, value) = item.map_err(failed)?;
            let entry = decode(&path, &key, &value)?;
            stored.usage.add(entry.bytes());
            stored.last_seq = entry.seq;
        }
        Ok(Self { db, messages, path, stored })
    }
}

impl Outbox for SledOutbox {
    fn stored(&self) -> Stored {
        self.stored
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), OutboxError> {
        let appended = entries
            .iter()
            .try_for_each(|entry| self.messages.insert(entry.seq.to_be_bytes(), encode(&entry.outbound)).map(drop))
            .and_then(|()| self.db.flush().map(drop));
        if let Err(error) = appended {
            for entry in entries {
                // The disk has failed already; there is nothing more that could be done about it.
                let _ = self.messages.remove(entry.seq.to_be_bytes());
            }
            return Err(failure(&self.path, error));
        }
        for entry in entries {
            self.stored.usage.add(entry.bytes());
            self.stored.last_seq = entry.seq;
        }
        Ok(())
    }

    fn remove(&mut self, seqs: &[u64]) -> Result<(), OutboxError> {
        for seq in seqs {
            let removed = self.messages.remove(seq.to_be_bytes()).map_err(|error| failure(&self.path, error))?;
            if let Some(value) = removed {
                let bytes = decode(&self.path, &seq.to_be_bytes(), &value)?.bytes();
                self.stored.usage.subtract(bytes);
            }
        }
        Ok(())
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        let (mut loaded, mut held) = (Vec::new(), 0);
        for item in self.messages.range(from.to_be_bytes()..).take(messages) {
            let (key, value) = item.map_err(|error| failure(&self.path, error))?;
            let entry = decode(&self.path, &key, &value)?;
            held += entry.bytes();
            if held > bytes && !loaded.is_empty() {
                break;
            }
            loaded.push(entry);
        }
        Ok(loaded)
    }
}

impl fmt::Debug for SledOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledOutbox").field("path", &self.path).field("stored", &self.stored).finish_non_exhaustive()
    }
}

fn open_db(path: &Path) -> Result<sled::Db, OutboxError> {
    let config = sled::Config::new().path(path).cache_capacity(16 << 20).mode(sled::Mode::LowSpace);
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) if is_lock(&error) => {
                if Instant::now() >= deadline {
                    return Err(OutboxError::Locked { path: path.display().to_string() });
                }
                thread::sleep(Duration::from_millis(20));
            }
            Ok(Err(error)) => return Err(failure(path, error)),
            Err(_) => return Err(damaged(path, "sled could not make sense of it")),
        }
    }
}

/// sled reports a lock that is held as an i/o error, in words.
fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn failure(path: &Path, error: sled::Error) -> OutboxError {
    match error {
        sled::Error::Io(source) => OutboxError::Io { path: path.display().to_string(), source },
        error => damaged(path, error),
    }
}

fn damaged(path: &Path, problem: impl fmt::Display) -> OutboxError {
    OutboxError::Damaged { path: path.display().to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hookup_core::Text;

    use super::*;

    fn entry(seq: u64, text: &'static str) -> Entry {
        Entry { seq, outbound: Text(text).into() }
    }

    #[test]
    fn the_sled_outbox_keeps_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        hookup_core::testkit::outbox(&mut SledOutbox::open(directory.path()).expect("opens"));
    }

    #[test]
    fn what_was_accepted_is_there_when_it_is_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("made/on/demand");
        let mut outbox = SledOutbox::open(&path).expect("opens");
        outbox.append(&[entry(1, "one"), entry(2, "two"), entry(3, "three")]).expect("appends");
        outbox.remove(&[2]).expect("removes");
        drop(outbox);
        let mut outbox = SledOutbox::open(&path).expect("opens");
        assert_eq!(outbox.load(0, 10, 1000).expect("loads"), [entry(1, "one"), entry(3, "three")]);
        let usage = hookup_core::Usage { messages: 2, bytes: 8 };
        assert_eq!(outbox.stored(), Stored { last_seq: 3, usage });
    }

    #[test]
    fn a_directory_in_use_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = SledOutbox::open(directory.path()).expect("opens");
        let error = SledOutbox::open(directory.path()).expect_err("in use");
        assert!(matches!(error, OutboxError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(&directory.path().display().to_string()));
    }

    #[test]
    fn what_is_no_outbox_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("letter.txt"), "dear").expect("writes");
        let error = SledOutbox::open(directory.path()).expect_err("other files");
        assert!(matches!(error, OutboxError::Damaged { .. }), "{error}");
        assert_eq!(fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing was added");

        let other = tempfile::tempdir().expect("a directory");
        let db = sled::open(other.path()).expect("opens");
        db.insert("their", "data").expect("inserts");
        drop(db);
        assert!(matches!(SledOutbox::open(other.path()), Err(OutboxError::Damaged { .. })));

        let file = directory.path().join("letter.txt");
        assert!(matches!(SledOutbox::open(file), Err(OutboxError::Io { .. })));
    }
}
