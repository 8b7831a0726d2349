//! The handle of a server that runs.

use std::{fmt, sync::Arc, time::Duration};

use actix::Addr;
use actix_web::{HttpRequest, HttpResponse, dev::HttpServiceFactory, web};
use hookup_core::Peer;

use crate::{
    builder::Settings,
    registry::{HookupServer, Peers, Stop},
    upgrade::upgrade,
};

/// A server that runs. Clone it into the application's factory, and wherever its peers are needed.
#[derive(Clone)]
pub struct Hookup {
    settings: Arc<Settings>,
    server: Addr<HookupServer>,
}

impl Hookup {
    pub(crate) fn new(settings: Arc<Settings>, server: Addr<HookupServer>) -> Self {
        Self { settings, server }
    }

    /// The server as a resource at this path, to be mounted beside an application's other routes.
    pub fn resource(&self, path: &str) -> impl HttpServiceFactory + 'static {
        let hookup = self.clone();
        // Of all methods, so that another one than GET is told what is wrong.
        web::resource(path.to_owned()).to(move |request: HttpRequest, payload: web::Payload| {
            let hookup = hookup.clone();
            async move { hookup.upgrade(&request, payload).await }
        })
    }

    /// Answers one request by making it a session; for routes, guards and checks of one's own.
    ///
    /// A request that is no WebSocket handshake is answered with the status that says why; any after
    /// [`stop`](Self::stop) with 503; one of a browser whose page may not connect with 403; one that offers only unknown
    /// subprotocols with 426 and the known ones; one above the bound of connections with 503; and one that
    /// [`authenticate`](crate::ServerBuilder::authenticate) refuses with what it says.
    pub async fn upgrade(&self, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
        upgrade(&self.settings, &self.server, request, payload).await
    }

    /// The peers that are connected now.
    pub async fn peers(&self) -> Vec<Peer> {
        self.server.send(Peers).await.unwrap_or_default()
    }

    /// Stops the server in order, in this time: who comes from now on is answered with 503; clients of `hookup.v2` are told
    /// when to connect again, each at a time of its own within [`retry_after`](crate::ServerBuilder::retry_after); what was
    /// accepted is written, as far as the peers take it; every socket is closed with 1001; and the handlers end what they
    /// have begun. It resolves when every handler has had its last event, or when the time is over.
    ///
    /// What was not delivered stays in a [session store](crate::ServerBuilder::session_store) that is durable, and is reported
    /// to the handler otherwise. What clients of `hookup.v2` sent and no handler has handled they keep, and send again.
    pub async fn stop(&self, within: Duration) -> Stopped {
        self.settings.stopping.send_replace(true);
        // An error is a server that has gone with its System, and its sessions with it.
        Stopped { abandoned: self.server.send(Stop(within)).await.unwrap_or_default() }
    }
}

/// How a server has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// How many sessions had not ended when the time was over: their handlers were still at work, or their thread was blocked.
    /// They end without being told; what a durable session store has of them stays there.
    pub abandoned: usize,
}

impl fmt::Debug for Hookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hookup").field("formats", &self.settings.common.formats).finish_non_exhaustive()
    }
}
