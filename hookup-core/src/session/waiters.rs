//! Who waits for a message to be accepted, or to be acked.

use std::collections::HashMap;

use actix::dev::OneshotSender;

use super::submission::Waiter;
use crate::{error::SendResult, outbound::Outbound};

/// Who waits for what; for a message of a `do_send`, nobody does.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// For messages to be accepted.
    pub(super) accepted: HashMap<u64, OneshotSender<SendResult>>,
    /// For messages to be acked.
    pub(super) acked: HashMap<u64, (OneshotSender<SendResult>, Outbound)>,
}

impl Waiters {
    pub(super) fn insert(&mut self, seq: u64, waiter: Waiter, outbound: &Outbound) {
        match waiter {
            Some(waiter) if outbound.ack_within().is_some() => {
                self.acked.insert(seq, (waiter, outbound.clone()));
            }
            Some(waiter) => {
                self.accepted.insert(seq, waiter);
            }
            None => {}
        }
    }

    pub(super) fn take(&mut self, seq: u64) -> Waiter {
        self.accepted.remove(&seq).or_else(|| self.acked.remove(&seq).map(|(waiter, _)| waiter))
    }
}
