//! What a server's configuration can say, each setting with its unit and default.

use std::{path::PathBuf, time::Duration};

use hookup_core::{ConfigError, Durability, Limits, OutboxPolicy, Usage, settings::text};
use serde::{Deserialize, Serialize};

use crate::ServerBuilder;

hookup_core::config! {
    /// The settings of a server that are plain data, to be set by hand or read with serde in any format.
    ///
    /// A setting that is left out has its default, one that is not known is an error. Durations are texts with a unit,
    /// `"25s"` or `"1h 30m"`; sizes are bytes, or texts with a unit, `"64KiB"`. `docs/settings.md` in the repository shows
    /// all of them as a `[hookup]` table. What is code rather than data is set with [`ServerBuilder`] alone.
    ///
    /// ```no_run
    /// # use hookup_server::{Event, HookupServer, Peer, ServerConfig};
    /// # fn start(mut config: ServerConfig) -> Result<(), hookup_server::ConfigError> {
    /// config.max_sessions = 500;
    /// let hookup = HookupServer::new(|| |_: Event, _: Peer| {}).config(config).start()?;
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct ServerConfig, set by ServerBuilder;

    /// How many sessions there may be. Default: 10,000. When there are so many, a new one of `hookup.v2` takes the place of
    /// the one whose client has been away for longest; when none is away, or earlier ones are still ending, it is closed
    /// with 1001. Those that are about to end may be as many again. A session of the other formats counts, but lives and
    /// ends with its connection, which [`max_connections`](Self::max_connections) bounds.
    max_sessions: usize = 10_000, |sessions: usize| sessions;

    /// How many connections there may be, whether they have a session or not; one more is answered with HTTP 503. Default:
    /// 10,000.
    max_connections: usize = 10_000, |connections: usize| connections;

    /// From which pages browsers may connect: whole origins, such as `https://example.org` or `http://localhost:3000`, and
    /// no others; the server's own host is to be listed, too. A browser whose page is not among them is answered with 403.
    /// What sends no `Origin` is no browser, and not concerned.
    ///
    /// Default: pages of the same host and port as the request's `Host` header has (RFC 6455, section 10.2). In text, a list;
    /// or `"same-host"`, or `"any"`, for which the builder has [`allow_any_origin`](ServerBuilder::allow_any_origin).
    allowed_origins: AllowedOrigins = AllowedOrigins::SameHost,
        |origins: impl IntoIterator<Item = impl Into<String>>| AllowedOrigins::Listed(origins.into_iter().map(Into::into).collect());

    /// How long a handshake may take: the application's part of it, [`authenticate`](ServerBuilder::authenticate), after
    /// which it is answered with 503; and with [`listen`](ServerBuilder::listen) the TLS handshake, and the arrival of the
    /// request, which always gets a second. A mounted server's application sets `tls_handshake_timeout` and
    /// `client_request_timeout` of its `HttpServer` for these. Default: 10 s.
    #[serde(with = "text::duration")]
    handshake_timeout: Duration = Duration::from_secs(10), |timeout: Duration| timeout;

    /// How long a client of `hookup.v2` may take to say hello; then it is closed with 4408. Default: 10 s.
    #[serde(with = "text::duration")]
    hello_timeout: Duration = Duration::from_secs(10), |timeout: Duration| timeout;

    /// How long a session of `hookup.v2` is kept without a connection; where the server was restarted, it counts from the
    /// start. Default: 2 minutes.
    #[serde(with = "text::duration")]
    session_ttl: Duration = Duration::from_secs(120), |ttl: Duration| ttl;

    /// How long after a session's end it is remembered what was handled, so that what its client sends again is not handled
    /// again. Default: 24 hours.
    #[serde(with = "text::duration")]
    cursor_ttl: Duration = Duration::from_secs(24 * 3600), |ttl: Duration| ttl;

    /// How long a server that was started with [`listen`](ServerBuilder::listen) waits for handlers and peers when a signal
    /// stops it. Default: 10 s.
    #[serde(with = "text::duration")]
    stop_timeout: Duration = Duration::from_secs(10), |timeout: Duration| timeout;

    /// The range of waits, drawn at random by each client, after which clients of `hookup.v2` are asked to connect again when
    /// the server stops. Default: 0.5 to 8 s.
    #[serde(with = "text::table")]
    retry_after: RetryAfter = RetryAfter { from: Duration::from_millis(500), to: Duration::from_secs(8) },
        |from: Duration, to: Duration| RetryAfter { from, to };

    /// How much may wait to be sent to one peer, in messages and bytes; what is above is refused to its sender, unless the
    /// [policy](Self::policy) says otherwise. A message that is longer than this is refused whatever waits. Default: 100,000
    /// and 1 MiB.
    #[serde(with = "text::table")]
    outbox_bounds: Usage = Usage { bytes: 1 << 20, ..Limits::default().outbox },
        |messages: usize, bytes: u64| Usage { messages, bytes };

    /// What becomes of a message that finds the outbox full, as its peer is too slow; in text, `"close"`, `"drop-oldest"` or
    /// `"drop-newest"`. Default: [`OutboxPolicy::Close`].
    policy: OutboxPolicy = OutboxPolicy::Close, |policy: OutboxPolicy| policy;

    /// The directory that keeps sessions of `hookup.v2`, so that they survive the process; it is made if need be, and must be
    /// used for nothing else. Default: in memory. The builder's [`session_store`](ServerBuilder::session_store) goes before it.
    session_store: Option<PathBuf> = None;

    /// When a message counts as accepted by the [`session_store`](Self::session_store). Default: [`Durability::ProcessCrash`].
    durability: Durability = Durability::default();

    /// Whether a damaged [`session_store`](Self::session_store) is moved aside, and what can be read of it goes on in a new
    /// one. Default: no; it is an error.
    quarantine: bool = false;

    /// The certificate of a server that [listens](ServerBuilder::listen), as files. Default: none, and plain. The builder's
    /// [`tls`](ServerBuilder::tls) goes before it.
    #[serde(with = "text::optional_table")]
    tls: Option<TlsFiles> = None;
}

/// A server's certificate and key: see [`Tls::files`](crate::Tls::files). In text:
/// `{ certificate = "chain.pem", key = "key.pem", client_ca = "devices.pem" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of certificate, key, and perhaps client_ca")]
pub struct TlsFiles {
    /// The server's certificate and those that lead to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authorities whose clients alone are let in: see [`Tls::client_ca`](crate::Tls::client_ca). Default: none; all are.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// From which pages browsers may connect. In text: `"same-host"`, `"any"`, or a list of origins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Origins", into = "Origins")]
pub enum AllowedOrigins {
    /// From those of the host and port that the request's `Host` header has.
    #[default]
    SameHost,
    /// From these origins, and no others.
    Listed(Vec<String>),
    /// From all. What a browser sends by itself, cookies and client certificates, then proves nothing.
    Any,
}

/// How they are written.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be \"same-host\", \"any\", or a list of origins, such as [\"https://example.org\"]"
)]
enum Origins {
    Word(Word),
    List(Vec<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    SameHost,
    Any,
}

impl From<Origins> for AllowedOrigins {
    fn from(origins: Origins) -> Self {
        match origins {
            Origins::Word(Word::SameHost) => Self::SameHost,
            Origins::Word(Word::Any) => Self::Any,
            Origins::List(list) => Self::Listed(list),
        }
    }
}

impl From<AllowedOrigins> for Origins {
    fn from(allowed: AllowedOrigins) -> Self {
        match allowed {
            AllowedOrigins::SameHost => Self::Word(Word::SameHost),
            AllowedOrigins::Any => Self::Word(Word::Any),
            AllowedOrigins::Listed(list) => Self::List(list),
        }
    }
}

/// A range of waits. In text: `{ from = "500ms", to = "8s" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of from and to")]
pub struct RetryAfter {
    /// The shortest.
    #[serde(with = "text::duration")]
    pub from: Duration,
    /// The longest; at most a day.
    #[serde(with = "text::duration")]
    pub to: Duration,
}

impl ServerConfig {
    /// Checks what is a server's alone.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let durations = [
            ("handshake_timeout", self.handshake_timeout),
            ("hello_timeout", self.hello_timeout),
            ("session_ttl", self.session_ttl),
            ("cursor_ttl", self.cursor_ttl),
            ("stop_timeout", self.stop_timeout),
        ];
        for (setting, duration) in durations {
            ConfigError::check_duration(setting, duration)?;
        }
        for (setting, number) in [("max_sessions", self.max_sessions), ("max_connections", self.max_connections)] {
            if number == 0 {
                return Err(ConfigError::new(setting, "must be above zero"));
            }
        }
        let RetryAfter { from, to } = self.retry_after;
        if from > to {
            return Err(ConfigError::new("retry_after", format!("from {from:?} is above to {to:?}")));
        }
        if to > Duration::from_secs(24 * 3600) {
            return Err(ConfigError::new("retry_after", "to must not be above a day"));
        }
        Ok(())
    }
}
