//! A session store of tiny files against a model of what it holds: any operations on a few sessions, restarts, and what is
//! found when the process is killed between two of them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{Durability, SledOptions, SledStore, limits::Limits},
    copy,
};
use crate::{
    link::v2::{RunId, SessionId, State},
    message::Text,
    outbox::{Changes, Entry, Outbox, Removal, SessionStore, Usage},
};

const SESSIONS: u8 = 4;

#[derive(Debug, Clone)]
enum Op {
    Append { session: u8, lens: Vec<(u8, u16)>, removes: Vec<u8>, saves: bool },
    Remove { session: u8, first: u8, count: u8 },
    RemoveSome { session: u8, which: Vec<u8> },
    Save { session: u8 },
    End { session: u8 },
    Forget { before: u8 },
    Load { session: u8, from: u8, messages: u8, bytes: u16 },
    Close { session: u8 },
    Flush,
    Reopen,
    Kill,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let session = 0..SESSIONS;
    let hole = prop_oneof![9 => Just(1_u8), 1 => 2..5_u8];
    let len = prop_oneof![12 => 0..200_u16, 3 => 200..3000_u16, 1 => Just(60_000_u16)];
    let lens = prop_oneof![
        8 => prop::collection::vec((hole, len), 1..6),
        1 => prop::collection::vec((Just(1_u8), Just(10_u16)), 20..200),
    ];
    let which = prop::collection::vec(any::<u8>(), 1..6);
    let op = prop_oneof![
        12 => (session.clone(), lens, prop::collection::vec(any::<u8>(), 0..3), any::<bool>())
            .prop_map(|(session, lens, removes, saves)| Op::Append { session, lens, removes, saves }),
        8 => (session.clone(), 0..8_u8, 0..40_u8)
            .prop_map(|(session, first, count)| Op::Remove { session, first: first.saturating_sub(5), count }),
        4 => (session.clone(), which).prop_map(|(session, which)| Op::RemoveSome { session, which }),
        2 => session.clone().prop_map(|session| Op::Save { session }),
        1 => session.clone().prop_map(|session| Op::End { session }),
        1 => any::<u8>().prop_map(|before| Op::Forget { before }),
        6 => (session.clone(), any::<u8>(), 0..20_u8, 0..2000_u16)
            .prop_map(|(session, from, messages, bytes)| Op::Load { session, from, messages, bytes }),
        2 => session.prop_map(|session| Op::Close { session }),
        2 => Just(Op::Flush),
        1 => Just(Op::Reopen),
        2 => Just(Op::Kill),
    ];
    prop::collection::vec(op, 1..120)
}

/// What is known of a session.
#[derive(Debug, Clone, Default, PartialEq)]
struct Session {
    entries: BTreeMap<u64, Entry>,
    last_seq: u64,
    state: Option<State>,
    ended_at: Option<u64>,
}

impl Session {
    fn usage(&self) -> Usage {
        let bytes = self.entries.values().map(Entry::bytes).sum();
        Usage { messages: self.entries.len(), bytes }
    }

    fn is_known(&self) -> bool {
        self.state.is_some() || !self.entries.is_empty()
    }
}

struct World {
    directory: tempfile::TempDir,
    options: SledOptions,
    store: Option<SledStore>,
    outboxes: BTreeMap<u8, Box<dyn Outbox>>,
    sessions: BTreeMap<u8, Session>,
    /// What the model was after each operation since all was written.
    since: Vec<BTreeMap<u8, Session>>,
    clock: u64,
    runs: u64,
}

fn id(session: u8) -> SessionId {
    SessionId(u128::from(session) + 1)
}

/// All of an outbox, as a model of it.
fn found(store: &SledStore, session: u8) -> Session {
    let is_live = store.sessions().expect("reads").contains(&id(session));
    let ended_at = store.disk.state().ledger(id(session)).expect("reads").ended_at();
    let mut outbox = SessionStore::open(store, id(session)).expect("opens");
    let stored = outbox.stored();
    let entries = outbox.load(0, usize::MAX, u64::MAX).expect("loads");
    let entries = entries.into_iter().map(|entry| (entry.seq, entry)).collect();
    let found = Session { entries, last_seq: stored.last_seq, state: stored.state, ended_at };
    assert_eq!(found.usage(), stored.usage);
    assert_eq!(is_live, found.state.is_some() && ended_at.is_none());
    found
}

fn assert_same(found: &Session, known: &Session) {
    assert!(found.entries.keys().eq(known.entries.keys()), "{:?} {:?}", found.entries.keys(), known.entries.keys());
    assert!(found.entries == known.entries, "a message is not what it was");
    assert_eq!(found.state, known.state);
    assert_eq!(found.ended_at, known.ended_at);
    assert!(found.last_seq >= known.entries.last_key_value().map_or(0, |(&seq, _)| seq));
}

impl World {
    fn new(durability: Durability) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let options = SledOptions { limits: Limits::tiny(), ..SledOptions::new() };
        let options = options.durability(durability).flush_every(Duration::from_secs(3600));
        let mut world = Self {
            directory: directory.expect("a directory"),
            options,
            store: None,
            outboxes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            since: vec![BTreeMap::new()],
            clock: 0,
            runs: 0,
        };
        world.store = Some(world.options.store(world.path()).expect("opens"));
        world
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn store(&self) -> &SledStore {
        self.store.as_ref().expect("it is open")
    }

    fn outbox(&mut self, session: u8) -> &mut dyn Outbox {
        let store = self.store.as_ref().expect("it is open");
        let open = || SessionStore::open(store, id(session)).expect("opens");
        &mut **self.outboxes.entry(session).or_insert_with(open)
    }

    fn known(&mut self, session: u8) -> &mut Session {
        self.sessions.entry(session).or_default()
    }

    fn state(&mut self, session: u8) -> State {
        self.runs += 1;
        let mut state = State::new(id(session), None);
        state.begin_run(RunId(self.runs), 0);
        state
    }

    fn commit(&mut self, session: u8, changes: &Changes) {
        self.outbox(session).commit(changes).expect("commits");
        let known = self.known(session);
        for entry in &changes.appends {
            known.entries.insert(entry.seq, entry.clone());
            known.last_seq = entry.seq;
            known.ended_at = None;
        }
        for removal in &changes.removes {
            known.entries.remove(&removal.seq);
        }
        if let Some(state) = &changes.state {
            known.state = Some(state.clone());
            known.ended_at = None;
        }
        let stored = self.outbox(session).stored();
        let known = self.known(session);
        assert_eq!((stored.usage, stored.state), (known.usage(), known.state.clone()));
    }

    fn removal(&mut self, session: u8, which: u8) -> Removal {
        let known = self.known(session);
        match known.entries.values().nth(usize::from(which) / 4) {
            Some(entry) => entry.into(),
            None => Removal { seq: known.last_seq + u64::from(which), bytes: which.into() },
        }
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Append { session, lens, removes, saves } => {
                let mut seq = self.known(*session).last_seq;
                let appends = lens.iter().map(|&(hole, len)| {
                    seq += u64::from(hole);
                    let text = format!("{session} {seq} {} ", self.clock) + &"x".repeat(len.into());
                    Entry { seq, outbound: Text(text).into() }
                });
                let appends = appends.collect::<Vec<_>>();
                let mut removes = removes.iter().map(|&which| self.removal(*session, which)).collect::<Vec<_>>();
                removes.retain(|removal| removal.seq <= self.sessions[session].last_seq);
                removes.sort();
                let state = saves.then(|| self.state(*session));
                self.commit(*session, &Changes { appends, removes, state });
            }
            Op::Remove { session, first, count } => {
                let entries = self.known(*session).entries.values();
                let removes = entries.skip((*first).into()).take((*count).into()).map(Removal::from).collect();
                self.commit(*session, &Changes { removes, ..Changes::default() });
            }
            Op::RemoveSome { session, which } => {
                let mut removes = which.iter().map(|&which| self.removal(*session, which)).collect::<Vec<_>>();
                removes.sort();
                self.commit(*session, &Changes { removes, ..Changes::default() });
            }
            Op::Save { session } => {
                let state = self.state(*session);
                self.commit(*session, &Changes::save(state));
            }
            Op::End { session } => {
                self.outboxes.remove(session);
                let state = self.state(*session);
                self.store().end(&state, self.clock).expect("ends");
                let ended_at = Some(self.clock);
                *self.known(*session) = Session { state: Some(state.ended()), ended_at, ..Session::default() };
            }
            Op::Forget { before } => {
                let time = self.clock * u64::from(*before) / 255;
                self.store().forget(time).expect("forgets");
                let outboxes = &self.outboxes;
                self.sessions.retain(|session, known| {
                    outboxes.contains_key(session) || known.ended_at.is_none_or(|at| at >= time)
                });
            }
            Op::Load { session, from, messages, bytes } => self.load(*session, *from, *messages, (*bytes).into()),
            Op::Close { session } => drop(self.outboxes.remove(session)),
            Op::Flush => {
                self.store().disk.state().log.write().expect("writes");
                self.since.clear();
            }
            Op::Reopen => {
                self.outboxes.clear();
                self.store = None;
                self.store = Some(self.options.store(self.path()).expect("opens"));
                self.since.clear();
                self.check(self.store());
                for session in 0..SESSIONS {
                    self.known(session);
                }
                // Where there is nothing, the numbers may begin anew.
                let store = self.store.as_ref().expect("it is open");
                for (&session, known) in &mut self.sessions {
                    known.last_seq = found(store, session).last_seq;
                }
            }
            Op::Kill => self.killed(),
        }
    }

    fn load(&mut self, session: u8, from: u8, messages: u8, bytes: u64) {
        let last = self.known(session).last_seq;
        let from = (last * u64::from(from) / 200).saturating_sub(1);
        let loaded = self.outbox(session).load(from, messages.into(), bytes).expect("loads");
        let (mut held, mut expected) = (0, Vec::new());
        for (_, entry) in self.known(session).entries.range(from..).take(messages.into()) {
            held += entry.bytes();
            if held > bytes && !expected.is_empty() {
                break;
            }
            expected.push(entry.clone());
        }
        assert!(loaded == expected, "from {from} on, it is not what it was");
    }

    fn check(&self, store: &SledStore) {
        let mut live = store.sessions().expect("reads");
        live.sort_by_key(|id| id.0);
        let is_live = |known: &Session| known.state.is_some() && known.ended_at.is_none();
        let expected = self.sessions.iter().filter(|(_, known)| is_live(known)).map(|(&session, _)| id(session));
        assert_eq!(live, expected.collect::<Vec<_>>());
        for session in 0..SESSIONS {
            let nothing = Session::default();
            assert_same(&found(store, session), self.sessions.get(&session).unwrap_or(&nothing));
        }
    }

    /// What another process finds after this one was killed here.
    fn killed(&mut self) {
        let to = self.directory.path().join("copy");
        copy(&self.path(), &to);
        let store = self.options.store(&to).expect("opens");
        if self.options.durability == Durability::Buffered {
            let found = (0..SESSIONS).map(|session| (session, found(&store, session))).collect::<BTreeMap<_, _>>();
            let was = |known: &BTreeMap<u8, Session>| {
                let nothing = Session::default();
                found.iter().all(|(session, found)| {
                    let known = known.get(session).unwrap_or(&nothing);
                    (&found.entries, &found.state, found.ended_at) == (&known.entries, &known.state, known.ended_at)
                })
            };
            assert!(self.since.iter().any(was), "it is not what it was at any time");
        } else {
            self.check(&store);
        }
        drop(store);
        fs::remove_dir_all(to).expect("removes");
    }

    fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.clock += 1;
            self.act(op);
            self.sessions.retain(|_, known| known.is_known() || known.last_seq > 0);
            self.since.push(self.sessions.clone());
        }
        self.killed();
        self.act(&Op::Reopen);
        // Files that are not needed are gone.
        for session in 0..SESSIONS {
            let removes = self.known(session).entries.values().map(Removal::from).collect();
            self.commit(session, &Changes { removes, ..Changes::default() });
        }
        self.act(&Op::Reopen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(32)
    })]

    #[test]
    fn a_store_holds_what_a_model_of_it_holds_whenever_it_is_killed(ops in ops()) {
        World::new(Durability::ProcessCrash).run(&ops);
    }

    #[test]
    fn what_is_buffered_is_after_a_kill_what_it_was_at_some_time_since_it_was_written(ops in ops()) {
        World::new(Durability::Buffered).run(&ops);
    }

    #[test]
    fn a_store_that_is_synced_holds_what_a_model_of_it_holds(ops in ops()) {
        World::new(Durability::PowerLoss).run(&ops);
    }
}
