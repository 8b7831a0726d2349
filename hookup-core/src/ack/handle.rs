//! An owner's line to its arbiter's supervisor: what one wake-up did travels as one message.

use std::time::{Duration, Instant};

use actix::{Addr, ArbiterService, Recipient};

use super::{AckBatch, AckOp, AckOutcomes, AckSupervisor, Enrol, Leave, Owner};
use crate::error::LONGEST;

#[derive(Debug)]
pub(crate) struct AckHandle {
    owner: Owner,
    supervisor: Addr<AckSupervisor>,
    ops: Vec<AckOp>,
}

impl AckHandle {
    pub(crate) fn enrol(outcomes: Recipient<AckOutcomes>) -> Self {
        let owner = Owner::new();
        let supervisor = AckSupervisor::from_registry();
        supervisor.do_send(Enrol { owner, outcomes });
        Self { owner, supervisor, ops: Vec::new() }
    }

    pub(crate) fn arm(&mut self, seq: u64, within: Duration, now: Instant) {
        self.ops.push(AckOp::Arm { seq, deadline: now + within.min(LONGEST) });
    }

    pub(crate) fn push(&mut self, op: AckOp) {
        self.ops.push(op);
    }

    /// Sends what has been gathered.
    pub(crate) fn flush(&mut self) {
        if !self.ops.is_empty() {
            let ops = std::mem::take(&mut self.ops);
            self.supervisor.do_send(AckBatch { owner: self.owner, ops });
        }
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        self.supervisor.do_send(Leave { owner: self.owner });
    }
}
