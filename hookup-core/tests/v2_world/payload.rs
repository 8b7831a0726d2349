//! Messages that say their number.

use hookup_core::{Binary, Json, Message, MessageKey, Text};

/// The number that a message says.
pub(crate) fn number(message: &Message) -> u64 {
    let digits = message.as_bytes().iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u64::from(byte - b'0'));
    digits.fold(0, |number, digit| number * 10 + digit)
}

/// Its identity, and whether it is flagged.
pub(crate) fn key(message: &Message) -> Option<(MessageKey, bool)> {
    match message {
        Message::Text(text) => text.key().map(|key| (key, text.redelivered())),
        Message::Json(json) => json.key().map(|key| (key, json.redelivered())),
        Message::Binary(binary) => binary.key().map(|key| (key, binary.redelivered())),
    }
}

/// A message of one of the three kinds, of about this length.
pub(crate) fn message(number: u64, len: usize) -> Message {
    let digits = format!("{number:0len$}");
    match number % 3 {
        0 => Text(digits).into(),
        1 => Binary(digits.into_bytes()).into(),
        _ => Json(&digits).map_or_else(|_| Text(digits).into(), Into::into),
    }
}
