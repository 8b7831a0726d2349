//! Checks for what users can bring along.

use std::time::Duration;

use crate::{
    Binary, Changes, Entry, Json, Outbound, Outbox, Removal, RunId, SessionId, SessionStore, Stored, Text, Usage,
    link::v2::{Cursor, MAX_SEQ, OwnRun, State},
};

/// Checks that an outbox, given empty, keeps the contract of [`Outbox`]; it is empty again afterwards, but for a state.
///
/// # Panics
/// With a sentence that says what it did wrong.
pub fn outbox(outbox: &mut dyn Outbox) {
    assert_eq!(outbox.stored().usage, Usage::default(), "it was to be given empty");
    let first = outbox.stored().last_seq + 1;
    let entries = entries(first);
    let [all @ .., last] = &entries[..] else { unreachable!("there are messages") };

    assert_eq!(everything(outbox), [], "it was to be given empty");
    let empty = State::new(SessionId(u128::MAX), None);
    save(outbox, empty.clone());
    assert_eq!(outbox.stored().state.as_ref(), Some(&empty), "it keeps a state");
    assert_eq!(everything(outbox), [], "a state is no message");

    append(outbox, all);
    append(outbox, std::slice::from_ref(last));
    assert_eq!(everything(outbox), entries, "what was appended comes back, in order and unchanged");
    assert_eq!(outbox.stored().state.as_ref(), Some(&empty), "an append leaves the state as it is");

    let usage = outbox.stored().usage;
    assert_eq!(usage.messages, entries.len(), "it counts its messages");
    assert_eq!(usage.bytes, entries.iter().map(Entry::bytes).sum::<u64>(), "it counts their bytes");
    assert_eq!(outbox.stored().last_seq, last.seq, "it knows the last seq");

    let full = state(SessionId(1));
    save(outbox, full.clone());
    assert_eq!(outbox.stored().state.as_ref(), Some(&full), "a state takes the place of the one before");
    assert_eq!(outbox.stored().usage, usage, "a state is not counted");
    assert_eq!(everything(outbox), entries, "a save leaves the messages as they are");

    assert_eq!(load(outbox, entries[2].seq, 2, u64::MAX), entries[2..4], "it loads from a seq, up to a number");
    assert_eq!(load(outbox, first, usize::MAX, 0), entries[..1], "it loads at least one");
    let two = entries[0].bytes() + entries[1].bytes();
    assert_eq!(load(outbox, first, usize::MAX, two), entries[..2], "it loads up to a number of bytes");
    assert_eq!(load(outbox, last.seq + 1, usize::MAX, u64::MAX), [], "nothing lies behind the last");

    let unknown = Entry { seq: last.seq + 100, ..last.clone() };
    remove(outbox, [&entries[1], &entries[3], &unknown]);
    remove(outbox, [&entries[1]]);
    let rest = entries.iter().enumerate().filter(|(i, _)| ![1, 3].contains(i)).map(|(_, e)| e.clone());
    assert_eq!(everything(outbox), rest.collect::<Vec<_>>(), "what was removed is gone, and nothing else");

    remove(outbox, &entries);
    assert_eq!(everything(outbox), [], "all was removed");
    assert_eq!(outbox.stored().usage, Usage::default(), "nothing is left to count");
    assert_eq!(outbox.stored().state, Some(full.clone()), "a remove leaves the state as it is");

    let again = entries.iter().map(|entry| Entry { seq: entry.seq + 1000, ..entry.clone() }).collect::<Vec<_>>();
    append(outbox, &again[..2]);
    let removes = again[..3].iter().map(Removal::from).collect();
    commit(outbox, &Changes { appends: again[2..5].to_vec(), removes, state: Some(empty.clone()) });
    assert_eq!(everything(outbox), again[3..5], "what one commit appends, it can remove");
    assert_eq!(outbox.stored().usage.messages, 2, "it counts its messages");
    assert_eq!(outbox.stored().state, Some(empty), "a commit does all at once");
    remove(outbox, &again[3..5]);
    save(outbox, full.clone());
    assert_eq!(outbox.stored().usage, Usage::default(), "nothing is left to count");
    assert_eq!(outbox.stored().state, Some(full), "a state takes the place of the one before");
}

/// Checks that a durable outbox is what it was when it is closed and opened again, with what `open` gives; the first time it is
/// to be empty, and it is empty again afterwards, but for a state.
///
/// # Panics
/// With a sentence that says what it did wrong.
pub fn durable_outbox<O: Outbox>(mut open: impl FnMut() -> O) {
    let mut first = open();
    assert!(first.is_durable(), "it says that it is durable");
    assert_eq!(first.stored().usage, Usage::default(), "it was to be given empty");
    let entries = entries(first.stored().last_seq + 1);
    let [all @ .., last] = &entries[..] else { unreachable!("there are messages") };
    append(&mut first, &entries);
    save(&mut first, state(SessionId(1)));
    drop(first);

    let mut second = open();
    let usage = Usage { messages: entries.len(), bytes: entries.iter().map(Entry::bytes).sum() };
    let stored = Stored { last_seq: last.seq, usage, state: Some(state(SessionId(1))), quarantined: None };
    assert_eq!(second.stored(), stored, "it knows what it holds when it is opened again");
    assert_eq!(everything(&mut second), entries, "its messages are there when it is opened again");
    let after = Entry { seq: last.seq + 1, ..last.clone() };
    let state = State::new(SessionId(2), None);
    let removes = all.iter().map(Removal::from).collect();
    commit(&mut second, &Changes { appends: vec![after.clone()], removes, state: Some(state.clone()) });
    drop(second);

    let mut third = open();
    let rest = [last.clone(), after];
    let usage = Usage { messages: rest.len(), bytes: rest.iter().map(Entry::bytes).sum() };
    let stored = Stored { last_seq: last.seq + 1, usage, state: Some(state), quarantined: None };
    assert_eq!(everything(&mut third), rest, "what was removed is gone when it is opened again, and nothing else");
    assert_eq!(third.stored(), stored, "it knows what it holds when it is opened again");
    remove(&mut third, &rest);
    drop(third);
    let mut fourth = open();
    assert_eq!(everything(&mut fourth), [], "all was removed");
    assert_eq!(fourth.stored().usage, Usage::default(), "nothing is left to count");
}

/// Checks that a session store, given empty, keeps the contract of [`SessionStore`], and its outboxes that of [`Outbox`];
/// it is empty again afterwards.
///
/// # Panics
/// With a sentence that says what it did wrong.
pub fn session_store(store: &dyn SessionStore) {
    let [first, second, other] = [SessionId(0), SessionId(1), SessionId(u128::MAX)];
    assert_eq!(sessions(store), [], "it was to be given empty");
    for session in [first, second, other] {
        let opened = open(store, session);
        assert_eq!(opened.stored(), Stored::default(), "a session that it does not know is empty and has no state");
        assert_eq!(opened.is_durable(), store.is_durable(), "its outboxes are as durable as it is");
    }
    assert_eq!(sessions(store), [], "a session that is only opened is not held");

    let mut checked = open(store, other);
    outbox(&mut *checked);
    drop(checked);
    end(store, &State::new(other, None), 0);

    let [mut one, mut two] = [open(store, first), open(store, second)];
    let (mine, yours) = (entries(1), entries(5));
    save(&mut *one, state(first));
    save(&mut *two, state(second));
    append(&mut *one, &mine);
    append(&mut *two, &yours);
    remove(&mut *one, [&mine[5]]);
    let mine = mine.into_iter().filter(|entry| entry.seq != 6).collect::<Vec<_>>();
    for (outbox, session, entries) in [(&mut one, first, &mine), (&mut two, second, &yours)] {
        assert_eq!(everything(&mut **outbox), *entries, "sessions are kept apart");
        assert_eq!(outbox.stored().state, Some(state(session)), "states are kept apart");
    }

    if store.is_durable() {
        let stored = [one.stored(), two.stored()];
        drop((one, two));
        assert_eq!(sessions(store), [first, second], "it lists the sessions that have a state and have not ended");
        [one, two] = [open(store, first), open(store, second)];
        assert_eq!([one.stored(), two.stored()], stored, "a session is what it was when it is opened again");
        assert_eq!(everything(&mut *one), mine, "its messages are there when it is opened again");
        assert_eq!(everything(&mut *two), yours, "its messages are there when it is opened again");
    }
    drop(one);
    end(store, &state(first), 1000);
    assert_eq!(everything(&mut *two), yours, "the end of a session is not that of another");
    drop(two);
    end(store, &state(second), 2000);
    assert_eq!(sessions(store), [], "it does not list what has ended");

    store.forget(1000).expect("forget works");
    let mut one = open(store, first);
    let ended = state(first).ended();
    assert_eq!(one.stored(), Stored { state: Some(ended.clone()), ..Stored::default() }, "it keeps what an end leaves");
    assert_eq!(everything(&mut *one), [], "the messages of what has ended are gone");
    store.forget(u64::MAX).expect("forget works");
    assert_eq!(one.stored().state, Some(ended), "what is open is not forgotten");
    assert_eq!(open(store, second).stored(), Stored::default(), "it forgets what ended before a time");

    let mut again = state(first).ended();
    again.begin_run(RunId(7), 0);
    save(&mut *one, again.clone());
    append(&mut *one, &entries(1));
    store.forget(u64::MAX).expect("forget works");
    assert_eq!(one.stored().state.as_ref(), Some(&again), "a session can go on after its end");
    assert_eq!(everything(&mut *one), entries(1), "a session can go on after its end");
    if store.is_durable() {
        drop(one);
        assert_eq!(sessions(store), [first], "it lists a session that has gone on after its end");
        one = open(store, first);
        assert_eq!(one.stored().state.as_ref(), Some(&again), "it does not forget a session that has gone on");
        assert_eq!(everything(&mut *one), entries(1), "it does not forget a session that has gone on");
    }
    drop(one);
    end(store, &again, 3000);
    end(store, &again, 4000);
    store.forget(4000).expect("forget works");
    let ended = open(store, first).stored().state;
    assert_eq!(ended, Some(again.ended()), "a session that ended twice ended the second time");
    end(store, &again, 5000);
    store.forget(5001).expect("forget works");
    assert_eq!(open(store, first).stored(), Stored::default(), "it forgets what ended before a time");
    assert_eq!(sessions(store), [], "nothing is left");
}

fn commit(outbox: &mut dyn Outbox, changes: &Changes) {
    outbox.commit(changes).expect("commit works");
}

fn append(outbox: &mut dyn Outbox, entries: &[Entry]) {
    commit(outbox, &Changes::append(entries));
}

fn remove<'a>(outbox: &mut dyn Outbox, entries: impl IntoIterator<Item = &'a Entry>) {
    commit(outbox, &Changes::remove(entries));
}

fn save(outbox: &mut dyn Outbox, state: State) {
    commit(outbox, &Changes::save(state));
}

fn load(outbox: &mut dyn Outbox, from: u64, messages: usize, bytes: u64) -> Vec<Entry> {
    outbox.load(from, messages, bytes).expect("load works")
}

fn everything(outbox: &mut dyn Outbox) -> Vec<Entry> {
    load(outbox, 0, usize::MAX, u64::MAX)
}

fn open(store: &dyn SessionStore, session: SessionId) -> Box<dyn Outbox> {
    store.open(session).expect("open works")
}

fn end(store: &dyn SessionStore, state: &State, now: u64) {
    store.end(state, now).expect("end works");
}

fn sessions(store: &dyn SessionStore) -> Vec<SessionId> {
    let mut sessions = store.sessions().expect("sessions works");
    sessions.sort_unstable();
    sessions
}

/// A state with something in each of its fields.
fn state(session: SessionId) -> State {
    let run = OwnRun { run: RunId(u64::MAX), base: 0, acked: 2, welcomed: true };
    State {
        session,
        heard: true,
        principal: Some("ä \"quoted\" name".into()),
        runs: vec![run, OwnRun { run: RunId(0), base: u64::MAX, acked: 0, welcomed: false }],
        cursors: vec![Cursor { run: RunId(1), seq: MAX_SEQ }, Cursor { run: RunId(2), seq: 0 }],
    }
}

fn entries(first: u64) -> Vec<Entry> {
    messages().into_iter().zip(first..).map(|(outbound, seq)| Entry { seq, outbound }).collect()
}

/// Messages of every kind, empty and large, with and without a wish for an ack and a time at which they expire.
fn messages() -> Vec<Outbound> {
    let json = Json(&["a", "b"]).expect("this is JSON");
    vec![
        Text("first").into(),
        Text("ä\0\n").needs_ack(Duration::from_millis(5)),
        json.needs_ack(Duration::from_secs(u64::from(u32::MAX))),
        Binary(vec![0xff, 0, 0xfe]).into(),
        Text("").into(),
        Binary(Vec::new()).needs_ack(Duration::ZERO),
        Outbound::from(Text("late")).expiring_at(1_700_000_000_123),
        Json(&0).expect("this is JSON").needs_ack(Duration::new(1, 999_999_999)).expiring_at(u64::MAX),
        Text("x".repeat(100_000)).into(),
        Text("last").into(),
    ]
}
