//! What a server session and a client have in common: an outbox, a link, a handler, and pending acks.
//!
//! [`SessionCore`] is driven by an actor: messages change it, and [`SessionCore::poll`] acts on what changed, once per
//! wake-up, and gives the frames to write as one batch. It knows no socket.

mod accepting;
mod armed;
mod blocking;
mod call;
mod core;
mod ending;
mod flow;
mod inbox;
mod incoming;
mod keeper;
mod links;
mod opening;
mod outgoing;
mod rate;
mod room;
mod slow;
mod stall;
mod submission;
mod turn;
mod waiters;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{error::ConfigError, outbox::Usage, settings::text, transport::Credit};

pub use self::{
    blocking::{Called, Held, call},
    core::SessionCore,
    opening::{Opened, open, random_session},
    submission::{Submission, Submissions},
};

/// What becomes of a message that finds the outbox full. In text: `"drop-newest"`, `"drop-oldest"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutboxPolicy {
    /// It is refused, as with `DropNewest`; and the connection is closed with 4429, so that the peer learns that it is too
    /// slow. A session of `hookup.v2` goes on with its next connection, which is not closed for this before half of the
    /// outbox has been free. For servers, and their default; a client cannot use it.
    Close,
    /// It is refused, and given back: [`SendFailure::Full`](crate::SendFailure::Full).
    #[default]
    DropNewest,
    /// It is accepted, and the oldest ones that were not sent yet leave: who waits for one is told
    /// [`SendFailure::Dropped`](crate::SendFailure::Dropped), one with `needs_ack` is an
    /// [`Event::AckFailed`](crate::Event::AckFailed), and of the others [`Event::Dropped`](crate::Event::Dropped) says how
    /// many. What was sent, or may have been, stays; where that leaves no room, the new one is refused. While the outbox is
    /// slow, it and what is on its way into it may be five times the bound.
    DropOldest,
}

/// The bounds of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What may wait in the outbox. Default: 100,000 messages, 256 MiB.
    pub outbox: Usage,
    /// What becomes of a message that finds it full. Default: it is refused.
    pub policy: OutboxPolicy,
    /// What may be sent and not acked yet. Default: 256 messages, 1 MiB.
    pub window: Usage,
    /// What may have come in and not be handled yet. Default: 512 messages, 4 MiB.
    pub inbox: Credit,
    /// The longest message, in or out, in bytes. Default: 1 MiB.
    pub max_message_bytes: usize,
    /// In how many fragments a message may come in. Default: 100,000.
    pub max_fragments: usize,
    /// How many messages may reach the handler in which time; what is above waits. Default: as many as come.
    pub rate: Option<Rate>,
    /// How long the handler may take for one event; `None` is for ever. Default: 5 minutes.
    pub handler_timeout: Option<Duration>,
    /// How long a peer may take nothing of what is to be written to it. Default: 30 s.
    pub stall_timeout: Duration,
}

/// So many messages in a time. In text: `{ messages = 100, per = "1s" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of messages and per")]
pub struct Rate {
    /// How many; as many may come at once after a pause.
    pub messages: u32,
    /// In which time.
    #[serde(with = "text::duration")]
    pub per: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            outbox: Usage { messages: 100_000, bytes: 256 * MIB as u64 },
            policy: OutboxPolicy::default(),
            window: Usage { messages: 256, bytes: MIB as u64 },
            // More than a peer's window: an ack must not wait behind what the handler that waits for it has yet to take.
            inbox: Credit { frames: 512, bytes: 4 * MIB },
            max_message_bytes: MIB,
            max_fragments: 100_000,
            rate: None,
            handler_timeout: Some(Duration::from_secs(300)),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// The highest `max_message_bytes`.
const GIB: usize = 1 << 30;

impl Limits {
    /// Checks that nothing is zero, and no message longer than 1 GiB.
    ///
    /// # Errors
    /// [`ConfigError`] of the first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let settings = [
            ("outbox_bounds", self.outbox.messages == 0 || self.outbox.bytes == 0),
            ("window", self.window.messages == 0 || self.window.bytes == 0),
            ("inbox", self.inbox.frames == 0 || self.inbox.bytes == 0),
            ("max_message_bytes", self.max_message_bytes == 0),
            ("max_fragments", self.max_fragments == 0),
            ("rate_limit", self.rate.is_some_and(|rate| rate.messages == 0)),
        ];
        let durations = [
            ("rate_limit", self.rate.map(|rate| rate.per)),
            ("handler_timeout", self.handler_timeout),
            ("stall_timeout", Some(self.stall_timeout)),
        ];
        for (setting, duration) in durations {
            duration.map_or(Ok(()), |duration| ConfigError::check_duration(setting, duration))?;
        }
        match settings.iter().find(|(_, is_zero)| *is_zero) {
            Some((setting, _)) => Err(ConfigError::new(setting, "must be above zero")),
            None if self.max_message_bytes > GIB => {
                Err(ConfigError::new("max_message_bytes", "must not be above 1 GiB: a message is in memory as a whole"))
            }
            None => Ok(()),
        }
    }
}
