//! Whom a handler answers: the other end of its session.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use actix::Recipient;

use crate::{
    error::{SendError, SendFailure, SendResult},
    outbound::Outbound,
    ws::CloseReason,
};

/// The other end of a session. Cheap to clone, and may be sent to other threads.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    id: PeerId,
    remote: Option<SocketAddr>,
    principal: Option<String>,
    outbound: Recipient<Outbound>,
    close: Recipient<ClosePeer>,
}

impl Peer {
    /// A peer whose messages go to `outbound` and whose closing goes to `close`.
    pub fn new(remote: Option<SocketAddr>, outbound: Recipient<Outbound>, close: Recipient<ClosePeer>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = PeerId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { inner: Arc::new(Inner { id, remote, principal: None, outbound, close }) }
    }

    /// The same peer, at another address, and known to be someone.
    pub fn moved(&self, remote: Option<SocketAddr>, principal: Option<String>) -> Self {
        let Inner { id, outbound, close, .. } = &*self.inner;
        let inner = Inner { id: *id, remote, principal, outbound: outbound.clone(), close: close.clone() };
        Self { inner: Arc::new(inner) }
    }

    /// Who it is, in the words of the server's `authenticate`; `None` without one, and on the client.
    pub fn principal(&self) -> Option<&str> {
        self.inner.principal.as_deref()
    }

    /// A number that no other peer of this process has.
    pub fn id(&self) -> PeerId {
        self.inner.id
    }

    /// The address at the other end of the socket; on the client, `None`.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.inner.remote
    }

    /// The session as a plain Actix recipient, to hand to actors of your own.
    pub fn addr(&self) -> &Recipient<Outbound> {
        &self.inner.outbound
    }

    /// Sends without waiting. What cannot be delivered comes back as an event; only a volatile message that is dropped
    /// does not, and one to a session that has ended is logged.
    pub fn do_send(&self, message: impl Into<Outbound>) {
        let message = message.into();
        // Actix says nothing when the actor has gone.
        if self.inner.outbound.connected() {
            self.inner.outbound.do_send(message);
        } else {
            tracing::warn!(peer = %self.id(), ?message, "not sent: the session has ended");
        }
    }

    /// Sends, and resolves when the message is accepted, or, if it needs an ack, when the peer's handler is done with it.
    ///
    /// # Errors
    /// [`SendError`] with the message and the reason.
    pub async fn send(&self, message: impl Into<Outbound>) -> SendResult {
        let message = message.into();
        let copy = message.clone();
        match self.inner.outbound.send(message).await {
            Ok(result) => result,
            Err(_) => Err(SendError { message: copy, reason: SendFailure::Closed }),
        }
    }

    /// Closes the connection, with this code and reason, after what was sent before it.
    ///
    /// On the server, 1000 ends the session, too, and a Hookup client stops; so it does with 4409, and with any other code
    /// it reconnects, under `hookup.v2` to the same session. On the client it is a `Disconnect` with this code.
    pub fn close(&self, reason: CloseReason) {
        self.inner.close.do_send(ClosePeer { reason });
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id().0).field("remote", &self.inner.remote).finish()
    }
}

/// A peer's number within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Asks a session to close its connection; [`Peer::close`] sends it.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub struct ClosePeer {
    /// The close frame's code and reason.
    pub reason: CloseReason,
}
