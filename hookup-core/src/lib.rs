//! The parts of Hookup that its server and its client share.
//!
//! Applications use `hookup-server` and `hookup-client`, which re-export what they need from here. This crate is for
//! those who bring a [`WireFormat`] or an [`Outbox`] of their own, and for those who want to read how it works:
//!
//! - [`Text()`], [`Json()`], [`Binary()`]: messages; [`Outbound`]: a message with a wish for an ack
//! - [`Event`], [`EventHandler`], [`Peer`]: what a handler gets, is, and answers with
//! - [`wire`]: the formats `jsonProtocol` and `simpleJson`, and the trait for others
//! - [`link`]: one end of a session as a pure state machine
//! - [`ack`]: pending acks and their deadlines, in one actor per arbiter
//! - [`outbox`]: what was accepted and has not left
//! - [`session`]: the engine that drives all of these behind a server session and a client
//! - [`settings`]: what can be set on either side, its check, and its form in text
//! - [`transport`]: what a session and whatever holds its socket say to each other
//! - [`ws`], [`heartbeat`], [`backoff`], [`driver`]: framing, silence, waits between attempts, one wake-up at a time
//! - [`panics`]: those of the user's code

pub mod ack;
pub mod backoff;
pub mod driver;
mod error;
mod event;
mod handler;
pub mod heartbeat;
pub mod link;
mod message;
mod outbound;
pub mod outbox;
pub mod panics;
mod peer;
mod ranges;
pub mod session;
pub mod settings;
pub mod testkit;
pub mod transport;
pub mod wire;
pub mod ws;

pub use self::{
    backoff::Backoff,
    error::{ConfigError, Error, LONGEST, Receipt, SendError, SendFailure, SendResult},
    event::{Cause, Connected, Event, Reconnecting, SessionEnd},
    handler::{EventHandler, Handling, IntoHandler, IntoOutcome, Refusal},
    link::v2::{MessageKey, RunId, SessionId, State as SessionState},
    message::{Binary, Json, JsonError, Message, Text},
    outbound::Outbound,
    outbox::{
        Changes, Durability, Entry, MemoryOutbox, MemoryStore, Outbox, OutboxError, Quarantined, Removal, SessionStore,
        SledOptions, SledOutbox, SledStore, Stored, Usage,
    },
    peer::{ClosePeer, Peer, PeerId},
    session::{Limits, OutboxPolicy, Rate},
    wire::{JsonProtocol, SimpleJson, WireFormat},
    ws::{CloseCode, CloseReason},
};

/// The kinds that keep the implementations of [`IntoHandler`] apart.
pub mod handler_kind {
    pub use crate::handler::{Actor, Adapted, AsyncClosure, Closure, Plain};
}
