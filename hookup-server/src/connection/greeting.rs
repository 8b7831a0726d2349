//! A connection of `hookup.v2` that waits for its client's hello.

use std::{net::SocketAddr, pin::pin, time::Duration};

use actix::Addr;
use actix_web::rt;
use futures_util::future;
use hookup_core::{CloseCode, CloseReason, transport::Command};
use tokio::{sync::watch, task::AbortHandle};

use crate::{line::Transport, registry::HookupServer};

/// What a hello is passed on with.
pub(crate) struct Greeter {
    pub(crate) server: Addr<HookupServer>,
    pub(crate) principal: Option<String>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) timeout: Duration,
    /// The server stops, and takes no hello any more.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What closes a connection whose client says no hello. No timer of the connection's own: that would stand still with it.
pub(crate) struct Patience(AbortHandle);

impl Patience {
    pub(super) fn new(greeter: &Greeter, transport: Transport) -> Self {
        let (timeout, mut stopping) = (greeter.timeout, greeter.stopping.clone());
        let task = rt::spawn(async move {
            let (late, stops) = (rt::time::sleep(timeout), stopping.wait_for(|stops| *stops));
            let reason = match future::select(pin!(late), pin!(stops)).await {
                future::Either::Left(_) => CloseReason::new(CloseCode::HELLO_TIMEOUT, "no hello came"),
                future::Either::Right(_) => CloseCode::AWAY.into(),
            };
            transport.send(Command::Close(reason));
        });
        Self(task.abort_handle())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.abort();
    }
}
