//! The tracer, and the disks after a loss of power that come from its traces, tried on processes of which it is known what
//! they lose: what a careful one has synced is always there, and of each careless one it is found out.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod disk_support;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use disk_support::{
    child_of,
    image::{Luck, PowerLoss},
    memory_directory, run, seeded, this_test,
    trace::{Op, Trace, Tracer},
    traced::{Fault, Marks},
};

const RECORDS: u8 = 20;

/// Longer than a page, so that it can be there in part.
const LEN: usize = 5000;

/// The child process: it keeps a number in one file, renamed into its place each time, and records in another. Its words
/// say what it forgets.
#[test]
fn child_that_keeps_records() {
    let Some((root, words)) = child_of() else { return };
    let syncs = |what: &str, file: &File| if words[0] == what { Ok(()) } else { file.sync_data() };
    let marks = Marks::open();
    let keep = |what: &str, path: &Path| File::open(path).and_then(|directory| syncs(what, &directory)).expect("syncs");
    let logs = root.join("logs");
    fs::create_dir(&logs).expect("creates");
    keep("", &root);
    let log = File::create(logs.join("log")).expect("creates");
    keep("directory", &logs);
    for n in 1..=RECORDS {
        let at = u64::from(n - 1) * LEN as u64;
        log.write_all_at(&[n; LEN], at).and_then(|()| syncs("log", &log)).expect("writes");
        let new = root.join("new");
        let mut number = File::create(&new).expect("creates");
        number.write_all(&[n]).and_then(|()| syncs("number", &number)).expect("writes");
        fs::rename(&new, root.join("number")).expect("renames");
        keep("rename", &root);
        marks.put(&format!("{n}"));
    }
    // A file that is cut off and grows again.
    log.set_len(LEN as u64).and_then(|()| syncs("cut", &log)).expect("truncates");
    // A while, in which the power may go.
    for _ in 0..50 {
        marks.put("cut");
    }
    let fault = Fault::new(28, "w");
    let refused = log.write_all_at(b"refused", 0).expect_err("the fault");
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    drop(fault);
    log.sync_all().expect("syncs");
    marks.put("end");
}

/// Whether all that was marked as done is there.
fn is_there(trace: &Trace, cut: usize, disk: &Path) -> bool {
    let marks = trace.records[..cut].iter().filter_map(|record| match &record.op {
        Op::Mark(mark) => Some(&**mark),
        _ => None,
    });
    let marks = marks.collect::<Vec<_>>();
    let is_cut = marks.contains(&"cut");
    let done = marks.iter().filter_map(|mark| mark.parse::<u8>().ok()).next_back().unwrap_or(0);
    let log = fs::read(disk.join("logs/log")).unwrap_or_default();
    let number = fs::read(disk.join("number")).unwrap_or_default();
    let whole = if done == RECORDS { 1 } else { done };
    let has_records = (1..=whole).all(|n| {
        let start = usize::from(n - 1) * LEN;
        log.get(start..start + LEN).is_some_and(|record| record.iter().all(|&byte| byte == n))
    });
    let has_number = done == 0 || number.first().is_some_and(|&number| number >= done);
    has_records && has_number && (!is_cut || log.len() == LEN)
}

/// How often something was lost, of many times.
fn losses(forgets: &str) -> usize {
    let mut rng = seeded(7);
    let (tracer, root) = (Tracer::new(), memory_directory());
    let mut command = this_test("child_that_keeps_records", root.path(), forgets);
    let before = tracer.attach(&mut command, root.path());
    run(&mut command);
    let trace = tracer.read(before);
    let power = PowerLoss::new(&trace);
    let losses = (0..300).filter(|_| {
        let cut = rng.usize(..=trace.records.len());
        let disk = memory_directory();
        power.strike(cut, Luck::any(&mut rng), &mut rng, disk.path());
        !is_there(&trace, cut, disk.path())
    });
    losses.count()
}

#[test]
fn what_was_synced_is_there_after_a_loss_of_power() {
    assert_eq!(losses("nothing"), 0);
}

#[test]
fn whoever_forgets_a_sync_may_lose_something() {
    for what in ["directory", "log", "number", "rename", "cut"] {
        assert!(losses(what) > 0, "that it forgets to sync the {what} was not found out");
    }
}

#[test]
fn with_all_luck_the_disk_is_as_the_process_left_it() {
    let (tracer, root) = (Tracer::new(), memory_directory());
    let mut command = this_test("child_that_keeps_records", root.path(), "nothing");
    let before = tracer.attach(&mut command, root.path());
    run(&mut command);
    let trace = tracer.read(before);
    let disk = memory_directory();
    PowerLoss::new(&trace).strike(trace.records.len(), Luck::All, &mut seeded(7), disk.path());
    for name in ["logs/log", "number"] {
        let [left, found] = [&root, &disk].map(|directory| fs::read(directory.path().join(name)).expect("reads"));
        assert!(left == found, "{name} is what it was");
    }
}
