//! Pending acks and their deadlines.
//!
//! One [`AckSupervisor`] an arbiter holds all of them in one table with one timer, so that an ack costs the same
//! whether ten or a hundred thousand are pending. It alone decides how each one ends.

mod handle;
mod supervisor;
mod table;

pub(crate) use self::handle::AckHandle;
pub use self::{
    supervisor::{AckBatch, AckOp, AckOutcomes, AckSupervisor, Enrol, Leave},
    table::{AckOutcome, AckTable, Owner},
};
