//! A file system in memory that only a child process sees, and that is gone with it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::{run, this_test_in};

/// Ways to a mount namespace: with a user namespace, for which nobody has to be root where the system lets one; and as root.
const WAYS: [&[&str]; 2] = [&["unshare", "-Urm"], &["unshare", "-m"]];

fn works(way: &[&str]) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).args(["mount", "-t", "tmpfs", "-o", "size=64k", "none"]).arg(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a test as a child whose directory is a disk of so many KiB. Where that is impossible it says so, and runs nothing.
pub(crate) fn run_on_a_disk_of(kib: u32, test: &str, words: &str) {
    let Some(way) = WAYS.into_iter().find(|way| works(way)) else {
        println!("NOT CHECKED: {test} needs a small disk, and this system lets nobody here mount one (unshare, tmpfs)");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let mount = format!("mount -t tmpfs -o size={kib}k none \"$HOOKUP_TEST_DIRECTORY\" && exec \"$@\"");
    let wrapper = [way, &["sh", "-c", &mount, "sh"]].concat();
    run(&mut this_test_in(&wrapper, test, directory.path(), words));
}

/// In such a child: makes its disk `ro`, or `rw`.
pub(crate) fn remount(disk: &Path, how: &str) {
    let done = Command::new("mount").arg("-o").arg(format!("remount,bind,{how}")).arg(disk).status();
    assert!(done.expect("mount runs").success(), "it is mounted {how}");
}
