//! What a session is sent: its connections, what they bring, and what the server and the user want of it.

use std::time::Instant;

use actix::{ActorContext as _, AsyncContext as _, Context, Handler, Message};
use hookup_core::{
    Cause, CloseCode, ClosePeer, CloseReason, Error, Event, Outbound, SessionEnd,
    ack::AckOutcomes,
    driver::now,
    session::Submission,
    transport::{Command, FLUSH_TIMEOUT, Notice},
};

use super::{Kind, Session, ending::Phase};
use crate::{
    RetryAfter,
    attach::{Attach, Heard},
    line::Transport,
    registry::Change,
};

/// The connection of a format's session is open. One that is dropped, as the session has ended meanwhile, is closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Opened(Option<Transport>);

impl Opened {
    pub(crate) fn new(transport: Transport) -> Self {
        Self(Some(transport))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(transport) = self.0.take() {
            transport.send(Command::Close(CloseCode::AWAY.into()));
        }
    }
}

/// The session's place is needed, or its time is over: it is to end for this reason, unless it has a connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Evict(pub(crate) SessionEnd);

/// The server stops, and is to have ended by then.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop {
    pub(crate) until: Instant,
}

/// The server's time to stop is over: the session ends as it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Abandon;

impl Handler<Opened> for Session {
    type Result = ();

    fn handle(&mut self, mut opened: Opened, _: &mut Context<Self>) {
        if let (Kind::Format(format), Phase::Running) = (&self.kind, &self.phase)
            && let Some(connection) = opened.0.take()
        {
            let format = format.clone();
            let closing = self.closing.take();
            self.begin_connection(connection);
            self.closing = closing;
            self.core.connected(format);
        }
    }
}

impl Handler<Attach> for Session {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Running) {
            return self.report(Change::Leaving(attach));
        }
        let Attach { hello, principal, order, remote, connection, .. } = attach;
        if self.is_stillborn {
            // What the session has stored is for one that has a handler.
            self.phase = Phase::Telling;
            return connection.refuse(CloseReason::new(CloseCode::ERROR, "the handler's factory failed"));
        }
        // One that was begun before the server asked who its clients are belongs to whoever knows its id.
        let is_theirs = self.core.principal().is_none_or(|owner| principal.as_deref() == Some(owner));
        let greeted = match is_theirs {
            // The network held its hello up: its client gave it up, and has said hello over another one since.
            true if order < self.newest => Err(CloseReason::from(CloseCode::SUPERSEDED)),
            true if self.core.is_overrun() => Err(CloseReason::new(CloseCode::ERROR, "the handler is behind")),
            true => self.core.greeted(&hello),
            false => Err(CloseReason::new(CloseCode::UNAUTHORISED, "the session belongs to someone else")),
        };
        if let Err(reason) = greeted {
            connection.refuse(reason);
            if self.connection.is_none() {
                self.report(Change::Detached);
            }
            return;
        }
        self.newest = order;
        self.core.claim(principal.clone());
        if let Some(old) = self.connection.take() {
            let reason = CloseReason::from(CloseCode::SUPERSEDED);
            old.transport.send(Command::Close(reason.clone()));
            if self.core.take_told() {
                self.core.tell(Event::Disconnected(Cause::WeClosed(reason)));
            }
        }
        self.core.set_peer(self.core.peer().moved(remote, principal));
        match connection.adopt(ctx.address().recipient(), self.connections + 1, self.core.unhandled()) {
            Some(commands) => {
                self.begin_connection(commands);
                self.report(Change::Attached(self.core.peer().clone()));
            }
            None => {
                self.core.disconnected();
                self.left();
            }
        }
    }
}

impl Handler<Heard> for Session {
    type Result = ();

    fn handle(&mut self, Heard { number, notice }: Heard, _: &mut Context<Self>) {
        if number != self.connections {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        if let (Some(heartbeat), Notice::Frames(_) | Notice::Alive) = (&mut connection.heartbeat, &notice) {
            heartbeat.heard(now());
        }
        match notice {
            Notice::Frames(frames) => {
                if let Err(reason) = self.core.receive(frames) {
                    self.closing = Some((reason, now()));
                }
            }
            Notice::Alive => {}
            Notice::Written(frames) => self.core.written(frames),
            // What the peer does after our close is of no interest.
            Notice::Violated(reason) if matches!(self.phase, Phase::Running) => {
                self.core.tell(Event::Error(Error::Protocol(reason)));
            }
            Notice::Violated(_) => {}
            Notice::Ended(cause) => self.disconnected(cause),
        }
    }
}

impl Handler<ClosePeer> for Session {
    type Result = ();

    fn handle(&mut self, ClosePeer { reason }: ClosePeer, _: &mut Context<Self>) {
        match self.kind {
            // The client comes back, to the same session.
            Kind::Resumable(_) if reason.code != CloseCode::NORMAL => {}
            Kind::Resumable(_) if self.connection.is_none() => return self.end(SessionEnd::Closed),
            _ => {
                self.is_over = true;
                self.core.stop_accepting();
                // A close after which the client would come back may be under way.
                let is_resumable = matches!(self.kind, Kind::Resumable(_));
                self.closing.take_if(|(earlier, _)| is_resumable && !self.stopping && earlier.code != reason.code);
            }
        }
        self.closing.get_or_insert((reason, now() + FLUSH_TIMEOUT));
    }
}

impl Handler<Evict> for Session {
    type Result = ();

    fn handle(&mut self, Evict(reason): Evict, _: &mut Context<Self>) {
        match self.connection {
            Some(_) => self.report(Change::Kept),
            None => self.end(reason),
        }
    }
}

impl Handler<Stop> for Session {
    type Result = ();

    fn handle(&mut self, Stop { until }: Stop, _: &mut Context<Self>) {
        self.stopping = true;
        self.is_over = true;
        let RetryAfter { from, to } = self.settings.config.retry_after;
        self.core.send_goaway(from, to);
        self.core.drain();
        // The other half is for what it has to say, for the peer to take that, and for the last events.
        let now = now();
        self.draining = Some((now + until.saturating_duration_since(now) / 2, until));
    }
}

impl Handler<Abandon> for Session {
    type Result = ();

    fn handle(&mut self, Abandon: Abandon, ctx: &mut Context<Self>) {
        let (id, unsent) = (self.core.peer().id(), self.core.unsent());
        tracing::warn!(?id, unsent, "the server's time to stop is over, and this session has not ended");
        self.command(Command::Abort);
        ctx.stop();
    }
}

impl Handler<AckOutcomes> for Session {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Context<Self>) {
        self.core.acks_ended(outcomes);
    }
}

impl Handler<Outbound> for Session {
    type Result = Submission;

    fn handle(&mut self, outbound: Outbound, _: &mut Context<Self>) -> Submission {
        self.core.submit(outbound)
    }
}
