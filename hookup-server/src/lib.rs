//! Hookup's server: reliable messaging over WebSockets, mounted in an actix-web application.
//!
//! ```no_run
//! use std::time::Duration;
//! use actix_web::{App, HttpServer};
//! use hookup_server::{Event, HookupServer, Peer};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hookup = HookupServer::new(|| |event: Event, peer: Peer| {
//!         if let Event::Text(text) = event {
//!             peer.do_send(text.needs_ack(Duration::from_secs(5)));
//!         }
//!     })
//!     .heartbeat(Duration::from_secs(25))
//!     .start()?;
//!
//!     let mounted = hookup.clone();
//!     let server = HttpServer::new(move || App::new().service(mounted.resource("/ws")))
//!         .on_connect(hookup_server::on_connect)
//!         .disable_signals()
//!         .bind(("127.0.0.1", 8125))?
//!         .run();
//!     hookup.run(server, Duration::from_secs(10)).await?;
//!     Ok(())
//! }
//! ```
//!
//! Each session has a handler of its own, made by the factory. It is given [`Event`]s, one after the other, and a
//! [`Peer`] to answer with; a message that asks for an ack is acked when the handler is done with it.
//!
//! Without an application, [`ServerBuilder::listen`] binds a port by itself.

mod admission;
mod attach;
mod builder;
mod config;
mod connection;
mod handshake;
mod hookup;
mod line;
mod listen;
mod on_connect;
mod registry;
mod serving;
mod session;
mod signals;
mod tls;
mod upgrade;

pub use hookup_core::{
    self as core, Binary, Cause, CloseCode, CloseReason, ConfigError, Connected, Durability, Entry, Error, Event,
    EventHandler, Handling, IntoHandler, Json, JsonError, JsonProtocol, MemoryStore, Message, MessageKey, Outbound,
    Outbox, OutboxError, OutboxPolicy, Peer, PeerId, Quarantined, Rate, Receipt, Reconnecting, Refusal, RunId,
    SendError, SendFailure, SendResult, SessionEnd, SessionId, SessionState, SessionStore, SimpleJson, SledOptions,
    SledStore, Stored, Text, Usage, WireFormat, wire, ws::Frame,
};

pub use self::{
    admission::Principal,
    builder::ServerBuilder,
    config::{AllowedOrigins, RetryAfter, ServerConfig, TlsFiles},
    hookup::{Hookup, Stopped},
    listen::{ListenError, Listening},
    on_connect::{ClientCertificates, on_connect},
    registry::HookupServer,
    tls::Tls,
};
