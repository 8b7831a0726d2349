//! Outboxes on disk. The one file that names sled.
//!
//! One database holds the outboxes of any number of sessions, in two trees: `messages`, keyed by session and `seq`, and
//! `states`, keyed by session. sled writes what is done to either into one log, in its order, and after a crash cuts the
//! log at the first record that is not whole. So what is found again is what the first so many operations left; whoever
//! does several makes sure that each of these places between them is a good one.
//!
//! That holds of single operations, which is all that is used. A transaction or a batch would also turn on a lock that
//! every later operation of the process takes.

mod ended;
mod label;
mod options;
mod outbox;
mod store;
mod value;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use self::label::{Kind, Label};
pub use self::{
    options::{Durability, SledOptions},
    outbox::SledOutbox,
    store::SledStore,
};
use super::OutboxError;
use crate::link::v2::SessionId;

/// The key in sled's default tree that says whose directory it is.
const MARK: &[u8] = b"hookup";

/// How long a locked directory is tried for: a lock is released a little after its owner has gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A value in the database; clones share it.
type Value = sled::IVec;

/// A database directory, open. It is closed when the last outbox in it is dropped.
struct Database {
    db: sled::Db,
    messages: sled::Tree,
    states: sled::Tree,
    path: PathBuf,
}

impl Database {
    /// Opens the directory, or makes it.
    fn open(path: &Path, kind: Kind) -> Result<Self, OutboxError> {
        if path.as_os_str().is_empty() {
            // The empty path is the present directory to some calls, and nothing to others.
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path is empty; name a directory");
            return Err(OutboxError::Io { path: String::new(), source });
        }
        let is_made = match Label::read(path, kind)? {
            Some(label) => label == Label::Made,
            None => Label::Making.write(path, kind).map(|()| false)?,
        };
        if !is_made {
            Label::clean(path)?;
        }
        let db = open_db(path)?;
        let failed = |error| failure(path, error);
        match db.get(MARK).map_err(failed)? {
            Some(mark) if *mark == *kind.mark() => {}
            Some(_) => return Err(damaged(path, "its contents are of another kind or version")),
            None if is_made => return Err(damaged(path, "its contents are gone")),
            None => {
                db.insert(MARK, kind.mark()).map_err(failed)?;
                db.flush().map_err(failed)?;
            }
        }
        if !is_made {
            Label::Made.write(path, kind)?;
        }
        let messages = db.open_tree("messages").map_err(failed)?;
        let states = db.open_tree("states").map_err(failed)?;
        Ok(Self { db, messages, states, path: path.to_owned() })
    }

    fn put_message(&self, session: SessionId, seq: u64, value: &[u8]) -> Result<(), OutboxError> {
        self.messages.insert(key(session, seq), value).map(drop).map_err(|error| self.failed(error))
    }

    /// Removes a message, and returns what it was.
    fn remove_message(&self, session: SessionId, seq: u64) -> Result<Option<Value>, OutboxError> {
        self.messages.remove(key(session, seq)).map_err(|error| self.failed(error))
    }

    /// Removes all messages of a session.
    fn remove_messages(&self, session: SessionId) -> Result<(), OutboxError> {
        for message in self.messages(session, 0) {
            self.remove_message(session, message?.0)?;
        }
        Ok(())
    }

    /// The messages of a session with `seq >= from`, in order.
    fn messages(&self, session: SessionId, from: u64) -> impl Iterator<Item = Result<(u64, Value), OutboxError>> {
        self.messages.range(key(session, from)..=key(session, u64::MAX)).map(|item| {
            let (key, value) = item.map_err(|error| self.failed(error))?;
            let seq = key.last_chunk().map(|seq| u64::from_be_bytes(*seq));
            Ok((seq.ok_or_else(|| self.damaged("a message in it has no number"))?, value))
        })
    }

    /// Puts the state of a session in place of the one before, which is returned.
    fn put_state(&self, session: SessionId, value: Value) -> Result<Option<Value>, OutboxError> {
        self.states.insert(session.0.to_be_bytes(), value).map_err(|error| self.failed(error))
    }

    fn remove_state(&self, session: SessionId) -> Result<(), OutboxError> {
        self.states.remove(session.0.to_be_bytes()).map(drop).map_err(|error| self.failed(error))
    }

    fn state(&self, session: SessionId) -> Result<Option<Value>, OutboxError> {
        self.states.get(session.0.to_be_bytes()).map_err(|error| self.failed(error))
    }

    /// The states of all sessions.
    fn states(&self) -> impl Iterator<Item = Result<(SessionId, Value), OutboxError>> {
        self.states.iter().map(|item| {
            let (key, value) = item.map_err(|error| self.failed(error))?;
            let session = <[u8; 16]>::try_from(&*key).map(|id| SessionId(u128::from_be_bytes(id)));
            Ok((session.map_err(|_| self.damaged("a state in it is of no session"))?, value))
        })
    }

    /// Writes all that was done so far, by whichever session, to the file.
    fn flush(&self) -> Result<(), OutboxError> {
        self.db.flush().map(drop).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: sled::Error) -> OutboxError {
        failure(&self.path, error)
    }

    fn damaged(&self, problem: impl fmt::Display) -> OutboxError {
        damaged(&self.path, problem)
    }
}

/// What keeps the messages of a session together, and in order.
fn key(session: SessionId, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&session.0.to_be_bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
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

    use super::*;
    use crate::outbox::SessionStore;

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
        assert!(SledStore::open(directory.path()).is_err());
        assert_eq!(fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing was added");

        let other = tempfile::tempdir().expect("a directory");
        let db = sled::open(other.path()).expect("opens");
        db.insert("their", "data").expect("inserts");
        drop(db);
        assert!(matches!(SledOutbox::open(other.path()), Err(OutboxError::Damaged { .. })));

        let file = directory.path().join("letter.txt");
        assert!(matches!(SledOutbox::open(file), Err(OutboxError::Io { .. })));
    }

    #[test]
    fn a_database_that_is_gone_from_a_labelled_directory_is_not_made_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(SledOutbox::open(directory.path()).expect("opens"));
        fs::remove_file(directory.path().join("db")).expect("removes");
        let error = SledOutbox::open(directory.path()).expect_err("no database");
        assert!(error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn a_database_of_another_kind_is_refused_even_where_its_label_was_cut_short() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(SledStore::open(directory.path()).expect("opens"));
        fs::write(directory.path().join("hookup-outbox"), "").expect("writes");
        let error = SledOutbox::open(directory.path()).expect_err("a session store");
        assert!(error.to_string().contains("another kind"), "{error}");
        SledStore::open(directory.path()).expect("it is still a session store");
    }

    #[test]
    fn an_outbox_of_a_store_keeps_the_directory_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(directory.path()).expect("opens");
        let mut outbox = store.open(SessionId(1)).expect("opens");
        drop(store);
        assert_eq!(outbox.load(0, 1, 1).expect("loads"), []);
        assert!(matches!(SledStore::open(directory.path()), Err(OutboxError::Locked { .. })));
    }
}
