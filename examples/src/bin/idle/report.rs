//! What a run has seen, for people and for programs.

use hookup_examples::{Bytes, Memory};
use serde::Serialize;

/// What a run has seen. What the system does not say is missing.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) protocol: &'static str,
    pub(crate) connections: u32,
    /// The processes that the server took, as one of them may not open so many files.
    pub(crate) processes: u64,
    /// The seconds that it took to open them.
    pub(crate) connecting: f64,
    /// For how long they were kept then.
    pub(crate) seconds: u64,
    /// The server's memory without any.
    pub(crate) before: Option<Memory>,
    /// The server's memory in the end.
    pub(crate) after: Option<Memory>,
    pub(crate) open_files: Option<usize>,
    /// The seconds of the processor's time that the server took while they were kept.
    pub(crate) cpu: Option<f64>,
    pub(crate) pings: u64,
    pub(crate) lost: u32,
    pub(crate) first_lost: Option<String>,
}

impl Report {
    pub(crate) fn print(&self, json: bool) -> hookup_examples::Result {
        if json {
            let mut value = serde_json::to_value(self)?;
            value["bytes_per_connection"] = self.bytes_per_connection().into();
            println!("{value}");
            return Ok(());
        }
        let rate = f64::from(self.connections) / self.connecting;
        row("connections", format!("{} of {}", self.connections, self.protocol));
        if self.processes > 1 {
            row("server processes", format!("{}, as one may not open so many files here", self.processes));
        }
        row("opened", format!("in {:.2} s, {rate:.0} a second", self.connecting));
        if let (Some(before), Some(after)) = (self.before, self.after) {
            row("server's memory before", Bytes(before.held).to_string());
            row("server's memory with them", format!("{}, {} at most", Bytes(after.held), Bytes(after.most)));
        }
        if let Some(bytes) = self.bytes_per_connection() {
            row("bytes per connection", bytes.to_string());
        }
        if let Some(count) = self.open_files {
            row("server's file descriptors", count.to_string());
        }
        if let Some(cpu) = self.cpu {
            let percent = 100.0 * cpu / self.seconds as f64;
            row("server's CPU time, idle", format!("{cpu:.2} s in {} s, {percent:.1}%", self.seconds));
        }
        row("pings answered", self.pings.to_string());
        row("lost", self.lost.to_string());
        if let Some(why) = &self.first_lost {
            row("the first of them", why.clone());
        }
        Ok(())
    }

    fn bytes_per_connection(&self) -> Option<u64> {
        let (before, after) = self.before.zip(self.after)?;
        Some(after.held.saturating_sub(before.held) / u64::from(self.connections - self.lost).max(1))
    }
}

fn row(name: &str, value: String) {
    println!("{name:<27}{value}");
}
