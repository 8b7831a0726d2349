//! The files of a log: read, and deleted when nothing in them is kept.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Log;
use crate::outbox::disk::{
    ledger::{Place, Tally},
    segment::{Segment, read_at},
};

impl Log {
    /// Deletes the files that the catalog covers and in which nothing is kept.
    pub(crate) fn delete_dead(&mut self, covered: u64, tally: &Tally) {
        let dead = self.sealed.range(..=covered).map(|(&number, _)| number);
        let dead = dead.filter(|number| !tally.contains_key(number)).collect::<Vec<_>>();
        if dead.is_empty() {
            return self.forget_peak(tally);
        }
        // What says that nothing in them is kept, or where it has moved to, must not come after their end.
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "files of the log that are not needed could not be deleted yet");
            return;
        }
        for number in dead {
            if let Err(error) = fs::remove_file(Segment::path(&self.directory, number)) {
                // It is tried again with the next file.
                tracing::warn!(%error, number, "a file of the log that is not needed could not be deleted");
                continue;
            }
            self.sealed_bytes -= self.sealed.remove(&number).unwrap_or_default();
            // A file takes space for as long as it is open.
            self.open.take_if(|(open, _)| *open == number);
        }
        self.forget_peak(tally);
    }

    fn forget_peak(&mut self, tally: &Tally) {
        if tally.is_empty() && self.length() <= self.limits.small {
            self.peak = self.length();
        }
    }

    /// The file of this number, to be read. What was gathered is written first.
    pub(crate) fn reader(&mut self, number: u64) -> io::Result<Arc<File>> {
        if number == self.number {
            self.write()?;
        }
        match &self.open {
            Some((open, file)) if *open == number => Ok(Arc::clone(file)),
            _ => {
                let file = Arc::new(Segment::open(&self.directory, number)?);
                self.open = Some((number, Arc::clone(&file)));
                Ok(file)
            }
        }
    }
}

/// Reads a place.
pub(crate) fn read(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(place.len).unwrap_or(usize::MAX)];
    read_at(file, &mut bytes, place.at)?;
    Ok(bytes)
}

/// The files of a log by number.
pub(crate) fn files(directory: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(number) = Segment::number(&path) {
            files.insert(number, path);
        }
    }
    Ok(files)
}
