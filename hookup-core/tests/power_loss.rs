//! What is left of an outbox, and of a session store, when the power goes: a process is traced while it uses one, and from
//! the trace come disks as they may be afterwards.
//!
//! `HOOKUP_TEST_CUTS` says how many for each; `HOOKUP_TEST_SEED`, from which seed. Threads are not seeded, so a store's
//! trace is another one each time; with `HOOKUP_TEST_KEEP`, the disks stay there to be looked at, and an error says which.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod disk_support;

use std::{path::Path, sync::Mutex};

use disk_support::{
    child_of,
    image::{Luck, PowerLoss},
    memory_directory, run,
    script::{Kind, Told, work},
    seeded, this_test,
    trace::{Op, Trace, Tracer},
    traced::Marks,
};
use fastrand::Rng;
use hookup_core::{Durability, SledOptions};

/// How often a child opens the directory.
const OPENINGS: u64 = 3;

fn options() -> SledOptions {
    SledOptions::new().durability(Durability::PowerLoss)
}

fn cuts() -> usize {
    std::env::var("HOOKUP_TEST_CUTS").map_or(150, |cuts| cuts.parse().expect("HOOKUP_TEST_CUTS is a number"))
}

/// The child process: it opens a directory several times and works in it.
#[test]
fn child_that_is_traced() {
    let Some((root, words)) = child_of() else { return };
    let marks = Marks::open();
    let kind = if words[0] == "Outbox" { Kind::Outbox } else { Kind::Store };
    let number = |i: usize| words[i].parse::<u64>().expect("a number");
    for opening in 0..OPENINGS {
        work(kind, &options(), &root.join("outbox"), number(1) + opening, number(2), &|line| marks.put(line));
    }
}

fn trace(tracer: &Tracer, kind: Kind, root: &Path, seed: u64, rounds: u64) -> Trace {
    let mut command = this_test("child_that_is_traced", root, &format!("{kind:?} {seed} {rounds}"));
    let before = tracer.attach(&mut command, root);
    run(&mut command);
    tracer.read(before)
}

/// Takes in what a child told of before a record.
fn hear(told: &mut Told, trace: &Trace, before: usize) {
    for record in &trace.records[..before] {
        if let Op::Mark(line) = &record.op {
            told.hear(line);
        }
    }
}

/// Loses power at a random moment, checks what is left, works on with it, and checks that. If asked to, it does the same
/// to a process that works on.
fn lose_power(trace: &Trace, known: &Told, kind: Kind, rng: &mut Rng, again: Option<&Tracer>) {
    let cut = rng.usize(..=trace.records.len());
    let luck = Luck::any(rng);
    println!("before record {cut} of {}, with luck {luck:?}", trace.records.len());
    let mut told = known.clone();
    hear(&mut told, trace, cut);
    let disk = memory_directory();
    PowerLoss::new(trace).strike(cut, luck, rng, disk.path());
    if let Some(tracer) = again {
        let trace = self::trace(tracer, kind, disk.path(), rng.u64(..1 << 60), 2);
        for _ in 0..10 {
            lose_power(&trace, &told, kind, rng, None);
        }
        hear(&mut told, &trace, trace.records.len());
    }
    let path = disk.path().join("outbox");
    told.check(kind, Durability::PowerLoss, &path);
    let told = Mutex::new(told);
    let tell = |line: &str| told.lock().expect("no panic").hear(line);
    work(kind, &options(), &path, rng.u64(..1 << 60), 2, &tell);
    told.into_inner().expect("no panic").check(kind, Durability::PowerLoss, &path);
}

fn lose_power_often(kind: Kind, rounds: u64) {
    let mut rng = seeded(0x0dd5_eed0);
    let tracer = Tracer::new();
    let root = memory_directory();
    let trace = trace(&tracer, kind, root.path(), rng.u64(..1 << 60), rounds);
    let known = Told::default();
    for n in 0..cuts() {
        lose_power(&trace, &known, kind, &mut rng, Some(&tracer).filter(|_| n % 30 == 29));
    }
}

#[test]
fn what_an_outbox_accepted_is_there_after_a_loss_of_power() {
    lose_power_often(Kind::Outbox, 50);
}

#[test]
fn what_a_session_store_accepted_is_there_after_a_loss_of_power() {
    lose_power_often(Kind::Store, 20);
}
