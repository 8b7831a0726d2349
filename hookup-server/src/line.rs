//! A hold on a connection's socket from outside of it.
//!
//! A connection whose peer stops reading stands still, and with it everything that could close its socket. So the socket is
//! held twice: by actix-web, and by a duplicate of its handle that lives as long as actix-web's does. Sessions have a weak
//! reference to it, and can cut the socket at any time.

use std::{
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Weak},
    task::{self, Poll},
    time::Duration,
};

use actix::Recipient;
use actix_web::HttpRequest;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hookup_core::transport::{CLOSE_TIMEOUT, Command, Progress};
use socket2::Socket;

/// How much is handed to a socket at once: a long message is memory that waits, and says nothing of its progress.
const PIECE_BYTES: usize = 16 * 1024;

/// How much of what was written the operating system may hold back unsent: what a peer that stops reading costs there, beside
/// what is on its way.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// How long a connection that is to close may take beyond the time in which its peer is to answer.
const GRACE: Duration = Duration::from_secs(2);

/// The second handle of a connection's socket, in the data of the connection.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) socket: Socket,
    pub(crate) is_tls: bool,
}

/// A connection's socket, for as long as it is open; nothing, where [`on_connect`](crate::on_connect) was not called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Weak<Held>);

impl Line {
    /// The socket that a request came over, made ready for messages.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let Some(held) = request.conn_data::<Arc<Held>>() else { return Self::default() };
        let Held { socket, .. } = &**held;
        let set = socket.set_tcp_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let set = set.and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
        if let Err(error) = set {
            tracing::debug!(%error, "a socket's options could not be set");
        }
        Self(Arc::downgrade(held))
    }

    /// Whether there is a hold on the socket.
    pub(crate) fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Ends it at once. What was not sent is dropped.
    pub(crate) fn cut(&self) {
        if let Some(Held { socket, .. }) = self.0.upgrade().as_deref() {
            // An error is a socket that the peer has ended already.
            let _ = socket.set_linger(Some(Duration::ZERO)).and_then(|()| socket.shutdown(Shutdown::Both));
        }
    }

    /// Reads it no more, so that it is closed as soon as everything is written: else actix-web would wait for the peer.
    pub(crate) fn stop_reading(&self) {
        // TLS would take that for an attack, and not write what is left; there actix-web waits for a second at most.
        if let Some(Held { socket, is_tls: false }) = self.0.upgrade().as_deref() {
            // Likewise.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Cuts it when its peer has had the time to answer a close frame, if it is still open then, and the peer takes nothing of
    /// what is before that frame.
    pub(crate) fn cut_late(&self, progress: &Progress) {
        // Outside of a runtime the thread has ended, and its sockets with it.
        if let (true, Ok(runtime)) = (self.is_held(), tokio::runtime::Handle::try_current()) {
            let (line, progress) = (self.clone(), progress.clone());
            runtime.spawn(async move {
                // A long message on a slow line may be before it; there is no more than one.
                let mut taken = None;
                while line.is_held() && taken != Some(progress.count()) {
                    taken = Some(progress.count());
                    tokio::time::sleep(CLOSE_TIMEOUT + GRACE).await;
                }
                line.cut();
            });
        }
    }
}

/// A connection, as a session has it: its actor, which may stand still, and what can be done all the same.
#[derive(Clone)]
pub(crate) struct Transport {
    connection: Recipient<Command>,
    line: Line,
    progress: Progress,
}

impl Transport {
    pub(crate) fn new(connection: Recipient<Command>, line: Line, progress: Progress) -> Self {
        Self { connection, line, progress }
    }

    /// Passes a command on; the end of the connection does not depend on its being heard.
    pub(crate) fn send(&self, command: Command) {
        match &command {
            Command::Close(_) => self.line.cut_late(&self.progress),
            Command::Abort => self.line.cut(),
            Command::Transmit { .. } | Command::Ping => {}
        }
        self.connection.do_send(command);
    }

    /// What the socket takes.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// Hands the bytes of a connection to its socket in pieces, and notes how they are taken: each is asked for when the one
/// before has a place.
pub(crate) struct Pieces<S> {
    bytes: S,
    rest: Bytes,
    progress: Progress,
}

impl<S> Pieces<S> {
    pub(crate) fn new(bytes: S, progress: Progress) -> Self {
        Self { bytes, rest: Bytes::new(), progress }
    }
}

impl<S, E> Stream for Pieces<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match this.bytes.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(bytes))) => this.rest = bytes,
                // Being asked for more, and having nothing, means that all there was has its place.
                nothing => {
                    this.progress.set_waiting(false);
                    return nothing;
                }
            }
        }
        this.progress.note();
        this.progress.set_waiting(true);
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(piece)))
    }
}
