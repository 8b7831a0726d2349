//! Opening a directory: whose it is, that nobody else has it, and what is in it.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    Disk, Durability, SledOptions,
    catalog::Catalog,
    damaged, failed,
    flusher::Flusher,
    label::{self, Kind, Label},
    log::Log,
    quarantine,
    recovery::{self, log_path},
    reserve::{Reserve, is_full},
    segment::sync_directory,
    state::State,
    sync::Syncs,
};
use crate::outbox::{OutboxError, Quarantined};

/// The shortest interval in which what is buffered is written: a thread without a pause would do nothing else.
const MIN_FLUSH_EVERY: Duration = Duration::from_millis(1);

impl Disk {
    /// Opens the directory, or makes it; and says what became of a damaged one.
    pub(super) fn open(
        path: &Path,
        kind: Kind,
        options: &SledOptions,
    ) -> Result<(Self, Option<Quarantined>), OutboxError> {
        if path.as_os_str().is_empty() {
            // The empty path is the present directory to some calls, and nothing to others.
            return Err(failed(
                path,
                io::Error::new(io::ErrorKind::InvalidInput, "the path is empty; name a directory"),
            ));
        }
        quarantine::resume(path)?;
        let opened = match Self::open_as_it_is(path, kind, options) {
            // What is read can be read, given a little space.
            Err(error) if is_full(&error) && Reserve::open(path).release() => Self::open_as_it_is(path, kind, options),
            opened => opened,
        };
        match opened {
            Err(OutboxError::Damaged { problem, .. }) if options.quarantine && Label::is_of(path, kind) => {
                let quarantined = quarantine::quarantine(path, kind, options, problem)?;
                Ok((Self::open_as_it_is(path, kind, options)?, Some(quarantined)))
            }
            opened => Ok((opened?, None)),
        }
    }

    /// Opens the directory, or makes it; what is damaged is an error.
    pub(super) fn open_as_it_is(path: &Path, kind: Kind, options: &SledOptions) -> Result<Self, OutboxError> {
        let is_synced = options.durability == Durability::PowerLoss;
        if Label::read(path, kind)?.is_none() {
            Label::Making.write(path, kind, is_synced)?;
        }
        let lock = label::lock(path)?;
        // Only who has the lock knows what it says.
        let is_new = Label::read(path, kind)? != Some(Label::Made);
        let failed = |error| failed(path, error);
        let log = log_path(path);
        if is_new {
            // Nothing is accepted before the label says that all is there.
            if !recovery::is_unused(&log).map_err(failed)? {
                return Err(damaged(path, "its label is cut short"));
            }
            remove_all(&log).map_err(failed)?;
            fs::create_dir(&log).map_err(failed)?;
        } else if !log.is_dir() {
            return Err(damaged(path, "its log is missing"));
        }
        let mut reserve = Reserve::open(path);
        let mut catalog = Catalog::open(path, kind, is_new, is_synced)?;
        let mut found = recovery::recover(path, &mut catalog, is_new)?;
        let files = std::mem::take(&mut found.files);
        let log = Log::open(log, options.durability, options.limits, files, found.last).map_err(failed)?;
        // A full disk can be read and drained all the same; before anything is accepted, this is tried again.
        let _ = reserve.take();
        if is_synced {
            sync_all(path).map_err(failed)?;
        }
        if is_new {
            Label::Made.write(path, kind, is_synced)?;
        }
        let syncs = Syncs::new(&log);
        let state = Arc::new(Mutex::new(State::new(path, log, catalog, reserve, found)));
        let flusher = match options.durability {
            Durability::Buffered => {
                Some(Flusher::start(&state, options.flush_every.max(MIN_FLUSH_EVERY)).map_err(failed)?)
            }
            _ => None,
        };
        Ok(Self { path: path.to_owned(), durability: options.durability, state, syncs, _flusher: flusher, _lock: lock })
    }
}

/// Removes a directory and all that is in it, if it is there.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs all files in a directory and below, and their names.
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else {
                File::options().write(true).open(entry.path())?.sync_all()?;
            }
        }
        sync_directory(&directory)?;
    }
    Ok(())
}

/// Syncs the names of a directory and those above it, where that is allowed: any of them may have been made for it.
pub(super) fn sync_above(path: &Path) -> io::Result<()> {
    for parent in path.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match sync_directory(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            synced => synced?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{
        link::v2::SessionId,
        outbox::{SessionStore as _, SledOutbox, SledStore},
    };

    #[test]
    fn a_directory_in_use_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = SledOutbox::open(directory.path()).expect("opens");
        let error = SledOutbox::open(directory.path()).expect_err("in use");
        assert!(matches!(error, OutboxError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(&directory.path().display().to_string()));
    }

    #[test]
    fn a_directory_that_is_about_to_be_free_is_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = SledOutbox::open(directory.path()).expect("opens");
        let freed = thread::spawn(move || {
            // Within the second that it is tried for.
            thread::sleep(Duration::from_millis(50));
            drop(first);
        });
        SledOutbox::open(directory.path()).expect("opens");
        freed.join().expect("no panic");
    }

    #[test]
    fn an_outbox_is_no_session_store_and_is_not_moved_aside_for_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (outbox, store) = (directory.path().join("outbox"), directory.path().join("store"));
        drop(SledOutbox::open(&outbox).expect("opens"));
        drop(SledStore::open(&store).expect("opens"));
        let options = SledOptions::new().quarantine(true);
        let error = options.store(&outbox).expect_err("an outbox");
        assert!(error.to_string().contains("it is the outbox of a client"), "{error}");
        let error = options.outbox(&store).expect_err("a session store");
        assert!(error.to_string().contains("it is the session store of a server"), "{error}");
        SledOutbox::open(&outbox).expect("it is still an outbox");
        SledStore::open(&store).expect("it is still a session store");
    }

    #[test]
    fn what_is_no_outbox_is_left_alone_and_not_moved_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let theirs = directory.path().join("theirs");
        fs::create_dir(&theirs).expect("makes it");
        fs::write(theirs.join("letter.txt"), "dear").expect("writes");
        for options in [SledOptions::new(), SledOptions::new().quarantine(true)] {
            assert!(matches!(options.outbox(&theirs), Err(OutboxError::Damaged { .. })));
            assert!(matches!(options.outbox(theirs.join("letter.txt")), Err(OutboxError::Io { .. })));
        }
        assert_eq!(fs::read_dir(&theirs).expect("reads").count(), 1, "nothing was added");
        assert_eq!(fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing was moved");
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
