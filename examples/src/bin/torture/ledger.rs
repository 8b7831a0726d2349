//! One direction's account: what was accepted at one end and handled at the other, and where that is not what was promised.
//!
//! The promise: what was accepted is handled; in the order of acceptance; once, but for repeats that are flagged, which
//! have the key of the first time; and what was refused is not handled. A message that was neither accepted nor refused
//! when its process was killed may be handled or not; but not out of order.

use std::collections::{BTreeMap, HashMap};

use hookup_client::{MessageKey, RunId};
use serde::Serialize;

use crate::journal::Handled;

/// One direction's account.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By the sender's life.
    lives: BTreeMap<u32, Life>,
    /// The last message that was handled for the first time.
    last: (u32, u64),
    /// The last `seq` of each run.
    seqs: HashMap<RunId, u64>,
    pub(crate) counts: Counts,
    /// The first faults, in words.
    pub(crate) faults: Vec<String>,
}

/// How many messages met which fate.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) handled: u64,
    /// Flagged, whether they were repeats or not.
    pub(crate) flagged: u64,
    pub(crate) repeated_flagged: u64,
    pub(crate) repeated_unflagged: u64,
    pub(crate) out_of_order: u64,
    /// A key that is another message's, or not that of the first time.
    pub(crate) wrong_key: u64,
    pub(crate) refused_and_handled: u64,
    /// Accepted, and not handled: while it runs, what is on its way.
    pub(crate) lost: u64,
    /// Of those that a server with its sessions in memory took with it.
    pub(crate) lost_with_server: u64,
}

impl Counts {
    /// How often the promise was broken; what is on its way must have arrived.
    pub(crate) fn broken(&self) -> u64 {
        let misdelivered = self.repeated_unflagged + self.out_of_order + self.refused_and_handled;
        self.lost + misdelivered + self.wrong_key
    }
}

#[derive(Default)]
struct Life {
    accepted: Spans,
    refused: Spans,
    /// In order, and apart.
    handled: Vec<Span>,
    lost: u64,
    is_gone: bool,
}

/// Messages one after the other, handled by one process, with keys one after the other.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
    first_key: MessageKey,
    by: u32,
}

impl Span {
    fn key(&self, n: u64) -> MessageKey {
        MessageKey { seq: self.first_key.seq + (n - self.from), ..self.first_key }
    }
}

/// Numbers, noted in rising order.
#[derive(Default)]
struct Spans(Vec<(u64, u64)>);

impl Spans {
    fn push(&mut self, from: u64, to: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end + 1 == from => *end = to,
            _ => self.0.push((from, to)),
        }
    }

    fn contains(&self, n: u64) -> bool {
        let at = self.0.partition_point(|&(_, to)| to < n);
        self.0.get(at).is_some_and(|&(from, _)| from <= n)
    }
}

impl Life {
    /// How many of these were handled.
    fn count_handled(&self, from: u64, to: u64) -> u64 {
        let at = self.handled.partition_point(|span| span.to < from);
        let within = self.handled[at..].iter().take_while(|span| span.from <= to);
        within.map(|span| span.to.min(to) + 1 - span.from.max(from)).sum()
    }

    fn find(&self, n: u64) -> Result<Span, usize> {
        let at = self.handled.partition_point(|span| span.to < n);
        self.handled.get(at).filter(|span| span.from <= n).copied().ok_or(at)
    }
}

impl Ledger {
    pub(crate) fn accepted(&mut self, life: u32, from: u64, to: u64) {
        let life = self.lives.entry(life).or_default();
        life.accepted.push(from, to);
        self.counts.accepted += to + 1 - from;
        life.lost += to + 1 - from - life.count_handled(from, to);
    }

    pub(crate) fn refused(&mut self, life: u32, from: u64, to: u64) {
        let number = life;
        let life = self.lives.entry(life).or_default();
        life.refused.push(from, to);
        self.counts.refused += to + 1 - from;
        let handled = life.count_handled(from, to);
        if handled > 0 {
            self.counts.refused_and_handled += handled;
            self.fault(format_args!("{handled} of {from} to {to} of life {number} were handled, and are refused"));
        }
    }

    /// A message was handled by the receiver's process `by`.
    pub(crate) fn handled(&mut self, message: Handled, by: u32) {
        let Handled { life: number, n, redelivered, key } = message;
        self.counts.flagged += u64::from(redelivered);
        let life = self.lives.entry(number).or_default();
        let at = match life.find(n) {
            Ok(before) => return self.repeated(message, by, before),
            Err(at) => at,
        };
        let is_next = at
            .checked_sub(1)
            .and_then(|at| life.handled.get_mut(at))
            .filter(|span| (span.to + 1, span.by) == (n, by) && span.key(n) == key);
        match is_next {
            Some(span) => span.to = n,
            None => life.handled.insert(at, Span { from: n, to: n, first_key: key, by }),
        }
        self.counts.handled += 1;
        life.lost -= u64::from(life.accepted.contains(n));
        if life.refused.contains(n) {
            self.counts.refused_and_handled += 1;
            self.fault(format_args!("{message:?} was refused"));
        }
        if self.last >= (number, n) {
            self.counts.out_of_order += 1;
            let last = self.last;
            self.fault(format_args!("{message:?} comes behind {last:?}"));
        }
        self.last = self.last.max((number, n));
        let seq = self.seqs.entry(key.run).or_default();
        if *seq >= key.seq {
            self.counts.wrong_key += 1;
            self.fault(format_args!("{message:?} has a key that was used before"));
        } else {
            *seq = key.seq;
        }
    }

    fn repeated(&mut self, message: Handled, by: u32, before: Span) {
        if before.key(message.n) != message.key {
            self.counts.wrong_key += 1;
            self.fault(format_args!("{message:?} comes again, first as {:?}", before.key(message.n)));
        }
        // A process that has handled a message knows it; its flag excuses only what one before it did.
        if message.redelivered && by != before.by {
            self.counts.repeated_flagged += 1;
        } else {
            self.counts.repeated_unflagged += 1;
            self.fault(format_args!("{message:?} was handled by process {} and again by {by}", before.by));
        }
    }

    /// What this life had queued went with it.
    pub(crate) fn gone(&mut self, life: u32) {
        self.lives.entry(life).or_default().is_gone = true;
    }

    /// How many messages are on their way, or lost.
    pub(crate) fn outstanding(&self) -> u64 {
        self.lives.values().filter(|life| !life.is_gone).map(|life| life.lost).sum()
    }

    /// How often each fate was met so far.
    pub(crate) fn counts(&self) -> Counts {
        let gone = self.lives.values().filter(|life| life.is_gone).map(|life| life.lost).sum();
        Counts { lost: self.outstanding(), lost_with_server: gone, ..self.counts }
    }

    fn fault(&mut self, words: std::fmt::Arguments<'_>) {
        if self.faults.len() < 20 {
            self.faults.push(words.to_string());
        }
    }
}
