//! An HTTP server and its sessions, from start to end.

use std::{io, pin::pin, time::Duration};

use actix_web::dev::Server;
use futures_util::future::{Either, join3, select};

use crate::{Hookup, signals::Signals};

impl Hookup {
    /// Serves until SIGTERM or SIGINT comes, and then [stops](Self::stop) in this time: no connection is accepted any more,
    /// the sessions end in order, and so does the HTTP server, in its own `shutdown_timeout`. A second signal ends it at once.
    /// [`ServerBuilder::listen`](crate::ServerBuilder::listen) does this by itself.
    ///
    /// The HTTP server must not take the signals itself:
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use actix_web::{App, HttpServer};
    /// # use hookup_server::{Event, HookupServer, Peer};
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let hookup = HookupServer::new(|| |event: Event, _: Peer| println!("{event:?}")).start()?;
    /// let mounted = hookup.clone();
    /// let server = HttpServer::new(move || App::new().service(mounted.resource("/ws")))
    ///     .on_connect(hookup_server::on_connect)
    ///     .disable_signals()
    ///     .bind(("127.0.0.1", 8125))?
    ///     .run();
    /// hookup.run(server, Duration::from_secs(10)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the HTTP server; when signals cannot be caught; and `Interrupted` after a second signal.
    pub async fn run(&self, server: Server, within: Duration) -> io::Result<()> {
        let mut signals = Signals::catch()?;
        let handle = server.handle();
        let mut server = pin!(server);
        if let Either::Left((ended, _)) = select(&mut server, pin!(signals.next())).await {
            return ended;
        }
        tracing::info!("stopping");
        // The HTTP server stops to listen at once, and waits for its connections, which the sessions close.
        let stopped = pin!(join3(server, handle.stop(true), self.stop(within)));
        match select(stopped, pin!(signals.next())).await {
            Either::Left(((ended, (), stopped), _)) => {
                tracing::info!(abandoned = stopped.abandoned, "stopped");
                ended
            }
            Either::Right(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "a second signal ended it at once")),
        }
    }
}
