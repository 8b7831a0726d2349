//! Opening a directory: whose it is, that nobody else has it, and what is in it.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex},
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
    reserve::{self, Reserve, is_full},
    segment::sync_directory,
    state::State,
    sync::Syncs,
};
use crate::outbox::{OutboxError, Quarantined};

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
            Err(error) if is_full(&error) && reserve::release(path) => Self::open_as_it_is(path, kind, options),
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
        let log = Log::open(log, options.durability, files, found.last).map_err(failed)?;
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
            Durability::Buffered => Some(Flusher::start(&state, options.flush_every).map_err(failed)?),
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
fn sync_all(path: &Path) -> io::Result<()> {
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
