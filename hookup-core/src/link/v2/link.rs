//! A link's greetings, and what it receives.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    Limits,
    frame::{Hello, Incoming, RunOffer, Welcome, Window, bad},
    ids::{MessageKey, RunId, SessionId},
    receiving::{Receiving, Skipped, Taken},
    sending::{Done, Sending},
    state::State,
};
use crate::{
    link::{News, Ticket},
    message::{Delivery, Message},
    outbox::Entry,
    ws::{CloseReason, Frame, Role},
};

/// The state of one end.
#[derive(Debug)]
pub struct Link {
    pub(super) role: Role,
    pub(super) limits: Limits,
    pub(super) session: SessionId,
    pub(super) principal: Option<String>,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    pub(super) phase: Phase,
    /// Whether the peer is known to have heard of the session. Until then, a server says that it is new: an earlier
    /// welcome may have been lost on its way.
    pub(super) heard: bool,
    /// Counts the changes that are to be persisted; which of them a save has that is under way, and which were saved.
    pub(super) changes: u64,
    pub(super) saving: Option<u64>,
    pub(super) saved: u64,
    pub(super) volatile: VecDeque<Message>,
    pub(super) goaway: Option<(Duration, Duration)>,
    pub(super) news: VecDeque<News>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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

    /// The session, which was nobody's, is theirs from now on.
    pub fn claim(&mut self, principal: Option<String>) {
        if self.principal.is_none() && principal.is_some() {
            self.principal = principal;
            self.changes += 1;
        }
    }

    /// The message at this place of the outbox was dropped, unsent, as there was no room for it.
    pub fn dropped(&mut self, place: u64) {
        self.sending.dropped(place);
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

    fn attach(&mut self, runs: &[RunOffer], recv: &BTreeMap<RunId, u64>, window: Window, max_bytes: usize) {
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
            Incoming::Skip { seq, to, lost } => {
                match self.receiving.skip(seq, to, lost)? {
                    Skipped::Nothing => {}
                    Skipped::Settled => self.changes += 1,
                    Skipped::Gap { missed, run } => {
                        self.news.push_back(News::Gap { missed, ticket: Ticket::Sequenced { run, seq: to } });
                    }
                }
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
}

impl From<Done> for News {
    fn from(Done { entry, refused }: Done) -> Self {
        match refused {
            None => Self::Delivered { entry },
            Some(reason) => Self::Refused { entry, reason },
        }
    }
}
