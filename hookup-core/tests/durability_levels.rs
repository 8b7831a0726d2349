//! What each [`Durability`] promises, seen from below: what a process has written, and what of it synced, when a commit
//! returns.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod disk_support;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, stdin},
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use disk_support::{
    Process, child_of, memory_directory, run, this_test,
    trace::{Node, Op, Trace, Tracer},
    traced::{Hold, Marks},
};
use hookup_core::{Changes, Durability, Entry, Outbox, SessionId, SessionStore, SledOptions, Text, link::v2::State};

const COMMITS: u64 = 24;

/// What is so rare that where it is written, that message or state was written.
fn token(n: u64) -> String {
    format!("<{n}-{:016x}-{:016x}>", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n.wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
}

/// Which message is removed, from the same outbox.
fn removed_by(n: u64) -> Option<u64> {
    n.checked_sub(3).filter(|removed| n.is_multiple_of(3) && removed % 4 != 0)
}

/// Some append a message with the token, and some save a state with it; some remove a message besides.
fn changes(session: SessionId, n: u64) -> Changes {
    let entry = |n: u64| Entry { seq: n, outbound: Text(token(n)).into() };
    let mut changes = match n % 4 {
        0 => Changes::save(State { heard: true, ..State::new(session, Some(token(n))) }),
        _ => Changes::append([entry(n)]),
    };
    if let Some(removed) = removed_by(n) {
        changes.removes.push((&entry(removed)).into());
    }
    changes
}

/// The child process: its words are what it opens, with which durability, and after how many milliseconds that writes.
#[test]
fn child_that_commits() {
    let Some((root, words)) = child_of() else { return };
    let marks = Marks::open();
    let all = [Durability::Buffered, Durability::ProcessCrash, Durability::PowerLoss];
    let durability = all.into_iter().find(|it| format!("{it:?}") == words[1]).expect("a durability");
    let flush_every = Duration::from_millis(words[2].parse().expect("a number"));
    let options = SledOptions::new().durability(durability).flush_every(flush_every);
    let path = root.join("made/outbox");
    let mut outboxes: Vec<Box<dyn Outbox>> = match &*words[0] {
        "outbox" => vec![Box::new(options.outbox(path).expect("opens"))],
        _ => {
            let store = options.store(path).expect("opens");
            (0..3).map(|id| store.open(SessionId(id)).expect("opens")).collect()
        }
    };
    for n in 1..=COMMITS {
        marks.put(&format!("begin {n}"));
        let i = usize::try_from(n).expect("it fits") % outboxes.len();
        outboxes[i].commit(&changes(SessionId(i as u128), n)).expect("commits");
        marks.put(&format!("done {n}"));
    }
    // The test says when it has seen enough.
    assert_eq!(stdin().read(&mut [0]).expect("reads"), 0);
    marks.put("dropping");
    drop(outboxes);
    marks.put("dropped");
}

fn traced(words: &str) -> Trace {
    let (tracer, root) = (Tracer::new(), memory_directory());
    let mut command = this_test("child_that_commits", root.path(), words);
    let before = tracer.attach(&mut command, root.path());
    run(&mut command);
    tracer.read(before)
}

/// The records from a mark to another.
fn span(trace: &Trace, n: u64) -> (usize, usize) {
    let mark = |words: String| trace.mark(&words).expect("it was marked");
    (mark(format!("begin {n}")), mark(format!("done {n}")))
}

fn contains(data: &[u8], token: &str) -> bool {
    data.windows(token.len()).any(|window| window == token.as_bytes())
}

/// Where a token was written between two records, and to which file.
fn written(trace: &Trace, token: &str, (from, to): (usize, usize)) -> Vec<(usize, Node)> {
    let writes = trace.records[from..to].iter().enumerate();
    let of = |(i, record): (usize, &_)| match record {
        &Op::Write { node, ref data, .. } if contains(data, token) => Some((from + i, node)),
        _ => None,
    };
    writes.map(|(i, record)| (i, &record.op)).filter_map(of).collect()
}

/// The name of a file, and those of the directories that it is in, are on the disk.
fn assert_its_name_is_synced(trace: &Trace, mut node: Node, by: usize) {
    // Where it was renamed, the last is where it is.
    while let Some((at, dir)) = trace.records[..by].iter().enumerate().rev().find_map(|(at, record)| match record.op {
        Op::Make { node: of, dir, .. } | Op::Rename { node: of, to_dir: dir, .. } if of == node => Some((at, dir)),
        _ => None,
    }) {
        let (name, within) = (trace.path(node).display(), trace.path(dir).display());
        assert!(trace.is_synced(dir, at, by), "{name} is new in {within}, which was not synced");
        node = dir;
    }
}

#[test]
fn what_is_to_survive_a_loss_of_power_is_synced_when_a_commit_returns() {
    for kind in ["outbox", "store"] {
        let trace = traced(&format!("{kind} PowerLoss 3600000"));
        for n in 1..=COMMITS {
            let (from, to) = span(&trace, n);
            let written = written(&trace, &token(n), (from, to));
            assert!(!written.is_empty(), "{kind}: {n} was not even written");
            let mut changed = written.into_iter().collect::<BTreeSet<_>>();
            // Whatever else it writes itself for the commit is synced, too; other threads may tidy up meanwhile.
            let own = trace.records[from].thread;
            for (i, record) in trace.records[from..to].iter().enumerate().filter(|(_, record)| record.thread == own) {
                match record.op {
                    Op::Write { node, .. } | Op::Truncate { node, .. } => changed.insert((from + i, node)),
                    Op::Make { dir, .. } | Op::Remove { dir, .. } => changed.insert((from + i, dir)),
                    Op::Rename { dir, to_dir, .. } => {
                        changed.insert((from + i, dir));
                        changed.insert((from + i, to_dir))
                    }
                    Op::Sync { .. } | Op::Synced { .. } | Op::Mark(_) => false,
                };
            }
            for (at, node) in changed {
                let name = trace.path(node).display();
                assert!(trace.is_synced(node, at, to), "{kind}: {name} was changed for {n}, and not synced after that");
                assert_its_name_is_synced(&trace, node, to);
            }
        }
    }
}

#[test]
fn what_is_to_survive_the_end_of_the_process_is_written_when_a_commit_returns_and_need_not_be_synced() {
    for kind in ["outbox", "store"] {
        let trace = traced(&format!("{kind} ProcessCrash 3600000"));
        let mut syncs = 0;
        for n in 1..=COMMITS {
            let (from, to) = span(&trace, n);
            assert!(!written(&trace, &token(n), (from, to)).is_empty(), "{kind}: {n} was not written");
            syncs += trace.syncs(from, to);
        }
        // A new file now and then may be made safe with one, but not each commit.
        assert!(syncs < 5, "{kind}: {syncs} syncs");
    }
}

/// Whether what is left after all commits is written: what was removed, or saved over, need not be.
fn is_written(trace: &Trace, kind: &str, to: usize) -> bool {
    let count = if kind == "outbox" { 1 } else { 3 };
    let removed = (1..=COMMITS).filter_map(removed_by).collect::<BTreeSet<_>>();
    (1..=COMMITS).filter(|n| n % 4 != 0 || n + 4 * count > COMMITS).filter(|n| !removed.contains(n)).all(|n| {
        let from = span(trace, n).0;
        !written(trace, &token(n), (from, to)).is_empty()
    })
}

#[test]
fn what_is_buffered_is_written_when_the_outbox_is_dropped() {
    for kind in ["outbox", "store"] {
        let trace = traced(&format!("{kind} Buffered 3600000"));
        let dropped = trace.mark("dropped").expect("it was dropped");
        assert!(is_written(&trace, kind, dropped), "{kind}: not all was written");
    }
}

#[test]
fn what_is_buffered_is_written_in_time() {
    for kind in ["outbox", "store"] {
        let (tracer, root) = (Tracer::new(), memory_directory());
        let mut command = this_test("child_that_commits", root.path(), &format!("{kind} Buffered 10"));
        let before = tracer.attach(&mut command, root.path());
        let mut child = Process::start(&mut command);
        // How late it may be is up to the machine; but while nobody lets go of the outbox, nothing else writes it.
        let given_up = Instant::now() + Duration::from_secs(60);
        loop {
            let trace = tracer.read(before.clone());
            if trace.mark(&format!("done {COMMITS}")).is_some() {
                assert_eq!(trace.mark("dropping"), None);
                if is_written(&trace, kind, trace.records.len()) {
                    break;
                }
            }
            assert!(Instant::now() < given_up, "{kind}: it was not written");
            thread::yield_now();
        }
        child.close_input();
        assert!(child.wait().success());
    }
}

const THREADS: usize = 8;
const ROUNDS: usize = 5;

/// Whether a thread of this process sleeps.
fn sleeps(thread: &Path) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(thread).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// The child process: in each round all threads commit while the first sync is held up.
#[test]
fn child_whose_threads_commit_together() {
    let Some((root, _)) = child_of() else { return };
    let marks = Marks::open();
    let store = SledOptions::new().durability(Durability::PowerLoss).store(root.join("store")).expect("opens");
    let mut outboxes = (0..THREADS).map(|id| store.open(SessionId(id as u128)).expect("opens")).collect::<Vec<_>>();
    for (id, outbox) in outboxes.iter_mut().enumerate() {
        outbox.commit(&Changes::save(State::new(SessionId(id as u128), None))).expect("commits");
    }
    for round in 0..ROUNDS {
        marks.put(&format!("round {round}"));
        let hold = Hold::new();
        let (all, begun, done) = (Barrier::new(THREADS + 1), AtomicUsize::new(0), AtomicUsize::new(0));
        let names = std::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
            for outbox in &mut outboxes {
                scope.spawn(|| {
                    names.lock().expect("no panic").push(fs::read_link("/proc/thread-self").expect("its name"));
                    let n = u64::try_from(round).expect("it fits") + 1;
                    let append = Changes::append([Entry { seq: n, outbound: Text(token(n)).into() }]);
                    all.wait();
                    begun.fetch_add(1, Ordering::SeqCst);
                    outbox.commit(&append).expect("commits");
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
            all.wait();
            // Until one is held up in its sync and the others wait for it. Where nothing syncs, all are done.
            while done.load(Ordering::SeqCst) < THREADS {
                let have_all_begun = begun.load(Ordering::SeqCst) == THREADS;
                let names = names.lock().expect("no panic");
                if have_all_begun && hold.holds_one() && names.iter().all(|name| sleeps(name)) {
                    break;
                }
                thread::yield_now();
            }
            drop(hold);
        });
        marks.put(&format!("rounded {round}"));
    }
}

#[test]
fn sessions_that_commit_at_the_same_time_share_a_sync() {
    let (tracer, root) = (Tracer::new(), memory_directory());
    let mut command = this_test("child_whose_threads_commit_together", root.path(), "");
    let before = tracer.attach(&mut command, root.path());
    run(&mut command);
    let trace = tracer.read(before);
    for round in 0..ROUNDS {
        let [from, to] = ["round", "rounded"].map(|mark| trace.mark(&format!("{mark} {round}")).expect("marked"));
        let syncs = trace.syncs(from, to);
        println!("{syncs} syncs for {THREADS} commits");
        assert!(syncs > 0, "nothing was synced");
        assert!(syncs < THREADS, "there were {syncs} syncs for {THREADS} commits");
    }
}
