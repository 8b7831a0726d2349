//! A session as an actor: the engine, the user's handler in it, and whichever connection it has.
//!
//! Under `hookup.v2` it outlives its connections, and any thread's connection can be its next. Under the formats it has
//! one connection, and ends with it.

mod birth;
mod ending;
mod mailbox;

use std::{sync::Arc, task, time::Instant};

use actix::{Actor, Addr, AsyncContext as _, Context};
use hookup_core::{
    Cause, CloseCode, CloseReason, Event, SessionEnd, SessionId, WireFormat,
    driver::{Alarm, Drive, Driver, now},
    heartbeat::Heartbeat,
    session::SessionCore,
    transport::Command,
};

use self::ending::Phase;
pub(crate) use self::mailbox::{Abandon, Evict, Opened, Stop};
use crate::{
    builder::Settings,
    line::Transport,
    registry::{Change, HookupServer, Joined, Left, OfSession},
};

/// The actor of one session.
pub(crate) struct Session {
    core: SessionCore,
    server: Addr<HookupServer>,
    settings: Arc<Settings>,
    kind: Kind,
    connection: Option<Connected>,
    /// How many connections there were; what an earlier one still has to say is not heard.
    connections: u64,
    /// The place of the newest of them in the order in which the server let connections in.
    newest: u64,
    /// When the session is over unless it has a connection by then.
    expires: Option<Instant>,
    closing: Option<(CloseReason, Instant)>,
    stopping: bool,
    /// The server stops: how long the handler has for what it has begun, and the session for all.
    draining: Option<(Instant, Instant)>,
    /// It was closed with 1000, or the server stops: it ends with its connection, however that ends.
    is_over: bool,
    alarm: Alarm,
    phase: Phase,
    /// The handler's factory panicked: it takes no connection.
    is_stillborn: bool,
}

enum Kind {
    /// It ends with its connection.
    Format(Arc<dyn WireFormat>),
    /// Of `hookup.v2`.
    Resumable(SessionId),
}

struct Connected {
    transport: Transport,
    heartbeat: Option<Heartbeat>,
}

impl Session {
    fn command(&self, command: Command) {
        if let Some(connection) = &self.connection {
            connection.transport.send(command);
        }
    }

    fn begin_connection(&mut self, transport: Transport) {
        let heartbeat = self.settings.common.heartbeat;
        let heartbeat = heartbeat.map(|(interval, missed)| Heartbeat::new(interval, missed, now()));
        self.connection = Some(Connected { transport, heartbeat });
        self.connections += 1;
        self.expires = None;
        // An end for good is not put off by another connection.
        self.closing.take_if(|_| !self.is_over);
    }

    /// Tells the registry of a change.
    fn report(&self, change: Change) {
        if let Kind::Resumable(id) = self.kind {
            self.server.do_send(OfSession(id, change));
        }
    }

    /// The connection is over.
    fn disconnected(&mut self, cause: Cause) {
        if self.connection.take().is_none() {
            return;
        }
        let was_told = self.core.take_told();
        if let Cause::PeerClosed(reason) = &cause {
            self.core.peer_closed(reason);
        }
        self.core.disconnected();
        self.closing = None;
        if was_told {
            self.core.tell(Event::Disconnected(cause.clone()));
        }
        self.left();
    }

    fn run(&mut self, cx: &mut task::Context<'_>) {
        let now = now();
        let connection = &self.connection;
        self.core.poll(now, cx, |frames, credit| {
            if let Some(connection) = connection {
                connection.transport.send(Command::Transmit { frames, credit });
            }
        });
        if self.core.has_lost_handler() {
            return self.handler_gone();
        }
        self.drain(now, cx);
        if self.core.take_too_slow() {
            tracing::info!(peer = ?self.core.peer(), "closed: more waits to be sent to it than is kept");
            let reason = CloseReason::new(CloseCode::TOO_SLOW, "more waits to be sent than is kept");
            self.closing.get_or_insert((reason, now));
        }
        if let Some((reason, deadline)) = &self.closing
            && self.connection.is_some()
            && (self.core.is_flushed() || *deadline <= now)
        {
            let reason = reason.clone();
            self.command(Command::Close(reason.clone()));
            // The connection waits for the peer's answer by itself.
            return self.disconnected(Cause::WeClosed(reason));
        }
        if self.expires.is_some_and(|at| at <= now) {
            return self.end(SessionEnd::Expired);
        }
        let Some(Connected { transport, heartbeat }) = &mut self.connection else { return };
        match self.core.watch(transport.progress(), heartbeat.as_mut(), now) {
            Ok(false) => {}
            Ok(true) => self.command(Command::Ping),
            Err(cause) => {
                tracing::info!(peer = ?self.core.peer(), %cause, "cut off");
                self.command(Command::Abort);
                self.disconnected(cause);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => {}
            // A handler that never ends is not to keep the session.
            Phase::Ending { .. } | Phase::Telling => return self.core.handler_deadline(),
            Phase::Forgetting(_) => return None,
        }
        let connection = self.connection.as_ref();
        let heartbeat = connection.and_then(|connection| connection.heartbeat.as_ref()).map(Heartbeat::deadline);
        let closing = self.closing.as_ref().map(|&(_, deadline)| deadline).filter(|_| connection.is_some());
        let draining = self.draining.map(|(enough, _)| enough);
        [heartbeat, closing, draining, self.expires, self.core.deadline()].into_iter().flatten().min()
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Kind::Format(_) = self.kind {
            self.server.do_send(Joined(self.core.peer().clone(), ctx.address()));
        }
        Driver::<Self>::spawn(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Still there after a panic alone, such as a wire format's.
        self.command(Command::Close(CloseCode::ERROR.into()));
        match self.kind {
            Kind::Format(_) => self.server.do_send(Left(self.core.peer().id())),
            Kind::Resumable(_) => self.report(Change::Gone),
        }
    }
}

impl Drive for Session {
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            if let Phase::Running = self.phase {
                self.run(cx);
            }
            self.finish(ctx, cx);
            self.alarm.set(self.deadline());
            if !self.alarm.rang(cx) && !self.core.has_changed() {
                break;
            }
        }
    }
}
