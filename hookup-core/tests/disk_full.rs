//! An outbox, and a session store, whose disk is full or cannot be written to.
//!
//! The disks are small file systems in memory, each mounted where only one child process sees it. Where the system lets
//! nobody do that, the output says what was not checked.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod disk_support;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use disk_support::{
    child_of,
    script::{Kind, state},
    small_disk::{remount, run_on_a_disk_of},
    watched::{Watched, assert_is},
};
use hookup_core::{Changes, SessionId, SledOptions};

const MIB: usize = 1 << 20;

/// The child process: its directory is a small disk.
#[test]
fn child_on_a_small_disk() {
    let Some((disk, words)) = child_of() else { return };
    let kind = if words[1] == "Outbox" { Kind::Outbox } else { Kind::Store };
    match &*words[0] {
        "space" => space_comes_back(kind, &disk),
        "drain" => draining_makes_room(kind, &disk),
        "states" => states(kind, &disk),
        "read-only" => read_only(kind, &disk),
        _ => unreachable!("{words:?}"),
    }
}

/// A small disk with an outbox on it, and a file that can be deleted.
fn on_disk(kind: Kind, disk: &Path) -> (Watched, PathBuf) {
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 2 * MIB]).expect("writes");
    (Watched::open(kind, SledOptions::new(), disk.join("outbox")), ballast)
}

fn space_comes_back(kind: Kind, disk: &Path) {
    let (mut watched, ballast) = on_disk(kind, disk);
    let refusal = watched.fill();
    assert_is(&refusal, io::ErrorKind::StorageFull, &watched.path);
    assert!(watched.kept.len() > 3, "it did accept some");
    watched.remove(2);
    watched.reopen();
    watched.fill();
    fs::remove_file(ballast).expect("removes");
    for _ in 0..5 {
        watched.append(3, 10_000).expect("there is room again, and it was not opened again");
    }
    watched.check();
    watched.reopen();
    watched.append(3, 10_000).expect("it goes on");
    watched.reopen();
}

fn draining_makes_room(kind: Kind, disk: &Path) {
    let (mut watched, _) = on_disk(kind, disk);
    for _ in 0..3 {
        watched.fill();
        // A few stay, so that there is something to lose.
        while watched.kept.len() > 3 {
            let count = (watched.kept.len() - 3).min(10);
            watched.remove(count);
        }
        watched.append(10, 10_000).expect("draining has made room");
        watched.check();
    }
    watched.fill();
    watched.reopen();
    watched.remove(watched.kept.len());
    watched.append(10, 10_000).expect("draining has made room");
    watched.reopen();
}

fn states(kind: Kind, disk: &Path) {
    let (mut watched, ballast) = on_disk(kind, disk);
    let old = state(SessionId(1), 1);
    watched.outbox().commit(&Changes::save(old.clone())).expect("saves");
    watched.fill();
    let mut new = state(SessionId(1), 2);
    new.principal = Some("somebody with a very long name ".repeat(50_000));
    let refusal = watched.outbox().commit(&Changes::save(new.clone())).expect_err("there is no room for it");
    assert_is(&refusal, io::ErrorKind::StorageFull, &watched.path);
    let small = Changes { state: Some(state(SessionId(1), 3)), ..Changes::default() };
    // It may find a little room.
    let saved = watched.outbox().commit(&small).is_ok();
    watched.reopen();
    let found = watched.outbox().stored().state.expect("a state").cursors[0].seq;
    assert!(if saved { found == 3 } else { (1..=3).contains(&found) }, "{found}, and the last was saved: {saved}");
    fs::remove_file(ballast).expect("removes");
    watched.outbox().commit(&Changes::save(new.clone())).expect("there is room again");
    watched.reopen();
    assert_eq!(watched.outbox().stored().state, Some(new));
}

fn read_only(kind: Kind, disk: &Path) {
    let (mut watched, _) = on_disk(kind, disk);
    watched.append(3, 1000).expect("appends");
    watched.close();
    remount(disk, "ro");
    let path = watched.path.clone();
    for path in [&path, &disk.join("another")] {
        let opened = match kind {
            Kind::Outbox => watched.options.outbox(path).map(drop),
            Kind::Store => watched.options.store(path).map(drop),
        };
        assert_is(&opened.expect_err("nothing can be written"), io::ErrorKind::ReadOnlyFilesystem, path);
    }
    remount(disk, "rw");
    watched.reopen();
    watched.append(3, 1000).expect("appends");
    watched.reopen();
}

#[test]
fn a_full_disk_refuses_messages_until_there_is_space_and_nothing_is_lost() {
    for kind in ["Outbox", "Store"] {
        run_on_a_disk_of(6 << 10, "child_on_a_small_disk", &format!("space {kind}"));
    }
}

#[test]
fn draining_an_outbox_makes_room_on_a_full_disk() {
    for kind in ["Outbox", "Store"] {
        run_on_a_disk_of(6 << 10, "child_on_a_small_disk", &format!("drain {kind}"));
    }
}

#[test]
fn a_state_that_finds_no_room_is_refused_and_saved_later() {
    for kind in ["Outbox", "Store"] {
        run_on_a_disk_of(6 << 10, "child_on_a_small_disk", &format!("states {kind}"));
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_an_error_that_names_it() {
    for kind in ["Outbox", "Store"] {
        run_on_a_disk_of(6 << 10, "child_on_a_small_disk", &format!("read-only {kind}"));
    }
}
