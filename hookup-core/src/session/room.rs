//! How much an outbox holds, and what becomes of a message that finds it full. Pure.
//!
//! 1. What was sent is never dropped: a message is sent, for good, once it or a later one was handed to a transport, or
//!    once an earlier process may have done that.
//! 2. A message is taken if it fits beside all that was sent; else nothing is dropped for it, and it is refused.
//! 3. An outbox above its bound drops the oldest that were not sent, until it is within, or all that is left was sent
//!    meanwhile. So what stays is what was sent, and the newest of the rest.
//! 4. What is on its way into the outbox counts. While the outbox is slow, that is up to its bound, and as much again that
//!    waits behind it; and it takes turns between what is to be dropped and what is to be sent. Above five times the bound,
//!    a message is refused.

use super::{Limits, OutboxPolicy};
use crate::outbox::Usage;

/// How many times the bound there may be at most.
const MOST: usize = 5;

/// What an outbox holds, or is about to.
#[derive(Debug)]
pub(super) struct Room {
    bound: Usage,
    policy: OutboxPolicy,
    usage: Usage,
    /// How much of that was not sent.
    unsent: Usage,
    /// The last `seq` that was sent.
    sent: u64,
    /// What an earlier process left up to this `seq` was sent, and is counted as not sent until it leaves.
    miscounted: u64,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        let (usage, unsent) = Default::default();
        Self { bound: limits.outbox, policy: limits.policy, usage, unsent, sent: 0, miscounted: 0 }
    }

    /// The outbox holds this, up to `last_seq`; `sent` is the last `seq` that an earlier process may have sent.
    pub(super) fn opened(&mut self, usage: Usage, last_seq: u64, sent: u64) {
        self.usage = usage;
        // How much lies on either side of it is not known; what is taken in error is dropped later.
        (self.unsent, self.miscounted) = if sent >= last_seq { (Usage::default(), 0) } else { (usage, sent) };
        self.sent = sent;
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a message is taken.
    pub(super) fn admits(&self, bytes: u64) -> bool {
        match self.policy {
            OutboxPolicy::Close | OutboxPolicy::DropNewest => self.usage.admits(bytes, self.bound),
            OutboxPolicy::DropOldest => {
                let Usage { messages, bytes: held } = self.bound;
                let most = Usage { messages: messages.saturating_mul(MOST), bytes: held.saturating_mul(MOST as u64) };
                self.fits_behind(Usage::default(), bytes) && self.usage.admits(bytes, most)
            }
        }
    }

    /// Whether something is to be dropped for a message of so many bytes.
    pub(super) fn is_over_with(&self, bytes: u64) -> bool {
        self.policy == OutboxPolicy::DropOldest && !self.usage.admits(bytes, self.bound)
    }

    /// Whether some of these, the newest that there are, are to be dropped for a message of so many bytes.
    pub(super) fn drops_for(&self, newest: Usage, bytes: u64) -> bool {
        self.policy == OutboxPolicy::DropOldest
            && self.fits_behind(Usage::default(), bytes)
            && !self.fits_behind(newest, bytes)
    }

    /// Whether a message fits beside what was sent, and this.
    fn fits_behind(&self, others: Usage, bytes: u64) -> bool {
        let messages = self.usage.messages.saturating_sub(self.unsent.messages).saturating_add(others.messages);
        let held = self.usage.bytes.saturating_sub(self.unsent.bytes).saturating_add(others.bytes);
        Usage { messages, bytes: held }.admits(bytes, self.bound)
    }

    /// What is above the bound, and is to be dropped.
    pub(super) fn excess(&self) -> Option<Usage> {
        let messages = self.usage.messages.saturating_sub(self.bound.messages);
        let bytes = self.usage.bytes.saturating_sub(self.bound.bytes);
        let has_any = self.policy == OutboxPolicy::DropOldest && (messages > 0 || bytes > 0);
        has_any.then_some(Usage { messages, bytes })
    }

    /// A message was taken.
    pub(super) fn add(&mut self, bytes: u64) {
        self.usage.add(bytes);
        self.unsent.add(bytes);
    }

    /// A message was handed to a transport.
    pub(super) fn send(&mut self, seq: u64, bytes: u64) {
        if seq > self.sent {
            self.sent = seq;
            self.unsent.subtract(bytes);
        }
    }

    /// A message has left.
    pub(super) fn remove(&mut self, seq: u64, bytes: u64) {
        self.usage.subtract(bytes);
        if seq > self.sent || seq <= self.miscounted {
            self.unsent.subtract(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const BOUND: Usage = Usage { messages: 4, bytes: 40 };

    fn room(policy: OutboxPolicy) -> Room {
        Room::new(&Limits { outbox: BOUND, policy, ..Limits::default() })
    }

    #[test]
    fn the_new_is_refused_unless_the_oldest_is_to_be_dropped() {
        for (policy, admits) in [(OutboxPolicy::DropNewest, false), (OutboxPolicy::DropOldest, true)] {
            let mut room = room(policy);
            (0..4).for_each(|_| room.add(1));
            assert_eq!((room.admits(1), room.excess()), (admits, None));
        }
    }

    #[test]
    fn what_does_not_fit_beside_what_was_sent_is_refused() {
        let mut room = room(OutboxPolicy::DropOldest);
        for seq in 1..=4 {
            room.add(10);
            if seq < 4 {
                room.send(seq, 10);
            }
        }
        assert!(room.admits(10), "the fourth makes room for it");
        assert!(!room.admits(11));
        room.send(4, 10);
        assert!(!room.admits(1), "all was sent");
    }

    #[test]
    fn what_an_earlier_process_may_have_sent_counts_as_sent() {
        let mut room = room(OutboxPolicy::DropOldest);
        room.opened(BOUND, 9, 9);
        assert!(!room.admits(1));
        room.opened(BOUND, 9, 8);
        assert!(room.admits(1));
    }

    #[test]
    fn what_an_earlier_process_sent_in_part_is_counted_right_when_it_has_left() {
        let mut room = room(OutboxPolicy::DropOldest);
        room.opened(BOUND, 9, 8);
        (6..=8).for_each(|seq| room.remove(seq, 10));
        assert_eq!((room.usage, room.unsent), (Usage { messages: 1, bytes: 10 }, Usage { messages: 1, bytes: 10 }));
        room.send(9, 10);
        for seq in 10..=12 {
            room.add(10);
            room.send(seq, 10);
        }
        assert!(!room.admits(1), "all was sent");
        room.remove(9, 10);
        assert!(room.admits(10));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Accept(u64),
        Send,
        Ack,
        Drop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..=BOUND.bytes).prop_map(Step::Accept),
            1 => Just(Step::Send),
            1 => Just(Step::Ack),
            2 => Just(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn it_counts_what_there_is_and_what_of_it_was_not_sent(steps in prop::collection::vec(step(), 1..200)) {
            let mut room = room(OutboxPolicy::DropOldest);
            // What is there: its `seq`, its bytes.
            let (mut held, mut last) = (VecDeque::<(u64, u64)>::new(), 0);
            for step in steps {
                match step {
                    Step::Accept(bytes) if room.admits(bytes) => {
                        last += 1;
                        room.add(bytes);
                        held.push_back((last, bytes));
                    }
                    Step::Accept(_) => {}
                    Step::Send => {
                        if let Some(&(seq, bytes)) = held.iter().find(|(seq, _)| *seq > room.sent()) {
                            room.send(seq, bytes);
                        }
                    }
                    Step::Ack => {
                        if held.front().is_some_and(|(seq, _)| *seq <= room.sent()) {
                            let (seq, bytes) = held.pop_front().expect("it is there");
                            room.remove(seq, bytes);
                        }
                    }
                    Step::Drop => {
                        while room.excess().is_some() {
                            let oldest = held.iter().position(|(seq, _)| *seq > room.sent());
                            let Some((seq, bytes)) = oldest.and_then(|at| held.remove(at)) else { break };
                            room.remove(seq, bytes);
                        }
                    }
                }
                let sum = |held: &mut dyn Iterator<Item = &(u64, u64)>| {
                    held.fold(Usage::default(), |mut sum, (_, bytes)| {
                        sum.add(*bytes);
                        sum
                    })
                };
                let sent = room.sent();
                prop_assert_eq!(room.usage(), sum(&mut held.iter()));
                prop_assert_eq!(room.unsent, sum(&mut held.iter().filter(|(seq, _)| *seq > sent)));
                prop_assert!(room.usage().messages <= MOST * BOUND.messages && room.usage().bytes <= MOST as u64 * BOUND.bytes);
            }
        }
    }
}
