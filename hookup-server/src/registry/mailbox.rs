//! What the registry is told and asked.

use std::time::Duration;

use actix::{Addr, AsyncContext as _, Context, Handler, Message};
use hookup_core::{LONGEST, Peer, PeerId, SessionEnd, SessionId, driver::now};

use super::HookupServer;
use crate::{
    attach::Attach,
    session::{Abandon, Session, Stop as StopSession},
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

/// Closes all sessions, and each that comes later; answered when none is left, or this time is over, with how many were left
/// then.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub(crate) struct Stop(pub(crate) Duration);

impl Handler<Joined> for HookupServer {
    type Result = ();

    fn handle(&mut self, Joined(peer, addr): Joined, ctx: &mut Context<Self>) {
        if self.stopping.is_some() {
            self.stop_session(&addr);
        } else {
            // It has its connection already; as many of those are let in as there may be sessions.
            self.make_room(ctx);
        }
        self.plain.insert(peer.id(), (peer, addr));
    }
}

impl Handler<Left> for HookupServer {
    type Result = ();

    fn handle(&mut self, Left(id): Left, ctx: &mut Context<Self>) {
        self.plain.remove(&id);
        self.check_stopped(ctx);
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
                    (Some(addr), Some(attach)) if self.stopping.is_none() => addr.do_send(attach),
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
    type Result = actix::ResponseFuture<usize>;

    fn handle(&mut self, Stop(within): Stop, ctx: &mut Context<Self>) -> Self::Result {
        let within = within.min(LONGEST);
        let until = now() + within;
        self.stopping = Some(self.stopping.map_or(until, |earlier| earlier.min(until)));
        self.stop_listing(ctx);
        self.all_sessions().for_each(|addr| self.stop_session(addr));
        let (sender, stopped) = tokio::sync::oneshot::channel();
        self.stopped.push(sender);
        self.check_stopped(ctx);
        if !self.stopped.is_empty() {
            let end = ctx.run_later(within, Self::abandon);
            self.timers.push(end);
        }
        // An error is a server that has gone with its System.
        Box::pin(async move { stopped.await.unwrap_or_default() })
    }
}

impl HookupServer {
    fn all_sessions(&self) -> impl Iterator<Item = &Addr<Session>> {
        let resumable = self.sessions.values().filter_map(|slot| slot.addr.as_ref());
        self.plain.values().map(|(_, addr)| addr).chain(resumable)
    }

    /// Has a session end, in the time that the server has.
    pub(super) fn stop_session(&self, addr: &Addr<Session>) {
        if let Some(until) = self.stopping {
            addr.do_send(StopSession { until });
        }
    }

    /// The time is over: what is left ends as it is.
    fn abandon(&mut self, ctx: &mut Context<Self>) {
        if self.stopped.is_empty() {
            return;
        }
        self.all_sessions().for_each(|addr| addr.do_send(Abandon));
        let left = self.plain.len() + self.sessions.len();
        for slot in self.sessions.values_mut() {
            // A connection that is dropped is closed.
            slot.waiting = None;
        }
        self.tell_stopped(left, ctx);
    }
}
