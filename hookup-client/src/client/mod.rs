//! The client actor: the engine, the user's handler in it, and the state of its connection.

mod attempt;
mod connection;
mod mailbox;
mod opening;

use std::{fmt, rc::Rc, task, time::Instant};

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context};
use hookup_core::{
    Cause, CloseCode, CloseReason, Event, EventHandler, Peer,
    backoff::Schedule,
    driver::{Alarm, Drive, Driver, now},
    heartbeat::Heartbeat,
    session::{Called, Opened, SessionCore},
    transport::{Command, Progress},
};
use tokio::sync::{mpsc, oneshot};

use self::attempt::Attempt;
use crate::{Closed, builder::Settings};

/// The client's actor: its address takes [`Text`](struct@crate::Text), [`Json`](struct@crate::Json),
/// [`Binary`](struct@crate::Binary) and [`Outbound`](crate::Outbound) messages to be sent, and
/// [`Close`](crate::Close), [`Disconnect`](crate::Disconnect) and [`Reconnect`](crate::Reconnect). [`HookupClient::builder`] begins one.
///
/// `send` resolves with [`SendResult`](crate::SendResult): accepted, or, with `needs_ack`, acked, or why not, with the
/// message. After `do_send` a failure is an event.
pub struct HookupClient {
    core: SessionCore,
    settings: Rc<Settings>,
    schedule: Schedule,
    state: State,
    /// Which attempt to connect this is; what an earlier one still has to say is not heard.
    attempt: u64,
    alarm: Alarm,
    closing: Option<Closing>,
    /// How many connections in a row were closed with 4400, and came to nothing.
    refused: u32,
    /// Whether the last connection came to something.
    has_progress: bool,
    closers: Vec<oneshot::Sender<Closed>>,
    phase: Phase,
}

/// The connection.
enum State {
    /// There is none, and none is being tried for.
    Offline,
    /// The next attempt is at this time.
    Waiting(Instant),
    /// An attempt is being made.
    Connecting { _attempt: Attempt },
    /// There is one.
    Connected(Connected),
}

struct Connected {
    commands: mpsc::UnboundedSender<Command>,
    progress: Progress,
    heartbeat: Option<Heartbeat>,
    /// When the connection will have lasted long enough for the backoff schedule to start again; `None` when it has.
    stable_at: Option<Instant>,
    /// By when the server's welcome must have come; `None` when it has, and where there is none.
    welcome_by: Option<Instant>,
    /// When the client connects anew, because the server asked for it.
    leave_at: Option<Instant>,
    /// A close frame was sent.
    is_closing: bool,
    /// It was sent to connect anew, or that was asked for since.
    is_reconnecting: bool,
    _attempt: Attempt,
}

/// An end that was asked for, and is put off until what can be sent was sent.
struct Closing {
    reason: CloseReason,
    until: Instant,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The client stays, without a connection.
    Stay,
    /// The client connects anew.
    Reconnect,
    /// The client ends, when every ack has come, too.
    End,
}

enum Phase {
    /// The outbox is being opened. What is submitted waits in the engine, and commands say what is to follow.
    Opening(Called<Opened>),
    Running,
    /// What was not delivered is being reported, and the outbox closed.
    Ending {
        cause: Cause,
        unsent: usize,
    },
    /// The handler is being told the rest.
    Telling {
        unsent: usize,
    },
}

impl HookupClient {
    pub(crate) fn start_with(
        settings: Settings,
        handler: Box<dyn EventHandler>,
        opening: Called<Opened>,
    ) -> Addr<Self> {
        Self::create(move |ctx| {
            // No bound: a `send` takes its place in the order at once, as a `do_send` does. The outbox has the bound.
            ctx.set_mailbox_capacity(0);
            let addr = ctx.address();
            let peer = Peer::new(None, addr.clone().recipient(), addr.clone().recipient());
            Self {
                core: SessionCore::new(settings.common.limits, peer, handler, addr.recipient()),
                schedule: settings.config.backoff.schedule(),
                settings: Rc::new(settings),
                state: State::Offline,
                attempt: 0,
                alarm: Alarm::default(),
                closing: None,
                refused: 0,
                has_progress: false,
                closers: Vec::new(),
                phase: Phase::Opening(opening),
            }
        })
    }

    /// Makes an attempt to connect, in place of whatever there was.
    fn connect(&mut self, ctx: &mut Context<Self>) {
        self.attempt += 1;
        self.core.set_offline(false);
        let attempt = Attempt::start(self.settings.clone(), self.attempt, ctx.address().downgrade());
        self.state = State::Connecting { _attempt: attempt };
    }

    fn end(&mut self, cause: Cause) {
        self.state = State::Offline;
        self.core.disconnected();
        self.phase = Phase::Ending { cause, unsent: self.core.unsent() };
    }

    fn run(&mut self, ctx: &mut Context<Self>, cx: &mut task::Context<'_>) {
        let now = now();
        let state = &self.state;
        self.core.poll(now, cx, |frames, credit| {
            if let State::Connected(Connected { commands, .. }) = state {
                // A socket that has gone says so by itself.
                let _ = commands.send(Command::Transmit { frames, credit });
            }
        });
        self.note_progress();
        self.heed_goaway(now);
        match &mut self.state {
            // While the handler is behind, a new connection would only bring it more.
            State::Waiting(at) if *at <= now && self.core.is_reading() => self.connect(ctx),
            State::Connected(connected) => {
                if self.core.is_open() {
                    connected.welcome_by = None;
                } else if connected.welcome_by.is_some_and(|at| at <= now) {
                    connected.welcome_by = None;
                    connected.close(CloseReason::new(CloseCode::HELLO_TIMEOUT, "no welcome came"));
                }
                if connected.stable_at.is_some_and(|at| at <= now) {
                    connected.stable_at = None;
                    self.schedule.reset();
                }
                match self.core.watch(&connected.progress, connected.heartbeat.as_mut(), now) {
                    Ok(false) => {}
                    Ok(true) => connected.command(Command::Ping),
                    Err(cause) => self.lost(cause),
                }
            }
            _ => {}
        }
        self.close_when_ready(now);
    }

    fn close_when_ready(&mut self, now: Instant) {
        let Some(Closing { reason, until, then }) = &self.closing else { return };
        let is_sent = match then {
            Then::Stay | Then::Reconnect => self.core.is_flushed(),
            Then::End => self.core.is_idle(),
        };
        let (reason, then, is_late) = (reason.clone(), *then, *until <= now);
        match &mut self.state {
            State::Connected(connected) if is_sent || is_late => {
                connected.is_reconnecting |= then == Then::Reconnect;
                connected.close(reason);
            }
            State::Connected(_) => {}
            _ if then == Then::End && (is_sent || is_late) => self.end(Cause::WeClosed(reason)),
            // Nothing is there to be closed.
            _ if then != Then::End => self.lost(Cause::WeClosed(reason)),
            State::Offline => self.end(Cause::WeClosed(reason)),
            State::Waiting(_) | State::Connecting { .. } => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let closing = self.closing.as_ref().map(|closing| closing.until);
        let core = match &self.phase {
            Phase::Running => self.core.deadline(),
            // A handler that never ends is not to keep the client.
            Phase::Opening(_) | Phase::Ending { .. } | Phase::Telling { .. } => self.core.handler_deadline(),
        };
        let own = match (&self.phase, &self.state) {
            (Phase::Running, State::Waiting(at)) => {
                let attempt = Some(*at).filter(|_| self.core.is_reading());
                closing.into_iter().chain(attempt).min()
            }
            (Phase::Running, State::Connected(connected)) => {
                let heartbeat = connected.heartbeat.as_ref().map(Heartbeat::deadline);
                let closing = closing.filter(|_| !connected.is_closing);
                // A close that was asked for meanwhile goes before it.
                let leave_at = connected.leave_at.filter(|_| !connected.is_closing && self.closing.is_none());
                let own = [closing, heartbeat, connected.stable_at, connected.welcome_by, leave_at];
                own.into_iter().flatten().min()
            }
            (Phase::Running, _) => closing,
            _ => None,
        };
        own.into_iter().chain(core).min()
    }
}

impl Connected {
    /// Sends a close frame, once.
    fn close(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.is_closing, true) {
            self.command(Command::Close(reason));
        }
    }

    fn command(&self, command: Command) {
        // A socket that has gone says so by itself.
        let _ = self.commands.send(command);
    }
}

impl Actor for HookupClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Driver::<Self>::spawn(ctx);
    }
}

impl Drive for HookupClient {
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            if let Phase::Opening(_) = self.phase {
                self.open(ctx, cx);
            }
            if let Phase::Running = self.phase {
                self.run(ctx, cx);
            }
            if let Phase::Ending { cause, unsent } = &self.phase {
                let unsent = *unsent;
                if self.core.poll_end(true, Some(Event::Disconnected(cause.clone())), cx).is_ready() {
                    self.phase = Phase::Telling { unsent };
                }
            }
            if let Phase::Telling { unsent } = self.phase
                && self.core.poll_told(now(), cx).is_ready()
            {
                for closer in self.closers.drain(..) {
                    // Whoever asked may have stopped waiting.
                    let _ = closer.send(Closed { unsent });
                }
                ctx.stop();
            }
            self.alarm.set(self.deadline());
            if !self.alarm.rang(cx) && !self.core.has_changed() {
                break;
            }
        }
    }
}

impl fmt::Debug for HookupClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookupClient").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
