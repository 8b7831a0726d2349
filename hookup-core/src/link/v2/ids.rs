//! The names that `hookup.v2` gives to sessions, runs and messages.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The highest `seq`: 2^53-1, the integers that JSON peers keep exactly.
pub const MAX_SEQ: u64 = (1 << 53) - 1;

/// A session: 128 random bits, as 32 hex digits. A secret: who knows it may resume the session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

/// One process's use of a session's state: 64 random bits, as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// What no two messages share, however often one is sent: to be stored by a handler that must act once only.
///
/// It is `(session, run, seq)`; `seq` counts the messages of one run from 1. Its `Display`, 32 and 16 hex digits and a
/// decimal number with `-` between them, is a key for a database. It has the session's id in it: where the server has no
/// `authenticate`, who reads it may resume the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The session.
    pub session: SessionId,
    /// The sender's run.
    pub run: RunId,
    /// The message's place in it.
    pub seq: u64,
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.session, self.run, self.seq)
    }
}

macro_rules! hex_id {
    ($id:ident, $number:ty, $digits:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self)
            }
        }

        impl FromStr for $id {
            type Err = BadId;

            fn from_str(digits: &str) -> Result<Self, BadId> {
                if digits.len() != $digits || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(BadId { digits: $digits });
                }
                let number = <$number>::from_str_radix(digits, 16);
                number.map($id).map_err(|_: ParseIntError| BadId { digits: $digits })
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let digits = std::borrow::Cow::<str>::deserialize(deserializer)?;
                digits.parse().map_err(D::Error::custom)
            }
        }
    };
}

hex_id!(SessionId, u128, 32);
hex_id!(RunId, u64, 16);

/// Text that is not the id it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id that is not {digits} hex digits")]
pub struct BadId {
    digits: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_hex_digits_of_its_length_and_nothing_else() {
        let session = "00112233445566778899aabbccddeeff";
        assert_eq!(session.parse::<SessionId>().map(|id| id.to_string()).as_deref(), Ok(session));
        assert_eq!("00000000000000FF".parse(), Ok(RunId(255)));
        for bad in ["", "ff", "+0000000000000ff", "000000000000000g", "000000000000000ff", "ä00000000000000"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
        let error = serde_json::from_str::<SessionId>("\"12\"").expect_err("too short");
        assert!(error.to_string().contains("not 32 hex digits"), "{error}");
    }
}
