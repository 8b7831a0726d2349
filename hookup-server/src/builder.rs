//! How a server is set up: its configuration, and what is code.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

use actix::Actor;
use hookup_core::{
    EventHandler, IntoHandler, MemoryStore, SessionStore, SledOptions, WireFormat, driver, session::Held,
    settings::Checked, wire::Formats,
};
use tokio::sync::watch;

use crate::{
    ConfigError, Hookup, HookupServer, ServerConfig, Tls,
    admission::{Authenticate, Origins},
};

/// Makes a session's handler.
pub(crate) type Factory = dyn Fn() -> Box<dyn EventHandler> + Send + Sync;

/// A server that is not started yet; [`HookupServer::new`] makes it.
#[must_use = "a server does nothing before `start` or `listen`"]
pub struct ServerBuilder {
    factory: Arc<Factory>,
    pub(crate) config: ServerConfig,
    formats: Formats,
    store: Option<Held<Arc<dyn SessionStore>>>,
    pub(crate) authenticate: Option<Arc<Authenticate>>,
    pub(crate) tls: Option<Tls>,
}

/// The settings of a server that runs, checked.
pub(crate) struct Settings {
    pub(crate) factory: Arc<Factory>,
    pub(crate) config: ServerConfig,
    /// What of it the server has in common with a client.
    pub(crate) common: Checked,
    pub(crate) store: Held<Arc<dyn SessionStore>>,
    pub(crate) authenticate: Option<Arc<Authenticate>>,
    pub(crate) origins: Origins,
    /// How many connections there are, and how many have come.
    pub(crate) connections: AtomicUsize,
    pub(crate) admitted: AtomicU64,
    /// The server takes no more sessions.
    pub(crate) stopping: watch::Sender<bool>,
    /// It was said that the server has no hold on its sockets.
    pub(crate) warned: AtomicBool,
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
        ServerBuilder {
            factory: Arc::new(move || Box::new(factory().into_handler())),
            config: ServerConfig::default(),
            formats: Formats::default(),
            store: None,
            authenticate: None,
            tls: None,
        }
    }
}

impl ServerBuilder {
    /// Takes these settings, in place of all that were made before; what is set afterwards changes them.
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a wire format of your own, under its name, before those that are known.
    pub fn wire_format(mut self, format: impl WireFormat) -> Self {
        self.formats.register(format);
        self
    }

    /// Where sessions of `hookup.v2` are kept. Default: [`MemoryStore`], from which they are gone with the process. With
    /// [`SledStore`](crate::SledStore) they survive its end, SIGKILL included. A
    /// [configuration](ServerConfig::session_store) can name its directory.
    pub fn session_store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(held(store));
        self
    }

    /// Starts the server in the present actix System; it is mounted with [`Hookup::resource`].
    ///
    /// A durable session store is asked in the background which sessions it has; clients of `hookup.v2` wait for its answer.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn start(self) -> Result<Hookup, ConfigError> {
        self.config.check()?;
        if self.tls.is_some() || self.config.tls.is_some() {
            return Err(ConfigError::new("tls", "is for `listen`; a mounted server's TLS is the application's"));
        }
        let origins = Origins::new(&self.config.allowed_origins)?;
        let store = self.store.map_or_else(|| stored(&self.config), Ok)?;
        let settings = Settings {
            common: self.config.check_common(self.formats)?,
            factory: self.factory,
            config: self.config,
            store,
            authenticate: self.authenticate,
            origins,
            connections: AtomicUsize::new(0),
            admitted: AtomicU64::new(1),
            stopping: watch::Sender::new(false),
            warned: AtomicBool::new(false),
        };
        driver::check_system()?;
        let settings = Arc::new(settings);
        let server = HookupServer::with(settings.clone()).start();
        Ok(Hookup::new(settings, server))
    }
}

/// Where the configuration has sessions kept.
fn stored(config: &ServerConfig) -> Result<Held<Arc<dyn SessionStore>>, ConfigError> {
    let Some(path) = &config.session_store else { return Ok(held(MemoryStore::default())) };
    let options = SledOptions::new().durability(config.durability).quarantine(config.quarantine);
    options.store(path).map(held).map_err(|error| ConfigError::new("session_store", error))
}

fn held(store: impl SessionStore) -> Held<Arc<dyn SessionStore>> {
    let is_durable = store.is_durable();
    Held::new(Arc::new(store), is_durable)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
