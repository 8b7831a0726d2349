//! One end of a `hookup.v2` session. Pure: no sockets, no clock, no randomness, no actors.
//!
//! Two rules carry everything (see the protocol document). A sender persists a message before it first transmits it:
//! [`Link::push`] takes only what an outbox has confirmed. A receiver persists its cursor before it acks: what changed is
//! given out by [`Link::poll_save`], and no ack is sent of it before [`Link::saved`].

mod frame;
mod ids;
mod receiving;
mod render;
mod sending;
mod state;

use std::{collections::VecDeque, time::Duration};

use self::{
    frame::bad,
    receiving::{Receiving, Taken},
    sending::{Done, Sending},
};
pub use self::{
    frame::{Hello, Incoming, MAX_RUNS, RunOffer, Welcome, Window},
    ids::{BadId, MAX_SEQ, MessageKey, RunId, SessionId},
    state::{Cursor, OwnRun, State},
};
use super::{News, Ticket, Transmit};
use crate::{
    message::{Delivery, Message},
    outbound::Outbound,
    outbox::{Entry, Usage},
    ws::{CloseReason, Frame, Role},
};

/// The subprotocol's name.
pub const NAME: &str = "hookup.v2";

/// What a link is told of its end.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What may be sent and not acked, and what the peer is told that it may.
    pub window: Usage,
    /// The longest frame, in bytes.
    pub max_frame_bytes: usize,
    /// What a server's welcome says of its pings and of how long it keeps sessions.
    pub ping: Duration,
    /// See `ping`.
    pub retain: Duration,
}

/// The state of one end.
#[derive(Debug)]
pub struct Link {
    role: Role,
    limits: Limits,
    session: SessionId,
    principal: Option<String>,
    sending: Sending,
    receiving: Receiving,
    phase: Phase,
    /// Whether the peer is known to have heard of the session. Until then, a server says that it is new: an earlier
    /// welcome may have been lost on its way.
    heard: bool,
    /// Counts the changes that are to be persisted; which of them a save has that is under way, and which were saved.
    changes: u64,
    saving: Option<u64>,
    saved: u64,
    volatile: VecDeque<Message>,
    goaway: Option<(Duration, Duration)>,
    news: VecDeque<News>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no connection, or a server has had no hello yet.
    Offline,
    /// This change is to be persisted before the hello or the welcome is sent.
    Preparing(u64),
    /// A client's hello was sent.
    Greeted,
    /// A client's welcome came; this change is to be persisted before anything sequenced is sent.
    Settling(u64),
    /// Messages flow.
    Open,
}

impl Link {
    /// An end without a connection. The state has been [opened](State::begin_run), and persisted since.
    pub fn new(role: Role, state: &State, was_known: bool, limits: Limits) -> Self {
        Self {
            role,
            limits,
            session: state.session,
            principal: state.principal.clone(),
            sending: Sending::new(&state.runs, limits.window, limits.max_frame_bytes),
            receiving: Receiving::new(&state.cursors, limits.window.messages),
            phase: Phase::Offline,
            heard: was_known,
            changes: 0,
            saving: None,
            saved: 0,
            volatile: VecDeque::new(),
            goaway: None,
            news: VecDeque::new(),
        }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Whose session it is, on a server with authentication.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// The place in the outbox behind which the present run's messages are to lie.
    pub fn base(&self) -> u64 {
        self.sending.base()
    }

    /// A client's connection has opened: a hello is to be sent, when what it says is persisted.
    pub fn connected(&mut self) {
        self.disconnected();
        self.sending.prune();
        self.changes += 1;
        self.phase = Phase::Preparing(self.changes);
    }

    /// A client has sent its hello to this server: a welcome is to be sent, when what came of it is persisted.
    ///
    /// # Errors
    /// 4400 when the hello claims what cannot be; then nothing has changed.
    pub fn greeted(&mut self, hello: &Hello) -> Result<(), CloseReason> {
        self.sending.check(&hello.recv)?;
        self.disconnected();
        self.heard |= self.sending.is_listed(&hello.recv);
        self.attach(&hello.runs, &hello.recv, hello.window, usize::MAX);
        if self.heard {
            self.sending.prune();
        }
        // Persisted with the rest, before the first message is sent.
        self.sending.welcomed();
        self.phase = Phase::Preparing(self.changes);
        Ok(())
    }

    fn attach(
        &mut self,
        runs: &[RunOffer],
        recv: &std::collections::BTreeMap<RunId, u64>,
        window: Window,
        max_bytes: usize,
    ) {
        let news = &mut self.news;
        self.receiving.attach(runs, |missed, run, seq| {
            news.push_back(News::Gap { missed, ticket: Ticket::Sequenced { run, seq } });
        });
        let window = window.within(self.limits.window);
        self.sending.attach(recv, window, max_bytes, |done| news.push_back(done.into()));
        self.changes += 1;
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.sending.reset();
        self.receiving.reset();
        self.volatile.clear();
        self.goaway = None;
    }

    /// Gives back what was loaded: the outbox is used otherwise now, and is to be loaded again from the start.
    pub fn unload(&mut self) -> impl Iterator<Item = Entry> {
        self.disconnected();
        self.sending.unload().into_iter()
    }

    /// Whether messages flow.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the peer's hello or welcome has been taken on this connection.
    fn is_greeted(&self) -> bool {
        match self.phase {
            Phase::Offline | Phase::Greeted => false,
            Phase::Preparing(_) => self.role == Role::Server,
            Phase::Settling(_) | Phase::Open => true,
        }
    }

    /// Takes a frame of the peer's; what it means is told by [`Link::poll_news`].
    ///
    /// # Errors
    /// The code and reason that the connection is to be closed with. Nothing has changed then.
    pub fn receive(&mut self, frame: Frame) -> Result<(), CloseReason> {
        if self.phase == Phase::Offline {
            return Ok(());
        }
        let incoming = Incoming::parse(frame)?;
        if let Incoming::Welcome(welcome) = incoming {
            return self.welcomed(&welcome);
        }
        if !self.is_greeted() {
            return Err(bad("a frame before the welcome"));
        }
        if self.role == Role::Server && self.phase != Phase::Open {
            return Err(bad("a client sends nothing between its hello and the welcome"));
        }
        match incoming {
            Incoming::Hello(_) | Incoming::Welcome(_) => Err(bad("a hello for the second time")),
            Incoming::Run(run) => self.receiving.announced(run),
            Incoming::Message { seq: None, message } => {
                self.news.push_back(News::Message { message, ticket: Ticket::Volatile });
                Ok(())
            }
            Incoming::Message { seq: Some(seq), message } => {
                match self.receiving.take(seq)? {
                    Taken::Again => self.news.push_back(News::Nothing),
                    Taken::New { run, redelivered } => {
                        let key = MessageKey { session: self.session, run, seq };
                        let message = message.with_delivery(Delivery { key, redelivered });
                        self.news.push_back(News::Message { message, ticket: Ticket::Sequenced { run, seq } });
                    }
                }
                Ok(())
            }
            Incoming::Skip { seq, to } => {
                self.changes += u64::from(self.receiving.skip(seq, to)?);
                Ok(())
            }
            Incoming::Ack { run, seq, refused } => {
                let news = &mut self.news;
                self.sending.acked(run, seq, refused, |done| news.push_back(done.into()))
            }
            Incoming::Goaway { retry } if self.role == Role::Client => {
                self.news.push_back(News::Goaway { retry });
                Ok(())
            }
            Incoming::Goaway { .. } => Err(bad("a goaway from a client")),
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) -> Result<(), CloseReason> {
        if self.role == Role::Server || self.phase != Phase::Greeted {
            return Err(bad("a welcome that was not waited for"));
        }
        self.sending.check(&welcome.recv)?;
        let max_bytes = usize::try_from(welcome.max_bytes).unwrap_or(usize::MAX);
        self.news.push_back(News::Opened { resumed: welcome.resumed });
        if !welcome.resumed && !self.receiving.is_empty() {
            self.news.push_back(News::SessionLost);
        }
        self.attach(&welcome.runs, &welcome.recv, welcome.window, max_bytes);
        self.sending.welcomed();
        self.heard = true;
        self.phase = Phase::Settling(self.changes);
        Ok(())
    }

    /// What the frames that came in mean, in their order.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// A message, or the news of a gap, was handled; `Err` is the handler's refusal.
    pub fn handled(&mut self, ticket: Ticket, outcome: Result<(), &str>) {
        if let Ticket::Sequenced { run, seq } = ticket {
            self.changes += u64::from(self.receiving.handled(run, seq, outcome.err()));
        }
    }

    /// The state, when it has changed since it was last given out and the last save has ended. It is to be persisted, and
    /// then [`Link::saved`] to be called.
    pub fn poll_save(&mut self) -> Option<State> {
        self.begin_save().then(|| self.state())
    }

    /// The state as it was last given out.
    pub fn state(&self) -> State {
        State {
            session: self.session,
            principal: self.principal.clone(),
            heard: self.heard,
            runs: self.sending.runs().collect(),
            cursors: self.receiving.cursors().collect(),
        }
    }

    /// As [`Link::poll_save`], without the state: for an end that keeps nothing beyond its process.
    pub fn begin_save(&mut self) -> bool {
        let due = self.saving.is_none() && self.changes > self.saved;
        if due {
            self.saving = Some(self.changes);
            self.receiving.saving();
        }
        due
    }

    /// The save that was under way has ended; whether what it had is persisted now.
    pub fn saved(&mut self, is_persisted: bool) {
        if let Some(saving) = self.saving.take()
            && is_persisted
        {
            self.saved = saving;
            self.receiving.saved();
            if let Phase::Settling(change) = self.phase
                && self.saved >= change
            {
                self.phase = Phase::Open;
            }
        }
    }

    /// Whether there is something to be saved, or being saved.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some() || self.changes > self.saved
    }

    /// The outbox has confirmed all messages up to this place.
    pub fn committed(&mut self, place: u64) {
        self.sending.committed(place);
    }

    /// How many messages may be pushed.
    pub fn room(&self) -> usize {
        if self.is_open() { self.sending.room() } else { 0 }
    }

    /// Takes the next message from the outbox, in the order of places; those between the last and this one are gone.
    pub fn push(&mut self, entry: Entry) {
        self.news.extend(self.sending.push(entry).map(News::from));
    }

    /// Takes a message that is sent at once, or else not at all; `false`: not at all.
    pub fn push_volatile(&mut self, message: Message) -> bool {
        let sends = self.is_open() && self.sending.is_flushed() && self.volatile.len() < self.limits.window.messages;
        if sends {
            self.volatile.push_back(message);
        }
        sends
    }

    /// A server asks its client to connect again, after a wait in this range.
    pub fn goaway(&mut self, from: Duration, to: Duration) {
        if self.is_open() {
            self.goaway = Some((from, to));
        }
    }

    /// A message that was loaded and is not acked.
    pub fn get(&self, place: u64) -> Option<&Outbound> {
        self.sending.get(place)
    }

    /// The next thing to be written, if there is one. `now` is the time since the Unix epoch, in milliseconds.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        match self.phase {
            Phase::Offline | Phase::Greeted | Phase::Settling(_) => None,
            Phase::Preparing(change) if self.saved < change => None,
            Phase::Preparing(_) => Some(Transmit::Frame(self.greeting())),
            Phase::Open => {
                if let Some(reply) = self.receiving.poll() {
                    return Some(Transmit::Reply(reply));
                }
                if let Some((from, to)) = self.goaway.take() {
                    return Some(Transmit::Frame(render::goaway(from, to)));
                }
                if let Some(message) = self.volatile.pop_front() {
                    return Some(Transmit::Frame(render::message(&message, None)));
                }
                self.sending.poll(now)
            }
        }
    }

    fn greeting(&mut self) -> Frame {
        let (runs, recv) = (self.sending.offer(), self.receiving.recv());
        let window = Window::new(self.limits.window);
        if self.role == Role::Client {
            self.phase = Phase::Greeted;
            return Hello { session: self.session, runs, recv, window }.render();
        }
        self.phase = Phase::Open;
        let resumed = self.heard;
        self.news.push_back(News::Opened { resumed });
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (ping_ms, retain_ms) = (millis(self.limits.ping), millis(self.limits.retain));
        let max_bytes = self.limits.max_frame_bytes as u64;
        Welcome { resumed, runs, recv, window, max_bytes, ping_ms, retain_ms }.render()
    }

    /// The peer closed the connection because of a message that was too big: which one is not to be sent again.
    pub fn too_big(&mut self) -> Option<Transmit> {
        self.sending.too_big().map(|(entry, failure)| Transmit::Failed { entry, failure })
    }

    /// Whether nothing is waiting to be sent that could be.
    pub fn is_flushed(&self) -> bool {
        self.sending.is_flushed()
            && self.volatile.is_empty()
            && self.goaway.is_none()
            && !(self.is_open() && self.receiving.owes())
    }

    /// Whether nothing is waiting to be sent, to be acked, or to be persisted.
    pub fn is_idle(&self) -> bool {
        self.is_flushed() && self.sending.is_idle() && !self.is_saving()
    }

    /// Takes out the oldest message that is loaded and not acked, and whether it may have been sent.
    pub fn give_up(&mut self) -> Option<(Entry, bool)> {
        self.sending.give_up()
    }
}

impl From<Done> for News {
    fn from(Done { entry, refused }: Done) -> Self {
        match refused {
            None => Self::Delivered { entry },
            Some(reason) => Self::Refused { entry, reason },
        }
    }
}
