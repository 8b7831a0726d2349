//! What this end sends: its runs, what is unacked, the window, and what the peer has handled.

use std::collections::{BTreeMap, VecDeque};

use super::{
    frame::{RunOffer, bad},
    ids::{MAX_SEQ, RunId},
    render,
    state::OwnRun,
};
use crate::{
    error::SendFailure,
    link::Transmit,
    outbound::Outbound,
    outbox::{Entry, Usage},
    ranges::Ranges,
    ws::CloseReason,
};

/// The sender's half of a link.
#[derive(Debug)]
pub(super) struct Sending {
    /// Oldest first; the last is the present one.
    runs: VecDeque<Run>,
    /// Messages that were loaded from the outbox and are not acked, in order.
    queue: VecDeque<Entry>,
    queue_bytes: u64,
    /// How many of them, from the front, were sent over the present connection, and what they amount to.
    sent: usize,
    in_flight: Usage,
    /// The last place of the outbox that the outbox has confirmed.
    committed: u64,
    /// The place of the last message that was sent or skipped over the present connection.
    reached: u64,
    /// The run that the peer takes the next message to be of.
    announced: Option<RunId>,
    /// The run of the last ack on the present connection.
    acked: Option<RunId>,
    bound: Usage,
    window: Usage,
    max_frame_bytes: usize,
    max_frame_bytes_here: usize,
    /// Places of messages that were dropped, as there was no room for them: the peer is told how many they were.
    lost: Ranges,
    /// Refusals of messages that an earlier process sent, and that were not loaded yet.
    early_refusals: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Run {
    own: OwnRun,
    /// The highest `seq` that may ever have been transmitted.
    sent: u64,
    /// The last ack on the present connection.
    heard: u64,
}

/// A message that the peer is done with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) entry: Entry,
    pub(super) refused: Option<String>,
}

impl Sending {
    /// The runs of an opened state, the last of which has just begun.
    pub(super) fn new(runs: &[OwnRun], bound: Usage, max_frame_bytes: usize) -> Self {
        let ends = runs.iter().skip(1).map(|run| Some(run.base)).chain([None]);
        let runs = runs.iter().zip(ends).map(|(&own, end)| {
            let sent = end.filter(|_| own.welcomed).map_or(0, |end| end - own.base);
            Run { own, sent, heard: 0 }
        });
        let runs = runs.collect::<VecDeque<_>>();
        let base = runs.back().map_or(0, |run| run.own.base);
        Self {
            runs,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent: 0,
            in_flight: Usage::default(),
            committed: base,
            reached: 0,
            announced: None,
            acked: None,
            bound,
            window: bound,
            max_frame_bytes,
            max_frame_bytes_here: max_frame_bytes,
            lost: Ranges::default(),
            early_refusals: BTreeMap::new(),
        }
    }

    /// The place in the outbox behind which the present run's messages lie.
    pub(super) fn base(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.own.base)
    }

    /// The runs as they are to be persisted.
    pub(super) fn runs(&self) -> impl Iterator<Item = OwnRun> + '_ {
        self.runs.iter().map(|run| run.own)
    }

    /// The place behind the last of run `i`, as far as it is known here.
    fn end(&self, i: usize) -> u64 {
        self.runs.get(i + 1).map_or(self.committed.max(self.base()), |next| next.own.base)
    }

    /// The message at this place was dropped, unsent.
    pub(super) fn dropped(&mut self, place: u64) {
        self.lost.insert(place..place + 1);
    }

    /// The outbox has confirmed all messages up to this place.
    pub(super) fn committed(&mut self, place: u64) {
        self.committed = self.committed.max(place);
    }

    /// Nothing has been sent over the connection that begins.
    pub(super) fn reset(&mut self) {
        self.sent = 0;
        self.in_flight = Usage::default();
        self.announced = None;
        self.acked = None;
        self.window = self.bound;
        self.max_frame_bytes_here = self.max_frame_bytes;
        self.runs.iter_mut().for_each(|run| run.heard = 0);
    }

    /// Gives back what was loaded: it is to be loaded again, from the start.
    pub(super) fn unload(&mut self) -> VecDeque<Entry> {
        self.reset();
        self.queue_bytes = 0;
        std::mem::take(&mut self.queue)
    }

    /// Whether the peer, by what it claims to have handled, has heard of a run.
    pub(super) fn is_listed(&self, recv: &BTreeMap<RunId, u64>) -> bool {
        self.runs.iter().any(|run| recv.contains_key(&run.own.run))
    }

    /// Leaves out the runs that have nothing left, but for the present one.
    pub(super) fn prune(&mut self) {
        let mut end = u64::MAX;
        for i in (0..self.runs.len()).rev() {
            let OwnRun { base, acked, .. } = self.runs[i].own;
            if base + acked >= end {
                self.runs.remove(i);
            }
            end = base;
        }
    }

    /// What a hello or a welcome says of the runs.
    pub(super) fn offer(&self) -> Vec<RunOffer> {
        let offer = |(i, run): (usize, &Run)| RunOffer {
            run: run.own.run,
            lo: run.own.acked + 1,
            next: self.end(i) - run.own.base + 1,
            sent: run.sent,
        };
        self.runs.iter().enumerate().map(offer).collect()
    }

    /// A welcome was sent or came: from now on messages of these runs may be sent.
    pub(super) fn welcomed(&mut self) {
        self.runs.iter_mut().for_each(|run| run.own.welcomed = true);
    }

    /// Checks what a peer claims to have handled.
    pub(super) fn check(&self, recv: &BTreeMap<RunId, u64>) -> Result<(), CloseReason> {
        let present = self.runs.back().map(|run| (recv.get(&run.own.run).copied(), run.sent));
        match present {
            // An older run's end can have been forgotten here, with an old copy that was restored; this one's cannot.
            Some((Some(cursor), sent)) if cursor > sent => Err(bad("a cursor beyond what was sent")),
            _ => Ok(()),
        }
    }

    /// Forgets what the peer has handled by its hello or welcome, and takes its window.
    pub(super) fn attach(
        &mut self,
        recv: &BTreeMap<RunId, u64>,
        window: Usage,
        max_bytes: usize,
        mut done: impl FnMut(Done),
    ) {
        self.window = window;
        self.max_frame_bytes_here = self.max_frame_bytes.min(max_bytes);
        for i in 0..self.runs.len() {
            if let Some(&cursor) = recv.get(&self.runs[i].own.run) {
                let cursor = cursor.min(self.end(i) - self.runs[i].own.base);
                self.runs[i].heard = cursor;
                self.cover(i, cursor);
            }
        }
        self.forget_covered(None, &mut done);
    }

    /// The peer has handled a run, that of the last ack if none is named, up to `seq`, and refused that one, if there is
    /// a reason.
    pub(super) fn acked(
        &mut self,
        run: Option<RunId>,
        seq: u64,
        refused: Option<String>,
        mut done: impl FnMut(Done),
    ) -> Result<(), CloseReason> {
        let run = run.or(self.acked).ok_or_else(|| bad("an ack without its run"))?;
        let i = self.runs.iter().position(|known| known.own.run == run);
        let i = i.ok_or_else(|| bad("an ack of a run that was not listed"))?;
        // Only the present run's end is known for certain; see `check`.
        let is_present = i + 1 == self.runs.len();
        let end = self.end(i);
        let known = &mut self.runs[i];
        if is_present && seq > known.sent {
            return Err(bad("an ack beyond what was sent"));
        }
        if seq < known.heard {
            return Err(bad("a cursor that goes back"));
        }
        known.heard = seq;
        self.acked = Some(run);
        let place = known.own.base + seq;
        let is_of_interest = seq > known.own.acked && place <= end;
        let seq = seq.min(end - known.own.base);
        self.cover(i, seq);
        self.forget_covered(refused.filter(|_| is_of_interest).map(|reason| (place, reason)), &mut done);
        Ok(())
    }

    /// Notes a cursor of the peer's; one above 0 covers all older runs, too.
    fn cover(&mut self, i: usize, seq: u64) {
        self.runs[i].own.acked = self.runs[i].own.acked.max(seq);
        if seq > 0 {
            for older in 0..i {
                self.runs[older].own.acked = self.end(older) - self.runs[older].own.base;
            }
        }
    }

    /// Whether the peer is known to have handled the message at this place.
    fn is_covered(&self, place: u64) -> bool {
        let run = &self.runs[self.run_at(place)].own;
        place <= run.base + run.acked
    }

    fn forget_covered(&mut self, refused: Option<(u64, String)>, done: &mut impl FnMut(Done)) {
        let mut refused = refused;
        while self.queue.front().is_some_and(|entry| self.is_covered(entry.seq)) {
            let Some(entry) = self.withdraw(0) else { break };
            let refused = refused.take_if(|(place, _)| *place == entry.seq).map(|(_, reason)| reason);
            done(Done { entry, refused });
        }
        let handled = self.runs.iter().rev().find(|run| run.own.acked > 0);
        self.lost.remove_upto(handled.map_or(0, |run| run.own.base + run.own.acked));
        self.early_refusals.extend(refused);
        if self.early_refusals.len() > self.bound.messages {
            self.early_refusals.pop_first();
        }
    }

    /// How many messages may be pushed.
    pub(super) fn room(&self) -> usize {
        let waiting = self.queue_bytes - self.in_flight.bytes;
        if waiting >= self.bound.bytes {
            return 0;
        }
        self.bound.messages.saturating_sub(self.queue.len() - self.sent)
    }

    /// Takes the next message from the outbox, unless the peer is done with it already.
    pub(super) fn push(&mut self, entry: Entry) -> Option<Done> {
        if self.is_covered(entry.seq) {
            // Those of messages before it are of messages that are gone.
            self.early_refusals = self.early_refusals.split_off(&entry.seq);
            let refused = self.early_refusals.remove(&entry.seq);
            return Some(Done { entry, refused });
        }
        self.committed(entry.seq);
        self.queue_bytes += entry.bytes();
        self.queue.push_back(entry);
        None
    }

    /// The message at this place, if it is here.
    pub(super) fn get(&self, place: u64) -> Option<&Outbound> {
        let at = self.queue.binary_search_by_key(&place, |entry| entry.seq).ok()?;
        Some(&self.queue[at].outbound)
    }

    /// Takes out a message, whether it was sent over the present connection or not.
    fn withdraw(&mut self, at: usize) -> Option<Entry> {
        let entry = self.queue.remove(at)?;
        self.queue_bytes -= entry.bytes();
        if at < self.sent {
            self.sent -= 1;
            self.in_flight.subtract(entry.bytes());
        }
        Some(entry)
    }

    /// The place of the last message that may ever have been sent.
    pub(super) fn sent_place(&self) -> u64 {
        let sent = self.runs.iter().filter(|run| run.sent > 0).map(|run| run.own.base + run.sent);
        sent.max().unwrap_or(0)
    }

    /// Takes out the oldest message behind `sent`, which is to be the last that was sent.
    pub(super) fn take_unsent(&mut self, sent: u64) -> Option<Entry> {
        self.withdraw(self.queue.partition_point(|entry| entry.seq <= sent))
    }

    /// The peer closed the connection because of a message that was too big for it. The longest that was sent over the
    /// connection is one that is: it is taken out.
    pub(super) fn too_big(&mut self) -> Option<(Entry, SendFailure)> {
        let sent = self.queue.iter().take(self.sent).enumerate();
        let (at, len) = sent.map(|(at, entry)| (at, entry.bytes())).max_by_key(|&(_, len)| len)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Some((self.withdraw(at)?, SendFailure::TooBig { len, limit: len.saturating_sub(1) }))
    }

    fn run_at(&self, place: u64) -> usize {
        // There are few runs, and what is sent is mostly of the last.
        self.runs.iter().rposition(|run| run.own.base < place).unwrap_or(0)
    }

    /// The next frame to send, if there is one and the window allows it. `now` is a wall clock's, in milliseconds.
    pub(super) fn poll(&mut self, now: u64) -> Option<Transmit> {
        let entry = self.queue.get(self.sent)?;
        if entry.outbound.has_expired(now) {
            let entry = self.withdraw(self.sent)?;
            return Some(Transmit::Failed { entry, failure: SendFailure::Expired });
        }
        let bytes = entry.bytes();
        if self.sent > 0 && !self.in_flight.admits(bytes, self.window) {
            return None;
        }
        let place = entry.seq;
        let i = self.run_at(place);
        let run = &mut self.runs[i];
        if self.announced != Some(run.own.run) {
            self.announced = Some(run.own.run);
            self.reached = run.own.base + run.own.acked;
            return Some(Transmit::Frame(render::run(run.own.run)));
        }
        let seq = place - run.own.base;
        if self.reached + 1 < place {
            // What lay between was withdrawn, or the outbox could not keep it.
            let from = self.reached + 1 - run.own.base;
            let lost = self.lost.count(self.reached + 1..place);
            self.reached = place - 1;
            run.sent = run.sent.max(seq - 1);
            return Some(Transmit::Frame(render::skip(from, seq - 1, lost)));
        }
        let frame = render::message(entry.outbound.message(), Some(seq));
        if frame.len() > self.max_frame_bytes_here || seq > MAX_SEQ {
            let failure = SendFailure::TooBig { len: frame.len(), limit: self.max_frame_bytes_here };
            return Some(Transmit::Failed { entry: self.withdraw(self.sent)?, failure });
        }
        run.sent = run.sent.max(seq);
        self.reached = place;
        let within = entry.outbound.ack_within();
        self.sent += 1;
        self.in_flight.add(bytes);
        Some(Transmit::Request { frame, seq: place, within })
    }

    /// Whether everything that was loaded was sent over the present connection.
    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.queue.len()
    }

    /// Whether everything that was loaded was acked.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes out the oldest message that is not acked, and whether it may have been sent.
    pub(super) fn give_up(&mut self) -> Option<(Entry, bool)> {
        let place = self.queue.front()?.seq;
        let run = &self.runs[self.run_at(place)];
        let may_be_sent = place - run.own.base <= run.sent;
        Some((self.withdraw(0)?, may_be_sent))
    }
}
