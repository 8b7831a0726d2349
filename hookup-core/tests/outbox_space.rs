//! What an outbox on disk takes of the disk and of the memory. Linux says how much that is.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use hookup_core::{Changes, Entry, Outbox as _, SledOutbox, Text};

/// Tell the child process where its outbox is, and what it is to do with it.
const OUTBOX: &str = "HOOKUP_TEST_OUTBOX";
const TASK: &str = "HOOKUP_TEST_TASK";

/// What is queued while a peer is away: 200 MB.
const QUEUED: u64 = 200_000;
const LEN: usize = 1000;
const BATCH: u64 = 256;

/// How much more memory a process may hold that queues all that, or drains it.
const MEMORY: u64 = 64 << 20;

/// What waits behind a slow peer, 20 MB, and how often as much passes through.
const BACKLOG: u64 = 20_000;
const TIMES: u64 = 8;

fn entry(seq: u64) -> Entry {
    Entry { seq, outbound: Text(format!("{seq:0>LEN$}")).into() }
}

/// Appends these, a batch at a time.
fn queue(outbox: &mut SledOutbox, seqs: impl Iterator<Item = u64>) {
    let mut entries = seqs.map(entry).peekable();
    while entries.peek().is_some() {
        let batch = entries.by_ref().take(BATCH as usize).collect::<Vec<_>>();
        outbox.commit(&Changes::append(batch)).expect("appends");
    }
}

/// Takes out all that is there, a batch at a time.
fn drain(outbox: &mut SledOutbox) {
    let mut next = 1;
    loop {
        let entries = outbox.load(next, BATCH as usize, u64::MAX).expect("loads");
        let Some(last) = entries.last() else { break };
        assert_eq!((entries[0].seq, last.seq - next + 1), (next, entries.len() as u64), "there is no hole");
        next = last.seq + 1;
        outbox.commit(&Changes::remove(&entries)).expect("removes");
    }
    assert_eq!(next, QUEUED + 1, "all were there");
}

/// The most memory that this process has held, in bytes.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") << 10
}

/// The child process. Its line says how much more memory it has held than it had at first. Without its variables, as in a
/// plain test run, it does nothing.
#[test]
fn child_that_uses_an_outbox() {
    let (Ok(path), Ok(task)) = (std::env::var(OUTBOX), std::env::var(TASK)) else { return };
    let before = most_memory();
    let mut outbox = SledOutbox::open(path).expect("opens");
    match &*task {
        "queue" => queue(&mut outbox, 1..=QUEUED),
        "drain" => drain(&mut outbox),
        task => panic!("{task} is no task"),
    }
    println!("grew {}", most_memory() - before);
}

/// Lets a child do its task, and returns how many bytes of memory it needed for it.
fn memory_of(task: &str, outbox: &Path) -> u64 {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_that_uses_an_outbox", "--nocapture"])
        .env(OUTBOX, outbox)
        .env(TASK, task)
        .stderr(Stdio::inherit())
        .output()
        .expect("a child");
    assert!(child.status.success(), "the child that was to {task} failed");
    let output = String::from_utf8(child.stdout).expect("text");
    let grown = output.lines().find_map(|line| line.split_once("grew "));
    grown.and_then(|(_, bytes)| bytes.parse().ok()).expect("a number")
}

/// What a directory takes of the disk: the lengths of its files, and their blocks.
fn space(directory: &Path) -> [u64; 2] {
    let mut space = [0; 2];
    for file in fs::read_dir(directory).expect("reads") {
        let file = file.expect("reads");
        // A file may be removed meanwhile.
        let Ok(metadata) = file.metadata() else { continue };
        let its = if metadata.is_dir() { self::space(&file.path()) } else { [metadata.len(), metadata.blocks() * 512] };
        space = [space[0] + its[0], space[1] + its[1]];
    }
    space
}

/// A directory for an outbox, on a disk: that for temporary files is in memory on some machines.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

#[test]
fn a_long_queue_is_on_disk_and_not_in_memory_and_is_gone_when_it_was_drained() {
    let directory = directory();
    let queueing = memory_of("queue", directory.path());
    let peak = space(directory.path());
    let draining = memory_of("drain", directory.path());
    let after = space(directory.path());
    println!("memory: {queueing} to queue, {draining} to drain; space: {peak:?}, then {after:?}");
    assert!(peak.iter().all(|&peak| peak >= QUEUED * LEN as u64), "{peak:?} at the peak: it is all there");
    assert!(queueing < MEMORY, "{queueing} bytes of memory to queue");
    assert!(draining < MEMORY, "{draining} bytes of memory to drain");
    for (after, peak) in after.iter().zip(peak) {
        assert!(after * 100 <= peak, "{after} bytes are left of {peak}");
    }
}

#[test]
fn a_backlog_that_many_messages_pass_through_takes_no_more_space_with_time() {
    let directory = directory();
    let mut outbox = SledOutbox::open(directory.path()).expect("opens");
    queue(&mut outbox, 1..=BACKLOG);
    let beginning = space(directory.path());
    let mut largest = beginning;
    let mut next = 1;
    while next <= BACKLOG * TIMES {
        let entries = outbox.load(next, BATCH as usize, u64::MAX).expect("loads");
        assert_eq!((entries[0].seq, entries.len() as u64), (next, BATCH), "there is no hole");
        next += BATCH;
        let appends = entries.iter().map(|left| entry(left.seq + BACKLOG)).collect();
        outbox.commit(&Changes { appends, ..Changes::remove(&entries) }).expect("commits");
        if (next / BATCH).is_multiple_of(16) {
            largest = [0, 1].map(|which| largest[which].max(space(directory.path())[which]));
        }
    }
    println!("space: {beginning:?}, and at most {largest:?}");
    for (largest, beginning) in largest.iter().zip(beginning) {
        assert!(*largest <= beginning * 3, "{largest} bytes, after {beginning}");
    }
}
