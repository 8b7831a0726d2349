//! From an outbox to a link of `hookup.v2`: a run begins.

use crate::{
    link::v2::{Limits, Link, RunId, SessionId, State},
    outbox::{Changes, Outbox, OutboxError},
    ws::Role,
};

/// Opens the session whose state an outbox keeps, or makes one. A run of it begins, and is persisted before the outbox is
/// given a message: so no two messages have the same identity, whatever is lost or restored. It blocks if the outbox does.
///
/// # Errors
/// When the state could not be kept, or the operating system has no random numbers.
pub fn open(
    outbox: &mut dyn Outbox,
    role: Role,
    limits: Limits,
    new: impl FnOnce() -> Result<State, OutboxError>,
) -> Result<Link, OutboxError> {
    let stored = outbox.stored();
    let mut state = match stored.state {
        Some(state) => state,
        None => new()?,
    };
    let was_known = state.is_whole();
    state.begin_run(RunId(random_u64()?), stored.last_seq);
    outbox.commit(&Changes::save(state.clone()))?;
    Ok(Link::new(role, &state, was_known, limits))
}

/// A session id that nobody can guess.
///
/// # Errors
/// When the operating system has no random numbers.
pub fn random_session() -> Result<SessionId, OutboxError> {
    Ok(SessionId(u128::from(random_u64()?) << 64 | u128::from(random_u64()?)))
}

fn random_u64() -> Result<u64, OutboxError> {
    getrandom::u64().map_err(|error| OutboxError::Other(format!("no random numbers: {error}")))
}
