//! An HTTP server and its sessions, from start to end.

use std::{io, pin::pin, time::Duration};

use actix_web::dev::Server;
use futures_util::future::{Either, join, select};

use crate::{Hookup, Stopped, signals::Signals};

impl Hookup {
    /// Serves until SIGTERM or SIGINT comes, and then [stops](Self::stop) in this time; whoever comes meanwhile is answered with
    /// 503. Then the HTTP server stops gracefully, in its own `shutdown_timeout`. A second signal ends all at once.
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
        // The sessions first: those whose clients are at another worker's sockets would end with a worker that has none.
        let stopping = async {
            let Stopped { abandoned } = self.stop(within).await;
            tracing::info!(abandoned, "stopped");
            handle.stop(true).await;
        };
        match select(pin!(join(server, stopping)), pin!(signals.next())).await {
            Either::Left(((ended, ()), _)) => ended,
            Either::Right(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "a second signal ended it at once")),
        }
    }
}
