//! Why a send failed, why a setting was refused, and what went wrong in between.

use std::{fmt, sync::Arc, time::Duration};

use crate::{outbound::Outbound, outbox::OutboxError, wire::WireError, ws::CloseReason};

/// What sending a message comes to.
pub type SendResult = Result<Receipt, SendError>;

/// How far a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipt {
    /// It is in the outbox, at the outbox's durability. What a message without `needs_ack` gets.
    Accepted,
    /// The peer's handler is done with it. What a message with `needs_ack` gets.
    Acked,
}

/// A message that was not delivered, or not known to be, and why.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// The message, to do with as you like.
    pub message: Outbound,
    /// Why.
    #[source]
    pub reason: SendFailure,
}

/// Why a message was not delivered, or not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendFailure {
    /// The outbox is at its bound. Nothing was accepted; send it again when there is room.
    #[error("the outbox is full ({messages} messages, {bytes} bytes); send again when it has drained")]
    Full {
        /// Messages in the outbox.
        messages: usize,
        /// Bytes in the outbox.
        bytes: u64,
    },
    /// The message, or the frame that the wire format makes of it, is longer than `max_message_bytes`, ours or the
    /// peer's, or than the whole outbox.
    #[error("the message takes {len} bytes; max_message_bytes, or the bound of the outbox, is {limit}")]
    TooBig {
        /// How many bytes it takes.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The session or client has ended, or is closing. What a durable outbox had accepted before stays there, and is sent
    /// when the outbox is opened again.
    #[error("the session is closed")]
    Closed,
    /// The client was disconnected, or has given up, and does not try to connect. The message stays in the outbox, and is
    /// sent after a `Reconnect`; only the wait for its ack is over.
    #[error("the client is not trying to connect; the message stays in the outbox")]
    Offline,
    /// The outbox could not keep it.
    #[error(transparent)]
    Storage(Arc<OutboxError>),
    /// No ack came in time. The message may have been handled all the same.
    #[error("no ack within {within:?}{}", if *.stays { "; it stays in the outbox, and is still delivered" } else { "" })]
    TimedOut {
        /// The time that the sender gave.
        within: Duration,
        /// Whether it is still delivered: under `hookup.v2` it is, under the Hookup formats it has left the outbox.
        stays: bool,
    },
    /// It was not delivered in the time that `expires_in` gave, and is not sent any more. If it had been sent before, it may
    /// have been handled.
    #[error("it expired before it was delivered")]
    Expired,
    /// It is volatile, and there was no connection, or others waited before it. Or the outbox was full, and it made room for
    /// a newer one, unsent: see [`OutboxPolicy::DropOldest`](crate::OutboxPolicy::DropOldest).
    #[error("it was volatile and could not be sent at once, or made room for a newer one in a full outbox")]
    Dropped,
    /// The peer's handler refused it, or panicked. It has left the outbox, and is not sent again.
    #[error("the peer refused it: {reason}")]
    Refused {
        /// The peer's words.
        reason: String,
    },
    /// It has `needs_ack`, and the negotiated wire format has no ack for such a message, or it is volatile.
    #[error("needs_ack is not supported by {format}")]
    Unsupported {
        /// The wire format's name, or that the message is volatile.
        format: String,
    },
    /// The session ended while its ack was pending. The message may have been handled all the same.
    #[error("the session ended before the ack came")]
    Lost,
    /// The wire format could not render it.
    #[error("the wire format could not render it: {0}")]
    Unrenderable(String),
}

/// Something that went wrong and that no call is waiting for; it reaches the handler in an [`Event::Error`](crate::Event::Error).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message without `needs_ack` that was not delivered: sent with `do_send`; or with `send`, which had resolved
    /// already when the message was accepted.
    #[error("a message was not sent: {0}")]
    NotSent(#[source] SendError),
    /// More undelivered messages than the handler took events for; these were dropped, and logged.
    #[error("{count} more undelivered messages could not be kept for the handler")]
    FailuresDropped {
        /// How many.
        count: u64,
    },
    /// A frame that the wire format could not parse. It is in the error.
    #[error(transparent)]
    Unparsed(WireError),
    /// The peer broke the WebSocket protocol, or a limit; the connection is closed with this code.
    #[error("the connection was closed with {0}")]
    Protocol(CloseReason),
    /// The handler panicked. The message that it was given is refused, and not acked.
    #[error("the handler panicked: {message}")]
    HandlerPanicked {
        /// What it panicked with.
        message: String,
    },
    /// The handler has not ended what it does for an event within `handler_timeout`: its future was dropped, and a message
    /// that it was given is refused.
    #[error("the handler did not end within {after:?}")]
    HandlerTimedOut {
        /// The time that it had.
        after: Duration,
    },
    /// The handler, or one poll of its future, kept its thread for itself for this long, more than a second. Nothing else on
    /// that thread ran meanwhile: no other session, and no heartbeat. At most one such event waits for the handler.
    #[error("the handler blocked its thread for {took:?}")]
    HandlerBlocked {
        /// How long.
        took: Duration,
    },
    /// The outbox could not remove or load messages, or save the session's state: those that it keeps may be sent again,
    /// nothing is acked that was not saved, and all is tried again. Or a client's could not be opened: what was sent comes
    /// back, and the client ends.
    #[error(transparent)]
    Outbox(Arc<OutboxError>),
    /// The client does not try to connect any more; `Reconnect` starts it again.
    #[error("gave up after trying to connect again {attempts} times: {cause}")]
    GaveUp {
        /// How many times it tried again.
        attempts: u32,
        /// Why the last one failed.
        cause: String,
    },
}

/// A setting that cannot work, found before anything was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    /// An error of this setting, with a sentence that says what is wrong and what would be right.
    pub fn new(setting: &'static str, problem: impl fmt::Display) -> Self {
        Self { setting, problem: problem.to_string() }
    }

    /// Its name: the builder's method that sets it, and its key in text.
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// Refuses a duration that is zero, or above a year.
    pub fn check_duration(setting: &'static str, value: Duration) -> Result<(), Self> {
        if value.is_zero() {
            Err(Self::new(setting, "must be above zero"))
        } else if value > LONGEST {
            Err(Self::new(setting, format_args!("{value:?} is above a year, the longest that makes sense here")))
        } else {
            Ok(())
        }
    }
}

/// A year: longer times are typing errors, and adding them to a clock could overflow.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
