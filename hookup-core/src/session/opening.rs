//! From an outbox to a session: a run of `hookup.v2` begins, and what was submitted meanwhile is accepted.

use std::{fmt, sync::Arc};

use super::{blocking::Held, core::SessionCore};
use crate::{
    error::Error,
    event::Event,
    link::v2::{Limits, Link, RunId, SessionId, State},
    outbox::{Changes, Outbox, OutboxError, Stored},
    ws::Role,
};

/// An outbox that is ready to be used, with the link of `hookup.v2` that goes with it.
pub struct Opened {
    pub(super) outbox: Held<Box<dyn Outbox>>,
    pub(super) stored: Stored,
    pub(super) link: Option<Link>,
}

impl Opened {
    /// For a session that does not speak `hookup.v2`.
    pub fn without_link(outbox: Box<dyn Outbox>) -> Self {
        let (stored, is_durable) = (outbox.stored(), outbox.is_durable());
        Self { outbox: Held::new(outbox, is_durable), stored, link: None }
    }

    /// The session, if it speaks `hookup.v2`.
    pub fn session(&self) -> Option<SessionId> {
        self.link.as_ref().map(Link::session)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("stored", &self.stored.usage).finish_non_exhaustive()
    }
}

/// Opens the session whose state an outbox keeps, or makes one. A run of it begins, and is persisted before the outbox is
/// given a message: so no two messages have the same identity, whatever is lost or restored. It blocks if the outbox does.
///
/// # Errors
/// When the state could not be kept, or the operating system has no random numbers.
pub fn open(
    outbox: Box<dyn Outbox>,
    role: Role,
    limits: Limits,
    new: impl FnOnce() -> Result<State, OutboxError>,
) -> Result<Opened, OutboxError> {
    let mut opened = Opened::without_link(outbox);
    let mut state = match opened.stored.state.take() {
        Some(state) => state,
        None => new()?,
    };
    let was_known = state.is_whole();
    state.begin_run(RunId(random_u64()?), opened.stored.last_seq);
    opened.outbox.commit(&Changes::save(state.clone()))?;
    opened.link = Some(Link::new(role, &state, was_known, limits));
    Ok(opened)
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

impl SessionCore {
    /// The outbox is open. What was submitted meanwhile goes behind what it holds.
    pub fn opened(&mut self, opened: Opened) {
        let Opened { outbox, mut stored, link } = opened;
        if let Some(quarantined) = stored.quarantined.take() {
            self.tell(Event::Quarantined(quarantined));
        }
        let (base, sent) = link.as_ref().map_or((0, 0), |link| (link.base(), link.sent_place()));
        if let Some(link) = link {
            self.links.opened(link);
        }
        let report = self.outgoing.opened(outbox, &stored, base, sent);
        self.report(report);
        self.changed = true;
    }

    /// The outbox could not be opened: what was submitted fails, and so does all that follows. The session is to end.
    pub fn not_opened(&mut self, error: OutboxError) {
        self.accept_submitted();
        let error = Arc::new(error);
        self.tell(Event::Error(Error::Outbox(error.clone())));
        let report = self.outgoing.not_opened(&error);
        self.report(report);
    }
}
