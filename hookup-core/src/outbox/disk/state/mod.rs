//! What a directory holds, in memory: the log, the catalog, and what is known of sessions.

mod tidying;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet, btree_map},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    catalog::Catalog,
    failed,
    ledger::{Ledger, Located, Place, Tally},
    log::Log,
    record,
    recovery::Found,
    reserve::{Reserve, is_full},
};
use crate::{
    link::v2::SessionId,
    outbox::{Changes, OutboxError, Removal},
};

pub(super) struct State {
    path: PathBuf,
    pub(super) log: Log,
    catalog: Catalog,
    reserve: Reserve,
    /// What has left while the disk was full, and is not in the log.
    unlogged: BTreeMap<SessionId, Vec<Removal>>,
    /// What is in the log and has still to be synced: up to which position that reaches, whose it is, and where it begins.
    unsynced: Vec<(u64, SessionId, Vec<Removal>, Place)>,
    /// Something was taken out of the log that nobody puts there again.
    has_taken_back: bool,
    /// The sessions that are in the log, have changed, or are open. Of the others the catalog knows all.
    /// They are looked up for each message: most often there is only one, which a tree finds at once.
    ledgers: BTreeMap<SessionId, Ledger>,
    /// The sessions that changed since the catalog was written; those without a ledger were forgotten.
    changed: BTreeSet<SessionId>,
    opened: HashSet<SessionId>,
    /// The sessions that have ended and are not open, by the time of their end.
    pub(super) ended: BTreeSet<(u64, SessionId)>,
    tally: Tally,
    covered: u64,
    /// From which position of the log on the catalog is written when it is due.
    tidied: u64,
}

impl State {
    pub(super) fn new(path: &Path, log: Log, catalog: Catalog, reserve: Reserve, found: Found) -> Self {
        let Found { ledgers, changed, tally, covered, .. } = found;
        let mut state = Self {
            path: path.to_owned(),
            log,
            catalog,
            reserve,
            unlogged: BTreeMap::new(),
            unsynced: Vec::new(),
            has_taken_back: false,
            ledgers,
            changed,
            opened: HashSet::new(),
            ended: BTreeSet::new(),
            tally,
            covered,
            tidied: 0,
        };
        state.tidy();
        state
    }

    fn failed(&self, error: io::Error) -> OutboxError {
        failed(&self.path, error)
    }

    /// What is known of a session; an empty ledger if nothing is.
    pub(super) fn ledger(&mut self, session: SessionId) -> Result<&mut Ledger, OutboxError> {
        Ok(match self.ledgers.entry(session) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(unknown) => {
                let noted = if self.changed.contains(&session) { None } else { self.catalog.get(session)? };
                unknown.insert(noted.map_or_else(Ledger::default, |noted| noted.summary.into()))
            }
        })
    }

    /// All sessions of which something is known.
    pub(super) fn each(
        &mut self,
        mut see: impl FnMut(SessionId, &Ledger) -> Result<(), OutboxError>,
    ) -> Result<(), OutboxError> {
        let known = self.ledgers.iter().filter(|(_, ledger)| !ledger.is_empty());
        known.into_iter().try_for_each(|(&session, ledger)| see(session, ledger))?;
        let (ledgers, changed) = (&self.ledgers, &self.changed);
        self.catalog.each(|session, noted| {
            let is_known = ledgers.contains_key(&session) || changed.contains(&session);
            if is_known { Ok(()) } else { see(session, &noted.summary.into()) }
        })
    }

    /// A session is being used.
    pub(super) fn open(&mut self, session: SessionId) -> Result<&mut Ledger, OutboxError> {
        let ended_at = self.ledger(session)?.ended_at();
        self.opened.insert(session);
        if let Some(at) = ended_at {
            // While it is open it is not forgotten.
            self.ended.remove(&(at, session));
        }
        self.ledger(session)
    }

    /// A session is not being used any more.
    pub(super) fn close(&mut self, session: SessionId) {
        self.opened.remove(&session);
        let Some(ledger) = self.ledgers.get(&session) else { return };
        if let Some(at) = ledger.ended_at() {
            self.ended.insert((at, session));
        }
        if ledger.is_bare() && !self.changed.contains(&session) {
            self.ledgers.remove(&session);
        }
    }

    /// Appends records as a whole or not at all.
    fn append<T>(&mut self, put: impl FnOnce(&mut Log) -> io::Result<T>) -> Result<T, OutboxError> {
        let mark = self.log.begin().map_err(|error| self.failed(error))?;
        let appended = put(&mut self.log).and_then(|appended| self.log.commit().map(|()| appended));
        appended.map_err(|error| {
            self.log.roll_back(&mark);
            self.failed(error)
        })
    }

    /// Appends what makes room, or notes that something does; for that there is a reserve.
    fn append_anyway(&mut self, mut put: impl FnMut(&mut Log) -> io::Result<()>) -> Result<(), OutboxError> {
        match self.append(&mut put) {
            Err(error) if is_full(&error) && self.reserve.release() => self.append(put),
            appended => appended,
        }
    }

    /// Appends messages; when the disk is full, what is not needed any more makes room for them.
    fn append_messages(&mut self, mut put: impl FnMut(&mut Log) -> io::Result<()>) -> Result<(), OutboxError> {
        // The reserve is not for them.
        let mut append = |state: &mut Self| {
            state.reserve.take().map_err(|error| state.failed(error))?;
            state.append(&mut put)
        };
        match append(self) {
            Err(error) if is_full(&error) && self.make_room() => append(self),
            appended => appended,
        }
    }

    /// Makes changes to a session's outbox; returns how far the log is to be synced for them to be safe.
    pub(super) fn commit(
        &mut self,
        session: SessionId,
        changes: &Changes,
        json: Option<&[u8]>,
    ) -> Result<u64, OutboxError> {
        if let Some(entry) = changes.appends.iter().find(|entry| !record::fits(entry)) {
            let problem = format!("message {} is longer than 4 GiB", entry.seq);
            return Err(self.failed(io::Error::new(io::ErrorKind::InvalidInput, problem)));
        }
        self.ledger(session)?;
        let late = self.unlogged.remove(&session).unwrap_or_default();
        let removes = if late.is_empty() {
            Cow::Borrowed(&changes.removes)
        } else {
            Cow::Owned([&late[..], &changes.removes].concat())
        };
        let mut places = Vec::new();
        let put = |log: &mut Log| {
            places.clear();
            log.put_entries(session, &changes.appends, &mut places)?;
            if !removes.is_empty() {
                log.put(|buffer| record::put_removed(session, &removes, buffer))?;
            }
            json.map_or(Ok(()), |json| log.put(|buffer| record::put_state(session, json, buffer)))
        };
        let appended = match changes.appends.is_empty() {
            true => self.append_anyway(put),
            false => self.append_messages(put),
        };
        match appended {
            Ok(()) => {}
            // It is forgotten a little later.
            Err(_) if changes.appends.is_empty() && json.is_none() => {
                self.unlogged.insert(session, removes.into_owned());
            }
            Err(error) => {
                if !late.is_empty() {
                    self.unlogged.insert(session, late);
                }
                return Err(error);
            }
        }
        let ledger = self.ledgers.entry(session).or_default();
        for (head, place) in &places {
            ledger.append(head, *place, &mut self.tally);
        }
        ledger.remove(&changes.removes, &mut self.tally);
        if let Some(json) = json {
            ledger.save(json);
        }
        self.changed.insert(session);
        let position = self.log.position();
        self.tidy();
        if let Some(&(_, place)) = places.first()
            && self.log.is_strict()
            && position > self.log.safe()
        {
            self.unsynced.push((position, session, changes.appends.iter().map(Removal::from).collect(), place));
        }
        Ok(position)
    }

    /// The log is synced up to this position.
    pub(super) fn synced(&mut self, position: u64) {
        self.unsynced.retain(|&(to, ..)| to > position);
    }

    /// A sync has failed: what was written to the log since the one before, which ended here, is taken out again, and the
    /// messages in it.
    pub(super) fn take_back(&mut self, end: u64) {
        let end = self.log.take_back(end);
        self.synced(self.log.safe());
        for (_, session, removes, from) in std::mem::take(&mut self.unsynced).into_iter().rev() {
            if let Some(ledger) = self.ledgers.get_mut(&session) {
                ledger.withdraw(&removes, from, end, &mut self.tally);
                self.changed.insert(session);
            }
        }
        self.has_taken_back = true;
    }

    /// Ends a session.
    pub(super) fn end(&mut self, session: SessionId, at: u64, json: &[u8]) -> Result<u64, OutboxError> {
        let before = self.ledger(session)?.ended_at();
        self.append_anyway(|log| log.put(|buffer| record::put_ended(session, at, json, buffer)))?;
        // What is logged late must not meet a message of the session's next life.
        self.unlogged.remove(&session);
        if let Some(before) = before {
            self.ended.remove(&(before, session));
        }
        self.ledgers.entry(session).or_default().end(at, json, &mut self.tally);
        self.ended.insert((at, session));
        self.changed.insert(session);
        let position = self.log.position();
        self.tidy();
        Ok(position)
    }

    /// Forgets the session that ended first, if that is due, given when it ended and how many have; whether it was.
    pub(super) fn forget_first(&mut self, is_due: impl FnOnce(u64, usize) -> bool) -> Result<bool, OutboxError> {
        let Some(&(at, session)) = self.ended.first().filter(|(at, _)| is_due(*at, self.ended.len())) else {
            return Ok(false);
        };
        self.append_anyway(|log| log.put(|buffer| record::put_forgotten(session, buffer)))?;
        self.ended.remove(&(at, session));
        self.unlogged.remove(&session);
        if let Some(mut ledger) = self.ledgers.remove(&session) {
            ledger.clear(&mut self.tally);
        }
        self.changed.insert(session);
        Ok(true)
    }

    /// Where the first message of a session from `from` on is, and which messages there are to be read.
    pub(super) fn find(&mut self, session: SessionId, from: u64) -> Result<Option<Located>, OutboxError> {
        Ok(self.ledger(session)?.find(from))
    }

    /// A file of the log, to be read.
    pub(super) fn reader(&mut self, file: u64) -> Result<Arc<File>, OutboxError> {
        self.log.reader(file).map_err(|error| self.failed(error))
    }
}
