//! A session as an actor: the engine, the user's handler in it, and whichever connection it has.
//!
//! Under `hookup.v2` it outlives its connections, and any thread's connection can be its next. Under the formats it has
//! one connection, and ends with it.

mod mailbox;

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{self, Poll},
    time::Instant,
};

use actix::{Actor, ActorContext as _, Addr, ArbiterHandle, AsyncContext as _, Context};
use futures_util::FutureExt as _;
use hookup_core::{
    Cause, CloseCode, CloseReason, Event, EventHandler, Handling, MemoryOutbox, Peer, SessionEnd, SessionId,
    WireFormat,
    driver::{Alarm, Drive, Driver, now, wall_clock},
    heartbeat::{Beat, Heartbeat},
    panics::catch,
    session::{self, Called, SessionCore},
    transport::{Command, FLUSH_TIMEOUT},
};

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

/// In place of a handler whose factory panicked.
struct Nobody;

impl EventHandler for Nobody {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        tracing::error!(?event, "not handled: the handler's factory panicked");
        Handling::refused("there is no handler")
    }
}

/// A session whose actor is about to be. If it never is, as its thread has ended, the registry is told that it has gone.
struct Unborn(Option<(Addr<HookupServer>, SessionId)>);

impl Unborn {
    fn born(mut self) {
        self.0 = None;
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some((server, id)) = self.0.take() {
            server.do_send(OfSession(id, Change::Gone));
        }
    }
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

enum Phase {
    /// Messages flow, or will.
    Running,
    /// What was not delivered is being reported, unless it stays in the store. Then this is the last event.
    Ending { stays: bool, last: Option<SessionEnd> },
    /// The store is being told.
    Forgetting(Called<()>),
    /// The handler is being told the rest.
    Telling,
}

impl Session {
    /// A session of a format; its connection says [`Opened`].
    pub(crate) fn of_format(
        settings: &Arc<Settings>,
        server: Addr<HookupServer>,
        remote: Option<SocketAddr>,
        principal: Option<String>,
        format: Arc<dyn WireFormat>,
    ) -> Addr<Self> {
        let settings = settings.clone();
        let handler = (settings.factory)();
        Self::create(move |ctx| {
            let opened = session::Opened::without_link(Box::<MemoryOutbox>::default());
            let mut session = Self::new(settings, server, Kind::Format(format), handler, opened, ctx);
            session.core.set_peer(session.core.peer().moved(remote, principal));
            session
        })
    }

    /// A session of `hookup.v2`, on the thread of this arbiter, without a connection.
    pub(crate) fn resumable(
        settings: &Arc<Settings>,
        server: Addr<HookupServer>,
        arbiter: &ArbiterHandle,
        id: SessionId,
        opened: session::Opened,
    ) -> Addr<Self> {
        let settings = settings.clone();
        let unborn = Unborn(Some((server.clone(), id)));
        Self::start_in_arbiter(arbiter, move |ctx| {
            let unborn = unborn;
            let handler = catch(|| (settings.factory)());
            let handler = handler.inspect_err(|message| tracing::error!(%message, "the handler's factory panicked"));
            let is_stillborn = handler.is_err();
            let handler = handler.unwrap_or_else(|_| Box::new(Nobody));
            let mut session = Self::new(settings, server, Kind::Resumable(id), handler, opened, ctx);
            session.is_stillborn = is_stillborn;
            session.expires = Some(now() + session.settings.config.session_ttl);
            unborn.born();
            session
        })
    }

    fn new(
        settings: Arc<Settings>,
        server: Addr<HookupServer>,
        kind: Kind,
        handler: Box<dyn EventHandler>,
        opened: session::Opened,
        ctx: &mut Context<Self>,
    ) -> Self {
        // No bound: a `send` takes its place in the order at once, as a `do_send` does. The outbox has the bound.
        ctx.set_mailbox_capacity(0);
        let addr = ctx.address();
        let peer = Peer::new(None, addr.clone().recipient(), addr.clone().recipient());
        let mut core = SessionCore::new(settings.common.limits, peer, handler, addr.recipient());
        core.end_with_handler();
        core.opened(opened);
        Self {
            core,
            server,
            settings,
            kind,
            connection: None,
            connections: 0,
            newest: 0,
            expires: None,
            closing: None,
            stopping: false,
            draining: None,
            is_over: false,
            alarm: Alarm::default(),
            phase: Phase::Running,
            is_stillborn: false,
        }
    }

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

    /// There is no connection any more.
    fn left(&mut self) {
        match self.kind {
            _ if self.draining.is_some() => {}
            _ if self.stopping => self.stop(),
            Kind::Resumable(_) if !self.is_over => {
                self.expires = Some(now() + self.settings.config.session_ttl);
                self.report(Change::Detached);
            }
            _ => self.end(SessionEnd::Closed),
        }
    }

    /// The session is over.
    fn end(&mut self, reason: SessionEnd) {
        if let Phase::Running = self.phase {
            self.phase = Phase::Ending { stays: false, last: Some(reason) };
        }
    }

    /// The handler has gone: the client's next connection is to find a new session, with a new handler.
    fn abandon(&mut self) {
        let reason = CloseReason::new(CloseCode::ERROR, "the handler has gone");
        self.is_over = true;
        self.command(Command::Close(reason.clone()));
        match self.connection {
            Some(_) => self.disconnected(Cause::WeClosed(reason)),
            None => self.end(SessionEnd::Closed),
        }
    }

    /// The session is over in this process.
    fn stop(&mut self) {
        match self.kind {
            Kind::Resumable(_) if self.settings.store.is_durable() => {
                self.phase = Phase::Ending { stays: true, last: None };
            }
            _ => self.end(SessionEnd::Stopped),
        }
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
            return self.abandon();
        }
        if let Some((enough, until)) = self.draining
            && (self.core.poll_drained(cx).is_ready() || enough <= now)
        {
            self.draining = None;
            self.core.stop_accepting();
            if self.connection.is_none() {
                return self.stop();
            }
            let until = until.min(now + FLUSH_TIMEOUT);
            let (_, earlier) = self.closing.get_or_insert((CloseCode::AWAY.into(), until));
            *earlier = until.min(*earlier);
        }
        if self.core.take_too_slow() {
            let reason = CloseReason::new(CloseCode::TOO_SLOW, "more waits to be sent than is kept");
            self.closing = Some((reason, now));
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
        if let Some(connection) = &self.connection
            && self.core.is_stalled(connection.transport.progress(), now)
        {
            self.command(Command::Abort);
            return self.disconnected(Cause::Stalled);
        }
        let is_reading = self.core.is_reading();
        let heartbeat = self.connection.as_mut().and_then(|connection| connection.heartbeat.as_mut());
        let Some(heartbeat) = heartbeat else { return };
        match heartbeat.poll(now, is_reading) {
            Beat::Wait => {}
            Beat::Ping => self.command(Command::Ping),
            Beat::Dead => {
                self.command(Command::Abort);
                self.disconnected(Cause::Silent);
            }
        }
    }

    /// Tells the store that the session is over.
    fn forget(&mut self) -> Phase {
        let Some(state) = self.core.ended_state().filter(|_| matches!(self.kind, Kind::Resumable(_))) else {
            return Phase::Telling;
        };
        let (store, now) = (self.settings.store.clone(), wall_clock());
        let cursor_ttl = u64::try_from(self.settings.config.cursor_ttl.as_millis()).unwrap_or(u64::MAX);
        let end = move || store.end(&state, now).and_then(|()| store.forget(now.saturating_sub(cursor_ttl)));
        Phase::Forgetting(session::call(self.settings.store.is_durable(), end))
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
            if let Phase::Ending { stays, last } = self.phase
                && self.core.poll_end(stays, last.map(Event::SessionEnded), cx).is_ready()
            {
                self.phase = if stays { Phase::Telling } else { self.forget() };
            }
            if let Phase::Forgetting(end) = &mut self.phase
                && let Poll::Ready(ended) = end.poll_unpin(cx)
            {
                if let Err(error) = ended {
                    tracing::error!(%error, "the session store could not end a session");
                }
                self.phase = Phase::Telling;
            }
            if let Phase::Telling = self.phase
                && self.core.poll_told(now(), cx).is_ready()
            {
                ctx.stop();
            }
            self.alarm.set(self.deadline());
            if !self.alarm.rang(cx) && !self.core.has_changed() {
                break;
            }
        }
    }
}
