//! A session as an actor: the engine, the user's handler in it, and the address of its connection.

use std::{
    net::SocketAddr,
    sync::Arc,
    task,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Recipient};
use hookup_core::{
    Cause, CloseCode, ClosePeer, CloseReason, Error, Event, MemoryOutbox, Outbound, Peer, WireFormat,
    ack::AckOutcomes,
    driver::{Alarm, Drive, Driver, now},
    heartbeat::{Beat, Heartbeat},
    session::{SessionCore, Submission},
    transport::{Command, FLUSH_TIMEOUT, Notice},
};

use crate::{
    builder::Settings,
    registry::{HookupServer, Joined, Left},
};

/// The actor of one session.
pub(crate) struct Session {
    core: SessionCore,
    server: Addr<HookupServer>,
    connection: Option<Recipient<Command>>,
    heartbeat_setting: Option<(Duration, u32)>,
    heartbeat: Option<Heartbeat>,
    alarm: Alarm,
    format: Arc<dyn WireFormat>,
    closing: Option<(CloseReason, Instant)>,
    phase: Phase,
}

enum Phase {
    /// Messages flow, or are about to.
    Open,
    /// The connection is over; what was not delivered is being reported.
    Ending(Cause),
    /// The handler is being told the rest.
    Telling,
}

/// The session's connection is open.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Opened(pub(crate) Recipient<Command>);

impl Session {
    pub(crate) fn start(
        settings: &Arc<Settings>,
        server: Addr<HookupServer>,
        remote: Option<SocketAddr>,
        format: Arc<dyn WireFormat>,
    ) -> Addr<Self> {
        let handler = (settings.factory)();
        let (limits, heartbeat_setting) = (settings.common.limits, settings.common.heartbeat);
        Self::create(move |ctx| {
            // No bound: a `send` takes its place in the order at once, as a `do_send` does. The outbox has the bound.
            ctx.set_mailbox_capacity(0);
            let addr = ctx.address();
            let peer = Peer::new(remote, addr.clone().recipient(), addr.clone().recipient());
            let outbox = Box::<MemoryOutbox>::default();
            Self {
                core: SessionCore::new(limits, peer, handler, outbox, addr.recipient()),
                server,
                connection: None,
                heartbeat_setting,
                heartbeat: None,
                alarm: Alarm::default(),
                format,
                closing: None,
                phase: Phase::Open,
            }
        })
    }

    fn command(&self, command: Command) {
        if let Some(connection) = &self.connection {
            connection.do_send(command);
        }
    }

    fn end(&mut self, cause: Cause) {
        if matches!(self.phase, Phase::Open) {
            self.connection = None;
            self.heartbeat = None;
            self.core.disconnected();
            self.phase = Phase::Ending(cause);
        }
    }

    fn drive_open(&mut self, cx: &mut task::Context<'_>) {
        let now = now();
        let connection = &self.connection;
        self.core.poll(now, cx, |frames, credit| {
            if let Some(connection) = connection {
                connection.do_send(Command::Transmit { frames, credit });
            }
        });
        if self.connection.is_none() {
            return;
        }
        if let Some((reason, deadline)) = &self.closing
            && (self.core.is_flushed() || *deadline <= now)
        {
            let reason = reason.clone();
            self.command(Command::Close(reason.clone()));
            // The connection waits for the peer's answer by itself.
            return self.end(Cause::WeClosed(reason));
        }
        if let Some(heartbeat) = self.heartbeat.as_mut().filter(|_| !self.core.is_reading()) {
            heartbeat.heard(now);
        }
        match self.heartbeat.as_mut().map_or(Beat::Wait, |heartbeat| heartbeat.poll(now)) {
            Beat::Wait => {}
            Beat::Ping => self.command(Command::Ping),
            Beat::Dead => {
                self.command(Command::Abort);
                self.end(Cause::Silent);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        let closing = self.closing.as_ref().map(|&(_, deadline)| deadline);
        heartbeat.into_iter().chain(closing.filter(|_| self.connection.is_some())).min()
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.server.do_send(Joined(self.core.peer().clone()));
        Driver::<Self>::spawn(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Still there after a panic alone, such as a wire format's.
        if let Some(connection) = self.connection.take() {
            connection.do_send(Command::Close(CloseCode::ERROR.into()));
        }
        self.server.do_send(Left(self.core.peer().id()));
    }
}

impl Drive for Session {
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            if let Phase::Open = self.phase {
                self.drive_open(cx);
            }
            if let Phase::Ending(cause) = &self.phase {
                let last = Event::Disconnected(cause.clone());
                if self.core.poll_end(last, cx).is_ready() {
                    self.phase = Phase::Telling;
                }
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

impl Handler<Opened> for Session {
    type Result = ();

    fn handle(&mut self, Opened(connection): Opened, _: &mut Self::Context) {
        self.connection = Some(connection);
        self.heartbeat = self.heartbeat_setting.map(|(interval, missed)| Heartbeat::new(interval, missed, now()));
        self.core.connected(self.format.clone());
    }
}

impl Handler<Notice> for Session {
    type Result = ();

    fn handle(&mut self, notice: Notice, _: &mut Self::Context) {
        if let (Some(heartbeat), Notice::Frames(_) | Notice::Alive) = (&mut self.heartbeat, &notice) {
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
            // `Disconnected` is the last event; what the peer does after our close is of no interest.
            Notice::Violated(reason) if matches!(self.phase, Phase::Open) => {
                self.core.tell(Event::Error(Error::Protocol(reason)));
            }
            Notice::Violated(_) => {}
            Notice::Ended(cause) => self.end(cause),
        }
    }
}

impl Handler<ClosePeer> for Session {
    type Result = ();

    fn handle(&mut self, ClosePeer { reason }: ClosePeer, _: &mut Self::Context) {
        self.core.stop_accepting();
        self.closing.get_or_insert((reason, now() + FLUSH_TIMEOUT));
    }
}

impl Handler<AckOutcomes> for Session {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Self::Context) {
        self.core.acks_ended(outcomes);
    }
}

impl Handler<Outbound> for Session {
    type Result = Submission;

    fn handle(&mut self, outbound: Outbound, _: &mut Self::Context) -> Submission {
        self.core.submit(outbound)
    }
}
