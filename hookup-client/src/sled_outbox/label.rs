//! The file that says that a directory is an outbox, and how far its making got.

use std::{fs, io, path::Path};

use hookup_core::OutboxError;

use super::damaged;

/// What the label of an outbox's directory says. sled makes a database of whatever it finds, and makes anew what it cannot
/// read; so the directory is labelled before sled sees it, and again when the database is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// The database is being made; nothing was accepted yet.
    Making,
    /// The database is there.
    Made,
}

impl Label {
    const FILE: &'static str = "hookup-outbox";

    fn words(self) -> &'static str {
        match self {
            Self::Making => "This directory is becoming an outbox of Hookup.\n",
            Self::Made => "This directory is an outbox of Hookup.\n",
        }
    }

    /// The label, or `None` where there is nothing at all; anything without a label is somebody else's.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, OutboxError> {
        let failed = |source| OutboxError::Io { path: path.display().to_string(), source };
        let mut names = match fs::read_dir(path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let words = match fs::read_to_string(path.join(Self::FILE)) {
            Ok(words) => words,
            Err(_) if names.next().is_none() => return Ok(None),
            Err(_) => return Err(damaged(path, "the directory has other files in it")),
        };
        if words != Self::Made.words() {
            return Ok(Some(Self::Making));
        }
        if !(path.join("conf").exists() && path.join("db").exists()) {
            return Err(damaged(path, "files of it are missing"));
        }
        Ok(Some(Self::Made))
    }

    /// Removes what sled refuses to read when it was killed while it made it: it writes `conf` in parts, and makes `db`
    /// only then. Nothing was accepted before there was a `db`.
    pub(super) fn clean(path: &Path) -> Result<(), OutboxError> {
        let conf = path.join("conf");
        if path.join("db").exists() || !conf.exists() {
            return Ok(());
        }
        fs::remove_file(conf).map_err(|source| OutboxError::Io { path: path.display().to_string(), source })
    }

    pub(super) fn write(self, path: &Path) -> Result<(), OutboxError> {
        let written = fs::create_dir_all(path).and_then(|()| fs::write(path.join(Self::FILE), self.words()));
        written.map_err(|source| OutboxError::Io { path: path.display().to_string(), source })
    }
}
