//! The client actor: the engine, the user's handler in it, and the state of its connection.

use std::{
    fmt,
    rc::Rc,
    task,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, ResponseFuture, WeakAddr};
use hookup_core::{
    Binary, Cause, CloseCode, ClosePeer, CloseReason, Error, Event, EventHandler, Json, Limits, Outbound, Outbox, Peer,
    Reconnecting, Text,
    ack::AckOutcomes,
    backoff::Schedule,
    driver::{Alarm, Drive, Driver, now},
    heartbeat::{Beat, Heartbeat},
    session::{SessionCore, Submission},
    transport::{Command, Notice},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, spawn_local},
};

use crate::{
    Close, Closed, Disconnect, Reconnect,
    builder::Settings,
    connector::{Headers, Opened},
    socket::Socket,
};

/// How long a close that the handler asked for waits for what was sent before it to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The client's actor: its address takes [`Text`], [`Json`], [`Binary`] and [`Outbound`] messages to be sent, and
/// [`Close`], [`Disconnect`] and [`Reconnect`]. [`HookupClient::builder`] begins one.
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
    Connecting { _task: AbortOnDrop },
    /// There is one.
    Connected(Connected),
}

struct Connected {
    commands: mpsc::UnboundedSender<Command>,
    heartbeat: Option<Heartbeat>,
    /// When the connection will have lasted long enough for the backoff schedule to start again; `None` when it has.
    stable_at: Option<Instant>,
    /// A close frame was sent.
    is_closing: bool,
    _task: AbortOnDrop,
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

/// Something that an attempt to connect, or the socket that came of it, has to say.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Heard {
    attempt: u64,
    news: News,
}

enum News {
    Opened { subprotocol: Option<String>, commands: mpsc::UnboundedSender<Command> },
    Failed(String),
    Notice(Notice),
}

/// A task that ends with its owner.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HookupClient {
    pub(crate) fn start_with(
        settings: Settings,
        limits: Limits,
        handler: Box<dyn EventHandler>,
        outbox: Box<dyn Outbox>,
    ) -> Addr<Self> {
        Self::create(move |ctx| {
            let addr = ctx.address();
            let peer = Peer::new(None, addr.clone().recipient(), addr.clone().recipient());
            Self {
                core: SessionCore::new(limits, peer, handler, outbox, addr.recipient()),
                schedule: settings.backoff.schedule(),
                settings: Rc::new(settings),
                state: State::Offline,
                attempt: 0,
                alarm: Alarm::default(),
                closing: None,
                closers: Vec::new(),
                phase: Phase::Running,
            }
        })
    }

    /// Makes an attempt to connect, in place of whatever there was.
    fn connect(&mut self, ctx: &mut Context<Self>) {
        self.attempt += 1;
        self.core.set_offline(false);
        let attempt = attempt(self.settings.clone(), self.attempt, ctx.address().downgrade());
        self.state = State::Connecting { _task: AbortOnDrop(spawn_local(attempt).abort_handle()) };
    }

    fn opened(&mut self, subprotocol: Option<String>, commands: mpsc::UnboundedSender<Command>) {
        let State::Connecting { _task } = std::mem::replace(&mut self.state, State::Offline) else { return };
        let format = subprotocol.and_then(|name| self.settings.formats.find(&name));
        let format = format.unwrap_or_else(|| self.settings.default_format.clone());
        let now = now();
        self.state = State::Connected(Connected {
            commands,
            heartbeat: self.settings.heartbeat.map(|(interval, missed)| Heartbeat::new(interval, missed, now)),
            stable_at: Some(now + self.settings.backoff.stability()),
            is_closing: false,
            _task,
        });
        self.core.connected(format);
    }

    /// The connection is over, or could not be made.
    fn lost(&mut self, cause: Cause) {
        self.attempt += 1;
        let was_connected = matches!(self.state, State::Connected(_));
        self.state = State::Offline;
        self.core.disconnected();
        let closed =
            matches!(&cause, Cause::WeClosed(reason) | Cause::PeerClosed(reason) if reason.code == CloseCode::NORMAL);
        match &self.closing {
            Some(Closing { then: Then::End, .. }) if closed => return self.end(cause),
            Some(Closing { then: Then::Stay, .. }) => {
                self.closing = None;
                self.core.set_offline(true);
                return self.core.tell(Event::Disconnected(cause));
            }
            Some(Closing { then: Then::Reconnect, .. }) => {
                self.closing = None;
                self.state = State::Waiting(now());
                return self.core.tell(Event::Disconnected(cause));
            }
            _ => {}
        }
        if was_connected {
            self.core.tell(Event::Disconnected(cause.clone()));
        }
        if closed && was_connected {
            self.core.set_offline(true);
        } else if let Some((attempt, wait)) = self.schedule.next_attempt() {
            // A wait that the jitter made absurd would overflow the clock.
            self.state = State::Waiting(now() + wait.min(Duration::from_secs(366 * 24 * 3600)));
            self.core.tell(Event::Reconnecting(Reconnecting::new(attempt, wait, cause)));
        } else {
            self.core.set_offline(true);
            let attempts = self.schedule.attempts();
            self.core.tell(Event::Error(Error::GaveUp { attempts, cause: cause.to_string() }));
        }
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
        if self.core.take_acked() {
            self.schedule.reset();
        }
        match &mut self.state {
            State::Waiting(at) if *at <= now => self.connect(ctx),
            State::Connected(connected) => {
                if connected.stable_at.is_some_and(|at| at <= now) {
                    connected.stable_at = None;
                    self.schedule.reset();
                }
                if let Some(heartbeat) = &mut connected.heartbeat {
                    if !self.core.is_reading() {
                        heartbeat.heard(now);
                    }
                    match heartbeat.poll(now) {
                        Beat::Wait => {}
                        Beat::Ping => connected.command(Command::Ping),
                        Beat::Dead => self.lost(Cause::Silent),
                    }
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
                if !std::mem::replace(&mut connected.is_closing, true) {
                    connected.command(Command::Close(reason));
                }
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
        match (&self.phase, &self.state) {
            (Phase::Running, State::Waiting(at)) => closing.into_iter().chain([*at]).min(),
            (Phase::Running, State::Connected(connected)) => {
                let heartbeat = connected.heartbeat.as_ref().map(Heartbeat::deadline);
                let closing = closing.filter(|_| !connected.is_closing);
                closing.into_iter().chain(heartbeat).chain(connected.stable_at).min()
            }
            (Phase::Running, _) => closing,
            _ => None,
        }
    }
}

impl Connected {
    fn command(&self, command: Command) {
        // A socket that has gone says so by itself.
        let _ = self.commands.send(command);
    }
}

/// One attempt to connect, and the life of the socket that comes of it.
async fn attempt(settings: Rc<Settings>, attempt: u64, client: WeakAddr<HookupClient>) {
    let tell = move |news| {
        if let Some(client) = client.upgrade() {
            client.do_send(Heard { attempt, news });
        }
    };
    match open(&settings).await {
        Err(words) => tell(News::Failed(words)),
        Ok(Opened { io, read, subprotocol }) => {
            let (commands, receiver) = mpsc::unbounded_channel();
            tell(News::Opened { subprotocol, commands });
            Socket::new(io, read, settings.limits, receiver, move |notice| tell(News::Notice(notice))).run().await;
        }
    }
}

async fn open(settings: &Settings) -> Result<Opened, String> {
    let mut headers: Headers = settings.headers.clone();
    if let Some(credentials) = &settings.credentials {
        for (name, value) in credentials().await.map_err(|words| format!("no credentials: {words}"))? {
            headers.push(&name, &value).map_err(|words| format!("bad credentials: {words}"))?;
        }
    }
    settings.connector.connect(headers).await
}

impl Actor for HookupClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Driver::<Self>::spawn(ctx);
        self.connect(ctx);
    }
}

impl Drive for HookupClient {
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            if let Phase::Running = self.phase {
                self.run(ctx, cx);
            }
            if let Phase::Ending { cause, unsent } = &self.phase {
                let unsent = *unsent;
                if self.core.poll_end(Event::Disconnected(cause.clone()), cx).is_ready() {
                    self.phase = Phase::Telling { unsent };
                }
            }
            if let Phase::Telling { unsent } = self.phase {
                self.core.poll(now(), cx, |_, _| {});
                if self.core.is_told() {
                    for closer in self.closers.drain(..) {
                        // Whoever asked may have stopped waiting.
                        let _ = closer.send(Closed { unsent });
                    }
                    ctx.stop();
                }
            }
            self.alarm.set(self.deadline());
            if !self.alarm.rang(cx) {
                break;
            }
        }
    }
}

impl Handler<Heard> for HookupClient {
    type Result = ();

    fn handle(&mut self, Heard { attempt, news }: Heard, _: &mut Self::Context) {
        if attempt != self.attempt || !matches!(self.phase, Phase::Running) {
            return;
        }
        if let (State::Connected(connected), News::Notice(Notice::Frames(_) | Notice::Alive)) = (&mut self.state, &news)
            && let Some(heartbeat) = &mut connected.heartbeat
        {
            heartbeat.heard(now());
        }
        match news {
            News::Opened { subprotocol, commands } => self.opened(subprotocol, commands),
            News::Failed(words) => self.lost(Cause::Failed(words)),
            News::Notice(Notice::Frames(frames)) => {
                if let (Err(reason), State::Connected(connected)) = (self.core.receive(frames), &mut self.state) {
                    connected.is_closing = true;
                    connected.command(Command::Close(reason));
                }
            }
            News::Notice(Notice::Alive) => {}
            News::Notice(Notice::Written(frames)) => self.core.written(frames),
            News::Notice(Notice::Violated(reason)) => self.core.tell(Event::Error(Error::Protocol(reason))),
            News::Notice(Notice::Ended(cause)) => self.lost(cause),
        }
    }
}

impl Handler<AckOutcomes> for HookupClient {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Self::Context) {
        self.core.acks_ended(outcomes);
    }
}

impl Handler<ClosePeer> for HookupClient {
    type Result = ();

    fn handle(&mut self, ClosePeer { reason }: ClosePeer, _: &mut Self::Context) {
        let until = now() + FLUSH_TIMEOUT;
        self.closing.get_or_insert(Closing { reason, until, then: Then::Stay });
    }
}

impl Handler<Disconnect> for HookupClient {
    type Result = ();

    fn handle(&mut self, _: Disconnect, _: &mut Self::Context) {
        let reason = CloseCode::NORMAL.into();
        self.closing.get_or_insert(Closing { reason, until: now(), then: Then::Stay });
    }
}

impl Handler<Reconnect> for HookupClient {
    type Result = ();

    fn handle(&mut self, _: Reconnect, ctx: &mut Self::Context) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.schedule.reset();
        match (&self.state, &mut self.closing) {
            // A close goes on; but it need not wait for the next attempt.
            (State::Connected(_), Some(Closing { then: Then::End, .. })) => {}
            (State::Connected(_), closing) => {
                let reason = CloseCode::NORMAL.into();
                *closing = Some(Closing { reason, until: now(), then: Then::Reconnect });
            }
            (_, closing) => {
                closing.take_if(|closing| closing.then != Then::End);
                self.connect(ctx);
            }
        }
    }
}

impl Handler<Close> for HookupClient {
    type Result = ResponseFuture<Closed>;

    fn handle(&mut self, Close { within }: Close, _: &mut Self::Context) -> Self::Result {
        let until = now() + within.min(Duration::from_secs(366 * 24 * 3600));
        let until = match &self.closing {
            Some(Closing { until: earlier, then: Then::End, .. }) => until.min(*earlier),
            _ => until,
        };
        self.core.stop_accepting();
        self.closing = Some(Closing { reason: CloseCode::NORMAL.into(), until, then: Then::End });
        let (closer, closed) = oneshot::channel();
        self.closers.push(closer);
        Box::pin(async move { closed.await.unwrap_or(Closed { unsent: 0 }) })
    }
}

macro_rules! sends {
    ($($message:ident),*) => {$(
        impl Handler<$message> for HookupClient {
            type Result = Submission;

            fn handle(&mut self, message: $message, _: &mut Self::Context) -> Submission {
                self.core.submit(message)
            }
        }
    )*};
}

sends!(Text, Json, Binary, Outbound);

impl fmt::Debug for HookupClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookupClient").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
