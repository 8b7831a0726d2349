//! How a client is set up: its configuration, and what is code.

use std::{fmt, future::Future, path::Path, rc::Rc, time::Duration};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use hookup_core::{
    EventHandler, IntoHandler, Limits, MemoryOutbox, Outbox, SledOptions, WireFormat, driver,
    link::v2,
    settings::Checked,
    wire::{Formats, Protocol},
};

use crate::{
    ClientConfig, ConfigError, HookupClient, Tls,
    connector::{Connector, Headers, parse_url},
    place::Where,
};

/// Gives the headers that prove who the client is, anew for each attempt.
pub(crate) type Credentials = dyn Fn() -> LocalBoxFuture<'static, Result<Vec<(String, String)>, String>>;

/// A client that is not started yet; [`HookupClient::builder`] makes it.
#[must_use = "a client does nothing before `start`"]
pub struct ClientBuilder {
    pub(crate) config: ClientConfig,
    formats: Formats,
    credentials: Option<Rc<Credentials>>,
    tls: Option<Tls>,
    own_outbox: Option<Box<dyn Outbox>>,
}

/// The settings of a client that runs, checked.
pub(crate) struct Settings {
    pub(crate) config: ClientConfig,
    /// What of it the client has in common with a server.
    pub(crate) common: Checked,
    pub(crate) connector: Connector,
    pub(crate) headers: Headers,
    pub(crate) credentials: Option<Rc<Credentials>>,
}

impl Settings {
    /// The protocol that this answer to what was offered stands for; `None` where the answer cannot be taken.
    pub(crate) fn protocol(&self, subprotocol: Option<&str>) -> Option<Protocol> {
        match subprotocol.and_then(|name| self.common.formats.find(name)) {
            None if self.config.require_reliable => None,
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
        Self::from_config(ClientConfig { url: url.into(), ..ClientConfig::default() })
    }

    /// A client with these settings, of which the [url](ClientConfig::url) is one; what is set afterwards changes them.
    pub fn from_config(config: ClientConfig) -> ClientBuilder {
        ClientBuilder { config, formats: Formats::default(), credentials: None, tls: None, own_outbox: None }
    }
}

impl ClientBuilder {
    /// Keeps what waits to be sent, and the session of `hookup.v2`, in this directory, which is made if need be and must be
    /// used for nothing else. Default: in memory.
    pub fn outbox(mut self, path: impl AsRef<Path>) -> Self {
        self.config.outbox = Some(path.as_ref().to_owned());
        self.own_outbox = None;
        self
    }

    /// Keeps what waits to be sent, and the session of `hookup.v2`, in an outbox of your own.
    pub fn outbox_in(mut self, outbox: impl Outbox) -> Self {
        self.own_outbox = Some(Box::new(outbox));
        self
    }

    /// Adds a wire format of your own, under its name, before those that are known.
    pub fn wire_format(mut self, format: impl WireFormat) -> Self {
        self.formats.register(format);
        self
    }

    /// Adds a header to every handshake.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.header.push((name.into(), value.into()));
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

    /// Whom to trust at `wss://`, and which certificate to show. Default: whom the operating system trusts, and none.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
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
        let uri = parse_url(&self.config.url)?;
        self.config.check()?;
        let common = self.config.check_common(self.formats)?;
        let mut headers = Headers::default();
        for (name, value) in &self.config.header {
            headers.push(name, value).map_err(|problem| ConfigError::new("header", problem))?;
        }
        if uri.scheme_str() == Some("ws") && (self.tls.is_some() || self.config.tls.is_some()) {
            return Err(ConfigError::new("tls", "is for addresses that begin with wss://; this one would be plain"));
        }
        let tls = match (self.tls, &self.config.tls) {
            (Some(tls), _) => tls,
            (None, Some(files)) => Tls::of_files(files)?,
            (None, None) => Tls::default(),
        };
        let connector = Connector::new(uri, common.formats.name_list(), &tls, self.config.connect_timeout)?;
        let outbox = match (self.own_outbox, &self.config.outbox) {
            (Some(outbox), _) => Where::Opened(outbox),
            (None, Some(path)) => Where::Path(path.clone()),
            (None, None) => Where::Opened(Box::<MemoryOutbox>::default()),
        };
        let options = SledOptions::new().durability(self.config.durability).quarantine(self.config.quarantine);
        let settings = Settings { common, connector, headers, credentials: self.credentials, config: self.config };
        Ok((settings, outbox, options))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("config", &self.config).field("tls", &self.tls).finish_non_exhaustive()
    }
}
