//! One file of the log.
//!
//! It begins with 40 bytes: eight that say what it is, its number, the number of the last file that the catalog covers, how
//! long it is, and how much of it is synced, or 0 where syncs are not waited for. It is made longer ahead of what is written
//! to it, and is zero from there on; so one that was cut short is known by its length, wherever it was cut.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// What a file of a log begins with.
const MAGIC: [u8; 8] = *b"hookup 3";

/// Where records begin.
pub(super) const START: u64 = 40;

/// Where a file's header says what the catalog covers, how long the file is, and how much of it is synced.
const COVERED_AT: u64 = 16;
const LENGTH_AT: u64 = 24;
const SYNCED_AT: u64 = 32;

/// By how much a file is made longer at a time, in bytes; a long one by more.
const STEP: u64 = 256 * 1024;
const MAX_STEP: u64 = 4 << 20;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) covered: u64,
    pub(super) length: u64,
    pub(super) synced: u64,
}

impl Header {
    fn encode(self) -> [u8; START as usize] {
        let mut bytes = [0; START as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.covered.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        bytes[32..].copy_from_slice(&self.synced.to_le_bytes());
        bytes
    }

    /// `None` when this is not what a file of a log begins with.
    pub(super) fn parse(bytes: &[u8; START as usize]) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let header = Self { number: number(8), covered: number(16), length: number(24), synced: number(32) };
        (bytes[..8] == MAGIC).then_some(header)
    }
}

/// An open file, written at its end.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    /// Where the next record goes.
    end: u64,
    /// How long the file is, and how long its header says.
    length: u64,
    noted: u64,
    /// How long the file was and where it ended when it was synced last, if its header does not say so yet.
    synced: Option<(u64, u64)>,
    /// Whether syncs are waited for. Then a loss of power must not leave a file that is shorter than its header says, so that
    /// the header says only what has been synced before.
    is_strict: bool,
}

impl Segment {
    /// The file of this number.
    pub(super) fn path(log: &Path, number: u64) -> PathBuf {
        log.join(format!("{number:016}.log"))
    }

    /// The number of a file of this name.
    pub(super) fn number(path: &Path) -> Option<u64> {
        let number = path.file_name()?.to_str()?.strip_suffix(".log")?;
        (number.len() == 16).then(|| number.parse().ok()).flatten()
    }

    /// Makes the file, in place of one that was not used.
    pub(super) fn create(log: &Path, number: u64, covered: u64, is_strict: bool) -> io::Result<Self> {
        let path = Self::path(log, number);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let synced = if is_strict { START } else { 0 };
        let header = Header { number, covered, length: STEP, synced };
        let written = file.set_len(STEP).and_then(|()| write_at(&file, &header.encode(), 0));
        if let Err(error) = written {
            drop(file);
            // Where that fails, too, it is an empty file, which the next attempt takes.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { file, end: START, length: STEP, noted: STEP, synced: None, is_strict })
    }

    /// Opens a file to be read.
    pub(super) fn open(log: &Path, number: u64) -> io::Result<File> {
        File::open(Self::path(log, number))
    }

    /// Goes on with a file behind its last record. What was written in part is cut off.
    pub(super) fn resume(log: &Path, number: u64, end: u64, is_strict: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(Self::path(log, number))?;
        let mut segment = Self { file, end, length: end, noted: end, synced: None, is_strict };
        segment.cut(end)?;
        let synced = if is_strict { end } else { 0 };
        write_at(&segment.file, &synced.to_le_bytes(), SYNCED_AT)?;
        Ok(segment)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How long the file is, with what is still to be written.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends this; where that fails, [`Segment::cut`] takes away what was written of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.note_synced()?;
        let end = self.end + bytes.len() as u64;
        if end > self.length {
            let length = (end + (end / 4).min(MAX_STEP)).next_multiple_of(STEP);
            self.file.set_len(length)?;
            self.length = length;
        }
        write_at(&self.file, bytes, self.end)?;
        if !self.is_strict && self.noted != self.length {
            self.note(self.length)?;
        }
        self.end = end;
        Ok(())
    }

    /// The file was synced when it was this long and ended here; its header says so before the next record is written.
    pub(super) fn synced(&mut self, length: u64, end: u64) {
        self.synced = Some((length.min(self.length), end.min(self.end)));
    }

    /// Says in the file's header how much of it is synced.
    pub(super) fn note_synced(&mut self) -> io::Result<()> {
        let Some((length, end)) = self.synced.take() else { return Ok(()) };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..].copy_from_slice(&end.to_le_bytes());
        self.noted = length;
        write_at(&self.file, &bytes, LENGTH_AT)
    }

    /// Takes away what was written behind `end`.
    pub(super) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.synced = None;
        self.note(end)?;
        let synced = if self.is_strict { self.file.sync_data() } else { Ok(()) };
        self.file.set_len(end)?;
        self.length = end;
        self.end = end;
        synced
    }

    /// Cuts off what was made longer ahead: nothing more will be written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.cut(self.end)
    }

    /// Says in the file's header how long it is.
    fn note(&mut self, length: u64) -> io::Result<()> {
        write_at(&self.file, &length.to_le_bytes(), LENGTH_AT)?;
        self.noted = length;
        Ok(())
    }

    /// Says in the file's header what the catalog covers.
    pub(super) fn note_covered(&self, covered: u64) -> io::Result<()> {
        write_at(&self.file, &covered.to_le_bytes(), COVERED_AT)
    }
}

/// Makes the names in a directory survive a loss of power; where there is no such call, they do without.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        bytes = &bytes[count..];
        at += count as u64;
    }
    Ok(())
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut std::mem::take(&mut bytes)[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}
