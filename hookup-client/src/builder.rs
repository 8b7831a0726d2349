//! The client's settings, each with its unit and default.

use std::{fmt, future::Future, path::Path, rc::Rc, time::Duration};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use hookup_core::{
    Backoff, Durability, EventHandler, IntoHandler, Limits, MemoryOutbox, Outbox, OutboxPolicy, Rate, SledOptions,
    Usage, WireFormat, driver, link::v2, settings, transport::Credit, wire::Protocol,
};

use crate::{
    ConfigError, HookupClient, Tls,
    connector::{Connector, Headers, parse_url},
    place::Where,
};

/// Gives the headers that prove who the client is, anew for each attempt.
pub(crate) type Credentials = dyn Fn() -> LocalBoxFuture<'static, Result<Vec<(String, String)>, String>>;

/// A client that is not started yet; [`HookupClient::builder`] makes it.
#[must_use = "a client does nothing before `start`"]
pub struct ClientBuilder {
    url: String,
    settings: settings::Settings,
    headers: Vec<(String, String)>,
    credentials: Option<Rc<Credentials>>,
    tls: Tls,
    connect_timeout: Duration,
    backoff: Backoff,
    outbox: Where,
    on_disk: SledOptions,
    require_reliable: bool,
}

/// The settings of a client that runs, checked.
pub(crate) struct Settings {
    pub(crate) common: settings::Checked,
    pub(crate) connector: Connector,
    pub(crate) connect_timeout: Duration,
    pub(crate) headers: Headers,
    pub(crate) credentials: Option<Rc<Credentials>>,
    pub(crate) backoff: Backoff,
    pub(crate) require_reliable: bool,
}

impl Settings {
    /// The protocol that this answer to what was offered stands for; `None` where the answer cannot be taken.
    pub(crate) fn protocol(&self, subprotocol: Option<&str>) -> Option<Protocol> {
        match subprotocol.and_then(|name| self.common.formats.find(name)) {
            None if self.require_reliable => None,
            chosen => Some(chosen.unwrap_or_else(|| self.common.default_protocol.clone())),
        }
    }

    /// The bounds of a connection in this subprotocol: the greetings of `hookup.v2` are no messages.
    pub(crate) fn limits(&self, subprotocol: Option<&str>) -> Limits {
        let mut limits = self.common.limits;
        if let Some(Protocol::V2) = self.protocol(subprotocol) {
            limits.max_message_bytes = limits.max_message_bytes.max(v2::MAX_GREETING_BYTES);
        }
        limits
    }
}

impl HookupClient {
    /// A client of the server at this address, `ws://…` or `wss://…`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            settings: settings::Settings::default(),
            headers: Vec::new(),
            credentials: None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            outbox: Where::Opened(Box::<MemoryOutbox>::default()),
            on_disk: SledOptions::new(),
            require_reliable: false,
        }
    }
}

impl ClientBuilder {
    /// Keeps what waits to be sent, and the session of `hookup.v2`, in this directory, which is made if need be and must be
    /// used for nothing else. Default: in memory.
    pub fn outbox(mut self, path: impl AsRef<Path>) -> Self {
        self.outbox = Where::Path(path.as_ref().to_owned());
        self
    }

    /// When a message counts as accepted by the outbox at a [path](Self::outbox). Default: [`Durability::ProcessCrash`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.on_disk = self.on_disk.durability(durability);
        self
    }

    /// Whether a damaged outbox at a [path](Self::outbox) is moved aside, and what can be read of it goes on in a new one; the
    /// handler is told [`Event::Quarantined`](crate::Event::Quarantined). Default: no; the client ends with an error.
    pub fn quarantine(mut self, quarantine: bool) -> Self {
        self.on_disk = self.on_disk.quarantine(quarantine);
        self
    }

    /// Keeps what waits to be sent, and the session of `hookup.v2`, in an outbox of your own.
    pub fn outbox_in(mut self, outbox: impl Outbox) -> Self {
        self.outbox = Where::Opened(Box::new(outbox));
        self
    }

    /// How much the outbox may hold, in messages and bytes; what is above is refused, and given back, unless the
    /// [policy](Self::policy) says otherwise.
    /// Default: 100,000 and 256 MiB.
    pub fn outbox_bounds(mut self, messages: usize, bytes: u64) -> Self {
        self.settings.limits.outbox = Usage { messages, bytes };
        self
    }

    /// What becomes of a message that finds the outbox full. Default: [`OutboxPolicy::DropNewest`].
    pub fn policy(mut self, policy: OutboxPolicy) -> Self {
        self.settings.limits.policy = policy;
        self
    }

    /// How much may be sent and not be acked yet, in messages and bytes. Default: 256 and 1 MiB.
    pub fn window(mut self, messages: usize, bytes: u64) -> Self {
        self.settings.limits.window = Usage { messages, bytes };
        self
    }

    /// How much may wait for the handler, in messages and bytes; then the socket is read no further.
    /// Default: 512 and 4 MiB.
    pub fn inbox(mut self, messages: usize, bytes: usize) -> Self {
        self.settings.limits.inbox = Credit { frames: messages, bytes };
        self
    }

    /// The longest message, in or out, in bytes. Default: 1 MiB. A server that sends a longer one is closed with 1009.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message_bytes = bytes;
        self
    }

    /// In how many fragments a message may come in. Default: 100,000. A server that sends more is closed with 1009.
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

    /// How long the server may take nothing of what is to be written to it; then its connection is cut. Default: 30 s.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.stall_timeout = timeout;
        self
    }

    /// Adds a wire format of your own, under its name, before those that are known.
    pub fn wire_format(mut self, format: impl WireFormat) -> Self {
        self.settings.formats.register(format);
        self
    }

    /// Which subprotocols are offered, in order of preference. Default: all that are known: `hookup.v2`, `jsonProtocol`,
    /// `simpleJson`.
    pub fn subprotocols<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.subprotocols = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The wire format with a server that names none. Default: `simpleJson`.
    pub fn default_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.settings.default_subprotocol = name.into();
        self
    }

    /// Whether to speak `hookup.v2` or nothing: an attempt to connect to a server that does not know it fails. Default: no;
    /// the client falls back to what the server knows, and to its weaker promise.
    pub fn require_reliable(mut self, required: bool) -> Self {
        self.require_reliable = required;
        self
    }

    /// Adds a header to every handshake.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Asks for more headers before every attempt, such as an `Authorization` that expires. An error is an attempt
    /// that failed, and is tried again like any other.
    ///
    /// ```no_run
    /// # use hookup_client::HookupClient;
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// HookupClient::builder("wss://example.org/ws")
    ///     .credentials(|| async { Ok::<_, std::io::Error>([("Authorization", format!("Bearer {}", fresh_token().await?))]) });
    /// ```
    pub fn credentials<F, Fut, L, N, V, E>(mut self, credentials: F) -> Self
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = Result<L, E>> + 'static,
        L: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
        E: fmt::Display,
    {
        self.credentials = Some(Rc::new(move || {
            let asked = credentials();
            Box::pin(async move {
                let headers = asked.await.map_err(|error| error.to_string())?;
                Ok(headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
            })
        }));
        self
    }

    /// Whom to trust at `wss://`. Default: whom the operating system trusts.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// How long one attempt may take, from the question for credentials to the end of the handshake; the welcome of
    /// `hookup.v2` may take as long again. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait between attempts, and how many to make. Default: [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long the server may be silent before it is pinged. Default: 25 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = Some(interval);
        self
    }

    /// Never pings, and never calls the server dead.
    pub fn without_heartbeat(mut self) -> Self {
        self.settings.heartbeat = None;
        self
    }

    /// After how many heartbeat intervals of silence the server is dead; at least 2. Default: 2.
    pub fn dead_after(mut self, intervals: u32) -> Self {
        self.settings.dead_after = intervals;
        self
    }

    /// Starts the client in the present actix System, and its first attempt to connect. It lives until it is told to
    /// [`Close`](crate::Close), or its System ends.
    ///
    /// The handler is a closure of `(Event, Peer)`, plain or async, a type that implements
    /// [`EventHandler`], or a `Recipient<Event>` of an actor.
    ///
    /// An outbox on disk is opened in the background; what is sent meanwhile waits for it, within the outbox's bounds. If it
    /// cannot be opened, the handler is told so in an [`Event::Error`](crate::Event::Error), whatever was sent comes back
    /// with [`SendFailure::Storage`](crate::SendFailure::Storage), and the client ends.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn start<H, K>(self, handler: H) -> Result<Addr<HookupClient>, ConfigError>
    where
        H: IntoHandler<K>,
    {
        driver::check_system()?;
        let (settings, outbox, options) = self.check()?;
        let handler: Box<dyn EventHandler> = Box::new(handler.into_handler());
        let opening = outbox.open(options, settings.common.link_limits(Duration::ZERO));
        Ok(HookupClient::start_with(settings, handler, opening))
    }

    fn check(mut self) -> Result<(Settings, Where, SledOptions), ConfigError> {
        let uri = parse_url(&self.url)?;
        if self.require_reliable {
            if self.settings.subprotocols.as_ref().is_some_and(|names| !names.iter().any(|name| name == v2::NAME)) {
                return Err(ConfigError::new("require_reliable", "hookup.v2 is not among the subprotocols"));
            }
            self.settings.subprotocols = Some(vec![v2::NAME.to_owned()]);
        }
        if self.settings.limits.policy == OutboxPolicy::Close {
            return Err(ConfigError::new("policy", "Close is for a server; a client keeps what it cannot send"));
        }
        let common = self.settings.check()?;
        let mut headers = Headers::default();
        for (name, value) in &self.headers {
            headers.push(name, value).map_err(|problem| ConfigError::new("header", problem))?;
        }
        ConfigError::check_duration("connect_timeout", self.connect_timeout)?;
        self.backoff.validate()?;
        let connector = Connector::new(uri, common.formats.name_list(), &self.tls, self.connect_timeout)?;
        let settings = Settings {
            common,
            connector,
            connect_timeout: self.connect_timeout,
            headers,
            credentials: self.credentials,
            backoff: self.backoff,
            require_reliable: self.require_reliable,
        };
        Ok((settings, self.outbox, self.on_disk))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("settings", &self.settings)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}
