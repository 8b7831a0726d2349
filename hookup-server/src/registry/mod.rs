//! The server's actor: the sessions there are, which connection belongs to which, and the server's end.

mod listing;
mod mailbox;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Instant,
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, ActorState, Addr, Arbiter, AsyncContext as _, Context, SpawnHandle,
    WrapFuture as _,
};
use hookup_core::{
    CloseCode, CloseReason, OutboxError, Peer, PeerId, SessionEnd, SessionId,
    link::v2,
    session::{self, Opened},
    ws::Role,
};

use self::listing::Listing;
pub(crate) use self::mailbox::{Change, Joined, Left, OfSession, Peers, Stop};
use crate::{
    attach::Attach,
    builder::Settings,
    session::{Evict, Session, Stop as StopSession},
};

/// The actor that knows a server's sessions. [`HookupServer::new`] builds one, [`Hookup`](crate::Hookup) talks to it.
pub struct HookupServer {
    settings: Arc<Settings>,
    /// Sessions of the formats, which live as long as their connection.
    plain: HashMap<PeerId, (Peer, Addr<Session>)>,
    /// Sessions of `hookup.v2` that have an actor, or are about to.
    sessions: HashMap<SessionId, Slot>,
    /// Those whose client is away, in the order in which it left.
    detached: BTreeMap<u64, SessionId>,
    detachments: u64,
    /// Those that the store has from before the server was started, and that have no actor.
    stored: VecDeque<SessionId>,
    listing: Listing,
    /// It is time to end those.
    is_expiring: bool,
    /// How many sessions are about to end.
    leaving: usize,
    /// The server stops, and has ended by then.
    stopping: Option<Instant>,
    stopped: Vec<actix::dev::OneshotSender<usize>>,
    /// What is due at some time. It would keep this actor, and with it the session store, when nobody needs it any more.
    timers: Vec<SpawnHandle>,
}

/// A session of `hookup.v2`.
#[derive(Default)]
struct Slot {
    /// Its actor; `None` while its outbox is being opened.
    addr: Option<Addr<Session>>,
    /// Its peer, while its client is here.
    peer: Option<Peer>,
    /// Its place among the detached.
    detached: Option<u64>,
    /// It is about to end, and why.
    leaving: Option<SessionEnd>,
    /// The connection that is for it when it is open, or for its successor when it has ended.
    waiting: Option<Attach>,
}

impl Slot {
    /// Keeps a connection; of two, the one that came later.
    fn wait(&mut self, attach: Attach) {
        let reason = CloseReason::from(CloseCode::AWAY);
        match &self.waiting {
            Some(waiting) if waiting.order > attach.order => attach.connection.refuse(reason),
            _ => {
                if let Some(earlier) = self.waiting.replace(attach) {
                    earlier.connection.refuse(reason);
                }
            }
        }
    }
}

impl HookupServer {
    pub(crate) fn with(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            plain: HashMap::new(),
            sessions: HashMap::new(),
            detached: BTreeMap::new(),
            detachments: 0,
            stored: VecDeque::new(),
            listing: Listing::default(),
            is_expiring: false,
            leaving: 0,
            stopping: None,
            stopped: Vec::new(),
            timers: Vec::new(),
        }
    }

    /// Brings a connection and its session together.
    fn attach(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        if self.stopping.is_some() {
            return attach.connection.refuse(CloseCode::AWAY.into());
        }
        let id = attach.hello.session;
        match self.sessions.get_mut(&id) {
            Some(Slot { addr: Some(addr), leaving: None, detached, .. }) => {
                if let Some(place) = detached.take() {
                    self.detached.remove(&place);
                }
                addr.do_send(attach);
            }
            Some(slot) => slot.wait(attach),
            None => {
                self.stored.retain(|stored| *stored != id);
                if !self.make_room(ctx) {
                    let reason = CloseReason::new(CloseCode::AWAY, "there are as many sessions as there may be");
                    return attach.connection.refuse(reason);
                }
                let principal = attach.principal.clone();
                self.sessions.insert(id, Slot { waiting: Some(attach), ..Slot::default() });
                self.open_listed(id, principal, ctx);
            }
        }
    }

    /// Ends the sessions whose clients have been away for longest, while there are as many as there may be; whether there
    /// is room for another one. Those that are about to end may be as many again: a slow handler does not let go.
    fn make_room(&mut self, ctx: &mut Context<Self>) -> bool {
        let max = self.settings.config.max_sessions;
        loop {
            let all = self.plain.len() + self.sessions.len() + self.stored.len();
            if all - self.leaving < max {
                return all < max.saturating_mul(2);
            }
            if let Some(id) = self.stored.pop_front() {
                self.end_stored(id, SessionEnd::Evicted, ctx);
            } else if let Some((_, id)) = self.detached.pop_first() {
                self.evict(id, SessionEnd::Evicted);
            } else {
                return false;
            }
        }
    }

    /// Asks a session to end, unless it has a connection by now.
    fn evict(&mut self, id: SessionId, reason: SessionEnd) {
        let Some(slot) = self.sessions.get_mut(&id) else { return };
        slot.detached = None;
        self.leaving += usize::from(slot.leaving.replace(reason).is_none());
        if let Some(addr) = &slot.addr {
            addr.do_send(Evict(reason));
        }
    }

    /// Opens a stored session to end it: its handler is told what it had queued.
    fn end_stored(&mut self, id: SessionId, reason: SessionEnd, ctx: &mut Context<Self>) {
        self.sessions.insert(id, Slot::default());
        self.evict(id, reason);
        self.open(id, None, ctx);
    }

    /// Ends the next session that was stored before the server was started and that nobody has asked for.
    fn expire_stored(&mut self, ctx: &mut Context<Self>) {
        if self.is_expiring
            && self.stopping.is_none()
            && let Some(id) = self.stored.pop_front()
        {
            self.end_stored(id, SessionEnd::Expired, ctx);
        }
    }

    /// Opens a session's outbox, off the arbiter if that may block.
    fn open(&mut self, id: SessionId, principal: Option<String>, ctx: &mut Context<Self>) {
        let settings = self.settings.clone();
        let open = move || {
            let outbox = settings.store.open(id)?;
            let limits = settings.common.link_limits(settings.config.session_ttl);
            session::open(outbox, Role::Server, limits, || Ok(v2::State::new(id, principal)))
        };
        let opened = session::call(self.settings.store.is_durable(), open);
        ctx.spawn(opened.into_actor(self).map(move |opened, server, ctx| {
            server.opened(id, opened, ctx);
            server.expire_stored(ctx);
        }));
    }

    fn opened(&mut self, id: SessionId, opened: Result<Opened, OutboxError>, ctx: &mut Context<Self>) {
        let Some(slot) = self.sessions.get_mut(&id) else { return };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, "a session could not be opened");
                return self.not_opened(id, ctx);
            }
        };
        // A worker's thread may be the connection's; that of a session which nobody asks for does not matter.
        let arbiter = slot.waiting.as_ref().map_or_else(Arbiter::current, |attach| attach.arbiter.clone());
        let addr = Session::resumable(&self.settings, ctx.address(), &arbiter, id, opened);
        if let Some(until) = self.stopping {
            addr.do_send(StopSession { until });
        } else if let Some(attach) = slot.waiting.take() {
            // If it was opened to be ended, it is asked for after all.
            self.leaving -= usize::from(slot.leaving.take().is_some());
            addr.do_send(attach);
        } else if let Some(reason) = slot.leaving {
            addr.do_send(Evict(reason));
        }
        slot.addr = Some(addr);
    }

    /// The store has failed a session: the connection that waits for it is closed.
    fn not_opened(&mut self, id: SessionId, ctx: &mut Context<Self>) {
        if let Some(attach) = self.sessions.get_mut(&id).and_then(|slot| slot.waiting.take()) {
            attach.connection.refuse(CloseReason::new(CloseCode::ERROR, "the session store failed"));
        }
        self.gone(id, ctx);
    }

    /// A session has ended; its successor is opened for the connection that waits for it.
    fn gone(&mut self, id: SessionId, ctx: &mut Context<Self>) {
        let Some(slot) = self.sessions.remove(&id) else { return };
        self.leaving -= usize::from(slot.leaving.is_some());
        if let Some(place) = slot.detached {
            self.detached.remove(&place);
        }
        if let Some(attach) = slot.waiting {
            self.attach(attach, ctx);
        }
        self.check_stopped(ctx);
    }

    fn check_stopped(&mut self, ctx: &mut Context<Self>) {
        if self.stopping.is_some() && self.plain.is_empty() && self.sessions.is_empty() {
            self.tell_stopped(0, ctx);
        }
    }

    fn tell_stopped(&mut self, left: usize, ctx: &mut Context<Self>) {
        for timer in self.timers.drain(..) {
            ctx.cancel_future(timer);
        }
        for stopped in self.stopped.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = stopped.send(left);
        }
    }
}

impl fmt::Debug for HookupServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = self.plain.len() + self.sessions.len() + self.stored.len();
        f.debug_struct("HookupServer").field("sessions", &sessions).finish_non_exhaustive()
    }
}

impl Actor for HookupServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // A System that ends before it has polled an actor starts it only to stop it, and has no timers any more: so it is
        // when `main` returns because a port is taken.
        if ctx.state() != ActorState::Running {
            return;
        }
        self.list(ctx);
        let expiry = ctx.run_later(self.settings.config.session_ttl, |server, ctx| {
            server.is_expiring = true;
            server.list(ctx);
            server.expire_stored(ctx);
        });
        self.timers.push(expiry);
    }
}
