//! What a handler is told.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, SendError},
    message::{Binary, Json, Message, Text},
    outbox::Quarantined,
    peer::Peer,
    ws::CloseReason,
};

/// What happened on a session: alike on the server and on the client.
///
/// Events of one session arrive one after the other; the next comes when the handler is done with the last.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection is open, and messages flow.
    Connected(Connected),
    /// A text message. It is acked, if its sender asked for that, when the handler is done.
    Text(Text),
    /// A json message, not parsed yet: `json.parse::<T>()`. It is acked likewise.
    Json(Json),
    /// A binary message. It is acked likewise.
    Binary(Binary),
    /// A message with `needs_ack`, sent with `do_send`, that was not acked, and why. The message is in the error. Also
    /// one sent with `send`, if nobody waits for that any more.
    AckFailed(SendError),
    /// The client is about to try again, after a wait.
    Reconnecting(Reconnecting),
    /// A connection has ended; on the client also an attempt at one that it was told to drop, and its own end. On the
    /// client `Reconnecting` follows, unless it was told to stop, gives up, or was closed with 1000 or 4409. On the server
    /// the session goes on under `hookup.v2`, and is over under other formats.
    Disconnected(Cause),
    /// On the server, and as the last event there: the session is over, and why. Its connection has ended before. Not
    /// when the server stops and its session store outlives it: the session is not over then.
    SessionEnded(SessionEnd),
    /// Messages of the peer's that are lost for certain. Not raised by the two Hookup formats, whose sessions end with
    /// their connection.
    Gap {
        /// How many.
        missed: u64,
    },
    /// The peer has forgotten the session, and what it had queued for us. Not raised by the two Hookup formats.
    SessionLost,
    /// The outbox, or a server's session store, was damaged when it was opened, and was moved aside. What could be read of
    /// it goes on. It comes before `Connected`.
    Quarantined(Quarantined),
    /// The outbox was full, and these left it, unsent, to make room for newer ones: see
    /// [`OutboxPolicy::DropOldest`](crate::OutboxPolicy::DropOldest). Those with `needs_ack` are not among them, nor those
    /// whose `send` has said so.
    Dropped {
        /// How many, since this was last said.
        messages: usize,
        /// Their payloads' bytes.
        bytes: u64,
    },
    /// Something else went wrong; the session goes on.
    Error(Error),
}

impl actix::Message for Event {
    type Result = ();
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Json(json) => Self::Json(json),
            Message::Binary(binary) => Self::Binary(binary),
        }
    }
}

/// Why a session of the server is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Its connection has ended, and the wire format knows no sessions beyond that; or the server closed it with 1000.
    Closed,
    /// Its client was away for longer than `session_ttl`.
    Expired,
    /// Its client was away, for longer than any other's, and its place was needed for a new session.
    Evicted,
    /// The server has stopped, and its session store does not outlive it.
    Stopped,
}

/// What is known when a connection opens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connected {
    /// Whom this session talks to; an actor that receives events keeps it to answer with.
    pub peer: Peer,
    /// The negotiated wire format's name.
    pub format: String,
    /// Whether an earlier connection's session goes on. Always false under the two Hookup formats.
    pub resumed: bool,
}

impl Connected {
    /// A connection of this peer in this wire format.
    pub fn new(peer: Peer, format: impl Into<String>) -> Self {
        Self { peer, format: format.into(), resumed: false }
    }
}

/// The client's next attempt to connect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reconnecting {
    /// Which attempt in a row it is since the last stable connection, or since the first one failed: 1, 2, 3, …
    pub attempt: u32,
    /// How long it waits before it.
    pub wait: Duration,
    /// Why the last attempt failed, or the last connection ended.
    pub cause: Cause,
}

impl Reconnecting {
    /// The given attempt, after the given wait, because of `cause`.
    pub fn new(attempt: u32, wait: Duration, cause: Cause) -> Self {
        Self { attempt, wait, cause }
    }
}

/// Why a connection ended, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The peer closed it, with this code and reason.
    PeerClosed(CloseReason),
    /// We closed it, with this code and reason.
    WeClosed(CloseReason),
    /// The stream ended without a close frame.
    EndOfStream,
    /// Nothing was heard from the peer for as many heartbeats as `dead_after` says; two, unless set otherwise.
    Silent,
    /// The peer took nothing for `stall_timeout` of what was to be written to it.
    Stalled,
    /// The socket failed, or the attempt to connect did, or a client's outbox could not be opened, with these words.
    Failed(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed(reason) => write!(f, "the peer closed with {reason}"),
            Self::WeClosed(reason) => write!(f, "closed with {reason}"),
            Self::EndOfStream => f.write_str("the connection ended without a close"),
            Self::Stalled => f.write_str("the peer has stopped reading"),
            Self::Silent => f.write_str("the peer was silent for too long"),
            Self::Failed(words) => f.write_str(words),
        }
    }
}
