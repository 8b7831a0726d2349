//! What became of the messages: a live line, and the counts in the end.

use std::cell::RefCell;

use hookup_client::SendFailure;
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Report {
    bar: ProgressBar,
    counts: RefCell<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    acked: u64,
    failed: u64,
    buffered: u64,
    kills: u64,
    /// How often each message was handled; message 1 first.
    handled: Vec<u64>,
    connection: &'static str,
    server: &'static str,
}

impl Report {
    pub(crate) fn new(messages: u64) -> Self {
        let style = "{elapsed:>3} [{bar:30}] {pos}/{len} acked  {msg}";
        let bar = ProgressBar::new(messages);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        let handled = vec![0; usize::try_from(messages).unwrap_or(usize::MAX)];
        Self { bar, counts: RefCell::new(Counts { handled, server: "running", ..Counts::default() }) }
    }

    pub(crate) fn sent(&self, offline: bool) {
        self.change(|counts| {
            counts.sent += 1;
            counts.buffered += u64::from(offline);
        });
    }

    pub(crate) fn acked(&self) {
        self.change(|counts| counts.acked += 1);
        self.bar.inc(1);
    }

    pub(crate) fn failed(&self, reason: &SendFailure) {
        self.change(|counts| counts.failed += 1);
        self.bar.suspend(|| eprintln!("not acked: {reason}"));
    }

    pub(crate) fn handled(&self, n: u64) {
        self.change(|counts| {
            let place = usize::try_from(n).ok().and_then(|n| counts.handled.get_mut(n.checked_sub(1)?));
            if let Some(times) = place {
                *times += 1;
            }
        });
    }

    pub(crate) fn connection(&self, is_connected: bool) {
        self.change(|counts| counts.connection = if is_connected { "connected" } else { "offline" });
    }

    pub(crate) fn server(&self, state: &'static str) {
        if self.bar.is_hidden() {
            // Not a terminal: there is no live line to show it in.
            eprintln!("server {state}");
        }
        self.change(|counts| {
            counts.server = state;
            counts.kills += u64::from(state == "killed");
        });
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.borrow_mut();
        change(&mut counts);
        let Counts { sent, buffered, server, connection, .. } = &*counts;
        self.bar.set_message(format!("{sent} sent, {buffered} of them offline; server {server}, client {connection}"));
    }

    /// Prints the counts, and says how many messages were lost.
    pub(crate) fn finish(&self) -> u64 {
        self.bar.finish_and_clear();
        let counts = self.counts.borrow();
        let lost = counts.handled.iter().filter(|&&times| times == 0).count() as u64;
        let repeated = counts.handled.iter().map(|times| times.saturating_sub(1)).sum::<u64>();
        let rows = [
            ("sent", counts.sent, "each needs an ack"),
            ("acked", counts.acked, "the server's handler was done with it"),
            ("not acked", counts.failed, "each told with its reason"),
            ("buffered while offline", counts.buffered, "kept on disk, sent on reconnection"),
            ("server killed", counts.kills, "with SIGKILL, and started again"),
            ("repeated", repeated, "handled, but killed before the ack arrived: sent again"),
            ("lost", lost, "sent, and never handled"),
        ];
        for (what, count, meaning) in rows {
            println!("{what:>22} {count:>6}   {meaning}");
        }
        lost
    }
}
