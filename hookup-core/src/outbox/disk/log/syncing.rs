//! How much of a log is synced, for those who wait for it.

use std::{fs::File, io};

use super::{Log, Mark};
use crate::outbox::disk::segment::sync_directory;

/// The file that is written, how much of it was, and how long it is.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: File,
    pub(crate) end: u64,
    pub(crate) length: u64,
}

impl Log {
    /// The file that is written, to be synced.
    pub(crate) fn active(&self) -> io::Result<Active> {
        let file = self.active.file().try_clone()?;
        Ok(Active { file, end: self.active.end(), length: self.active.length() })
    }

    /// Up to which position everything is known to be synced here.
    pub(crate) fn safe(&self) -> u64 {
        self.safe
    }

    /// This was synced, of the file of this number.
    pub(crate) fn synced(&mut self, number: u64, synced: &Active) {
        if number == self.number {
            self.active.synced(synced.length, synced.end);
        }
    }

    /// A sync has failed: what was written to the file since the one before, which ended here, is taken back. Returns
    /// where the file ends then.
    pub(crate) fn take_back(&mut self, end: u64) -> u64 {
        self.has_lost = false;
        let end = end.max(self.safe_end);
        self.roll_back(&Mark { end });
        end
    }

    /// Writes what was gathered, and syncs all that is not yet.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.write()?;
        if !self.is_strict() {
            return Ok(());
        }
        self.sync_active()?;
        sync_directory(&self.directory)?;
        (self.safe, self.safe_end) = (self.position, self.active.end());
        Ok(())
    }

    pub(super) fn sync_active(&mut self) -> io::Result<()> {
        if self.has_lost {
            return Err(lost());
        }
        let synced = self.active.file().sync_all();
        self.has_lost = synced.is_err();
        synced
    }
}

/// What was written may be gone, whatever the next sync says.
pub(crate) fn lost() -> io::Error {
    io::Error::other("the disk could not sync what was written")
}
