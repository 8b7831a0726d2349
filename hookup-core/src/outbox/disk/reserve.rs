//! Some space that is kept for the time when the disk is full: what makes room must not need any.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::outbox::OutboxError;

/// How much is kept, in bytes: some records, the beginning of a file, and what sled writes when it is opened, which is up
/// to half a MiB.
const BYTES: usize = 640 * 1024;

/// A file that takes space for others.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_there: bool,
}

fn path(directory: &Path) -> PathBuf {
    directory.join("reserve")
}

/// Whether the disk is full, or this user's part of it.
pub(super) fn is_full(error: &OutboxError) -> bool {
    matches!(error, OutboxError::Io { source, .. } if is_out_of_space(source))
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl Reserve {
    /// That of a directory, if it is there.
    pub(super) fn open(directory: &Path) -> Self {
        let path = path(directory);
        let is_there = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == BYTES as u64);
        Self { path, is_there }
    }

    /// Takes the space, unless it has it.
    pub(super) fn take(&mut self) -> io::Result<()> {
        if self.is_there {
            return Ok(());
        }
        let taken = File::create(&self.path).and_then(|mut file| file.write_all(&vec![0; BYTES]));
        match taken {
            Ok(()) => self.is_there = true,
            Err(_) => drop(fs::remove_file(&self.path)),
        }
        taken
    }

    /// Gives the space back; whether there was any.
    pub(super) fn release(&mut self) -> bool {
        let released = fs::remove_file(&self.path).is_ok();
        self.is_there &= !released;
        released
    }
}
