//! Hookup's client: an Actix actor that reconnects, buffers while offline, and resends.
//!
//! ```no_run
//! use std::time::Duration;
//! use hookup_client::{Close, Event, HookupClient, Json, Peer, Text};
//!
//! # #[derive(serde::Serialize)] struct Reading { celsius: f32 }
//! #[actix::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let addr = HookupClient::builder("ws://127.0.0.1:8125/ws")
//!         .outbox("work/outbox")
//!         .start(|event: Event, _: Peer| println!("{event:?}"))?;
//!
//!     addr.do_send(Text("hi").needs_ack(Duration::from_secs(5)));        // a failure is an event
//!     addr.send(Text("hi").needs_ack(Duration::from_secs(5))).await??;   // resolves when the peer handled it
//!     addr.do_send(Json(&Reading { celsius: 21.5 })?);                   // any serde type
//!
//!     addr.send(Close::within(Duration::from_secs(5))).await?;           // what is in the mailbox would end with `main`
//!     Ok(())
//! }
//! ```
//!
//! Messages go to the outbox first, in memory or, with [`ClientBuilder::outbox`], on disk. From there they are sent in
//! order, whenever there is a connection. Over `hookup.v2` a message leaves the outbox when the server's handler is done
//! with it, or when it has expired. Over the other formats, one with `needs_ack` leaves it when its ack has come, or was
//! given up; another one when it was written to the socket.

mod builder;
mod client;
mod commands;
mod config;
mod connector;
mod place;
mod socket;
mod tls;

pub use hookup_core::{
    self as core, Backoff, Binary, Cause, CloseCode, CloseReason, ConfigError, Connected, Durability, Entry, Error,
    Event, EventHandler, Handling, IntoHandler, Json, JsonError, JsonProtocol, MemoryOutbox, Message, MessageKey,
    Outbound, Outbox, OutboxError, OutboxPolicy, Peer, PeerId, Quarantined, Rate, Receipt, Reconnecting, Refusal,
    RunId, SendError, SendFailure, SendResult, SessionEnd, SessionId, SessionState, SimpleJson, SledOptions,
    SledOutbox, Stored, Text, Usage, WireFormat, wire, ws::Frame,
};

pub use self::{
    builder::ClientBuilder,
    client::HookupClient,
    commands::{Close, Closed, Disconnect, Reconnect},
    config::{ClientConfig, TlsFiles},
    tls::Tls,
};
