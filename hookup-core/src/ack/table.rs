//! The table of pending acks. Pure: the time is passed in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Whose acks they are: a session, or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

impl Owner {
    /// An owner that is like no other in this process.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// How a pending ack ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckOutcome {
    /// The peer's handler is done with the message.
    Acked,
    /// The peer's handler refused the message, in these words.
    Refused(String),
    /// Neither came in time.
    TimedOut,
    /// The session ended before.
    Lost,
}

/// All pending acks of an arbiter: each is armed once, and ends once.
#[derive(Debug, Default)]
pub struct AckTable {
    pending: BTreeMap<(Owner, u64), Instant>,
    deadlines: BTreeSet<(Instant, Owner, u64)>,
}

impl AckTable {
    /// Begins to wait for the ack of the owner's message `seq`. One that is pending already keeps its deadline.
    pub fn arm(&mut self, owner: Owner, seq: u64, deadline: Instant) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.pending.entry((owner, seq)) {
            vacant.insert(deadline);
            self.deadlines.insert((deadline, owner, seq));
        }
    }

    /// Ends a pending ack; false when it is not pending: an ack that is late, unknown, or a duplicate.
    pub fn end(&mut self, owner: Owner, seq: u64) -> bool {
        let Some(deadline) = self.pending.remove(&(owner, seq)) else { return false };
        self.deadlines.remove(&(deadline, owner, seq));
        true
    }

    /// Takes out one ack whose deadline has come.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(Owner, u64)> {
        let &(deadline, owner, seq) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        self.pending.remove(&(owner, seq));
        Some((owner, seq))
    }

    /// Takes out all acks of an owner, in order.
    pub fn leave(&mut self, owner: Owner) -> Vec<u64> {
        let seqs = self.pending.range((owner, 0)..=(owner, u64::MAX)).map(|(&(_, seq), _)| seq);
        let seqs = seqs.collect::<Vec<_>>();
        for &seq in &seqs {
            self.end(owner, seq);
        }
        seqs
    }

    /// When the next one expires.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, ..)| deadline)
    }

    /// How many are pending.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Arm { owner: usize, seq: u64, after: u64 },
        End { owner: usize, seq: u64 },
        Leave { owner: usize },
        Advance { by: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let (owner, seq) = (0..3_usize, 0..8_u64);
        prop_oneof![
            4 => (owner.clone(), seq.clone(), 0..50_u64).prop_map(|(owner, seq, after)| Step::Arm { owner, seq, after }),
            3 => (owner.clone(), seq).prop_map(|(owner, seq)| Step::End { owner, seq }),
            1 => owner.prop_map(|owner| Step::Leave { owner }),
            2 => (0..40_u64).prop_map(|by| Step::Advance { by }),
        ]
    }

    proptest! {
        #[test]
        fn every_ack_that_was_armed_ends_exactly_once(steps in prop::collection::vec(step(), 0..200)) {
            let owners = [Owner::new(), Owner::new(), Owner::new()];
            let (mut table, mut model) = (AckTable::default(), HashMap::new());
            let mut now = Instant::now();
            for step in steps {
                match step {
                    Step::Arm { owner, seq, after } => {
                        let deadline = now + Duration::from_secs(after);
                        table.arm(owners[owner], seq, deadline);
                        model.entry((owners[owner], seq)).or_insert(deadline);
                    }
                    Step::End { owner, seq } => {
                        let was_pending = model.remove(&(owners[owner], seq)).is_some();
                        prop_assert_eq!(table.end(owners[owner], seq), was_pending);
                    }
                    Step::Leave { owner } => {
                        for seq in table.leave(owners[owner]) {
                            prop_assert!(model.remove(&(owners[owner], seq)).is_some());
                        }
                        prop_assert!(model.keys().all(|&(o, _)| o != owners[owner]));
                    }
                    Step::Advance { by } => {
                        now += Duration::from_secs(by);
                        while let Some(key) = table.pop_expired(now) {
                            let deadline = model.remove(&key);
                            prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                        }
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.next_deadline(), model.values().min().copied());
            }
        }
    }
}
