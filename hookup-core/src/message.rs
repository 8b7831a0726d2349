//! What is sent and what arrives: `Text`, `Json` and `Binary`.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{error::SendResult, link::v2::MessageKey, outbound::Outbound};

/// What `hookup.v2` says of a message that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) key: MessageKey,
    pub(crate) redelivered: bool,
}

/// A text message. [`Text()`](fn@Text) makes one.
#[derive(Clone)]
pub struct Text {
    text: ByteString,
    delivery: Option<Delivery>,
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
    Text { text: text.into(), delivery: None }
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
#[derive(Clone)]
pub struct Json {
    raw: ByteString,
    delivery: Option<Delivery>,
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
    Ok(Json { raw: raw.into(), delivery: None })
}

impl Json {
    /// A json message of text that is JSON already; it is checked, and kept as it is.
    ///
    /// # Errors
    /// [`JsonError`] with the position when the text is not one JSON value.
    pub fn from_raw(raw: impl Into<ByteString>) -> Result<Self, JsonError> {
        let raw = raw.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&raw).map_err(JsonError)?;
        Ok(Self { raw, delivery: None })
    }

    /// JSON text that a parser has already walked over.
    pub(crate) fn checked(raw: ByteString) -> Self {
        Self { raw, delivery: None }
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
#[derive(Clone)]
pub struct Binary {
    bytes: Bytes,
    delivery: Option<Delivery>,
}

/// A binary message of a `Vec<u8>`, a `&'static [u8]` or [`Bytes`].
#[allow(non_snake_case)]
pub fn Binary(bytes: impl Into<Bytes>) -> Binary {
    Binary { bytes: bytes.into(), delivery: None }
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

    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        let place = match &mut self {
            Self::Text(text) => &mut text.delivery,
            Self::Json(json) => &mut json.delivery,
            Self::Binary(binary) => &mut binary.delivery,
        };
        *place = Some(delivery);
        self
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

macro_rules! message_kind {
    ($($kind:ident . $payload:ident),*) => {$(
        impl $kind {
            /// Asks the peer to acknowledge the message; see [`Outbound::needs_ack`].
            pub fn needs_ack(self, within: Duration) -> Outbound {
                Outbound::from(self).needs_ack(within)
            }

            /// Gives the message up when it was not delivered in time; see [`Outbound::expires_in`].
            pub fn expires_in(self, time: Duration) -> Outbound {
                Outbound::from(self).expires_in(time)
            }

            /// Sends the message at once or not at all; see [`Outbound::volatile`].
            pub fn volatile(self) -> Outbound {
                Outbound::from(self).volatile()
            }

            /// What no other message shares, of one that arrived over `hookup.v2` and is not volatile: a handler that
            /// stores it with its effect, in one transaction, acts once however often the message comes.
            pub fn key(&self) -> Option<MessageKey> {
                self.delivery.map(|delivery| delivery.key)
            }

            /// Whether a process before this one may have handled the message already. Always false but for a message that
            /// arrived over `hookup.v2` after a restart.
            pub fn redelivered(&self) -> bool {
                self.delivery.is_some_and(|delivery| delivery.redelivered)
            }
        }

        /// Messages are equal when their payloads are.
        impl PartialEq for $kind {
            fn eq(&self, other: &Self) -> bool {
                self.$payload == other.$payload
            }
        }

        impl Eq for $kind {}

        impl Hash for $kind {
            fn hash<H: Hasher>(&self, hasher: &mut H) {
                self.$payload.hash(hasher);
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

message_kind!(Text.text, Json.raw, Binary.bytes);
