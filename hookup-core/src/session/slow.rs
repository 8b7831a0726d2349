//! A peer that is too slow for what is sent to it, or gone: when its connection is to be closed, under
//! [`OutboxPolicy::Close`], and when it is to be cut.

use std::time::Instant;

use super::{Limits, OutboxPolicy, core::SessionCore, stall::Stall};
use crate::{
    event::Cause,
    heartbeat::{Beat, Heartbeat},
    outbox::Usage,
    transport::Progress,
};

/// What is known of a peer's slowness.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) stall: Stall,
    policy: OutboxPolicy,
    /// At most this much in the outbox means that the peer keeps up.
    half: Usage,
    /// The peer has kept up at some time of its present connection: one that comes back to a full outbox is to have time.
    kept_up: bool,
    is_too_slow: bool,
}

impl Slow {
    pub(super) fn new(limits: &Limits) -> Self {
        let half = Usage { messages: limits.outbox.messages / 2, bytes: limits.outbox.bytes / 2 };
        let stall = Stall::new(limits.stall_timeout);
        Self { stall, policy: limits.policy, half, kept_up: false, is_too_slow: false }
    }

    /// Another connection begins.
    pub(super) fn reset(&mut self) {
        self.stall.reset();
        self.kept_up = false;
        self.is_too_slow = false;
    }

    /// A message is about to be accepted, with so much in the outbox.
    pub(super) fn accepts(&mut self, usage: Usage) {
        self.kept_up |= usage.messages <= self.half.messages && usage.bytes <= self.half.bytes;
    }

    /// A message was refused, as the outbox is full.
    pub(super) fn refused(&mut self) {
        self.is_too_slow |= self.policy == OutboxPolicy::Close && self.kept_up;
    }
}

impl SessionCore {
    /// Whether the peer has become too slow for the outbox's policy, since this was last asked.
    pub fn take_too_slow(&mut self) -> bool {
        std::mem::take(&mut self.slow.is_too_slow)
    }

    /// Whether the peer of the present connection is due to be pinged; `heartbeat` is that of the connection, if it has one,
    /// and `progress` what its socket takes. To be asked once per wake-up.
    ///
    /// # Errors
    /// Why the connection is to be cut: the peer has taken nothing for `stall_timeout` of what is to be written to it, or has
    /// been silent for too long.
    pub fn watch(
        &mut self,
        progress: &Progress,
        heartbeat: Option<&mut Heartbeat>,
        now: Instant,
    ) -> Result<bool, Cause> {
        let waits = self.is_connected && (progress.is_waiting() || !self.flow.is_written());
        let taken = waits.then(|| progress.count());
        if self.slow.stall.poll(taken, now) {
            return Err(Cause::Stalled);
        }
        let Some(heartbeat) = heartbeat else { return Ok(false) };
        heartbeat.writes(taken);
        match heartbeat.poll(now, self.is_reading()) {
            Beat::Wait => Ok(false),
            Beat::Ping => Ok(true),
            Beat::Dead => Err(Cause::Silent),
        }
    }
}
