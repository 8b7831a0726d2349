//! What the registry is told and asked.

use actix::{Addr, Context, Handler, Message};
use hookup_core::{Peer, PeerId, SessionEnd, SessionId};

use super::HookupServer;
use crate::{
    attach::Attach,
    session::{Session, Stop as StopSession},
};

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

impl Handler<Joined> for HookupServer {
    type Result = ();

    fn handle(&mut self, Joined(peer, addr): Joined, ctx: &mut Context<Self>) {
        if self.stopping {
            addr.do_send(StopSession);
        } else {
            // It has its connection already; as many of those are let in as there may be sessions.
            self.make_room(ctx);
        }
        self.plain.insert(peer.id(), (peer, addr));
    }
}

impl Handler<Left> for HookupServer {
    type Result = ();

    fn handle(&mut self, Left(id): Left, _: &mut Context<Self>) {
        self.plain.remove(&id);
        self.check_stopped();
    }
}

impl Handler<Attach> for HookupServer {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        self.attach(attach, ctx);
    }
}

impl Handler<OfSession> for HookupServer {
    type Result = ();

    fn handle(&mut self, OfSession(id, change): OfSession, ctx: &mut Context<Self>) {
        if let Change::Gone = change {
            return self.gone(id, ctx);
        }
        let Some(slot) = self.sessions.get_mut(&id) else { return };
        match change {
            Change::Attached(peer) => {
                slot.peer = Some(peer);
                if let Some(place) = slot.detached.take() {
                    self.detached.remove(&place);
                }
            }
            Change::Detached => {
                slot.peer = None;
                if slot.detached.is_none() && slot.leaving.is_none() {
                    self.detachments += 1;
                    slot.detached = Some(self.detachments);
                    self.detached.insert(self.detachments, id);
                }
            }
            Change::Kept => {
                self.leaving -= usize::from(slot.leaving.take().is_some());
                let (addr, waiting) = (slot.addr.clone(), slot.waiting.take());
                match (addr, waiting) {
                    (Some(addr), Some(attach)) if !self.stopping => addr.do_send(attach),
                    // A connection that is dropped is closed.
                    _ => {}
                }
            }
            Change::Leaving(attach) => {
                // Why, it says itself.
                self.leaving += usize::from(slot.leaving.replace(SessionEnd::Closed).is_none());
                slot.wait(attach);
            }
            Change::Gone => {}
        }
    }
}

impl Handler<Peers> for HookupServer {
    type Result = Vec<Peer>;

    fn handle(&mut self, Peers: Peers, _: &mut Context<Self>) -> Vec<Peer> {
        let resumable = self.sessions.values().filter_map(|slot| slot.peer.clone());
        self.plain.values().map(|(peer, _)| peer.clone()).chain(resumable).collect()
    }
}

impl Handler<Stop> for HookupServer {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, Stop: Stop, ctx: &mut Context<Self>) -> Self::Result {
        self.stopping = true;
        self.stop_listing(ctx);
        let resumable = self.sessions.values().filter_map(|slot| slot.addr.as_ref());
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
