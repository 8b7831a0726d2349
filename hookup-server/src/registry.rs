//! The server's actor: the sessions there are, which connection belongs to which, and the server's end.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, ActorFutureExt as _, Addr, Arbiter, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use hookup_core::{
    CloseCode, CloseReason, Outbox, OutboxError, Peer, PeerId, SessionEnd, SessionId, link::v2, session, ws::Role,
};

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
    /// It is time to end those.
    is_expiring: bool,
    /// How many sessions are about to end.
    leaving: usize,
    stopping: bool,
    stopped: Vec<actix::dev::OneshotSender<()>>,
}

enum Slot {
    /// Its outbox is being opened, for these connections.
    Opening(Vec<Attach>),
    /// It has an actor.
    Live(Live),
}

struct Live {
    addr: Addr<Session>,
    /// Its peer, while its client is here.
    peer: Option<Peer>,
    /// Its place among the detached.
    detached: Option<u64>,
    /// It is about to end; these are for its successor.
    leaving: Option<Vec<Attach>>,
}

/// A session of a format has begun.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Joined(pub(crate) Peer, pub(crate) Addr<Session>);

/// A session of a format has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Left(pub(crate) PeerId);

/// Something that a session of `hookup.v2` has to say of itself.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OfSession(pub(crate) SessionId, pub(crate) Change);

pub(crate) enum Change {
    /// It has a connection.
    Attached(Peer),
    /// It has none any more.
    Detached,
    /// It was to end, and has a connection again.
    Kept,
    /// It is about to end; this connection came too late.
    Leaving(Attach),
    /// It has ended.
    Gone,
}

/// Asks who is connected.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Peer>")]
pub(crate) struct Peers;

/// Closes all sessions, and each that comes later; answered when none is left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// A session's outbox, opened.
type Opened = Result<(Box<dyn Outbox>, v2::Link), OutboxError>;

impl HookupServer {
    pub(crate) fn with(settings: Arc<Settings>, stored: Vec<SessionId>) -> Self {
        Self {
            settings,
            plain: HashMap::new(),
            sessions: HashMap::new(),
            detached: BTreeMap::new(),
            detachments: 0,
            stored: stored.into(),
            is_expiring: false,
            leaving: 0,
            stopping: false,
            stopped: Vec::new(),
        }
    }

    fn attach(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        if self.stopping {
            return attach.connection.refuse(CloseCode::AWAY.into());
        }
        let id = attach.hello.session;
        match self.sessions.get_mut(&id) {
            Some(Slot::Opening(waiting) | Slot::Live(Live { leaving: Some(waiting), .. })) => waiting.push(attach),
            Some(Slot::Live(live)) => {
                if let Some(place) = live.detached.take() {
                    self.detached.remove(&place);
                }
                live.addr.do_send(attach);
            }
            None => {
                self.stored.retain(|stored| *stored != id);
                self.make_room(ctx);
                let principal = attach.principal.clone();
                self.open(id, principal, vec![attach], ctx);
            }
        }
    }

    /// Ends the session whose client has been away for longest, if there is no room for another one. As many connections
    /// as there may be sessions are let in, so there is one, or room.
    fn make_room(&mut self, ctx: &mut Context<Self>) {
        let count = self.plain.len() + self.sessions.len() + self.stored.len() - self.leaving;
        if count < self.settings.max_sessions {
            return;
        }
        if let Some(id) = self.stored.pop_front() {
            return self.open(id, None, Vec::new(), ctx);
        }
        if let Some((_, id)) = self.detached.pop_first()
            && let Some(Slot::Live(live)) = self.sessions.get_mut(&id)
        {
            live.detached = None;
            live.leaving = Some(Vec::new());
            self.leaving += 1;
            live.addr.do_send(Evict(SessionEnd::Evicted));
        }
    }

    /// Ends the next session that was stored before the server was started and that nobody has asked for.
    fn expire_stored(&mut self, ctx: &mut Context<Self>) {
        if self.is_expiring
            && !self.stopping
            && let Some(id) = self.stored.pop_front()
        {
            self.open(id, None, Vec::new(), ctx);
        }
    }

    /// Opens a session's outbox, off the arbiter if that may block.
    fn open(&mut self, id: SessionId, principal: Option<String>, waiting: Vec<Attach>, ctx: &mut Context<Self>) {
        self.sessions.insert(id, Slot::Opening(waiting));
        let settings = self.settings.clone();
        let open = move || -> Opened {
            let mut outbox = settings.store.open(id)?;
            let limits = settings.common.link_limits(settings.session_ttl);
            let link = session::open(&mut *outbox, Role::Server, limits, || Ok(v2::State::new(id, principal)))?;
            Ok((outbox, link))
        };
        // The store may be the user's.
        let open = move || catch_unwind(AssertUnwindSafe(open)).unwrap_or(Err(OutboxError::Panicked));
        if !self.settings.store.is_durable() {
            return self.opened(id, open(), ctx);
        }
        let opened = async move { tokio::task::spawn_blocking(open).await.unwrap_or(Err(OutboxError::Closed)) };
        ctx.spawn(opened.into_actor(self).map(move |opened, server, ctx| {
            server.opened(id, opened, ctx);
            server.expire_stored(ctx);
        }));
    }

    fn opened(&mut self, id: SessionId, opened: Opened, ctx: &mut Context<Self>) {
        let Some(Slot::Opening(waiting)) = self.sessions.remove(&id) else { return };
        let (outbox, link) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, "a session could not be opened");
                let reason = CloseReason::new(CloseCode::ERROR, "the session store failed");
                waiting.into_iter().for_each(|attach| attach.connection.refuse(reason.clone()));
                return self.check_stopped();
            }
        };
        let arbiter = waiting.first().map_or_else(Arbiter::current, |attach| attach.arbiter.clone());
        let addr = Session::resumable(&self.settings, ctx.address(), &arbiter, outbox, link);
        let mut live = Live { addr, peer: None, detached: None, leaving: None };
        if self.stopping {
            live.addr.do_send(StopSession);
        } else if waiting.is_empty() {
            // Nobody asks for it: it was opened to be ended.
            live.leaving = Some(Vec::new());
            self.leaving += 1;
            live.addr.do_send(Evict(SessionEnd::Expired));
        }
        for attach in waiting {
            live.addr.do_send(attach);
        }
        self.sessions.insert(id, Slot::Live(live));
    }

    /// A session has ended; its successor is opened for those who wait for it.
    fn gone(&mut self, id: SessionId, ctx: &mut Context<Self>) {
        let Some(Slot::Live(live)) = self.sessions.remove(&id) else { return };
        self.leaving -= usize::from(live.leaving.is_some());
        if let Some(place) = live.detached {
            self.detached.remove(&place);
        }
        for attach in live.leaving.into_iter().flatten() {
            self.attach(attach, ctx);
        }
        self.check_stopped();
    }

    fn check_stopped(&mut self) {
        if self.plain.is_empty() && self.sessions.is_empty() {
            for stopped in self.stopped.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = stopped.send(());
            }
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
        if !self.stored.is_empty() {
            ctx.run_later(self.settings.session_ttl, |server, ctx| {
                server.is_expiring = true;
                server.expire_stored(ctx);
            });
        }
    }
}

impl Handler<Joined> for HookupServer {
    type Result = ();

    fn handle(&mut self, Joined(peer, addr): Joined, ctx: &mut Self::Context) {
        if self.stopping {
            addr.do_send(StopSession);
        }
        self.make_room(ctx);
        self.plain.insert(peer.id(), (peer, addr));
    }
}

impl Handler<Left> for HookupServer {
    type Result = ();

    fn handle(&mut self, Left(id): Left, _: &mut Self::Context) {
        self.plain.remove(&id);
        self.check_stopped();
    }
}

impl Handler<Attach> for HookupServer {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Self::Context) {
        self.attach(attach, ctx);
    }
}

impl Handler<OfSession> for HookupServer {
    type Result = ();

    fn handle(&mut self, OfSession(id, change): OfSession, ctx: &mut Self::Context) {
        if let Change::Gone = change {
            return self.gone(id, ctx);
        }
        let Some(Slot::Live(live)) = self.sessions.get_mut(&id) else { return };
        match change {
            Change::Attached(peer) => {
                live.peer = Some(peer);
                if let Some(place) = live.detached.take() {
                    self.detached.remove(&place);
                }
            }
            Change::Detached => {
                live.peer = None;
                if live.detached.is_none() && live.leaving.is_none() {
                    self.detachments += 1;
                    live.detached = Some(self.detachments);
                    self.detached.insert(self.detachments, id);
                }
            }
            Change::Kept => {
                let waiting = live.leaving.take();
                self.leaving -= usize::from(waiting.is_some());
                for attach in waiting.into_iter().flatten() {
                    live.addr.do_send(attach);
                }
            }
            Change::Leaving(attach) => {
                if live.leaving.is_none() {
                    self.leaving += 1;
                }
                live.leaving.get_or_insert_default().push(attach);
            }
            Change::Gone => {}
        }
    }
}

impl Handler<Peers> for HookupServer {
    type Result = Vec<Peer>;

    fn handle(&mut self, Peers: Peers, _: &mut Self::Context) -> Vec<Peer> {
        let resumable = self.sessions.values().filter_map(|slot| match slot {
            Slot::Live(live) => live.peer.clone(),
            Slot::Opening(_) => None,
        });
        self.plain.values().map(|(peer, _)| peer.clone()).chain(resumable).collect()
    }
}

impl Handler<Stop> for HookupServer {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, Stop: Stop, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        let resumable = self.sessions.values().filter_map(|slot| match slot {
            Slot::Live(live) => Some(&live.addr),
            Slot::Opening(_) => None,
        });
        for addr in self.plain.values().map(|(_, addr)| addr).chain(resumable) {
            addr.do_send(StopSession);
        }
        let (sender, stopped) = tokio::sync::oneshot::channel();
        self.stopped.push(sender);
        self.check_stopped();
        Box::pin(async move {
            // An error is a server that has gone with its System.
            let _ = stopped.await;
        })
    }
}
