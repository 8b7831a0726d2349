//! A process that is killed with SIGKILL while it uses a session store, and what it had kept.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use hookup_core::{
    Changes, Entry, Outbox, RunId, SessionId, SessionStore, SledStore, Text,
    link::v2::{Cursor, State},
};

/// Tells the child process where its store is.
const STORE: &str = "HOOKUP_TEST_STORE";

/// The session that lives on, and how many of its messages the child leaves in its outbox.
const LIVING: SessionId = SessionId(0);
const KEPT: u64 = 20;

/// How many messages a session has that ends.
const MESSAGES: u64 = 30;

/// The state of which `n` messages were handled.
fn state(session: SessionId, n: u64) -> State {
    let mut state = State::new(session, None);
    state.heard = true;
    state.begin_run(RunId(1), 0);
    state.cursors.push(Cursor { run: RunId(1), seq: n });
    state
}

fn entry(seq: u64) -> Entry {
    // Of some length, so that sled's segments are filled and used again.
    Entry { seq, outbound: Text(format!("{seq:0>2000}")).into() }
}

fn commit(outbox: &mut dyn Outbox, changes: &Changes) {
    outbox.commit(changes).expect("commits");
}

/// The child process. Its lines say what has been kept. Without its variable, as in a plain test run, it does nothing.
#[test]
fn child_that_uses_a_store() {
    let Ok(path) = std::env::var(STORE) else { return };
    let store = SledStore::open(path).expect("opens");
    let mut living = store.open(LIVING).expect("opens");
    let first = living.stored().last_seq + 1;
    if living.stored().state.is_none() {
        commit(&mut *living, &Changes::save(state(LIVING, 0)));
    }
    // The one before may have been killed before it removed what it had to.
    commit(&mut *living, &Changes::remove(&(1..first.saturating_sub(KEPT)).map(entry).collect::<Vec<_>>()));
    for n in first.. {
        commit(&mut *living, &Changes::append([entry(n)]));
        println!("appended {n}");
        commit(&mut *living, &Changes::save(state(LIVING, n)));
        println!("saved {n}");
        commit(&mut *living, &Changes::remove([&entry(n.saturating_sub(KEPT))]));

        let session = SessionId(n.into());
        let mut ending = store.open(session).expect("opens");
        commit(&mut *ending, &Changes::save(state(session, n)));
        commit(&mut *ending, &Changes::append((1..=MESSAGES).map(entry).collect::<Vec<_>>()));
        drop(ending);
        store.end(&state(session, n), n).expect("ends");
        println!("ended {n}");
    }
}

/// What a child told of: the highest number, and for ends each.
#[derive(Debug, Default)]
struct Told {
    appended: u64,
    saved: u64,
    ended: Vec<u64>,
}

/// Lets a child use the store, kills it once it has said so many lines, and returns what it said.
fn use_and_kill(store: &Path, lines: usize) -> Told {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_that_uses_a_store", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut told = Told::default();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        let line = line.expect("its output");
        let number = || line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        match () {
            () if line.contains("appended ") => told.appended = number(),
            () if line.contains("saved ") => told.saved = number(),
            () if line.contains("ended ") => told.ended.push(number()),
            () => continue,
        }
        count += 1;
        if count == lines {
            child.kill().expect("SIGKILL");
        }
    }
    child.wait().expect("it is dead");
    assert!(count >= lines, "the child ended by itself");
    told
}

fn everything(outbox: &mut dyn Outbox) -> Vec<Entry> {
    outbox.load(0, usize::MAX, u64::MAX).expect("loads")
}

#[test]
fn what_a_killed_process_had_kept_is_there_in_its_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut ended = BTreeSet::<u64>::new();
    for lines in [50, 1, 2, 3, 200, 301, 100] {
        let told = use_and_kill(directory.path(), lines);
        ended.extend(&told.ended);
        let store = SledStore::open(directory.path()).expect("opens");
        let mut living = store.open(LIVING).expect("opens");
        let stored = living.stored();
        let last = stored.last_seq;
        assert!((told.appended..=told.appended + 1).contains(&last), "{last} came last, and {told:?}");
        let saved = stored.state.expect("a state").cursors[0].seq;
        assert!(saved >= told.saved, "{saved} was saved, and {told:?}");
        assert!(saved == last || saved + 1 == last, "{saved} was saved, and {last} appended before or after");
        let entries = everything(&mut *living);
        let seqs = entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        let from = seqs[0];
        assert_eq!(seqs, (from..=last).collect::<Vec<_>>(), "there is no hole");
        assert!(from <= last.saturating_sub(KEPT) + 1, "{from} is the first, and of {last} it had to keep {KEPT}");
        assert!(entries == seqs.into_iter().map(entry).collect::<Vec<_>>(), "messages are what they were");

        let live = store.sessions().expect("reads");
        for n in 1..=last {
            let session = SessionId(n.into());
            let mut outbox = store.open(session).expect("opens");
            let stored = outbox.stored();
            let Some(kept) = stored.state else {
                assert!(!ended.contains(&n), "session {n} is lost");
                assert_eq!(stored.usage.messages, 0);
                continue;
            };
            assert_eq!(kept.cursors, state(session, n).cursors);
            assert_eq!(kept.is_whole(), live.contains(&session), "it is listed as it is");
            let entries = everything(&mut *outbox);
            if kept.is_whole() {
                assert!(!ended.contains(&n), "session {n} had ended");
                let count = entries.len() as u64;
                assert!(entries == (1..=count).map(entry).collect::<Vec<_>>(), "it has the first so many");
            } else {
                assert_eq!(entries, [], "session {n} has ended");
            }
        }
    }
}
