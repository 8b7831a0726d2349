//! The server's settings, each with its unit and default.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use actix::Actor;
use actix_web::HttpRequest;
use hookup_core::{
    EventHandler, IntoHandler, MemoryStore, OutboxPolicy, Rate, SessionStore, Usage, WireFormat, driver, session::Held,
    settings, transport::Credit,
};
use tokio::sync::watch;

use crate::{ConfigError, Hookup, HookupServer};

/// Makes a session's handler.
pub(crate) type Factory = dyn Fn() -> Box<dyn EventHandler> + Send + Sync;

/// A server that is not started yet; [`HookupServer::new`] makes it.
#[must_use = "a server does nothing before `start` or `listen`"]
pub struct ServerBuilder {
    factory: Arc<Factory>,
    settings: settings::Settings,
    store: Held<Arc<dyn SessionStore>>,
    authenticate: Option<Arc<Authenticate>>,
    session_ttl: Duration,
    cursor_ttl: Duration,
    max_sessions: usize,
    hello_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    retry: (Duration, Duration),
}

/// Says who a client is.
pub(crate) type Authenticate = dyn Fn(&HttpRequest) -> Result<String, String> + Send + Sync;

/// The settings of a server that runs, checked.
pub(crate) struct Settings {
    pub(crate) factory: Arc<Factory>,
    pub(crate) common: settings::Checked,
    pub(crate) store: Held<Arc<dyn SessionStore>>,
    pub(crate) authenticate: Option<Arc<Authenticate>>,
    pub(crate) session_ttl: Duration,
    pub(crate) cursor_ttl: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) hello_timeout: Duration,
    pub(crate) retry: (Duration, Duration),
    /// How many connections there are, and how many have been let in.
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
        let mut settings = settings::Settings::default();
        settings.limits.outbox.bytes = 1 << 20;
        settings.limits.policy = OutboxPolicy::Close;
        ServerBuilder {
            factory: Arc::new(move || Box::new(factory().into_handler())),
            settings,
            store: held(MemoryStore::default()),
            authenticate: None,
            session_ttl: Duration::from_secs(120),
            cursor_ttl: Duration::from_secs(24 * 3600),
            max_sessions: 10_000,
            hello_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            retry: (Duration::from_millis(500), Duration::from_secs(8)),
        }
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

    /// Which subprotocols clients may choose. Default: all that are known: `hookup.v2`, `jsonProtocol` and `simpleJson`.
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.subprotocols = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The wire format for clients that offer no subprotocol. Default: `simpleJson`.
    pub fn default_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.settings.default_subprotocol = name.into();
        self
    }

    /// How much may wait to be sent to one peer, in messages and bytes; what is above is refused to its sender, unless the
    /// [policy](Self::policy) says otherwise.
    /// Default: 100,000 and 1 MiB.
    pub fn outbox_bounds(mut self, messages: usize, bytes: u64) -> Self {
        self.settings.limits.outbox = Usage { messages, bytes };
        self
    }

    /// What becomes of a message that finds the outbox full, as its peer is too slow. Default: [`OutboxPolicy::Close`].
    pub fn policy(mut self, policy: OutboxPolicy) -> Self {
        self.settings.limits.policy = policy;
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

    /// The longest message, in or out, in bytes. Default: 1 MiB. A peer that sends a longer one is closed with 1009. What is
    /// sent must fit the [outbox](Self::outbox_bounds), too, whose default is as much.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message_bytes = bytes;
        self
    }

    /// In how many fragments a message may come in. Default: 100,000. A peer that sends more is closed with 1009.
    pub fn max_fragments(mut self, fragments: usize) -> Self {
        self.settings.limits.max_fragments = fragments;
        self
    }

    /// How many messages may reach the handler in a time; as many may come at once after a pause. What is above waits, and
    /// when the [inbox](Self::inbox) is full the socket is read no further, so that nothing is lost. Default: no limit.
    pub fn rate_limit(mut self, messages: u32, per: Duration) -> Self {
        self.settings.limits.rate = Some(Rate { messages, per });
        self
    }

    /// How long the handler may take for one event. Then its future is dropped, a message is refused, and the handler is
    /// told [`Error::HandlerTimedOut`](crate::Error::HandlerTimedOut). Default: 5 minutes.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.handler_timeout = Some(timeout);
        self
    }

    /// Lets the handler take as long as it likes.
    pub fn without_handler_timeout(mut self) -> Self {
        self.settings.limits.handler_timeout = None;
        self
    }

    /// How long the peer may take nothing of what is to be written to it; then its connection is cut. Default: 30 s.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.stall_timeout = timeout;
        self
    }

    /// Where sessions of `hookup.v2` are kept. Default: [`MemoryStore`], from which they are gone with the process. With
    /// [`SledStore`](crate::SledStore) they survive its end, SIGKILL included.
    pub fn session_store(mut self, store: impl SessionStore) -> Self {
        self.store = held(store);
        self
    }

    /// How long a session of `hookup.v2` is kept without a connection; where the server was restarted, it counts from the
    /// start. Default: 2 minutes.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.session_ttl = ttl;
        self
    }

    /// How long after a session's end it is remembered what was handled, so that what its client sends again is not handled
    /// again. Default: 24 hours.
    pub fn cursor_ttl(mut self, ttl: Duration) -> Self {
        self.cursor_ttl = ttl;
        self
    }

    /// How many sessions there may be. Default: 10,000. When there are so many, a new one takes the place of the one whose
    /// client has been away for longest; when none is away, it is refused with HTTP 503, or, while earlier ones are still
    /// ending, closed with 1001. Those that are about to end may be as many again.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How long a client of `hookup.v2` may take to say hello; then it is closed with 4408. Default: 10 s.
    pub fn hello_timeout(mut self, timeout: Duration) -> Self {
        self.hello_timeout = timeout;
        self
    }

    /// The range of waits, drawn at random by each client, after which clients of `hookup.v2` are asked to connect again when
    /// the server stops. Default: 0.5 to 8 s.
    pub fn retry_after(mut self, from: Duration, to: Duration) -> Self {
        self.retry = (from, to);
        self
    }

    /// How long [`listen`](Self::listen) takes to stop, at most, when SIGTERM or SIGINT comes; see [`Hookup::stop`].
    /// Default: 10 s.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// Asks who a client is, before it is let in: by the request's headers, query or address. A session of `hookup.v2` belongs
    /// to whom this names, and another one who asks for it is closed with 4401; so it must give the same client the same name
    /// each time, whatever token it comes with. An error is answered with HTTP 401 and the words. Default: everybody is let
    /// in, and a session belongs to who knows its id.
    pub fn authenticate<N, E>(
        mut self,
        authenticate: impl Fn(&HttpRequest) -> Result<N, E> + Send + Sync + 'static,
    ) -> Self
    where
        N: Into<String>,
        E: fmt::Display,
    {
        self.authenticate = Some(Arc::new(move |request| match authenticate(request) {
            Ok(name) => Ok(name.into()),
            Err(error) => Err(error.to_string()),
        }));
        self
    }

    /// Starts the server in the present actix System; it is mounted with [`Hookup::resource`].
    ///
    /// A durable session store is asked in the background which sessions it has; clients of `hookup.v2` wait for its answer.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn start(self) -> Result<Hookup, ConfigError> {
        ConfigError::check_duration("session_ttl", self.session_ttl)?;
        ConfigError::check_duration("cursor_ttl", self.cursor_ttl)?;
        ConfigError::check_duration("hello_timeout", self.hello_timeout)?;
        ConfigError::check_duration("stop_timeout", self.stop_timeout)?;
        if self.max_sessions == 0 {
            return Err(ConfigError::new("max_sessions", "must be above zero"));
        }
        if self.retry.0 > self.retry.1 || self.retry.1 > Duration::from_secs(24 * 3600) {
            return Err(ConfigError::new("retry_after", "must be a range within a day"));
        }
        let settings = Settings {
            common: self.settings.check()?,
            factory: self.factory,
            store: self.store,
            authenticate: self.authenticate,
            session_ttl: self.session_ttl,
            cursor_ttl: self.cursor_ttl,
            max_sessions: self.max_sessions,
            hello_timeout: self.hello_timeout,
            retry: self.retry,
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

fn held(store: impl SessionStore) -> Held<Arc<dyn SessionStore>> {
    let is_durable = store.is_durable();
    Held::new(Arc::new(store), is_durable)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("common", &self.common).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
