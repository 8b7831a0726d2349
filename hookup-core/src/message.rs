//! What is sent and what arrives: `Text`, `Json` and `Binary`, and a message with its wishes.

use std::{fmt, ops::Deref, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::error::SendResult;

/// A text message. [`Text()`](fn@Text) makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text {
    text: ByteString,
}

/// A text message of a `&'static str`, a `String` or a [`ByteString`].
///
/// ```
/// # use hookup_core::Text;
/// assert_eq!(&*Text("hi"), "hi");
/// assert_eq!(Text(format!("{} items", 3)).as_str(), "3 items");
/// ```
#[allow(non_snake_case)]
pub fn Text(text: impl Into<ByteString>) -> Text {
    Text { text: text.into() }
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text in its shared buffer.
    pub fn into_inner(self) -> ByteString {
        self.text
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({:?})", self.as_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// A json message: JSON text that is known to be valid, not parsed any further. [`Json()`](fn@Json) makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json {
    raw: ByteString,
}

/// A json message of any value that serde can serialize.
///
/// ```
/// # use hookup_core::Json;
/// let json = Json(&vec![1, 2, 3])?;
/// assert_eq!(json.as_str(), "[1,2,3]");
/// assert_eq!(json.parse::<Vec<u8>>()?, [1, 2, 3]);
/// # Ok::<(), hookup_core::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError`] when the value's `Serialize` fails, or when a map has keys that JSON has no form for.
#[allow(non_snake_case)]
pub fn Json<T: Serialize + ?Sized>(value: &T) -> Result<Json, JsonError> {
    let raw = serde_json::to_string(value).map_err(JsonError)?;
    Ok(Json { raw: raw.into() })
}

impl Json {
    /// A json message of text that is JSON already; it is checked, and kept as it is.
    ///
    /// # Errors
    /// [`JsonError`] with the position when the text is not one JSON value.
    pub fn from_raw(raw: impl Into<ByteString>) -> Result<Self, JsonError> {
        let raw = raw.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&raw).map_err(JsonError)?;
        Ok(Self { raw })
    }

    /// JSON text that a parser has already walked over.
    pub(crate) fn checked(raw: ByteString) -> Self {
        Self { raw }
    }

    /// The JSON text, as it came.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The JSON text in its shared buffer.
    pub fn into_inner(self) -> ByteString {
        self.raw
    }

    /// Reads the user's type straight from the text; it may borrow from it.
    ///
    /// # Errors
    /// [`JsonError`] when the text does not describe a `T`, or is nested deeper than serde_json's limit of 128.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        serde_json::from_str(&self.raw).map_err(JsonError)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value that JSON has no form for, or JSON text that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("json: {0}")]
pub struct JsonError(#[source] serde_json::Error);

/// A binary message. [`Binary()`](fn@Binary) makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Binary {
    bytes: Bytes,
}

/// A binary message of a `Vec<u8>`, a `&'static [u8]` or [`Bytes`].
#[allow(non_snake_case)]
pub fn Binary(bytes: impl Into<Bytes>) -> Binary {
    Binary { bytes: bytes.into() }
}

impl Binary {
    /// The bytes in their shared buffer.
    pub fn into_inner(self) -> Bytes {
        self.bytes
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binary({:?})", self.bytes)
    }
}

/// A message of any of the three kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// A text message.
    Text(Text),
    /// A json message.
    Json(Json),
    /// A binary message.
    Binary(Binary),
}

impl Message {
    /// The payload's length in bytes, without what a wire format adds.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The payload: the text, the JSON text, or the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_str().as_bytes(),
            Self::Json(json) => json.as_str().as_bytes(),
            Self::Binary(binary) => binary,
        }
    }
}

/// A message on its way out, with what its sender wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    message: Message,
    ack_within: Option<Duration>,
}

impl Outbound {
    /// Asks the peer to acknowledge the message within this time, counted from its first transmission.
    ///
    /// The time that it waits in the outbox for a connection does not count. Times above a year count as a year.
    pub fn needs_ack(mut self, within: Duration) -> Self {
        self.ack_within = Some(within);
        self
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message, taken out.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// How long its sender waits for the ack; `None` when it asked for none.
    pub fn ack_within(&self) -> Option<Duration> {
        self.ack_within
    }
}

impl<M: Into<Message>> From<M> for Outbound {
    fn from(message: M) -> Self {
        Self { message: message.into(), ack_within: None }
    }
}

impl actix::Message for Outbound {
    type Result = SendResult;
}

macro_rules! message_kind {
    ($($kind:ident),*) => {$(
        impl $kind {
            /// Asks the peer to acknowledge the message; see [`Outbound::needs_ack`].
            pub fn needs_ack(self, within: Duration) -> Outbound {
                Outbound::from(self).needs_ack(within)
            }
        }

        impl From<$kind> for Message {
            fn from(message: $kind) -> Self {
                Self::$kind(message)
            }
        }

        impl actix::Message for $kind {
            type Result = SendResult;
        }
    )*};
}

message_kind!(Text, Json, Binary);
