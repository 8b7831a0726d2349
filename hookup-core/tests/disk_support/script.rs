//! What a process does to an outbox, step by step from a seed, what it tells of that, and what of it must be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::Path,
    thread,
};

use fastrand::Rng;
use hookup_core::{
    Binary, Changes, Durability, Entry, Json, Outbound, Outbox, OutboxError, RunId, SessionId, SessionStore,
    SledOptions, Text,
    link::v2::{Cursor, State},
};

/// The sessions of a store that live on.
pub(crate) const SESSIONS: [u128; 3] = [0, 1, u128::MAX];

/// At most so many messages stay in an outbox.
const KEPT: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Outbox,
    Store,
}

/// The message of a place. It follows from the place alone, so that no list of what was accepted is needed.
pub(crate) fn entry(seq: u64) -> Entry {
    let mut rng = Rng::with_seed(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let len = match rng.u8(..100) {
        0..75 => rng.usize(..300),
        75..98 => rng.usize(..9000),
        _ => rng.usize(..300 << 10),
    };
    let outbound = match rng.u8(..4) {
        0 => Json(&serde_json::json!({"seq": seq, "of": "x".repeat(len)})).expect("it is JSON").into(),
        1 => Outbound::from(Text(format!("{seq} {}", "y".repeat(len)))).expiring_at(seq),
        _ => {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            Outbound::from(Binary(bytes))
        }
    };
    Entry { seq, outbound }
}

/// The state in which `n` was the last that was done.
pub(crate) fn state(session: SessionId, n: u64) -> State {
    let mut state = State::new(session, None);
    state.heard = true;
    state.begin_run(RunId(1), 0);
    state.cursors.push(Cursor { run: RunId(1), seq: n });
    state
}

/// How far an outbox is: all messages up to `appended` were given to it, all up to `removed` taken from it, and the state
/// that was saved last says `saved`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) appended: u64,
    pub(crate) removed: u64,
    pub(crate) saved: u64,
}

/// Says what to do next to an outbox.
pub(crate) struct Script {
    rng: Rng,
    session: SessionId,
    at: Progress,
}

impl Script {
    /// Goes on from what the outbox holds.
    pub(crate) fn resume(outbox: &mut dyn Outbox, session: SessionId, seed: u64) -> Self {
        let stored = outbox.stored();
        let first = outbox.load(0, 1, 0).expect("loads");
        let at = Progress {
            appended: stored.last_seq,
            removed: first.first().map_or(stored.last_seq, |first| first.seq - 1),
            saved: stored.state.map_or(0, |state| state.cursors[0].seq),
        };
        Self { rng: Rng::with_seed(seed), session, at }
    }

    /// The next commit, and how far the outbox is with it.
    pub(crate) fn next(&mut self) -> (Changes, Progress) {
        let (rng, at) = (&mut self.rng, &mut self.at);
        let mut changes = Changes::default();
        let (appends, removes, saves) = match rng.u8(..10) {
            0 => (0, true, false),
            1 => (0, false, true),
            2..6 => (1, false, false),
            6 => (rng.u64(1..20), true, true),
            _ => (rng.u64(1..8), rng.bool(), rng.bool()),
        };
        changes.appends = (at.appended + 1..=at.appended + appends).map(entry).collect();
        at.appended += appends;
        // One stays, so that an outbox always knows its last.
        let most = at.appended.saturating_sub(at.removed + 1);
        if removes || most > KEPT {
            let removes = rng.u64(most.saturating_sub(KEPT)..=most);
            changes.removes = (at.removed + 1..=at.removed + removes).map(|seq| (&entry(seq)).into()).collect();
            at.removed += removes;
        }
        if saves {
            at.saved = at.appended;
            changes.state = Some(state(self.session, at.saved));
        }
        (changes, *at)
    }
}

/// Opens the directory and works in it: for so many rounds, or until the process is killed. It tells of each commit before
/// and after.
pub(crate) fn work(
    kind: Kind,
    options: &SledOptions,
    path: &Path,
    seed: u64,
    rounds: u64,
    tell: &(dyn Fn(&str) + Sync),
) {
    let drive = |outbox: &mut dyn Outbox, id: u128, between: &dyn Fn(u64)| {
        let mut script = Script::resume(outbox, SessionId(id), seed ^ id as u64);
        for round in 0..rounds {
            let (changes, to) = script.next();
            let Progress { appended, removed, saved } = to;
            tell(&format!("begin {id} {appended} {removed} {saved}"));
            outbox.commit(&changes).expect("commits");
            tell(&format!("done {id} {appended} {removed} {saved}"));
            between(round);
        }
    };
    tell("opening");
    if kind == Kind::Outbox {
        return drive(&mut options.outbox(path).expect("opens"), SESSIONS[0], &|_| ());
    }
    let store = options.store(path).expect("opens");
    thread::scope(|scope| {
        for id in SESSIONS {
            let (store, drive) = (&store, &drive);
            scope.spawn(move || {
                let mut outbox = store.open(SessionId(id)).expect("opens");
                drive(&mut *outbox, id, &|round| {
                    if id == SESSIONS[1] && round % 10 == 9 {
                        end_one(store, u128::from(seed) << 64 | u128::from(round), tell);
                    }
                });
            });
        }
    });
}

/// A session that begins and ends.
fn end_one(store: &dyn SessionStore, id: u128, tell: &dyn Fn(&str)) {
    let session = SessionId(id);
    let mut outbox = store.open(session).expect("opens");
    let changes = Changes { state: Some(state(session, 5)), ..Changes::append((1..=5).map(entry).collect::<Vec<_>>()) };
    outbox.commit(&changes).expect("commits");
    drop(outbox);
    store.end(&state(session, 5), 1000).expect("ends");
    tell(&format!("ended {id}"));
}

/// What a process told of its work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Of each session, what was begun and what was done.
    sessions: BTreeMap<u128, (Progress, Progress)>,
    ended: BTreeSet<u128>,
}

impl Told {
    /// Hears one line. A test harness says other things, too.
    pub(crate) fn hear(&mut self, line: &str) {
        let words = line.split_whitespace().collect::<Vec<_>>();
        let Some(at) = words.iter().position(|word| ["begin", "done", "ended"].contains(word)) else { return };
        let numbers = words[at + 1..].iter().map(|word| word.parse::<u128>().expect("a number")).collect::<Vec<_>>();
        if words[at] == "ended" {
            self.ended.insert(numbers[0]);
            return;
        }
        let [appended, removed, saved] = [1, 2, 3].map(|i| u64::try_from(numbers[i]).expect("a seq"));
        let (begun, done) = self.sessions.entry(numbers[0]).or_default();
        *if words[at] == "begin" { begun } else { done } = Progress { appended, removed, saved };
    }

    /// How many commits of all that were told of were done, at least.
    pub(crate) fn appended(&self) -> u64 {
        self.sessions.values().map(|(_, done)| done.appended).sum()
    }

    /// Opens the directory and checks what is in it. With `Buffered`, what was done may be lost from the end.
    pub(crate) fn check(&mut self, kind: Kind, durability: Durability, path: &Path) {
        let options = SledOptions::new().durability(durability);
        if kind == Kind::Outbox {
            let mut outbox = options.outbox(path).unwrap_or_else(|error| panic!("{error}, after {self:?}"));
            return self.check_outbox(&mut outbox, SESSIONS[0], durability);
        }
        let store = options.store(path).unwrap_or_else(|error| panic!("{error}, after {self:?}"));
        let listed = store.sessions().expect("reads");
        for &id in self.ended.iter().filter(|_| durability > Durability::Buffered) {
            assert!(!listed.contains(&SessionId(id)), "session {id} had ended");
            let mut outbox = store.open(SessionId(id)).expect("opens");
            assert_eq!(everything(&mut *outbox).expect("loads"), [], "session {id} had ended");
            assert_eq!(outbox.stored().state, Some(state(SessionId(id), 5).ended()), "what was handled is known");
        }
        for id in SESSIONS {
            let mut outbox = store.open(SessionId(id)).expect("opens");
            self.check_outbox(&mut *outbox, id, durability);
            let has_state = outbox.stored().state.is_some();
            assert!(!has_state || listed.contains(&SessionId(id)), "session {id} is listed");
        }
    }

    fn check_outbox(&mut self, outbox: &mut dyn Outbox, id: u128, durability: Durability) {
        let (begun, done) = self.sessions.entry(id).or_default();
        let surely = if durability == Durability::Buffered { Progress::default() } else { *done };
        let found = found(outbox);
        let context = format!("session {id}: {done:?} was done and {begun:?} begun; {found:?} was found");
        assert!((surely.appended..=begun.appended).contains(&found.appended), "it has all that it had to: {context}");
        assert!(found.removed <= begun.removed, "nothing was lost at the front: {context}");
        assert!((surely.saved..=begun.saved).contains(&found.saved), "the state is as new as it had to be: {context}");
        assert!(found.saved <= found.appended, "what was done first is there first: {context}");
        // What follows goes on from here.
        *begun = Progress { removed: begun.removed.min(found.appended), ..found };
        *done = found;
    }
}

/// How far an outbox is by what is in it, which must be what was given to it, without a hole.
pub(crate) fn found(outbox: &mut dyn Outbox) -> Progress {
    let stored = outbox.stored();
    let entries = everything(outbox).expect("loads");
    let from = entries.first().map_or(stored.last_seq + 1, |first| first.seq);
    let seqs = entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs, range(from, stored.last_seq).collect::<Vec<_>>(), "in their order, and each once");
    assert!(entries.iter().all(|found| *found == entry(found.seq)), "messages are what they were");
    assert_eq!(stored.usage.messages, entries.len(), "it counts what it holds: {seqs:?}");
    assert_eq!(stored.usage.bytes, entries.iter().map(Entry::bytes).sum::<u64>());
    let saved = stored.state.map_or(0, |state| state.cursors[0].seq);
    Progress { appended: stored.last_seq, removed: from - 1, saved }
}

fn range(from: u64, to: u64) -> RangeInclusive<u64> {
    from..=to
}

/// All messages, loaded a few at a time, as a session does.
pub(crate) fn everything(outbox: &mut dyn Outbox) -> Result<Vec<Entry>, OutboxError> {
    let mut entries = Vec::<Entry>::new();
    loop {
        let from = entries.last().map_or(0, |last| last.seq + 1);
        let more = outbox.load(from, 50, 1 << 20)?;
        if more.is_empty() {
            return Ok(entries);
        }
        assert!(more[0].seq >= from, "what was loaded comes from {from} on");
        entries.extend(more);
    }
}
