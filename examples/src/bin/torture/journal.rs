//! What a process records of itself, in a file that survives its SIGKILL: a write that has returned is the kernel's.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use hookup_client::{MessageKey, RunId, SessionId};

use crate::process::Side;

/// A process's file, while it writes it.
pub(crate) struct Journal(File);

/// One thing that a process has recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A handler is done with a message.
    Handled(Handled),
    /// These messages of its own were accepted.
    Accepted { from: u64, to: u64 },
    /// These were refused, since the outbox was full.
    Refused { from: u64, to: u64 },
    /// The client was told that the server has forgotten the session.
    SessionLost,
    /// What never should have happened.
    Trouble(String),
}

/// Message `n` of its sender's process `life`, as it was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handled {
    pub(crate) life: u32,
    pub(crate) n: u64,
    pub(crate) redelivered: bool,
    pub(crate) key: MessageKey,
}

fn path(directory: &Path, side: Side, life: u32) -> PathBuf {
    directory.join(format!("{side}-{life}.journal"))
}

impl Journal {
    pub(crate) fn create(directory: &Path, side: Side, life: u32) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path(directory, side, life)).map(Self)
    }

    /// Each record is one write, so that those of several threads do not mix.
    pub(crate) fn record(&self, record: &Record) -> io::Result<()> {
        (&self.0).write_all(record.line().as_bytes())
    }
}

impl Record {
    fn line(&self) -> String {
        match self {
            Self::Handled(Handled { life, n, redelivered, key }) => {
                format!("handled {life} {n} {} {} {} {}\n", u8::from(*redelivered), key.session, key.run, key.seq)
            }
            Self::Accepted { from, to } => format!("accepted {from} {to}\n"),
            Self::Refused { from, to } => format!("refused {from} {to}\n"),
            Self::SessionLost => "session-lost\n".into(),
            Self::Trouble(words) => format!("trouble {}\n", words.replace('\n', " ")),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut fields = rest.split(' ');
        let mut field = || fields.next();
        Some(match kind {
            "handled" => {
                let (life, n) = (field()?.parse().ok()?, field()?.parse().ok()?);
                let redelivered = field()? == "1";
                let session = field()?.parse::<SessionId>().ok()?;
                let run = field()?.parse::<RunId>().ok()?;
                let key = MessageKey { session, run, seq: field()?.parse().ok()? };
                Self::Handled(Handled { life, n, redelivered, key })
            }
            "accepted" => Self::Accepted { from: field()?.parse().ok()?, to: field()?.parse().ok()? },
            "refused" => Self::Refused { from: field()?.parse().ok()?, to: field()?.parse().ok()? },
            "session-lost" => Self::SessionLost,
            "trouble" => Self::Trouble(rest.into()),
            _ => return None,
        })
    }
}

/// A process's file, read while it grows.
pub(crate) struct Tail {
    path: PathBuf,
    file: File,
    unread: Vec<u8>,
}

impl Tail {
    /// Follows the journal of a process that is about to be started.
    pub(crate) fn open(directory: &Path, side: Side, life: u32) -> io::Result<Self> {
        let path = path(directory, side, life);
        File::create(&path)?;
        Ok(Self { file: File::open(&path)?, path, unread: Vec::new() })
    }

    /// What was recorded since the last call. A line that a kill has cut off is never whole, and its handler never
    /// returned.
    pub(crate) fn read(&mut self, mut record: impl FnMut(Record)) -> io::Result<()> {
        self.file.read_to_end(&mut self.unread)?;
        let Some(end) = self.unread.iter().rposition(|&byte| byte == b'\n') else { return Ok(()) };
        for line in self.unread[..end].split(|&byte| byte == b'\n') {
            let parsed = std::str::from_utf8(line).ok().and_then(Record::parse);
            let unknown = || io::Error::other(format!("a record that is none: {}", String::from_utf8_lossy(line)));
            record(parsed.ok_or_else(unknown)?);
        }
        self.unread.drain(..=end);
        Ok(())
    }

    /// Removes the file of a process that has gone, once it was read.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(self.path)
    }
}
