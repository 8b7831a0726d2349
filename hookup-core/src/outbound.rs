//! A message on its way out, with what its sender wants of it.

use std::time::Duration;

use crate::{
    error::{LONGEST, SendResult},
    message::Message,
};

/// A message on its way out, with what its sender wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    message: Message,
    ack_within: Option<Duration>,
    expiry: Expiry,
    is_volatile: bool,
}

/// Until when a message is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Never,
    /// So long after it was accepted.
    Within(Duration),
    /// At this time since the Unix epoch, in milliseconds.
    At(u64),
}

impl Outbound {
    /// Asks the peer to acknowledge the message within this time, counted from its first transmission.
    ///
    /// The time that it waits in the outbox for a connection does not count. Times above a year count as a year.
    pub fn needs_ack(mut self, within: Duration) -> Self {
        self.ack_within = Some(within);
        self
    }

    /// Gives the message up when it has not been delivered so long after it was accepted: it is not sent any more, and its
    /// sender is told [`Expired`](crate::SendFailure::Expired). It goes by the wall clock, and on across a restart.
    /// Times above a year count as a year.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expiry = Expiry::Within(time.min(LONGEST));
        self
    }

    /// Sends the message at once or not at all: it is dropped where there is no connection, and where others wait before
    /// it. It never enters the outbox, is never sent twice, and cannot need an ack. A dropped one is the error
    /// [`Dropped`](crate::SendFailure::Dropped) of `send`, and nothing after a `do_send`.
    pub fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Whether it is to be sent at once or not at all.
    pub fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    /// Fixes the time at which it expires, when it is accepted at `now`: in milliseconds since the Unix epoch.
    pub fn accepted_at(mut self, now: u64) -> Self {
        if let Expiry::Within(time) = self.expiry {
            self.expiry = Expiry::At(now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        }
        self
    }

    /// The same, expiring at this time: in milliseconds since the Unix epoch. For an outbox that stores it.
    pub fn expiring_at(mut self, at: u64) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// The time at which it expires, once it is accepted, in milliseconds since the Unix epoch.
    pub fn expires_at(&self) -> Option<u64> {
        match self.expiry {
            Expiry::At(at) => Some(at),
            Expiry::Never | Expiry::Within(_) => None,
        }
    }

    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message, taken out.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// How long its sender waits for the ack; `None` when it asked for none.
    pub fn ack_within(&self) -> Option<Duration> {
        self.ack_within
    }
}

impl<M: Into<Message>> From<M> for Outbound {
    fn from(message: M) -> Self {
        Self { message: message.into(), ack_within: None, expiry: Expiry::Never, is_volatile: false }
    }
}

impl actix::Message for Outbound {
    type Result = SendResult;
}
