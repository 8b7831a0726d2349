//! The file that says what a directory is, and how far its making got.

use std::{fs, io, path::Path};

use super::damaged;
use crate::outbox::OutboxError;

/// What a directory is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The outbox of one client.
    Outbox,
    /// The sessions of a server.
    Sessions,
}

impl Kind {
    /// What the database says of itself.
    pub(super) fn mark(self) -> &'static [u8] {
        match self {
            Self::Outbox => b"outbox 2",
            Self::Sessions => b"sessions 2",
        }
    }

    fn is_labelled(self, words: &str) -> bool {
        [Label::Making, Label::Made].iter().any(|label| label.words(self) == words)
    }

    /// Whether a label that was cut short may have been this kind's.
    fn may_be_labelled(self, start: &str) -> bool {
        [Label::Making, Label::Made].iter().any(|label| label.words(self).starts_with(start))
    }
}

/// What the label of a directory says. sled makes a database of whatever it finds, and makes anew what it cannot read; so
/// the directory is labelled before sled sees it, and again when the database is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// The database is being made; nothing was accepted yet.
    Making,
    /// The database is there.
    Made,
}

impl Label {
    const FILE: &'static str = "hookup-outbox";

    fn words(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Making, Kind::Outbox) => "This directory is becoming an outbox of Hookup.\n",
            (Self::Made, Kind::Outbox) => "This directory is an outbox of Hookup, version 2.\n",
            (Self::Making, Kind::Sessions) => "This directory is becoming a session store of Hookup.\n",
            (Self::Made, Kind::Sessions) => "This directory is a session store of Hookup, version 2.\n",
        }
    }

    /// The label, or `None` where there is nothing at all; anything without a label is somebody else's.
    pub(super) fn read(path: &Path, kind: Kind) -> Result<Option<Self>, OutboxError> {
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
        if words == Self::Made.words(kind) {
            if !(path.join("conf").exists() && path.join("db").exists()) {
                return Err(damaged(path, "files of it are missing"));
            }
            return Ok(Some(Self::Made));
        }
        // A label that was cut short is one whose directory nobody has used yet.
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

    /// Removes what sled refuses to read when it was killed while it made it: it writes `conf` in parts, and makes `db`
    /// only then. Nothing was accepted before there was a `db`.
    pub(super) fn clean(path: &Path) -> Result<(), OutboxError> {
        let conf = path.join("conf");
        if path.join("db").exists() || !conf.exists() {
            return Ok(());
        }
        fs::remove_file(conf).map_err(|source| OutboxError::Io { path: path.display().to_string(), source })
    }

    pub(super) fn write(self, path: &Path, kind: Kind) -> Result<(), OutboxError> {
        let written = fs::create_dir_all(path).and_then(|()| fs::write(path.join(Self::FILE), self.words(kind)));
        written.map_err(|source| OutboxError::Io { path: path.display().to_string(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(words: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, contents) in [(Label::FILE, words), ("conf", ""), ("db", "")] {
            fs::write(directory.path().join(name), contents).expect("writes");
        }
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
    fn a_directory_of_another_version_is_refused() {
        for version in [
            "This directory is an outbox of Hookup.\n",
            "This directory is an outbox of Hookup, version 3.\n",
            "This directory is a session store of Hookup, version 3.\n",
        ] {
            let directory = labelled(version);
            for kind in [Kind::Outbox, Kind::Sessions] {
                let error = Label::read(directory.path(), kind).expect_err("another version");
                assert!(error.to_string().contains("another version"), "{error}");
            }
        }
    }
}
