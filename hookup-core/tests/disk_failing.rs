//! An outbox, and a session store, whose disk fails while it is in use, or takes only so much in one file.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod disk_support;

use std::{fs, io};

use disk_support::{
    child_of, run,
    script::{Kind, everything},
    this_test, this_test_in,
    trace::Tracer,
    traced::Fault,
    watched::{Watched, assert_is},
};
use hookup_core::{Durability, Outbox, SessionId, SessionStore, SledOptions};

/// The child process: no file may be larger than so much.
#[test]
fn child_whose_files_are_limited() {
    let Some((directory, words)) = child_of() else { return };
    let kind = if words[0] == "Outbox" { Kind::Outbox } else { Kind::Store };
    let mut watched = Watched::open(kind, SledOptions::new(), directory.join("outbox"));
    for _ in 0..100 {
        if let Err(error) = watched.append(3, 10_000) {
            assert_is(&error, io::ErrorKind::FileTooLarge, &watched.path);
        }
        watched.check();
    }
    // What the test is to find.
    let held = watched.kept.iter().map(|entry| (entry.seq, entry.outbound.message().as_bytes()[0]));
    fs::write(directory.join("kept"), format!("{:?}", held.collect::<Vec<_>>())).expect("writes");
}

#[test]
fn a_file_that_may_not_grow_refuses_messages_and_nothing_is_lost() {
    for kind in ["Outbox", "Store"] {
        let directory = tempfile::tempdir().expect("a directory");
        // Ignored, the signal leaves the error. The unit is 512 bytes.
        let wrapper = ["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"];
        run(&mut this_test_in(&wrapper, "child_whose_files_are_limited", directory.path(), kind));
        let options = SledOptions::new();
        let path = directory.path().join("outbox");
        let mut outbox: Box<dyn Outbox> = match kind {
            "Outbox" => Box::new(options.outbox(path).expect("opens")),
            _ => options.store(path).expect("opens").open(SessionId(1)).expect("opens"),
        };
        let found = everything(&mut *outbox).expect("loads");
        let found = found.iter().map(|entry| (entry.seq, entry.outbound.message().as_bytes()[0])).collect::<Vec<_>>();
        let kept = fs::read_to_string(directory.path().join("kept")).expect("reads");
        assert_eq!(format!("{found:?}"), kept);
    }
}

/// The child process: its disk fails while it is in use. (A disk cannot be mounted read-only while a file on it is open
/// for writing, so what the kernel would say then is said for it.)
#[test]
fn child_whose_disk_fails() {
    let Some((directory, words)) = child_of() else { return };
    let kind = if words[0] == "Outbox" { Kind::Outbox } else { Kind::Store };
    let errno = words[1].parse::<i32>().expect("a number");
    let of_errno = io::Error::from_raw_os_error(errno).kind();
    let options = SledOptions::new().durability(Durability::PowerLoss);
    let mut watched = Watched::open(kind, options, directory.join("outbox"));
    for len in [1, 1000, 100_000] {
        watched.append(3, len).expect("appends");
        let fault = Fault::new(errno.unsigned_abs(), &words[2]);
        for _ in 0..3 {
            assert_is(&watched.append(2, len).expect_err("it fails"), of_errno, &watched.path);
            watched.check();
        }
        drop(fault);
        // After an error that is of the disk and not of its file system, nobody knows what was written; it may want to
        // have a look first.
        if of_errno == io::Error::from_raw_os_error(5).kind() {
            watched.reopen();
        }
        watched.append(3, len).expect("it works again");
        watched.remove(2);
        watched.reopen();
    }
}

fn fail(errno: u8, what: &str) {
    let tracer = Tracer::new();
    for kind in ["Outbox", "Store"] {
        let directory = tempfile::tempdir().expect("a directory");
        let words = format!("{kind} {errno} {what}");
        let mut command = this_test("child_whose_disk_fails", directory.path(), &words);
        tracer.attach(&mut command, directory.path());
        run(&mut command);
    }
}

#[test]
fn a_disk_that_turns_read_only_refuses_messages_until_it_can_be_written_to() {
    fail(30, "onw");
}

#[test]
fn a_disk_that_fails_to_write_refuses_messages() {
    fail(5, "w");
}

#[test]
fn a_disk_that_fails_to_sync_refuses_messages() {
    fail(5, "s");
}
