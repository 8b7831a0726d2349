//! What a log that takes nothing more, or cannot be synced, leaves, when it has files of some KiB.

use std::fs;

use tempfile::TempDir;

use super::{
    super::{Durability, SledOptions, SledStore, limits::Limits},
    copy,
};
use crate::{
    link::v2::{SessionId, State},
    message::Text,
    outbox::{Changes, Entry, Outbox, SessionStore},
};

fn options() -> SledOptions {
    SledOptions { limits: Limits::tiny(), ..SledOptions::new() }
}

fn open(store: &SledStore, session: u128) -> Box<dyn Outbox> {
    SessionStore::open(store, SessionId(session)).expect("opens")
}

fn entry(seq: u64) -> Entry {
    Entry { seq, outbound: Text("x".repeat(300)).into() }
}

fn entries(seqs: std::ops::Range<u64>) -> Vec<Entry> {
    seqs.map(entry).collect()
}

fn all(outbox: &mut dyn Outbox) -> Vec<Entry> {
    outbox.load(0, usize::MAX, u64::MAX).expect("loads")
}

/// What another process finds after this one was killed.
fn killed(directory: &TempDir) -> (TempDir, SledStore) {
    let to = tempfile::tempdir().expect("a directory");
    copy(directory.path(), to.path());
    let store = options().store(to.path()).expect("opens");
    (to, store)
}

/// A store, and messages of a session in several of its files, all of which the catalog covers but the last.
fn store() -> (TempDir, SledStore) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = options().store(directory.path()).expect("opens");
    let mut outbox = open(&store, 1);
    for seq in 1..=60 {
        outbox.commit(&Changes::append([entry(seq)])).expect("appends");
    }
    (directory, store)
}

fn set_full(store: &SledStore, is_full: bool) {
    store.disk.state().log.is_full = is_full;
}

#[test]
fn what_leaves_a_full_log_may_turn_up_after_a_kill_and_is_not_missing() {
    let (directory, store) = store();
    set_full(&store, true);
    let mut outbox = open(&store, 1);
    for seq in 1..=55 {
        outbox.commit(&Changes::remove(&[entry(seq)])).expect("removes");
    }
    assert_eq!(all(&mut *outbox), entries(56..61));
    let (_copy, copy) = killed(&directory);
    assert_eq!(all(&mut *open(&copy, 1)), entries(1..61));
    // When there is space, it goes on as if nothing had been.
    set_full(&store, false);
    for seq in 61..=90 {
        outbox.commit(&Changes::append([entry(seq)])).expect("appends");
    }
    assert_eq!(all(&mut *outbox), entries(56..91));
    let (_copy, copy) = killed(&directory);
    assert_eq!(all(&mut *open(&copy, 1)), entries(56..91));
}

#[test]
fn what_left_a_full_log_late_is_not_taken_for_messages_of_the_next_life_of_its_session() {
    let (directory, store) = store();
    set_full(&store, true);
    open(&store, 1).commit(&Changes::remove(&entries(1..4))).expect("removes");
    set_full(&store, false);
    store.end(&State::new(SessionId(1), None), 1).expect("ends");
    let mut outbox = open(&store, 1);
    outbox.commit(&Changes::append(entries(1..6))).expect("appends");
    assert_eq!(all(&mut *outbox), entries(1..6));
    let (_copy, copy) = killed(&directory);
    assert_eq!(all(&mut *open(&copy, 1)), entries(1..6));
}

#[test]
fn a_failed_sync_takes_back_what_waits_for_it_and_nothing_that_was_accepted_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = options().durability(Durability::PowerLoss).store(directory.path()).expect("opens");
    // These stay, and are moved to the end of the log again and again.
    let mut kept = open(&store, 1);
    kept.commit(&Changes::append(entries(1..4))).expect("appends");
    let mut outbox = open(&store, 2);
    let mut waiting = Vec::new();
    for seq in 1..=200 {
        let fails = seq % 3 == 0;
        store.disk.state().log.has_lost = fails;
        let appended = outbox.commit(&Changes::append([entry(seq)]));
        assert_eq!(appended.is_err(), fails);
        if !fails {
            waiting.push(entry(seq));
        }
        if seq % 5 == 0 {
            let removes = waiting.drain(..waiting.len() / 2 + 1).collect::<Vec<_>>();
            outbox.commit(&Changes::remove(&removes)).expect("removes");
        }
        assert_eq!(all(&mut *kept), entries(1..4));
        assert_eq!(all(&mut *outbox), waiting);
        let (_copy, copy) = killed(&directory);
        assert_eq!(all(&mut *open(&copy, 1)), entries(1..4));
        let found = all(&mut *open(&copy, 2));
        assert!(waiting.iter().all(|entry| found.contains(entry)), "message {seq}");
        assert!(found.iter().all(|entry| entry.seq % 3 != 0), "what was refused does not turn up");
    }
    let files = fs::read_dir(directory.path().join("log")).expect("reads").count();
    assert!(files < 20, "there are {files} files");
}

#[test]
fn a_file_that_is_gone_with_all_of_a_session_is_damage_that_can_be_moved_aside() {
    let limits = Limits { moved_from: 1 << 40, ..Limits::tiny() };
    let options = SledOptions { limits, ..SledOptions::new() };
    let directory = tempfile::tempdir().expect("a directory");
    let store = options.store(directory.path()).expect("opens");
    for session in [1, 2] {
        let mut outbox = open(&store, session);
        for seq in 1..=60 {
            outbox.commit(&Changes::append([entry(seq)])).expect("appends");
        }
    }
    // These may be in the same file as the last of the first session.
    open(&store, 2).commit(&Changes::remove(&entries(1..21))).expect("removes");
    let log = directory.path().join("log");
    let has_first = |file: &u64| {
        let mut state = store.disk.state();
        let ledger = state.ledger(SessionId(1)).expect("reads");
        ledger.in_file(*file).next().is_some()
    };
    let files = super::super::log::files(&log).expect("reads");
    let gone = files.into_iter().filter(|(number, _)| has_first(number)).collect::<Vec<_>>();
    drop(store);
    for (_, path) in gone {
        fs::remove_file(path).expect("deletes");
    }
    let error = options.store(directory.path()).expect_err("messages are missing").to_string();
    assert!(error.contains("messages 1 to 60 are missing"), "{error}");
    let store = options.quarantine(true).store(directory.path()).expect("opens");
    assert_eq!(store.quarantined().expect("it was moved aside").saved, 40);
    assert_eq!(all(&mut *open(&store, 1)), []);
    assert_eq!(all(&mut *open(&store, 2)), entries(21..61));
    let moved_to = store.quarantined().expect("it was moved aside").moved_to.clone();
    fs::remove_dir_all(moved_to).expect("removes");
}
