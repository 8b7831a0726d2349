//! What a client can be told besides messages to send.

use std::time::Duration;

use actix::Message;

/// Closes the connection and does not connect again before a [`Reconnect`]. Messages go on to be accepted.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Disconnect;

/// Connects at once: ends a wait, a connection, or a [`Disconnect`]; and starts the backoff schedule again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reconnect;

/// Ends the client. It accepts nothing any more, sends what it can until `within` has passed, closes the connection with
/// 1000, and stops.
///
/// Resolves when the handler has had its last event, `Disconnected`. What is left stays in an outbox on disk; from one in
/// memory it is reported to the handler, message by message.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Closed")]
pub struct Close {
    /// How long it may take to send, and to be acked, what is in the outbox. Zero closes at once.
    pub within: Duration,
}

impl Close {
    /// Closes, taking at most this long.
    pub fn within(within: Duration) -> Self {
        Self { within }
    }
}

/// How a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// How many messages were still in the outbox.
    pub unsent: usize,
}
