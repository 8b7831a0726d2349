//! A process that is killed with SIGKILL, at any moment, while it puts messages into outboxes as fast as it can; what it
//! had kept; and that another goes on with it.
//!
//! `HOOKUP_TEST_KILLS` says how often, for each test (default: 20, and 5 for some; 200 are worth it now and then); `HOOKUP_TEST_SEED`, from
//! which seed.

#![cfg(unix)]

mod disk_support;

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use disk_support::{
    Process, child_of,
    script::{Kind, Told, work},
    seeded, this_test,
};
use fastrand::Rng;
use hookup_core::{Durability, SledOptions};

fn durability(name: &str) -> Durability {
    let all = [Durability::Buffered, Durability::ProcessCrash, Durability::PowerLoss];
    all.into_iter().find(|it| format!("{it:?}") == name).expect("a durability")
}

/// The child process.
#[test]
fn child_that_is_killed() {
    let Some((directory, words)) = child_of() else { return };
    let kind = if words[0] == "Outbox" { Kind::Outbox } else { Kind::Store };
    let options = SledOptions::new().durability(durability(&words[1])).flush_every(Duration::from_millis(20));
    let seed = words[2].parse().expect("a seed");
    work(kind, &options, &directory.join("outbox"), seed, u64::MAX, &|line| println!("{line}"));
}

/// When a child is killed.
#[derive(Debug)]
enum Moment {
    /// When it is about to open the directory, or is at it.
    Opening(Duration),
    /// When it has said so many lines.
    Lines(usize),
    /// So long after it has begun to work.
    Working(Duration),
}

impl Moment {
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..10) {
            0..3 => Self::Opening(Duration::from_micros(rng.u64(..30_000))),
            3..6 => Self::Lines(rng.usize(2..200)),
            // More often soon than late.
            _ => Self::Working(Duration::from_micros(rng.u64(..500).pow(2))),
        }
    }
}

/// Lets a child work in the directory and kills it.
fn work_and_kill(told: &mut Told, command: &mut Command, moment: &Moment) {
    let mut child = Process::start(command);
    let (sender, receiver) = mpsc::channel::<String>();
    let lines = child.lines();
    let reader = thread::spawn(move || lines.for_each(|line| drop(sender.send(line.expect("its output")))));
    let mut deadline = None::<Instant>;
    let mut count = 0;
    loop {
        let line = match deadline {
            Some(deadline) => receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
            None => Some(receiver.recv().expect("the child ended by itself")),
        };
        let Some(line) = line else { break };
        let opens = line.contains("opening");
        told.hear(&line);
        count += usize::from(opens || count > 0);
        match moment {
            Moment::Opening(after) if opens => deadline = Some(Instant::now() + *after),
            Moment::Working(after) if count == 2 => deadline = Some(Instant::now() + *after),
            Moment::Lines(lines) if count == *lines => break,
            _ => {}
        }
    }
    child.kill();
    assert_eq!(child.wait().signal(), Some(9), "the child ended by itself");
    // What it said until it was dead.
    reader.join().expect("no panic");
    receiver.iter().for_each(|line| told.hear(&line));
}

/// How often, where it is `default` if nothing else is said.
fn kills(default: u64) -> u64 {
    std::env::var("HOOKUP_TEST_KILLS").map_or(default, |kills| kills.parse().expect("HOOKUP_TEST_KILLS is a number"))
}

fn kill_often(kind: Kind, durability: Durability, kills: u64, prepare: impl Fn(&mut Command, &Path)) {
    let mut rng = seeded(0x5eed_0fa1);
    let directory = tempfile::tempdir().expect("a directory");
    let mut told = Told::default();
    for _ in 0..kills {
        let moment = Moment::any(&mut rng);
        println!("killed at {moment:?}");
        let words = format!("{kind:?} {durability:?} {}", rng.u64(..1 << 60));
        let mut command = this_test("child_that_is_killed", directory.path(), &words);
        prepare(&mut command, directory.path());
        work_and_kill(&mut told, &mut command, &moment);
        told.check(kind, durability, &directory.path().join("outbox"));
    }
    assert!(told.appended() > 0, "something was done between the kills");
}

#[test]
fn what_a_killed_client_had_accepted_is_there() {
    kill_often(Kind::Outbox, Durability::ProcessCrash, kills(20), |_, _| ());
}

#[test]
fn what_a_killed_server_had_accepted_is_there() {
    kill_often(Kind::Store, Durability::ProcessCrash, kills(20), |_, _| ());
}

#[test]
fn of_what_was_buffered_the_first_part_is_there_after_a_kill() {
    kill_often(Kind::Outbox, Durability::Buffered, kills(5), |_, _| ());
}

/// Each write and sync is late, so that more kills come between those of one commit.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn what_a_client_had_accepted_is_there_when_it_was_killed_between_its_writes() {
    let tracer = disk_support::trace::Tracer::new();
    kill_often(Kind::Outbox, Durability::PowerLoss, kills(5), |command, root| {
        tracer.attach(command, root);
        command.env("HOOKUP_TRACE_DELAY", "1000");
    });
}
