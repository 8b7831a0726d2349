//! One end of a session as a pure state machine: no sockets, no clock, no actors.
//!
//! There are two: [`v2::Link`] for `hookup.v2`, which keeps order and handles once, and [`FormatLink`] for the two Hookup
//! formats and formats like them, which cannot. What they say to the session around them is the same.

mod format;
pub mod v2;

use std::time::Duration;

pub use self::format::FormatLink;
use self::v2::RunId;
use crate::{
    error::SendFailure,
    message::Message,
    outbox::Entry,
    wire::{AckId, WireError},
    ws::Frame,
};

/// Something to be written.
#[derive(Debug)]
pub enum Transmit {
    /// An ack or a nack.
    Reply(Frame),
    /// A frame that nothing comes of when it was written.
    Frame(Frame),
    /// A message that leaves the outbox when it was written.
    Message {
        /// Its frame.
        frame: Frame,
        /// It.
        entry: Entry,
    },
    /// A message that leaves the outbox when the peer is done with it.
    Request {
        /// Its frame.
        frame: Frame,
        /// Its `seq` in the outbox.
        seq: u64,
        /// How long its sender waits, counted from the first time that it is sent.
        within: Option<Duration>,
    },
    /// A message that cannot be sent, over this connection or at all; nothing is to be written.
    Failed {
        /// It.
        entry: Entry,
        /// Why.
        failure: SendFailure,
    },
}

/// What a frame meant.
#[derive(Debug, PartialEq)]
pub enum News {
    /// Messages flow, after the greetings of `hookup.v2`.
    Opened {
        /// Whether the server knew the session.
        resumed: bool,
    },
    /// A message for the handler; the ticket is to be given back when it is done.
    Message {
        /// The message.
        message: Message,
        /// What it is acked with.
        ticket: Ticket,
    },
    /// Messages that the peer no longer has; the ticket is to be given back when the handler was told.
    Gap {
        /// How many.
        missed: u64,
        /// What the gap is acked with.
        ticket: Ticket,
    },
    /// The server does not know the session.
    SessionLost,
    /// The peer is done with a message of `hookup.v2`, and of no interest any more.
    Delivered {
        /// It.
        entry: Entry,
    },
    /// The peer refused a message of `hookup.v2`.
    Refused {
        /// It.
        entry: Entry,
        /// The peer's words.
        reason: String,
    },
    /// A message of the formats was acked; the supervisor decides whether in time.
    Acked {
        /// Its `seq` in the outbox.
        seq: u64,
    },
    /// A message of the formats was refused.
    Nacked {
        /// Its `seq` in the outbox.
        seq: u64,
        /// The peer's words.
        reason: String,
    },
    /// A frame that was not understood; the connection goes on unless it names a close code.
    Unparsed(WireError),
    /// The server is draining: the client is to connect again after a wait in this range.
    Goaway {
        /// The shortest and the longest wait.
        retry: (Duration, Duration),
    },
    /// Something that was handled before, or an ack of something that is not pending.
    Nothing,
}

/// What a message is acked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// Of the formats: worthless once its connection has ended.
    Connection {
        /// The connection's number.
        connection: u64,
        /// The id that the peer gave it, if it asked for an ack.
        ack: Option<AckId>,
    },
    /// Of `hookup.v2`: good over any connection.
    Sequenced {
        /// The peer's run.
        run: RunId,
        /// The message's place in it.
        seq: u64,
    },
    /// Of `hookup.v2`, and never acked.
    Volatile,
}
