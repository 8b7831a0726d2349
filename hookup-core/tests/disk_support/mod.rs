//! What the tests of outboxes on disk share: child processes, what they do and tell of, and what must be found afterwards.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod damage;
pub(crate) mod image;
pub(crate) mod script;
pub(crate) mod small_disk;
pub(crate) mod trace;
pub(crate) mod traced;
pub(crate) mod watched;

use std::{
    io::{BufRead, BufReader, Lines, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use fastrand::Rng;
use tempfile::TempDir;

/// Tells a child process what it is to work in. Without it, as in a plain test run, the tests that are children do nothing.
pub(crate) const DIRECTORY: &str = "HOOKUP_TEST_DIRECTORY";

/// Further words for a child.
pub(crate) const WORDS: &str = "HOOKUP_TEST_WORDS";

/// What a child is told, or `None` where there is nothing to be done.
pub(crate) fn child_of() -> Option<(PathBuf, Vec<String>)> {
    let directory = std::env::var_os(DIRECTORY)?;
    let words = std::env::var(WORDS).unwrap_or_default();
    Some((directory.into(), words.split_whitespace().map(str::to_owned).collect()))
}

/// This program, to be run as one of its tests only.
pub(crate) fn this_test(test: &str, directory: &Path, words: &str) -> Command {
    this_test_in(&["env"], test, directory, words)
}

/// The same, started by another program.
pub(crate) fn this_test_in(wrapper: &[&str], test: &str, directory: &Path, words: &str) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).env(WORDS, words);
    command
}

/// A child process that does not outlive the test, however that ends.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it with its output, and its input, in our hands.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child") }
    }

    /// What it says.
    pub(crate) fn lines(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.child.stdout.take().expect("its output, once")).lines()
    }

    /// Lets it know that it can end.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a child may say nothing before it is taken for one that hangs. None takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a child to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Process { child: child.expect("a child") };
    let (sender, receiver) = mpsc::channel();
    let out: Box<dyn Read + Send> = Box::new(child.child.stdout.take().expect("its output"));
    let err: Box<dyn Read + Send> = Box::new(child.child.stderr.take().expect("its output"));
    for (name, mut stream) in [("output", out), ("errors", err)] {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            sender.send(format!("{name}:\n{}", String::from_utf8_lossy(&said)))
        });
    }
    let said = [(); 2].map(|()| receiver.recv_timeout(PATIENCE).expect("the child hangs")).concat();
    let status = child.wait();
    assert!(status.success(), "the child ended with {status}:\n{said}");
    assert!(said.contains("1 passed"), "it is one test: {said}");
}

/// A directory in memory where there is such a thing, for what need not be a real disk and is written often. With
/// `HOOKUP_TEST_KEEP`, it stays there to be looked at.
pub(crate) fn memory_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let mut made = made.expect("a directory");
    made.disable_cleanup(std::env::var_os("HOOKUP_TEST_KEEP").is_some());
    made
}

/// The seed that the environment variable `HOOKUP_TEST_SEED` gives, or this one. Printed, so that it is in the output of a
/// test that failed.
pub(crate) fn seeded(default: u64) -> Rng {
    let seed = std::env::var("HOOKUP_TEST_SEED").ok().map(|seed| seed.parse().expect("HOOKUP_TEST_SEED is a number"));
    let seed = seed.unwrap_or(default);
    println!("HOOKUP_TEST_SEED={seed}");
    Rng::with_seed(seed)
}
