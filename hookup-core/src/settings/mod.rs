//! The settings that a server and a client have in common, their check, and how settings are written in text.

mod config;
mod keyed;
pub mod text;

pub use self::keyed::Keyed;

use std::time::Duration;

use crate::{
    error::ConfigError,
    link::v2,
    session::Limits,
    wire::{Formats, Negotiation, Protocol},
};

/// What a server's configuration and a client's both come to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The formats that are known.
    pub formats: Formats,
    /// Which of them are offered or accepted, in order of preference; `None` is all.
    pub subprotocols: Option<Vec<String>>,
    /// The format with a peer that names none.
    pub default_subprotocol: String,
    /// How long a peer may be silent before it is pinged; `None` never pings.
    pub heartbeat: Option<Duration>,
    /// After how many such intervals of silence a peer is dead; at least 2.
    pub dead_after: u32,
    /// The bounds of a session.
    pub limits: Limits,
}

/// Settings that can work.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The formats that are offered or accepted, in order of preference.
    pub formats: Formats,
    /// The format with a peer that names none.
    pub default_protocol: Protocol,
    /// The interval of the heartbeat, and after how many of them a peer is dead.
    pub heartbeat: Option<(Duration, u32)>,
    /// The bounds of a session.
    pub limits: Limits,
}

impl Settings {
    /// Checks all of them.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first that cannot work.
    pub fn check(mut self) -> Result<Checked, ConfigError> {
        self.formats.validate()?;
        let default_protocol = self.formats.by_name("default_subprotocol", &self.default_subprotocol)?;
        if let Some(names) = &self.subprotocols {
            self.formats.select("subprotocols", names)?;
        }
        if let Some(interval) = self.heartbeat {
            ConfigError::check_duration("heartbeat", interval)?;
            if interval < Duration::from_millis(1) {
                return Err(ConfigError::new("heartbeat", "must be at least a millisecond"));
            }
        }
        if self.dead_after < 2 {
            return Err(ConfigError::new(
                "dead_after",
                "must be at least 2: a peer is pinged after the first interval",
            ));
        }
        self.limits.validate()?;
        let heartbeat = self.heartbeat.map(|interval| (interval, self.dead_after));
        Ok(Checked { formats: self.formats, default_protocol, heartbeat, limits: self.limits })
    }
}

impl Checked {
    /// What a link of `hookup.v2` is told; `retain` is how long a server keeps a session without a connection.
    pub fn link_limits(&self, retain: Duration) -> v2::Limits {
        v2::Limits {
            window: self.limits.window,
            max_frame_bytes: self.limits.max_message_bytes,
            ping: self.heartbeat.map_or(Duration::ZERO, |(interval, _)| interval),
            retain,
        }
    }

    /// Chooses among the names that a client offered, given as the values of its `Sec-WebSocket-Protocol` lines.
    pub fn negotiate<'a>(&self, offered: impl IntoIterator<Item = &'a str>) -> Negotiation {
        self.formats.negotiate(offered, &self.default_protocol)
    }
}
