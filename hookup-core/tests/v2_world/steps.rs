//! What can happen, and how often it does.

/// What can happen, at either end; each comes with a number that decides the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many things happen that need no fault.
    Flow,
    Accept,
    Volatile,
    Load,
    Transmit,
    Deliver,
    Handle,
    Save,
    Complete,
    Fail,
    Connect,
    /// Both ends lose the connection, and what is under way.
    Cut,
    /// The client loses it; what is under way to the server still arrives.
    Leave,
    /// The server loses it, and the client has not noticed.
    Close,
    Crash,
    /// The handler has had its effect, and then the process ends.
    CrashAfterEffect,
    Withdraw,
    GiveUp,
    TooBig,
    Unload,
    Backup,
    Restore,
    /// The server's store is wiped.
    Lose,
    /// The server ends the session, and keeps what was handled.
    EndSession,
    Wait,
}

use Step::*;

/// How often each step is taken, in 64ths.
pub(super) const STEPS: [(Step, u32); 25] = [
    (Flow, 12),
    (Accept, 9),
    (Deliver, 6),
    (Transmit, 5),
    (Handle, 4),
    (Complete, 3),
    (Save, 2),
    (Connect, 3),
    (Load, 1),
    (Volatile, 1),
    (Fail, 1),
    (Cut, 1),
    (Leave, 2),
    (Close, 1),
    (Crash, 2),
    (CrashAfterEffect, 2),
    (Withdraw, 1),
    (GiveUp, 1),
    (TooBig, 1),
    (Unload, 1),
    (Backup, 1),
    (Restore, 1),
    (Lose, 1),
    (EndSession, 1),
    (Wait, 1),
];
