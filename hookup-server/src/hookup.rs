//! The handle of a server that runs.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

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
        web::resource(path.to_owned()).route(web::get().to(move |request: HttpRequest, payload: web::Payload| {
            let hookup = hookup.clone();
            async move { hookup.upgrade(&request, payload) }
        }))
    }

    /// Answers one request by making it a session; for routes, guards and checks of one's own.
    ///
    /// A request that is no WebSocket handshake is answered with the status that says why; one that offers only
    /// unknown subprotocols with 426 and the known ones; any after [`stop`](Self::stop) with 503.
    pub fn upgrade(&self, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
        upgrade(&self.settings, &self.server, request, payload)
    }

    /// The peers that are connected now.
    pub async fn peers(&self) -> Vec<Peer> {
        self.server.send(Peers).await.unwrap_or_default()
    }

    /// Closes every session with 1001, and answers who comes later with 503; resolves when every handler has had its last
    /// event.
    pub async fn stop(&self) {
        self.settings.stopping.store(true, Ordering::Relaxed);
        // An error is a server that has gone with its System, and its sessions with it.
        let _ = self.server.send(Stop).await;
    }
}

impl fmt::Debug for Hookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hookup").field("formats", &self.settings.common.formats).finish_non_exhaustive()
    }
}
