//! What a client's configuration can say, each setting with its unit and default.

use std::{fmt, path::PathBuf, time::Duration};

use hookup_core::{Backoff, ConfigError, Durability, Limits, OutboxPolicy, Usage, link::v2, settings::text};
use serde::{Deserialize, Serialize};

use crate::ClientBuilder;

hookup_core::config! {
    /// The settings of a client that are plain data, to be set by hand or read with serde in any format.
    ///
    /// A setting that is left out has its default, one that is not known is an error; the [url](Self::url) alone has to be
    /// there. Durations are texts with a unit, `"25s"` or `"1h 30m"`; sizes are bytes, or texts with a unit, `"64KiB"`.
    /// `docs/settings.md` in the repository shows all of them as a `[hookup]` table. What is code rather than data is set
    /// with [`ClientBuilder`] alone.
    ///
    /// ```no_run
    /// # use hookup_client::{ClientConfig, Event, HookupClient, Peer};
    /// # fn start(mut config: ClientConfig) -> Result<(), hookup_client::ConfigError> {
    /// config.url = "wss://example.org/ws".into();
    /// let addr = HookupClient::from_config(config).start(|_: Event, _: Peer| {})?;
    /// # Ok(())
    /// # }
    /// ```
    pub struct ClientConfig, set by ClientBuilder;

    /// The server's address, `ws://…` or `wss://…`. It has no default: without it, nothing starts.
    url: String = String::new();

    /// Names and values of the headers of every handshake; in text, a table. Default: none.
    #[serde(with = "headers")]
    header: Vec<(String, String)> = Vec::new();

    /// How long one attempt may take, from the question for credentials to the end of the handshake; the welcome of
    /// `hookup.v2` may take as long again. Default: 10 s.
    #[serde(with = "text::duration")]
    connect_timeout: Duration = Duration::from_secs(10), |timeout: Duration| timeout;

    /// How long to wait between attempts, and how many to make. Default: [`Backoff::default`].
    #[serde(with = "text::table")]
    backoff: Backoff = Backoff::default(), |backoff: Backoff| backoff;

    /// Whether to speak `hookup.v2` or nothing: an attempt to connect to a server that does not know it fails. Default: no;
    /// the client falls back to what the server knows, and to its weaker promise.
    require_reliable: bool = false, |required: bool| required;

    /// The directory that keeps what waits to be sent, and the session of `hookup.v2`. It is made if need be, and must be
    /// used for nothing else. Default: in memory.
    outbox: Option<PathBuf> = None;

    /// When a message counts as accepted by the outbox at a [path](Self::outbox). Default: [`Durability::ProcessCrash`].
    durability: Durability = Durability::default(), |durability: Durability| durability;

    /// Whether a damaged outbox at a [path](Self::outbox) is moved aside, and what can be read of it goes on in a new one; the
    /// handler is told [`Event::Quarantined`](crate::Event::Quarantined). Default: no; the client ends with an error.
    quarantine: bool = false, |quarantine: bool| quarantine;

    /// How much the outbox may hold, in messages and bytes; what is above is refused, and given back, unless the
    /// [policy](Self::policy) says otherwise. Default: 100,000 and 256 MiB.
    #[serde(with = "text::table")]
    outbox_bounds: Usage = Limits::default().outbox, |messages: usize, bytes: u64| Usage { messages, bytes };

    /// What becomes of a message that finds the outbox full; in text, `"drop-newest"` or `"drop-oldest"`. Default:
    /// [`OutboxPolicy::DropNewest`].
    policy: OutboxPolicy = OutboxPolicy::DropNewest, |policy: OutboxPolicy| policy;

    /// Whom to trust at `wss://`, and the client's own certificate, as files. Default: whom the operating system trusts, and
    /// none. The builder's [`tls`](ClientBuilder::tls) goes before it.
    #[serde(with = "text::optional_table")]
    tls: Option<TlsFiles> = None;
}

/// Authorities, and a client's certificate and key: see [`Tls`](crate::Tls). In text:
/// `{ roots = "ca.pem", certificate = "device.pem", key = "device.key" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of roots, or of certificate and key, or of all three")]
pub struct TlsFiles {
    /// The authorities that are trusted, and no others, in PEM. Default: those of the operating system.
    pub roots: Option<PathBuf>,
    /// The client's certificate and those that lead to its authority, in PEM; then there is a key, too. Default: none.
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
}

impl ClientConfig {
    /// Checks what is a client's alone; the rest of it is checked where it is made into what is used.
    pub(crate) fn check(&mut self) -> Result<(), ConfigError> {
        if self.require_reliable {
            if self.subprotocols.as_ref().is_some_and(|names| !names.iter().any(|name| name == v2::NAME)) {
                return Err(ConfigError::new("require_reliable", "hookup.v2 is not among the subprotocols"));
            }
            self.subprotocols = Some(vec![v2::NAME.to_owned()]);
        }
        if self.policy == OutboxPolicy::Close {
            return Err(ConfigError::new(
                "policy",
                "close is for a server; a client can have drop-newest or drop-oldest",
            ));
        }
        ConfigError::check_duration("connect_timeout", self.connect_timeout)?;
        self.backoff.validate()
    }
}

/// Without the headers, which may be secrets.
impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("url", &self.url)
            .field("outbox", &self.outbox)
            .field("durability", &self.durability)
            .field("outbox_bounds", &self.outbox_bounds)
            .field("connect_timeout", &self.connect_timeout)
            .field("backoff", &self.backoff)
            .field("heartbeat", &self.heartbeat)
            .field("subprotocols", &self.subprotocols)
            .finish_non_exhaustive()
    }
}

/// Pairs as a table.
mod headers {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
        deserializer.deserialize_map(Table)
    }

    struct Table;

    impl<'de> de::Visitor<'de> for Table {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of names and values")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }
}
