//! What a process takes of its machine, and how many files this one may open.
//!
//! Linux says how much memory, how many descriptors and how much time a process has; elsewhere it is left out.

use std::{fmt, fs};

use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use serde::{Deserialize, Serialize};

/// What a process has of the memory, in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// What is resident now.
    pub held: u64,
    /// The most that ever was.
    pub most: u64,
}

impl Memory {
    /// That of a process that lives.
    pub fn of(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
        };
        Some(Self { held: bytes("VmRSS:")?, most: bytes("VmHWM:")? })
    }
}

/// How many descriptors a process has open.
pub fn open_files(process: u32) -> Option<usize> {
    fs::read_dir(format!("/proc/{process}/fd")).ok().map(Iterator::count)
}

/// For how many seconds a process was at work, in the kernel too.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may have blanks in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| ticks as f64 / clock_ticks_per_second() as f64)
}

/// Lets this process, and those that it starts, have as many files open as is allowed; how many, if there is a limit.
pub fn allowed_open_files() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where that fails, the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}

/// Lets this process, and those that it starts, have so many files open, sockets among them.
///
/// # Errors
/// A sentence that says which limit is too low, and how to raise it.
pub fn raise_open_files(needed: u64) -> crate::Result {
    // `None` is no limit.
    let Some(most) = allowed_open_files().filter(|&most| most < needed) else { return Ok(()) };
    // The hard limit is the administrator's to raise.
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: Some(needed) }).map_err(|_| {
        format!(
            "this takes {needed} open files, and the hard limit of a process here is {most}: raise it as root with \
             `ulimit -Hn {needed}` in the shell that starts this, with LimitNOFILE= in a systemd unit, or with \
             --ulimit nofile={needed} of a container"
        )
        .into()
    })
}

/// A number of bytes, for people.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}
