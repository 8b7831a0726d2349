//! One end of a `hookup.v2` session. Pure: no sockets, no clock, no randomness, no actors.
//!
//! Two rules carry everything (see the protocol document). A sender persists a message before it first transmits it:
//! [`Link::push`] takes only what an outbox has confirmed. A receiver persists its cursor before it acks: what changed is
//! given out by [`Link::poll_save`], and no ack is sent of it before [`Link::saved`].

mod frame;
mod ids;
mod link;
mod output;
mod receiving;
mod render;
mod sending;
mod state;

use std::time::Duration;

pub use self::{
    frame::{Hello, Incoming, MAX_RUNS, RunOffer, Welcome, Window},
    ids::{BadId, MAX_SEQ, MessageKey, RunId, SessionId},
    link::Link,
    state::{Cursor, OwnRun, State},
};
use crate::outbox::Usage;

/// The subprotocol's name.
pub const NAME: &str = "hookup.v2";

/// The longest greeting, in bytes: what a list of as many runs as there may be takes. It does not count against
/// `max_message_bytes`, or a session with many runs could not be resumed where messages are to be short.
pub const MAX_GREETING_BYTES: usize = 256 * 1024;

/// What a link is told of its end.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What may be sent and not acked, and what the peer is told that it may.
    pub window: Usage,
    /// The longest frame, in bytes.
    pub max_frame_bytes: usize,
    /// What a server's welcome says of its pings and of how long it keeps sessions.
    pub ping: Duration,
    /// See `ping`.
    pub retain: Duration,
}
