//! The file that says what a directory is, and how far its making got.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{damaged, directory::sync_above, failed, log, recovery, scan::Scan, segment::sync_directory};
use crate::outbox::OutboxError;

/// How long a directory that is in use is tried for: who had it may be about to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a directory is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The outbox of one client.
    Outbox,
    /// The sessions of a server.
    Sessions,
}

impl Kind {
    /// What the catalog says of itself.
    pub(super) fn mark(self) -> &'static [u8] {
        match self {
            Self::Outbox => b"outbox 3",
            Self::Sessions => b"sessions 3",
        }
    }

    fn is_labelled(self, words: &str) -> bool {
        [Label::Making, Label::Made].iter().any(|label| label.words(self) == words)
    }

    /// Whether a label that was cut short, or written over in part, may have been this kind's: what a loss of power left
    /// unwritten is as it was before, or zero.
    fn may_be_labelled(self, words: &str) -> bool {
        let [making, made] = [Label::Making, Label::Made].map(|label| label.words(self).as_bytes());
        let may_be = |(at, byte): (usize, &u8)| match byte {
            0 => at < making.len().max(made.len()),
            byte => making.get(at) == Some(byte) || made.get(at) == Some(byte),
        };
        words.as_bytes().iter().enumerate().all(may_be)
    }
}

/// What the label of a directory says. It is written before anything else is, so that a directory without one is somebody
/// else's; and again when all is there, so that what is missing then is known to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// The directory is being made; nothing was accepted yet.
    Making,
    /// All is there.
    Made,
}

impl Label {
    const FILE: &'static str = "hookup-outbox";

    fn words(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Making, Kind::Outbox) => "This directory is becoming an outbox of Hookup.\n",
            (Self::Made, Kind::Outbox) => "This directory is an outbox of Hookup, version 3.\n",
            (Self::Making, Kind::Sessions) => "This directory is becoming a session store of Hookup.\n",
            (Self::Made, Kind::Sessions) => "This directory is a session store of Hookup, version 3.\n",
        }
    }

    /// The label, or `None` where there is nothing at all; anything without a label is somebody else's.
    pub(super) fn read(path: &Path, kind: Kind) -> Result<Option<Self>, OutboxError> {
        let mut names = match fs::read_dir(path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        let words = match fs::read_to_string(path.join(Self::FILE)) {
            Ok(words) => words,
            Err(_) if names.next().is_none() => return Ok(None),
            Err(_) => return Err(damaged(path, "the directory has other files in it")),
        };
        if words == Self::Made.words(kind) {
            return Ok(Some(Self::Made));
        }
        // A label that was not written as a whole is one whose directory nobody has used yet.
        if kind.may_be_labelled(&words) {
            return Ok(Some(Self::Making));
        }
        Err(match kind {
            Kind::Outbox if Kind::Sessions.is_labelled(&words) => {
                damaged(path, "it is the session store of a server, not the outbox of a client")
            }
            Kind::Sessions if Kind::Outbox.is_labelled(&words) => {
                damaged(path, "it is the outbox of a client, not the session store of a server")
            }
            _ => damaged(path, "it was made by another version of Hookup"),
        })
    }

    /// Whether a directory was made for this kind, be it whole or not.
    pub(super) fn is_of(path: &Path, kind: Kind) -> bool {
        match fs::read_to_string(path.join(Self::FILE)) {
            Ok(words) if kind.may_be_labelled(&words) || kind.is_labelled(&words) => true,
            Ok(words) if [Kind::Outbox, Kind::Sessions].iter().any(|other| other.is_labelled(&words)) => false,
            // The label itself may be what is damaged.
            _ => has_log(&recovery::log_path(path)),
        }
    }

    /// Writes the label, and syncs it and the names above it if that is asked for.
    pub(super) fn write(self, path: &Path, kind: Kind, is_synced: bool) -> Result<(), OutboxError> {
        let file = path.join(Self::FILE);
        let written = fs::create_dir_all(path).and_then(|()| match self {
            // Another process may have been faster, and have said more.
            Self::Making => write_new(&file, self.words(kind)),
            Self::Made => fs::write(&file, self.words(kind)),
        });
        let synced = written.and_then(|()| {
            if !is_synced {
                return Ok(());
            }
            File::options().write(true).open(&file)?.sync_all()?;
            sync_directory(path)?;
            sync_above(path)
        });
        synced.map_err(|error| failed(path, error))
    }
}

/// Writes a file, unless it is there.
fn write_new(path: &Path, words: &str) -> io::Result<()> {
    match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created?.write_all(words.as_bytes()),
    }
}

/// Whether there is a log of ours.
fn has_log(path: &Path) -> bool {
    let files = log::files(path).unwrap_or_default();
    files.into_keys().any(|number| Scan::open(path, number).is_ok_and(|scan| scan.header().is_ok()))
}

/// Takes the directory for this process, and in it for the returned file, whose end lets it go.
pub(super) fn lock(path: &Path) -> Result<File, OutboxError> {
    let file = File::open(path.join(Label::FILE)).map_err(|error| failed(path, error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(OutboxError::Locked { path: path.display().to_string() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(failed(path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(words: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(Label::FILE), words).expect("writes");
        directory
    }

    #[test]
    fn a_label_is_that_of_its_kind_and_version() {
        for (kind, other) in [(Kind::Outbox, Kind::Sessions), (Kind::Sessions, Kind::Outbox)] {
            let directory = tempfile::tempdir().expect("a directory");
            assert!(matches!(Label::read(directory.path(), kind), Ok(None)));
            for label in [Label::Making, Label::Made] {
                let directory = labelled(label.words(kind));
                assert_eq!(Label::read(directory.path(), kind).expect("reads"), Some(label));
                let error = Label::read(directory.path(), other).expect_err("not its own");
                assert!(error.to_string().contains("it is the"), "{error}");
            }
        }
    }

    #[test]
    fn a_label_that_was_cut_short_is_of_a_directory_that_is_being_made() {
        for kind in [Kind::Outbox, Kind::Sessions] {
            let words = Label::Made.words(kind);
            for len in 0..words.len() {
                let directory = labelled(&words[..len]);
                assert_eq!(Label::read(directory.path(), kind).expect("reads"), Some(Label::Making));
            }
        }
    }

    #[test]
    fn a_label_that_was_written_over_in_part_is_of_a_directory_that_is_being_made() {
        for kind in [Kind::Outbox, Kind::Sessions] {
            let [making, made] = [Label::Making, Label::Made].map(|label| label.words(kind));
            for at in 0..making.len().min(made.len()) {
                for torn in [
                    format!("{}{}", &made[..at], &making[at..]),
                    format!("{}{}", &making[..at], &made[at..]),
                    format!("{}{}", &made[..at], "\0".repeat(made.len() - at)),
                ] {
                    let read = Label::read(labelled(&torn).path(), kind).expect("reads");
                    assert_eq!(read == Some(Label::Made), torn == made, "{torn:?}");
                }
            }
            assert!(Label::read(labelled("This directory is an outbox of Hookup, version 2.\n").path(), kind).is_err());
        }
    }

    #[test]
    fn who_comes_late_to_make_a_directory_leaves_its_label_as_it_is() {
        let directory = labelled(Label::Made.words(Kind::Outbox));
        Label::Making.write(directory.path(), Kind::Outbox, false).expect("writes");
        assert_eq!(Label::read(directory.path(), Kind::Outbox).expect("reads"), Some(Label::Made));
    }

    #[test]
    fn a_directory_of_another_version_is_refused() {
        for version in [
            "This directory is an outbox of Hookup.\n",
            "This directory is an outbox of Hookup, version 4.\n",
            "This directory is a session store of Hookup, version 2.\n",
        ] {
            let directory = labelled(version);
            for kind in [Kind::Outbox, Kind::Sessions] {
                let error = Label::read(directory.path(), kind).expect_err("another version");
                assert!(error.to_string().contains("another version"), "{error}");
            }
        }
    }
}
