//! The one engine behind a server session and a client: its state, and what its actor tells it and asks it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Recipient;

use super::{
    Limits, Submission, Submissions,
    armed::Armed,
    flow::Flow,
    inbox::{Inbox, Origin},
    links::Links,
    outgoing::Outgoing,
    slow::Slow,
};
use crate::{
    ack::{AckHandle, AckOp, AckOutcomes},
    event::{Connected, Event},
    handler::EventHandler,
    link::{Transmit, v2},
    outbound::Outbound,
    peer::Peer,
    transport::Credit,
    wire::WireFormat,
    ws::{CloseCode, CloseReason},
};

/// How many events that are no messages may wait for the handler before a server takes no further connection.
const MAX_STATE_EVENTS: usize = 1024;

/// One end of a session.
#[derive(Debug)]
pub struct SessionCore {
    pub(super) limits: Limits,
    pub(super) peer: Peer,
    pub(super) links: Links,
    pub(super) inbox: Inbox,
    pub(super) outgoing: Outgoing,
    pub(super) acks: AckHandle,
    pub(super) armed: Armed,
    pub(super) submissions: Submissions,
    pub(super) flow: Flow,
    pub(super) slow: Slow,
    /// Counts the connections.
    pub(super) connection: u64,
    /// The first connection whose frames the present transport counts.
    pub(super) credited_from: u64,
    pub(super) is_connected: bool,
    /// The peer has sent what the connection is to be closed for: what follows is of no interest.
    pub(super) is_broken: bool,
    /// Whether the handler was told `Connected`, and not `Disconnected` since.
    pub(super) is_told: bool,
    /// A wait that the server's goaway asked for.
    pub(super) goaway: Option<(Duration, Duration)>,
    pub(super) retry_at: Option<Instant>,
    pub(super) has_progress: bool,
    pub(super) accepts: bool,
    pub(super) ended: bool,
    /// The session ends when its handler has gone.
    pub(super) ends_with_handler: bool,
    /// How many messages were handled since others had their turn.
    pub(super) burst: usize,
    /// Something changed that the next poll acts on.
    pub(super) changed: bool,
}

impl SessionCore {
    /// A session without a connection, whose outbox is not open yet: what is submitted waits until it is
    /// [opened](Self::opened), within the outbox's bound.
    pub fn new(limits: Limits, peer: Peer, handler: Box<dyn EventHandler>, outcomes: Recipient<AckOutcomes>) -> Self {
        Self {
            limits,
            peer,
            links: Links::new(limits.window, limits.max_message_bytes),
            inbox: Inbox::new(handler, &limits),
            outgoing: Outgoing::new(&limits),
            acks: AckHandle::enrol(outcomes),
            armed: Armed::default(),
            submissions: Submissions::default(),
            flow: Flow::new(limits.inbox),
            slow: Slow::new(&limits),
            connection: 0,
            credited_from: 0,
            is_connected: false,
            is_broken: false,
            is_told: false,
            goaway: None,
            retry_at: None,
            has_progress: false,
            accepts: true,
            ended: false,
            ends_with_handler: false,
            burst: 0,
            changed: false,
        }
    }

    /// Whom this session talks to.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The session goes on with the same peer, at another address.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Takes a message to be sent; the actor returns this from its `handle`.
    pub fn submit(&self, outbound: impl Into<Outbound>) -> Submission {
        self.submissions.submit(outbound)
    }

    /// Whose session it is, on a server with authentication.
    pub fn principal(&mut self) -> Option<&str> {
        self.links.session().and_then(|link| link.principal())
    }

    /// The session, if it was nobody's, is theirs from now on.
    pub fn claim(&mut self, principal: Option<String>) {
        if let Some(link) = self.links.session() {
            link.claim(principal);
        }
    }

    /// What is to be kept of a `hookup.v2` session that has ended.
    pub fn ended_state(&mut self) -> Option<v2::State> {
        self.links.session().map(|link| link.state().ended())
    }

    /// Has this written over a connection of `hookup.v2`, ahead of what waits.
    pub fn send_goaway(&mut self, from: Duration, to: Duration) {
        if let Some(link) = self.links.v2() {
            link.goaway(from, to);
        }
    }

    /// A connection of a format has opened.
    pub fn connected(&mut self, format: Arc<dyn WireFormat>) {
        let name = format.name().to_owned();
        let armed = &self.armed;
        self.links.connected(format, |seq| armed.is_armed(seq));
        self.outgoing.rewind();
        self.begin_connection();
        self.is_told = true;
        self.tell(Event::Connected(Connected::new(self.peer.clone(), name)));
    }

    /// A client's connection of `hookup.v2` has opened. `Connected` follows when the server's welcome has come.
    pub fn connected_v2(&mut self) {
        if self.links.connected_v2() {
            self.outgoing.rewind();
        }
        self.begin_connection();
    }

    /// A client has sent its hello to this server. `Connected` follows when the welcome is sent.
    ///
    /// # Errors
    /// 4400 when the hello claims what cannot be; then nothing has changed.
    pub fn greeted(&mut self, hello: &v2::Hello) -> Result<(), CloseReason> {
        if let Some(link) = self.links.v2() {
            link.greeted(hello)?;
        }
        self.begin_connection();
        // It was told of all that is not handled, whichever connection it came over.
        self.credited_from = 0;
        Ok(())
    }

    fn begin_connection(&mut self) {
        self.connection += 1;
        self.credited_from = self.connection;
        self.is_connected = true;
        self.is_broken = false;
        self.goaway = None;
        self.flow.reset();
        self.slow.reset();
        self.outgoing.retry();
        self.changed = true;
    }

    /// The peer has closed the connection with this; [`SessionCore::disconnected`] is to follow.
    pub fn peer_closed(&mut self, reason: &CloseReason) {
        if reason.code == CloseCode::TOO_BIG
            && let Some(Transmit::Failed { entry, failure }) = self.links.too_big()
        {
            // The supervisor is not to wait for it, and its answer is about nothing any more.
            self.acks.push(AckOp::Acked { seq: entry.seq });
            self.withdrawn(entry, failure);
        }
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.links.disconnected();
        if !self.links.is_v2() {
            self.outgoing.rewind();
        }
        self.is_connected = false;
        self.flow.reset();
        self.slow.reset();
    }

    /// Whether the handler was told `Connected`; it is now to be told `Disconnected`.
    pub fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.is_told)
    }

    /// Whether messages flow.
    pub fn is_open(&self) -> bool {
        self.is_connected && self.links.is_open()
    }

    /// The range of waits that the server asked for before the next connection, if it did.
    pub fn goaway(&self) -> Option<(Duration, Duration)> {
        self.goaway
    }

    /// Tells the handler something that is not about a message.
    pub fn tell(&mut self, event: Event) {
        self.inbox.push(event, Origin::State);
        self.changed = true;
    }

    /// What has come in and is not handled yet: a server's next connection is to count it against its bound.
    pub fn unhandled(&self) -> Credit {
        self.flow.unhandled()
    }

    /// Whether so much waits for the handler that another connection would only bring more.
    pub fn is_overrun(&self) -> bool {
        self.inbox.len() > self.limits.inbox.frames.saturating_add(MAX_STATE_EVENTS)
    }

    /// Whether there is room for more frames, so that they are read: not while the handler is behind by the inbox's bound.
    /// The silence of a peer that is not listened to means nothing.
    pub fn is_reading(&self) -> bool {
        self.flow.is_reading()
    }

    /// Whether the handler was found to be gone: nobody is told of anything any more, and what comes in is refused.
    pub fn has_lost_handler(&self) -> bool {
        self.inbox.is_gone()
    }

    /// The session ends when its handler has gone. What the handler was given last over `hookup.v2` is not refused then, as
    /// the peer might not hear of that any more, but comes again to the session's successor.
    pub fn end_with_handler(&mut self) {
        self.ends_with_handler = true;
    }

    /// Whether the connection has been of use since this was last asked: an ack has come, or a message of `hookup.v2` was
    /// handled.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progress)
    }

    /// Whether no connection is being tried for. Whoever waits for an ack then is told so; the messages stay.
    pub fn set_offline(&mut self, offline: bool) {
        self.outgoing.set_offline(offline);
    }

    /// How many messages are in the outbox.
    pub fn unsent(&self) -> usize {
        self.outgoing.usage().messages
    }

    /// Whether all that was accepted has been written.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_handed_over() && self.links.is_flushed() && self.flow.is_written()
    }

    /// Whether nothing is left to be sent, written, acked or handled.
    pub fn is_idle(&self) -> bool {
        self.unsent() == 0
            && self.outgoing.is_idle()
            && self.flow.is_written()
            && self.links.is_idle()
            && self.inbox.is_empty()
    }
}
