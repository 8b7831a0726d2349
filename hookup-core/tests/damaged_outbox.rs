//! Outboxes and session stores whose files were damaged: what can be known of it is said, and nothing is lost in silence.
//!
//! `HOOKUP_TEST_DAMAGES` says how many for each test (default: 40); `HOOKUP_TEST_SEED`, from which seed.

#![cfg(unix)]

mod disk_support;

use std::path::Path;

use disk_support::{
    damage::{Damage, copy},
    memory_directory,
    script::{Kind, SESSIONS, entry, everything, state},
    seeded,
};
use hookup_core::{Changes, Entry, Outbox, OutboxError, SessionId, SessionStore, SledOptions, Stored};

fn damages() -> u64 {
    std::env::var("HOOKUP_TEST_DAMAGES").map_or(40, |number| number.parse().expect("a number of damages"))
}

/// What is in each outbox: messages of these places, and a state.
#[derive(Debug, Clone, Copy)]
struct Kept {
    from: u64,
    to: u64,
    /// Messages from here on were removed.
    removed_from: u64,
}

impl Kept {
    fn expected(self) -> Vec<Entry> {
        (self.from..self.removed_from).map(entry).collect()
    }
}

/// A whole directory; its sessions, and what is in them.
struct Whole {
    kind: Kind,
    sessions: Vec<SessionId>,
    kept: Kept,
}

/// A directory that is open, with its outboxes.
type Outboxes = Vec<Box<dyn Outbox>>;

impl Whole {
    /// Makes it, closed; and into `killed` comes what would be there if the process had been killed before that.
    fn make(kind: Kind, path: &Path, to: u64, killed: Option<&Path>) -> Self {
        let sessions = match kind {
            Kind::Outbox => vec![SessionId(SESSIONS[0])],
            Kind::Store => SESSIONS.map(SessionId).to_vec(),
        };
        let whole = Self { kind, sessions, kept: Kept { from: to / 3, to, removed_from: to - to / 10 } };
        let mut outboxes = whole.open(path, false).expect("opens");
        for (&session, outbox) in whole.sessions.iter().zip(&mut outboxes) {
            for n in 1..=to {
                let mut changes = Changes::append([entry(n)]);
                changes.state = n.is_multiple_of(16).then(|| state(session, n));
                outbox.commit(&changes).expect("appends");
            }
            let removed = (1..whole.kept.from).chain(whole.kept.removed_from..=to).map(entry).collect::<Vec<_>>();
            outbox.commit(&Changes::remove(&removed)).expect("removes");
            outbox.commit(&Changes::save(state(session, to))).expect("saves");
        }
        if let Some(killed) = killed {
            copy(path, killed);
        }
        whole
    }

    fn open(&self, path: &Path, quarantine: bool) -> Result<Outboxes, OutboxError> {
        let options = SledOptions::new().quarantine(quarantine);
        if self.kind == Kind::Outbox {
            return Ok(vec![Box::new(options.outbox(path)?)]);
        }
        let store = options.store(path)?;
        self.sessions.iter().map(|&session| store.open(session)).collect()
    }

    /// All that is in it, or what is wrong with it.
    fn read(&self, path: &Path) -> Result<Vec<(Stored, Vec<Entry>)>, OutboxError> {
        let mut outboxes = self.open(path, false)?;
        outboxes.iter_mut().map(|outbox| Ok((outbox.stored(), everything(&mut **outbox)?))).collect()
    }

    /// After some damage, it is an error that names the directory, or all is there; or else a first part, if what was
    /// written last can have been `cut_off`, which looks as if it had not been written yet.
    fn check(&self, path: &Path, cut_off: bool) -> bool {
        let read = match self.read(path) {
            Ok(read) => read,
            Err(error) => {
                assert!(matches!(error, OutboxError::Damaged { .. }), "it says that it is damaged: {error:?}");
                assert!(error.to_string().contains(&path.display().to_string()), "it names the directory: {error}");
                return false;
            }
        };
        for (&session, (stored, found)) in self.sessions.iter().zip(&read) {
            assert!(cut_off || stored.state == Some(state(session, self.kept.to)), "the state is the last: {stored:?}");
            assert_eq!(stored.quarantined, None);
            assert!(found.is_sorted_by_key(|entry| entry.seq), "they are in order");
            assert!(found.iter().all(|found| *found == entry(found.seq)), "messages are what they were");
            // A removal may be forgotten, a message not.
            let mut found = found.clone();
            found.retain(|entry| (self.kept.from..self.kept.removed_from).contains(&entry.seq));
            let expected = self.kept.expected();
            assert!(found == expected || cut_off && expected.starts_with(&found), "nothing is lost in silence");
        }
        true
    }

    /// After some damage, and with quarantine, what can be read is there, and it works.
    fn check_quarantine(&self, path: &Path) {
        let outboxes = &mut self.open(path, true).expect("it opens with what can be read");
        let mut saved = 0;
        let mut rest = Vec::new();
        for outbox in outboxes.iter_mut() {
            let mut found = everything(&mut **outbox).expect("loads");
            assert!(found.is_sorted_by(|one, next| one.seq < next.seq), "they are in order, and each once");
            assert!(found.iter().all(|found| *found == entry(found.seq)), "messages are what they were");
            saved += found.len();
            let next = entry(outbox.stored().last_seq.max(self.kept.to) + 1);
            outbox.commit(&Changes::append([next.clone()])).expect("it works");
            found.push(next);
            rest.push(found);
        }
        for outbox in outboxes.iter() {
            let Some(quarantined) = outbox.stored().quarantined else {
                // What a store has to say of itself need not be said of each of its sessions.
                assert_eq!(self.kind, Kind::Store, "it says that it was damaged");
                continue;
            };
            assert_eq!(quarantined.path, path);
            assert_eq!(quarantined.saved, saved, "as many as it says");
            assert!(quarantined.moved_to.is_dir() && quarantined.moved_to != path, "the damaged one is kept");
            assert!(!quarantined.problem.is_empty());
        }
        let beside = path.parent().expect("it is in a directory").read_dir().expect("reads");
        assert_eq!(beside.count(), 2, "the damaged one is kept, and nothing else is left");
        outboxes.clear();
        let again = self.read(path).expect("opens");
        assert!(again.iter().all(|(stored, _)| stored.quarantined.is_none()), "it is whole now");
        assert!(again.into_iter().map(|(_, found)| found).eq(rest), "it is what it was");
    }
}

/// How a directory was left before it was damaged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    Killed,
}

fn damage_often(kind: Kind, left: Left, quarantine: bool) {
    let mut rng = seeded(0x00da_3a6e);
    let original = memory_directory();
    let [closed, killed] = ["closed", "killed"].map(|name| original.path().join(name));
    let whole = Whole::make(kind, &closed, if kind == Kind::Outbox { 400 } else { 150 }, Some(&killed));
    let original = if left == Left::Closed { closed } else { killed };
    let mut silent = 0;
    for _ in 0..damages() {
        let directory = memory_directory();
        let path = directory.path().join("outbox");
        copy(&original, &path);
        let damage = Damage::any(&mut rng, &path);
        println!("{damage:?}");
        damage.inflict(&mut rng);
        let is_whole = whole.check(&path, left == Left::Killed && damage.may_cut_off());
        silent += usize::from(is_whole);
        if quarantine && !is_whole {
            whole.check_quarantine(&path);
        }
    }
    println!("{silent} of {} damages were of nothing that matters", damages());
}

#[test]
fn a_directory_that_is_whole_is_found_to_be() {
    for kind in [Kind::Outbox, Kind::Store] {
        let directory = memory_directory();
        let path = directory.path().join("outbox");
        let whole = Whole::make(kind, &path, 100, None);
        assert!(whole.check(&path, false));
        // And is not quarantined.
        let outboxes = whole.open(&path, true).expect("opens");
        assert!(outboxes.iter().all(|outbox| outbox.stored().quarantined.is_none()));
        drop(outboxes);
        assert!(whole.check(&path, false));
    }
}

#[test]
fn nothing_of_a_damaged_outbox_is_lost_in_silence() {
    damage_often(Kind::Outbox, Left::Closed, false);
}

#[test]
fn nothing_of_a_damaged_outbox_whose_process_was_killed_is_lost_in_silence_but_from_its_end() {
    damage_often(Kind::Outbox, Left::Killed, false);
}

#[test]
fn nothing_of_a_damaged_session_store_is_lost_in_silence() {
    damage_often(Kind::Store, Left::Closed, false);
}

#[test]
fn a_damaged_outbox_is_moved_aside_and_what_can_be_read_is_in_its_place() {
    damage_often(Kind::Outbox, Left::Killed, true);
}

#[test]
fn a_damaged_session_store_is_moved_aside_and_what_can_be_read_is_in_its_place() {
    damage_often(Kind::Store, Left::Closed, true);
}
