//! How it goes: live lines while it runs, and a table, or JSON, in the end.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{ledger::Counts, proxy::Harm};

/// The live lines; there are none where there is no terminal.
pub(crate) struct Bars {
    begun: Instant,
    bars: MultiProgress,
    whole: ProgressBar,
    lines: [ProgressBar; 3],
}

/// How it is going, or went.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) up: Counts,
    pub(crate) down: Counts,
    pub(crate) harm: Harm,
    pub(crate) client_kills: u64,
    pub(crate) server_kills: u64,
    /// How many of those were a SIGTERM.
    pub(crate) terminations: u64,
    pub(crate) sessions_lost: u64,
    /// What should not have happened, and has no column of its own.
    pub(crate) troubles: u64,
    /// What the client had not sent when it was closed.
    pub(crate) unsent: u64,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::new();
        let whole = bars.add(ProgressBar::new(1000));
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {percent}%") {
            whole.set_style(style.progress_chars("=> "));
        }
        let lines = [(); 3].map(|()| {
            let line = bars.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("     {msg}") {
                line.set_style(style);
            }
            line
        });
        Self { begun: Instant::now(), bars, whole, lines }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Shows how it is going, done by this much.
    pub(crate) fn show(&self, done: f64, now: &Summary) {
        // A bar takes whole steps.
        self.whole.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
        let Harm { cuts, stalls, half_closes, .. } = now.harm;
        let words = [
            direction("client to server", &now.up),
            direction("server to client", &now.down),
            format!(
                "{cuts} cuts, {stalls} stalls, {half_closes} half-closes; kills survived: client {}, server {}; {} messages/s",
                now.client_kills,
                now.server_kills,
                now.rate(),
            ),
        ];
        for (line, words) in self.lines.iter().zip(words) {
            line.set_message(words);
        }
    }

    /// Says something above the live lines, or without them.
    pub(crate) fn say(&self, words: &str) {
        self.bars.suspend(|| eprintln!("{words}"));
    }

    pub(crate) fn clear(&self) {
        self.whole.finish_and_clear();
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn direction(name: &str, counts: &Counts) -> String {
    let Counts { handled, lost, repeated_flagged, .. } = counts;
    format!("{name}: {handled} handled, {lost} on their way, {repeated_flagged} repeated and flagged")
}

impl Summary {
    /// Whether all that was promised was kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.up.broken() + self.down.broken() + self.troubles + self.unsent == 0
    }

    /// How many messages were handled per second, in both directions.
    fn rate(&self) -> u64 {
        let handled = (self.up.handled + self.down.handled) as f64;
        (handled / self.seconds.max(0.001)) as u64
    }

    pub(crate) fn print(&self) {
        let Self { up, down, harm, .. } = self;
        println!("{:>24} {:>10} {:>10}", "", "to server", "to client");
        let rows = [
            ("accepted", up.accepted, down.accepted, "in the outbox, on disk"),
            ("refused", up.refused, down.refused, "the outbox was full; sent again, as other messages"),
            ("handled", up.handled, down.handled, "with those that a kill kept from being noted as accepted"),
            (
                "repeated and flagged",
                up.repeated_flagged,
                down.repeated_flagged,
                "handled, and killed before that was saved",
            ),
            ("repeated, not flagged", up.repeated_unflagged, down.repeated_unflagged, "must be 0"),
            ("lost", up.lost, down.lost, "must be 0"),
            ("out of order", up.out_of_order, down.out_of_order, "must be 0"),
            ("refused, yet handled", up.refused_and_handled, down.refused_and_handled, "must be 0"),
            ("with a wrong key", up.wrong_key, down.wrong_key, "must be 0"),
        ];
        for (what, up, down, meaning) in rows {
            println!("{what:>24} {up:>10} {down:>10}   {meaning}");
        }
        let rows = [
            ("lost with the server", down.lost_with_server, "its sessions were in memory"),
            ("sessions lost", self.sessions_lost, "and the client was told"),
            ("other troubles", self.troubles, "must be 0"),
            ("left unsent", self.unsent, "must be 0: the client's outbox after its close"),
            ("connections", harm.connections, ""),
            ("cuts", harm.cuts, "after a random byte, half of them with a reset"),
            ("stalls", harm.stalls, "of up to 1.5 s; some are longer than the heartbeat allows"),
            ("half-closes", harm.half_closes, "one direction ended, the other stayed open"),
            ("client killed", self.client_kills, "with SIGKILL, and started again"),
            ("server killed", self.server_kills, "likewise"),
            ("of that, with SIGTERM", self.terminations, "which it obeyed in order"),
            ("messages per second", self.rate(), "handled, in both directions together"),
            ("seconds", self.seconds as u64, ""),
            ("seed", self.seed, ""),
        ];
        for (what, count, meaning) in rows {
            println!("{what:>24} {count:>21}   {meaning}");
        }
    }
}
