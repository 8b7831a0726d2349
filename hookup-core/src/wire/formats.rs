//! The subprotocols that an end knows, in order of preference, and the choice of one.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{AckId, Inbound, JsonProtocol, SimpleJson, WireError, WireFormat};
use crate::{error::ConfigError, link::v2, message::Message, ws::Frame};

/// A subprotocol.
#[derive(Clone)]
pub enum Protocol {
    /// `hookup.v2`.
    V2,
    /// A format whose messages stand alone.
    Format(Arc<dyn WireFormat>),
}

impl Protocol {
    /// Its name in `Sec-WebSocket-Protocol`.
    pub fn name(&self) -> &str {
        match self {
            Self::V2 => v2::NAME,
            Self::Format(format) => format.name(),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The subprotocols that an end knows or offers, in order of preference.
#[derive(Clone)]
pub struct Formats {
    formats: Vec<Protocol>,
}

/// What a server makes of the subprotocols that a client offered.
#[derive(Debug)]
pub enum Negotiation {
    /// The first offered one that it knows; its name is to be sent back.
    Chosen(Protocol),
    /// None was offered: the configured default; no name is sent back.
    Default(Protocol),
    /// Only unknown names were offered: HTTP 426, with the known names.
    Unknown,
}

impl Default for Formats {
    /// `hookup.v2`, then `jsonProtocol`, then `simpleJson`.
    fn default() -> Self {
        let formats: [Arc<dyn WireFormat>; 2] = [Arc::new(JsonProtocol), Arc::new(SimpleJson)];
        Self { formats: [Protocol::V2].into_iter().chain(formats.map(Protocol::Format)).collect() }
    }
}

impl Formats {
    /// Puts a format first; it takes the place of one with its name.
    pub fn register(&mut self, format: impl WireFormat) {
        let format = Named { name: format.name().to_owned(), format };
        self.formats.retain(|known| known.name() != format.name);
        self.formats.insert(0, Protocol::Format(Arc::new(format)));
    }

    /// Keeps only the formats with these names, in this order.
    ///
    /// # Errors
    /// [`ConfigError`] of `setting` when the list is empty, or names a format that is not known, or one twice.
    pub fn select(&mut self, setting: &'static str, names: &[String]) -> Result<(), ConfigError> {
        let mut selected = Vec::<Protocol>::new();
        for name in names {
            let format = self.by_name(setting, name)?;
            if selected.iter().any(|other| other.name() == name) {
                return Err(ConfigError::new(setting, format_args!("{name:?} is named twice")));
            }
            selected.push(format);
        }
        if selected.is_empty() {
            return Err(ConfigError::new(setting, format_args!("name at least one of {}", self.names())));
        }
        self.formats = selected;
        Ok(())
    }

    /// The format of this name.
    ///
    /// # Errors
    /// [`ConfigError`] of `setting` when it is not known.
    pub fn by_name(&self, setting: &'static str, name: &str) -> Result<Protocol, ConfigError> {
        self.find(name).ok_or_else(|| {
            ConfigError::new(setting, format_args!("{name:?} is not a known wire format; known are {}", self.names()))
        })
    }

    /// Checks that every name can stand in `Sec-WebSocket-Protocol`.
    ///
    /// # Errors
    /// [`ConfigError`] of `wire_format` otherwise.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.formats.iter().any(|format| matches!(format, Protocol::Format(format) if format.name() == v2::NAME)) {
            return Err(ConfigError::new("wire_format", "hookup.v2 is built in, and cannot be replaced"));
        }
        let is_token = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        match self.formats.iter().find(|format| !is_token(format.name())) {
            Some(format) => Err(ConfigError::new(
                "wire_format",
                format_args!(
                    "{:?} cannot be a subprotocol's name; use letters, digits, '.', '-' and '_'",
                    format.name()
                ),
            )),
            None => Ok(()),
        }
    }

    /// The format of this name, if it is known.
    pub fn find(&self, name: &str) -> Option<Protocol> {
        self.formats.iter().find(|format| format.name() == name).cloned()
    }

    /// The names, in order.
    pub fn name_list(&self) -> Vec<String> {
        self.formats.iter().map(|format| format.name().to_owned()).collect()
    }

    /// The names, in order, as in `Sec-WebSocket-Protocol`.
    pub fn names(&self) -> String {
        self.name_list().join(", ")
    }

    /// Chooses among the names that a client offered, given as the values of its `Sec-WebSocket-Protocol` lines.
    pub fn negotiate<'a>(&self, offered: impl IntoIterator<Item = &'a str>, default: &Protocol) -> Negotiation {
        let names = offered.into_iter().flat_map(|line| line.split(',')).map(str::trim);
        let mut names = names.filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            return Negotiation::Default(default.clone());
        }
        names.find_map(|name| self.find(name)).map_or(Negotiation::Unknown, Negotiation::Chosen)
    }
}

/// A format of the user's, which was asked for its name once: it could be another one later, or a panic, at which no session is
/// there to bear it.
struct Named<F> {
    name: String,
    format: F,
}

impl<F: WireFormat> WireFormat for Named<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn can_ack(&self, message: &Message) -> bool {
        self.format.can_ack(message)
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        self.format.render(message, ack)
    }

    fn render_ack(&self, id: AckId) -> Option<Frame> {
        self.format.render_ack(id)
    }

    fn render_nack(&self, id: AckId, reason: &str) -> Option<Frame> {
        self.format.render_nack(id, reason)
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        self.format.parse(frame)
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.names())
    }
}

impl fmt::Debug for dyn WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(lines: &[&str]) -> String {
        let formats = Formats::default();
        let default = formats.find("simpleJson").expect("known");
        format!("{:?}", formats.negotiate(lines.iter().copied(), &default))
    }

    #[test]
    fn the_first_offered_name_that_is_known_is_chosen() {
        assert_eq!(negotiate(&["simpleJson, jsonProtocol"]), "Chosen(simpleJson)");
        assert_eq!(negotiate(&["other,jsonProtocol", "simpleJson"]), "Chosen(jsonProtocol)");
        assert_eq!(negotiate(&["other", " simpleJson "]), "Chosen(simpleJson)", "several header lines");
    }

    #[test]
    fn nothing_offered_gives_the_default_and_only_unknown_names_nothing() {
        assert_eq!(negotiate(&[]), "Default(simpleJson)");
        assert_eq!(negotiate(&["", " , "]), "Default(simpleJson)");
        assert_eq!(negotiate(&["other, SIMPLEJSON"]), "Unknown", "names are compared with case");
    }

    #[test]
    fn a_list_of_names_is_checked() {
        let select = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let mut formats = Formats::default();
            formats.select("subprotocols", &names).map(|()| formats.names()).map_err(|error| error.to_string())
        };
        assert_eq!(select(&["simpleJson", "jsonProtocol"]), Ok("simpleJson, jsonProtocol".into()));
        assert_eq!(select(&[]), Err("subprotocols: name at least one of hookup.v2, jsonProtocol, simpleJson".into()));
        assert_eq!(
            select(&["x"]),
            Err("subprotocols: \"x\" is not a known wire format; known are hookup.v2, jsonProtocol, simpleJson".into())
        );
        assert_eq!(select(&["simpleJson", "simpleJson"]), Err("subprotocols: \"simpleJson\" is named twice".into()));
    }
}
