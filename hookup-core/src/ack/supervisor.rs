//! The actor that owns an arbiter's table of pending acks.

use std::{collections::HashMap, task, time::Instant};

use actix::{Actor, ArbiterService, Context, Handler, Message, Recipient, Supervised};

use super::table::{AckOutcome, AckTable, Owner};
use crate::driver::{Alarm, Drive, Driver, Until};

/// Tracks the pending acks of all sessions and clients of one arbiter, with one timer.
///
/// Get it with `AckSupervisor::from_registry()`. An owner enrols, sends its [`AckBatch`]es, and is told each outcome in
/// [`AckOutcomes`], exactly once per ack.
#[derive(Debug, Default)]
pub struct AckSupervisor {
    table: AckTable,
    owners: HashMap<Owner, Recipient<AckOutcomes>>,
    alarm: Alarm,
    /// When the acks that are late are given up: the first deadline, put off if its thread was late, as then an ack may have
    /// come in that nobody has read yet.
    until: Option<Until>,
}

/// Makes an owner known, and where its outcomes go.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Enrol {
    /// The owner.
    pub owner: Owner,
    /// Where its outcomes go.
    pub outcomes: Recipient<AckOutcomes>,
}

/// What an owner did in one wake-up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AckBatch {
    /// The owner.
    pub owner: Owner,
    /// What it did, in order.
    pub ops: Vec<AckOp>,
}

/// One thing that an owner did.
#[derive(Debug)]
pub enum AckOp {
    /// It sent message `seq` and waits for its ack until `deadline`.
    Arm {
        /// The message.
        seq: u64,
        /// Until when.
        deadline: Instant,
    },
    /// The peer acked message `seq`.
    Acked {
        /// The message.
        seq: u64,
    },
    /// The peer refused message `seq`.
    Refused {
        /// The message.
        seq: u64,
        /// The peer's words.
        reason: String,
    },
}

/// The owner's session is over: what is pending ends as lost, and the owner is forgotten.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// The owner.
    pub owner: Owner,
}

/// How acks of one owner ended.
#[derive(Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct AckOutcomes(pub Vec<(u64, AckOutcome)>);

impl Actor for AckSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Driver::<Self>::spawn(ctx);
    }
}

impl Supervised for AckSupervisor {
    fn restarting(&mut self, ctx: &mut Self::Context) {
        Driver::<Self>::spawn(ctx);
    }
}

impl ArbiterService for AckSupervisor {}

impl AckSupervisor {
    fn tell(&self, owner: Owner, outcomes: Vec<(u64, AckOutcome)>) {
        if let Some(recipient) = self.owners.get(&owner).filter(|_| !outcomes.is_empty()) {
            recipient.do_send(AckOutcomes(outcomes));
        }
    }
}

impl Handler<Enrol> for AckSupervisor {
    type Result = ();

    fn handle(&mut self, Enrol { owner, outcomes }: Enrol, _: &mut Self::Context) {
        self.owners.insert(owner, outcomes);
    }
}

impl Handler<AckBatch> for AckSupervisor {
    type Result = ();

    fn handle(&mut self, AckBatch { owner, ops }: AckBatch, _: &mut Self::Context) {
        let mut ended = Vec::new();
        for op in ops {
            let (seq, outcome) = match op {
                AckOp::Arm { seq, deadline } => {
                    self.table.arm(owner, seq, deadline);
                    continue;
                }
                AckOp::Acked { seq } => (seq, AckOutcome::Acked),
                AckOp::Refused { seq, reason } => (seq, AckOutcome::Refused(reason)),
            };
            if self.table.end(owner, seq) {
                ended.push((seq, outcome));
            } else {
                tracing::debug!(seq, "an ack that is late, unknown or a duplicate");
            }
        }
        self.tell(owner, ended);
    }
}

impl Handler<Leave> for AckSupervisor {
    type Result = ();

    fn handle(&mut self, Leave { owner }: Leave, _: &mut Self::Context) {
        let lost = self.table.leave(owner).into_iter().map(|seq| (seq, AckOutcome::Lost));
        self.tell(owner, lost.collect());
        self.owners.remove(&owner);
    }
}

impl AckSupervisor {
    /// Ends what has timed out; when to look again.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let first = self.table.next_deadline().filter(|&first| first <= now);
        // A deadline that has passed is put off with those that pass meanwhile.
        self.until = first.map(|first| self.until.take().unwrap_or_else(|| Until::new(first)));
        if let Some(until) = &mut self.until
            && !until.is_over(now)
        {
            return Some(until.at());
        }
        self.until = None;
        let mut expired = HashMap::<Owner, Vec<_>>::new();
        while let Some((owner, seq)) = self.table.pop_expired(now) {
            expired.entry(owner).or_default().push((seq, AckOutcome::TimedOut));
        }
        for (owner, outcomes) in expired {
            self.tell(owner, outcomes);
        }
        self.table.next_deadline()
    }
}

impl Drive for AckSupervisor {
    fn drive(&mut self, _: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            let at = self.expire(crate::driver::now());
            self.alarm.set(at);
            if !self.alarm.rang(cx) {
                break;
            }
        }
    }
}
