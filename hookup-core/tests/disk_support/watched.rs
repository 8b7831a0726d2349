//! An outbox that is watched while its disk refuses things: after each step, what must be there is there, and nothing else.

use std::{
    error::Error,
    io, iter,
    path::{Path, PathBuf},
};

use hookup_core::{Binary, Changes, Entry, Outbox, OutboxError, SessionId, SessionStore, SledOptions};

use super::script::{Kind, everything};

/// An outbox, and what it must hold: what it accepted and was not told to remove.
pub(crate) struct Watched {
    kind: Kind,
    pub(crate) options: SledOptions,
    pub(crate) path: PathBuf,
    outbox: Option<Box<dyn Outbox>>,
    pub(crate) kept: Vec<Entry>,
    next: u64,
    /// How many appends were tried, so that no two messages are the same.
    tries: u8,
}

impl Watched {
    pub(crate) fn open(kind: Kind, options: SledOptions, path: PathBuf) -> Self {
        let (outbox, kept) = (None, Vec::new());
        let mut watched = Self { kind, options, path, outbox, kept, next: 1, tries: 0 };
        watched.reopen();
        watched
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.outbox = Some(match self.kind {
            Kind::Outbox => Box::new(self.options.outbox(&self.path).expect("opens")),
            Kind::Store => self.options.store(&self.path).and_then(|store| store.open(SessionId(1))).expect("opens"),
        });
        self.check();
    }

    pub(crate) fn close(&mut self) {
        self.outbox = None;
    }

    pub(crate) fn outbox(&mut self) -> &mut dyn Outbox {
        &mut **self.outbox.as_mut().expect("it is open")
    }

    /// What must be there is there, and nothing else.
    pub(crate) fn check(&mut self) {
        let found = everything(self.outbox()).expect("loads");
        let seqs = |entries: &[Entry]| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&found), seqs(&self.kept), "all that was accepted, and nothing that was refused");
        assert!(found == self.kept, "messages are what they were");
        assert_eq!(self.outbox().stored().usage.messages, found.len());
    }

    pub(crate) fn append(&mut self, count: u64, len: usize) -> Result<(), OutboxError> {
        self.tries = self.tries.wrapping_add(1);
        let tries = self.tries;
        let entry = |seq| Entry { seq, outbound: Binary(vec![tries; len]).into() };
        let entries = (self.next..self.next + count).map(entry).collect::<Vec<_>>();
        let result = self.outbox().commit(&Changes::append(entries.clone()));
        if result.is_ok() {
            self.kept.extend(entries);
        }
        // The places of what was refused are taken again, or not.
        if result.is_ok() || tries.is_multiple_of(2) {
            self.next += count;
        }
        result
    }

    /// Appends until not even a small message is accepted, and returns the last refusal.
    pub(crate) fn fill(&mut self) -> OutboxError {
        let mut len = 64 << 10;
        loop {
            if let Err(error) = self.append(2, len) {
                self.check();
                if len == 1 {
                    return error;
                }
                len /= 8;
                len = len.max(1);
            }
        }
    }

    pub(crate) fn remove(&mut self, count: usize) {
        let removed = self.kept.drain(..count).collect::<Vec<_>>();
        self.outbox().commit(&Changes::remove(&removed)).expect("removes");
        self.check();
    }
}

/// The error is of this kind somewhere in its chain, and names the directory.
pub(crate) fn assert_is(error: &OutboxError, kind: io::ErrorKind, path: &Path) {
    assert!(matches!(error, OutboxError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "it names the directory: {error}");
    let mut chain = iter::successors(Some(error as &dyn Error), |&error| error.source());
    let is_there = chain.any(|error| error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind));
    assert!(is_there, "it is {kind:?}: {error:?}");
}
