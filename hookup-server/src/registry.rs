//! The server's actor: who is connected, and the server's end.

use std::collections::HashMap;

use actix::{Actor, Context, Handler, Message};
use hookup_core::{CloseCode, Peer, PeerId};

/// The actor that knows a server's sessions. [`HookupServer::new`] builds one, [`Hookup`](crate::Hookup) talks to it.
#[derive(Debug, Default)]
pub struct HookupServer {
    peers: HashMap<PeerId, Peer>,
    stopping: bool,
    stopped: Vec<actix::dev::OneshotSender<()>>,
}

/// A session has begun.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Joined(pub(crate) Peer);

/// A session has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Left(pub(crate) PeerId);

/// Asks who is connected.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Peer>")]
pub(crate) struct Peers;

/// Closes all sessions, and each that comes later; answered when none is left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

impl Actor for HookupServer {
    type Context = Context<Self>;
}

impl Handler<Joined> for HookupServer {
    type Result = ();

    fn handle(&mut self, Joined(peer): Joined, _: &mut Self::Context) {
        if self.stopping {
            peer.close(CloseCode::AWAY.into());
        }
        self.peers.insert(peer.id(), peer);
    }
}

impl Handler<Left> for HookupServer {
    type Result = ();

    fn handle(&mut self, Left(id): Left, _: &mut Self::Context) {
        self.peers.remove(&id);
        if self.peers.is_empty() {
            for stopped in self.stopped.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = stopped.send(());
            }
        }
    }
}

impl Handler<Peers> for HookupServer {
    type Result = Vec<Peer>;

    fn handle(&mut self, Peers: Peers, _: &mut Self::Context) -> Vec<Peer> {
        self.peers.values().cloned().collect()
    }
}

impl Handler<Stop> for HookupServer {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, Stop: Stop, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        for peer in self.peers.values() {
            peer.close(CloseCode::AWAY.into());
        }
        let (sender, stopped) = tokio::sync::oneshot::channel();
        if !self.peers.is_empty() {
            self.stopped.push(sender);
        }
        Box::pin(async move {
            // An error is a sender that was not kept, because nobody is connected.
            let _ = stopped.await;
        })
    }
}
