//! What this end receives: the peer's runs, what of them was handed over and what was handled, and what is acked.

use std::collections::{BTreeMap, VecDeque};

use super::{
    frame::{RunOffer, bad},
    ids::RunId,
    render,
    state::Cursor,
};
use crate::ws::{CloseReason, Frame};

/// The receiver's half of a link.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// As the peer listed them, oldest first.
    runs: Vec<Run>,
    /// Which of them the messages that come in are of.
    present: Option<usize>,
    /// The run of the last ack on the present connection.
    acked: Option<RunId>,
    /// Refusals whose arrival is not known.
    refusals: VecDeque<Refusal>,
    /// How many of those are kept: the peer's window has no more unacked.
    max_refusals: usize,
}

#[derive(Debug)]
struct Run {
    run: RunId,
    /// The highest `seq` that was handed over, or skipped.
    taken: u64,
    /// The highest `seq` that was handled, with all before it.
    cursor: u64,
    /// What the save that is under way, and the last one, has as the cursor.
    saving: u64,
    saved: u64,
    /// The last ack on the present connection.
    acked: u64,
    /// A message came that was handled before, and is to be acked again.
    again: bool,
    /// Messages up to this one may have been handled by a process before this one; known when the peer lists the run.
    maybe: Option<u64>,
    /// When the first is handled, so are those up to the second: they carry nothing.
    skips: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Refusal {
    run: RunId,
    seq: u64,
    reason: String,
    sent: bool,
}

/// What comes of a message's `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be handed over.
    New { run: RunId, redelivered: bool },
    /// It was handed over before.
    Again,
}

impl Receiving {
    pub(super) fn new(cursors: &[Cursor], max_refusals: usize) -> Self {
        let runs = cursors.iter().map(|&Cursor { run, seq }| Run::new(run, seq)).collect();
        Self { runs, max_refusals: max_refusals.max(1), ..Self::default() }
    }

    /// Whether the peer has ever listed a run.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Nothing came over the connection that begins.
    pub(super) fn reset(&mut self) {
        self.present = None;
        self.acked = None;
        for run in &mut self.runs {
            run.again = false;
        }
        for refusal in &mut self.refusals {
            refusal.sent = false;
        }
    }

    /// The cursors, as they are to be persisted; they are what [`Receiving::saved`] then means.
    pub(super) fn saving(&mut self) {
        self.runs.iter_mut().for_each(|run| run.saving = run.cursor);
    }

    pub(super) fn cursors(&self) -> impl Iterator<Item = Cursor> + '_ {
        self.runs.iter().map(|run| Cursor { run: run.run, seq: run.saving })
    }

    pub(super) fn saved(&mut self) {
        self.runs.iter_mut().for_each(|run| run.saved = run.saving);
    }

    /// What a hello or a welcome says was handled. It ends before a refusal that may not have arrived, which is sent again
    /// before the rest is acked. Of a newer run it then says 0, as a cursor above that covers all older runs.
    pub(super) fn recv(&mut self) -> BTreeMap<RunId, u64> {
        let refusals = &self.refusals;
        let mut was_refused = false;
        let recv = self.runs.iter_mut().map(|run| {
            let refused = refusals.iter().find(|refusal| refusal.run == run.run).map(|refusal| refusal.seq - 1);
            run.acked = if was_refused { 0 } else { run.saved.min(refused.unwrap_or(u64::MAX)) };
            was_refused |= refused.is_some();
            (run.run, run.acked)
        });
        recv.collect()
    }

    /// Takes the peer's list of runs. What is missing is given to `gap`, with the run and `seq` that it ends with.
    pub(super) fn attach(&mut self, offers: &[RunOffer], mut gap: impl FnMut(u64, RunId, u64)) {
        let mut known = std::mem::take(&mut self.runs);
        for offer in offers {
            let run = match known.iter().position(|run| run.run == offer.run) {
                Some(at) => {
                    let mut run = known.swap_remove(at);
                    run.maybe.get_or_insert(offer.sent);
                    if offer.lo > run.taken + 1 {
                        gap(offer.lo - 1 - run.taken, run.run, offer.lo - 1);
                        run.taken = offer.lo - 1;
                    }
                    run
                }
                None => Run { maybe: Some(offer.sent), ..Run::new(offer.run, offer.lo - 1) },
            };
            self.refusals.retain(|refusal| refusal.run != offer.run || refusal.seq >= offer.lo);
            self.runs.push(run);
        }
        let runs = &self.runs;
        self.refusals.retain(|refusal| runs.iter().any(|run| run.run == refusal.run));
    }

    /// The messages that follow are of this run.
    pub(super) fn announced(&mut self, run: RunId) -> Result<(), CloseReason> {
        let at = self.runs.iter().position(|known| known.run == run);
        self.present = Some(at.ok_or_else(|| bad("a run that was not listed"))?);
        Ok(())
    }

    fn present(&mut self) -> Result<&mut Run, CloseReason> {
        let present = self.present.and_then(|at| self.runs.get_mut(at));
        present.ok_or_else(|| bad("a sequenced message before its run"))
    }

    /// A message with a `seq` came.
    pub(super) fn take(&mut self, seq: u64) -> Result<Taken, CloseReason> {
        let run = self.present()?;
        if seq > run.taken + 1 {
            return Err(bad("a seq with a hole before it"));
        }
        if seq <= run.taken {
            run.again |= seq <= run.cursor;
            return Ok(Taken::Again);
        }
        run.taken = seq;
        Ok(Taken::New { run: run.run, redelivered: run.maybe.is_some_and(|maybe| seq <= maybe) })
    }

    /// These carry nothing, and so many of them were dropped by the peer.
    pub(super) fn skip(&mut self, seq: u64, to: u64, lost: u64) -> Result<Skipped, CloseReason> {
        let run = self.present()?;
        if seq > run.taken + 1 {
            return Err(bad("a skip with a hole before it"));
        }
        if to <= run.taken {
            run.again |= to <= run.cursor;
            return Ok(Skipped::Nothing);
        }
        // Of some it may have been told before.
        let missed = lost.min(to - run.taken);
        if missed > 0 {
            run.taken = to;
            return Ok(Skipped::Gap { missed, run: run.run });
        }
        match run.skips.back_mut() {
            Some((_, end)) if *end == run.taken => *end = to,
            _ => run.skips.push_back((run.taken, to)),
        }
        run.taken = to;
        Ok(if self.settle() { Skipped::Settled } else { Skipped::Nothing })
    }

    /// A message, or the news of a gap that ends with `seq`, was handled; whether the cursor moved.
    pub(super) fn handled(&mut self, run: RunId, seq: u64, refused: Option<&str>) -> bool {
        let Some(known) = self.runs.iter_mut().find(|known| known.run == run) else { return false };
        if let Some(reason) = refused {
            if self.refusals.len() >= self.max_refusals {
                self.refusals.pop_front();
            }
            self.refusals.push_back(Refusal { run, seq, reason: render::shortened(reason).to_owned(), sent: false });
        }
        let moved = seq > known.cursor;
        known.cursor = known.cursor.max(seq);
        self.settle() | moved
    }

    /// Moves the cursors over what carries nothing, once all before it was handled; whether one moved. A cursor above 0
    /// says of all older runs that they are done, so it is not moved before they are.
    fn settle(&mut self) -> bool {
        let mut moved = false;
        for run in &mut self.runs {
            moved |= run.settle();
            if run.cursor < run.taken {
                break;
            }
        }
        moved
    }

    /// Whether an ack, or a refusal, may be sent.
    pub(super) fn owes(&self) -> bool {
        self.runs.iter().any(|run| run.again || run.saved > run.acked)
    }

    /// The next ack or refusal; none is sent of a cursor that is not persisted.
    pub(super) fn poll(&mut self) -> Option<Frame> {
        let run = self.runs.iter_mut().find(|run| run.again || run.saved > run.acked)?;
        let named = Some(run.run).filter(|&run| self.acked != Some(run));
        self.acked = Some(run.run);
        let refusal = self.refusals.iter_mut().find(|refusal| refusal.run == run.run && !refusal.sent);
        if let Some(refusal) = refusal.filter(|refusal| refusal.seq <= run.saved) {
            refusal.sent = true;
            run.acked = run.acked.max(refusal.seq);
            run.again &= run.saved > run.acked;
            return Some(render::nack(named, refusal.seq, &refusal.reason));
        }
        run.acked = run.saved.max(run.acked);
        run.again = false;
        Some(render::ack(named, run.acked))
    }
}

/// What a skip comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// Nothing that is new, or nothing yet.
    Nothing,
    /// A cursor moved.
    Settled,
    /// The handler is to be told first.
    Gap { missed: u64, run: RunId },
}

impl Run {
    fn new(run: RunId, cursor: u64) -> Self {
        Self {
            run,
            taken: cursor,
            cursor,
            saving: cursor,
            saved: cursor,
            acked: cursor,
            again: false,
            maybe: None,
            skips: VecDeque::new(),
        }
    }

    fn settle(&mut self) -> bool {
        let before = self.cursor;
        while let Some(&(_, to)) = self.skips.front().filter(|(at, _)| *at <= self.cursor) {
            self.cursor = self.cursor.max(to);
            self.skips.pop_front();
        }
        self.cursor > before
    }
}
