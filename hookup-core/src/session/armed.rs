//! Which acks the supervisor was asked to wait for, and what is known of them meanwhile.

use std::collections::{HashMap, HashSet};

use crate::outbound::Outbound;

#[derive(Debug, Default)]
pub(super) struct Armed {
    /// By `seq`; with the message, when it was delivered over `hookup.v2` and only the supervisor has not said so yet.
    waiting: HashMap<u64, Option<Outbound>>,
    /// Those that timed out and stay in the outbox: their wait is not to begin again.
    timed_out: HashSet<u64>,
}

impl Armed {
    /// A message was sent whose ack is waited for; whether the supervisor is to be told.
    pub(super) fn arm(&mut self, seq: u64) -> bool {
        if self.timed_out.contains(&seq) {
            return false;
        }
        self.waiting.entry(seq).or_default();
        true
    }

    pub(super) fn is_armed(&self, seq: u64) -> bool {
        self.waiting.contains_key(&seq)
    }

    /// The peer is done with a message whose ack the supervisor waits for; it is about to be told.
    pub(super) fn answered(&mut self, seq: u64, outbound: Outbound) {
        self.waiting.insert(seq, Some(outbound));
    }

    /// A message whose wait is over, or never began, has left the outbox.
    pub(super) fn left(&mut self, seq: u64) {
        self.timed_out.remove(&seq);
    }

    /// The supervisor has decided, or the wait is over otherwise: the message, if it was delivered.
    pub(super) fn ended(&mut self, seq: u64) -> Option<Outbound> {
        self.waiting.remove(&seq).flatten()
    }

    /// A message's wait is over, and it stays in the outbox.
    pub(super) fn stays(&mut self, seq: u64) {
        self.timed_out.insert(seq);
    }

    /// Whether the supervisor has yet to say how the wait for a delivered message ended.
    pub(super) fn has_answered(&self) -> bool {
        self.waiting.values().any(Option::is_some)
    }
}
