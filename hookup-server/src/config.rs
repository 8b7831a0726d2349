//! What a server's configuration can say, each setting with its unit and default.

use std::time::Duration;

use hookup_core::{ConfigError, Limits, OutboxPolicy, Usage, settings::text};
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

    /// How long it may take to say who a client is and whether it is let in. Default: 10 s.
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
        if from > to || to > Duration::from_secs(24 * 3600) {
            return Err(ConfigError::new("retry_after", "must be a range within a day"));
        }
        Ok(())
    }
}
