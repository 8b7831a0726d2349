//! The server's settings, each with its unit and default.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::Actor;
use hookup_core::{EventHandler, IntoHandler, Usage, WireFormat, driver, settings, transport::Credit};

use crate::{ConfigError, Hookup, HookupServer};

/// Makes a session's handler.
pub(crate) type Factory = dyn Fn() -> Box<dyn EventHandler> + Send + Sync;

/// A server that is not started yet; [`HookupServer::new`] makes it.
#[must_use = "a server does nothing before `start` or `listen`"]
pub struct ServerBuilder {
    factory: Arc<Factory>,
    settings: settings::Settings,
}

/// The settings of a server that runs, checked.
pub(crate) struct Settings {
    pub(crate) factory: Arc<Factory>,
    pub(crate) common: settings::Checked,
    /// The server takes no more sessions.
    pub(crate) stopping: AtomicBool,
}

impl HookupServer {
    /// A server whose sessions each get a handler from this factory.
    ///
    /// A handler is a closure of `(Event, Peer)`, plain or async, a type that implements [`EventHandler`], or a
    /// `Recipient<Event>` of an actor. The factory is called on the thread of the session.
    #[allow(clippy::new_ret_no_self)]
    pub fn new<F, H, K>(factory: F) -> ServerBuilder
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: IntoHandler<K>,
    {
        let mut settings = settings::Settings::default();
        settings.limits.outbox.bytes = 1 << 20;
        ServerBuilder { factory: Arc::new(move || Box::new(factory().into_handler())), settings }
    }
}

impl ServerBuilder {
    /// How long a peer may be silent before it is pinged. Default: 25 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = Some(interval);
        self
    }

    /// Never pings, and never calls a peer dead.
    pub fn without_heartbeat(mut self) -> Self {
        self.settings.heartbeat = None;
        self
    }

    /// After how many heartbeat intervals of silence a peer is dead; at least 2. Default: 2.
    pub fn dead_after(mut self, intervals: u32) -> Self {
        self.settings.dead_after = intervals;
        self
    }

    /// Adds a wire format of your own, under its name, before those that are known.
    pub fn wire_format(mut self, format: impl WireFormat) -> Self {
        self.settings.formats.register(format);
        self
    }

    /// Which wire formats clients may choose. Default: all that are known, `jsonProtocol` and `simpleJson`.
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.subprotocols = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The wire format for clients that offer no subprotocol. Default: `simpleJson`.
    pub fn default_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.settings.default_subprotocol = name.into();
        self
    }

    /// How much may wait to be sent to one peer, in messages and bytes; what is above is refused to its sender.
    /// Default: 100,000 and 1 MiB.
    pub fn outbox_bounds(mut self, messages: usize, bytes: u64) -> Self {
        self.settings.limits.outbox = Usage { messages, bytes };
        self
    }

    /// How much may be sent to one peer and not be acked yet, in messages and bytes. Default: 256 and 1 MiB.
    pub fn window(mut self, messages: usize, bytes: u64) -> Self {
        self.settings.limits.window = Usage { messages, bytes };
        self
    }

    /// How much of one peer may wait for the handler, in messages and bytes; then its socket is read no further.
    /// Default: 512 and 4 MiB.
    pub fn inbox(mut self, messages: usize, bytes: usize) -> Self {
        self.settings.limits.inbox = Credit { frames: messages, bytes };
        self
    }

    /// The longest message, in or out, in bytes. Default: 1 MiB. A peer that sends a longer one is closed with 1009.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message_bytes = bytes;
        self
    }

    /// Starts the server in the present actix System; it is mounted with [`Hookup::resource`].
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn start(self) -> Result<Hookup, ConfigError> {
        let settings =
            Settings { common: self.settings.check()?, factory: self.factory, stopping: AtomicBool::new(false) };
        driver::check_system()?;
        Ok(Hookup::new(Arc::new(settings), HookupServer::default().start()))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
