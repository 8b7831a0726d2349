//! A server without an application: it binds a port, and every path is its own.

use std::{
    fmt,
    future::{Future, IntoFuture},
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpServer,
    dev::{Server, ServerHandle},
    web,
};

use crate::{ConfigError, Hookup, ServerBuilder, Tls, on_connect};

/// How long the sockets have to take the last bytes, once all sessions have ended.
const SHUTDOWN_SECONDS: u64 = 2;

/// The least time that a request gets to arrive. actix-http counts it from a clock that it sets every half a second, and never
/// looks again at a deadline that was over when it was set: who sends nothing would stay for ever.
const LEAST_REQUEST_TIME: Duration = Duration::from_secs(1);

/// Why a server could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address could not be bound.
    #[error("cannot listen: {0}")]
    Bind(#[source] io::Error),
}

/// A server that listens; await it to serve until it is stopped.
///
/// SIGTERM and SIGINT stop it in order, in at most [`stop_timeout`](ServerBuilder::stop_timeout); a second one ends it at once.
#[must_use = "a server serves only while it is awaited"]
pub struct Listening {
    hookup: Hookup,
    addrs: Vec<SocketAddr>,
    server: Server,
    stop_timeout: Duration,
}

impl ServerBuilder {
    /// Starts the server and binds it to an address, for those who have no application to mount it in.
    ///
    /// ```no_run
    /// # use hookup_server::{Event, HookupServer, Peer};
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// HookupServer::new(|| |event: Event, _: Peer| println!("{event:?}")).listen("127.0.0.1:8125")?.await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ListenError`] when a setting cannot work, the files of [`tls`](Self::tls) among them, or the address cannot be bound.
    pub fn listen(mut self, addr: impl ToSocketAddrs) -> Result<Listening, ListenError> {
        let configured = self.config.tls.take();
        let tls = self.tls.take().or_else(|| configured.as_ref().map(Tls::from));
        let tls = tls.map(|tls| tls.build()).transpose()?;
        let (stop_timeout, handshake_timeout) = (self.config.stop_timeout, self.config.handshake_timeout);
        let hookup = self.start()?;
        let mounted = hookup.clone();
        let server = HttpServer::new(move || {
            let hookup = mounted.clone();
            App::new().default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
                let hookup = hookup.clone();
                async move { hookup.upgrade(&request, payload).await }
            }))
        })
        .on_connect(on_connect)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .client_request_timeout(handshake_timeout.max(LEAST_REQUEST_TIME))
        .tls_handshake_timeout(handshake_timeout);
        let bound = match tls {
            None => server.bind(addr),
            Some(config) => server.bind_rustls_0_23(addr, config),
        };
        let server = bound.map_err(ListenError::Bind)?;
        let addrs = server.addrs();
        Ok(Listening { hookup, addrs, server: server.run(), stop_timeout })
    }
}

impl Listening {
    /// The addresses that it listens on; with port 0 asked for, the ports that it got.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// What stops the HTTP server itself, after [`Hookup::stop`] has closed the sessions.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// The server's handle.
    pub fn hookup(&self) -> &Hookup {
        &self.hookup
    }
}

impl IntoFuture for Listening {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.hookup.run(self.server, self.stop_timeout).await })
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
