//! Directories as they were found once: one that is whole, so that what is stored today can be read tomorrow, and damaged ones.
//! `damaged/README.md` says how they were made.

#![cfg(unix)]

mod disk_support;

use std::{fs, path::Path};

use disk_support::{damage::copy, script::everything};
use hookup_core::{Entry, Outbox as _, OutboxError, SledOptions, Text};

/// Opening changes a directory, so it is done with a copy.
fn copied(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged").join(name);
    copy(&fixture, &directory.path().join("outbox"));
    directory
}

fn entry(seq: u64) -> Entry {
    let text = ["one", "two", "three", "four", "five", "six", "seven", "eight"][seq as usize - 1];
    let outbound = match seq {
        8 => Text(text).needs_ack(std::time::Duration::from_secs(8)).expiring_at(1_800_000_000_000),
        _ => Text(text).into(),
    };
    Entry { seq, outbound }
}

fn entries(seqs: &[u64]) -> Vec<Entry> {
    seqs.iter().copied().map(entry).collect()
}

#[test]
fn a_directory_that_is_whole_is_read() {
    let directory = copied("whole");
    let mut outbox = SledOptions::new().outbox(directory.path().join("outbox")).expect("opens");
    assert_eq!(everything(&mut outbox).expect("loads"), entries(&[1, 3, 5, 6, 7, 8]));
    let stored = outbox.stored();
    assert_eq!((stored.last_seq, stored.usage.messages, stored.usage.bytes), (8, 6, 25));
    assert_eq!(stored.state.expect("a state").cursors[0].seq, 42);
}

#[test]
fn a_damaged_directory_is_an_error_and_when_it_is_moved_aside_the_rest_is_saved() {
    for (name, problem, saved) in [
        ("bit-flipped", "file 1 of its log: a record is not what it was", &[1, 3, 6, 7, 8][..]),
        ("header-flipped", "file 1 of its log: there is something that is no record", &[1, 3, 6, 7, 8]),
        ("truncated", "file 1 of its log: it is shorter than it was", &[1, 3, 5]),
        ("empty-log", "files of its log are missing", &[]),
        ("no-log", "its log is missing", &[]),
        ("no-catalog", "files of its catalog are missing", &[1, 3, 5, 6, 7, 8]),
        ("garbage-in-catalog", "its catalog", &[1, 3, 5, 6, 7, 8]),
        ("label-cut-short", "its label is cut short", &[1, 3, 5, 6, 7, 8]),
    ] {
        let directory = copied(name);
        let path = directory.path().join("outbox");
        let error = SledOptions::new().outbox(&path).expect_err(name);
        assert!(matches!(error, OutboxError::Damaged { .. }), "{name}: {error}");
        let words = error.to_string();
        assert!(words.contains(problem) && words.contains(&path.display().to_string()), "{name}: {words}");

        let mut outbox = SledOptions::new().quarantine(true).outbox(&path).expect(name);
        let stored = outbox.stored();
        let quarantined = stored.quarantined.expect(name);
        assert_eq!(everything(&mut outbox).expect("loads"), entries(saved), "{name}");
        assert_eq!((quarantined.saved, stored.usage.messages), (saved.len(), saved.len()), "{name}");
        assert!(quarantined.moved_to.is_dir() && quarantined.problem.contains(problem), "{name}: {quarantined:?}");
        drop(outbox);
        SledOptions::new().outbox(&path).unwrap_or_else(|error| panic!("{name} is as damaged as before: {error}"));
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let directory = copied("foreign");
    let path = directory.path().join("outbox");
    for options in [SledOptions::new(), SledOptions::new().quarantine(true)] {
        let error = options.outbox(&path).expect_err("somebody else's");
        assert!(error.to_string().contains("the directory has other files in it"), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing was moved");
    assert_eq!(fs::read_to_string(path.join("letter.txt")).expect("reads"), "dear\n");
}
