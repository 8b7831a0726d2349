//! How settings are written in text: `"25s"`, `"64KiB"`, `"off"`. Each module here is for `#[serde(with = "…")]`. The
//! `humantime` crate is named in this file alone.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::keyed::Keyed;

/// A duration, such as `"25s"`, `"500ms"` or `"1h 30m"`.
pub mod duration {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads it.
    ///
    /// # Errors
    /// A number without a unit, and whatever is no duration, with an example of one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let read = deserializer.deserialize_any(Time { or_off: false })?;
        read.ok_or_else(|| de::Error::custom("must not be off"))
    }
}

/// A duration, or `"off"` for `None`.
pub mod duration_or_off {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => duration::serialize(duration, serializer),
            None => serializer.serialize_str(OFF),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// A number without a unit, and whatever is neither, with an example.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        deserializer.deserialize_any(Time { or_off: true })
    }
}

/// A number of bytes: an integer, or a text with a unit, such as `"64KiB"` or `"500kB"`.
pub mod bytes {
    use super::*;

    /// Writes it, with the largest unit that needs no fraction.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<T: Copy + TryInto<u64>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = (*bytes).try_into().unwrap_or(u64::MAX);
        let divides = |unit: &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(unit.1);
        let (name, unit) = UNITS.iter().rev().find(divides).unwrap_or(&UNITS[0]);
        serializer.collect_str(&format_args!("{}{name}", bytes / unit))
    }

    /// Reads it.
    ///
    /// # Errors
    /// Whatever is no number of bytes, with an example of one.
    pub fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let bytes = deserializer.deserialize_any(Size)?;
        T::try_from(bytes).map_err(|_| de::Error::custom(format_args!("{bytes} bytes are more than fit into memory")))
    }
}

/// A table of settings that errors are to name, as they do those of the table around it.
pub mod table {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<T: Serialize, S: Serializer>(table: &T, serializer: S) -> Result<S::Ok, S::Error> {
        table.serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// What its settings say, each with its name.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(Keyed(deserializer))
    }
}

/// The same, of one that need not be there.
pub mod optional_table {
    use super::*;

    struct Table<T>(T);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            table::deserialize(deserializer).map(Self)
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<T: Serialize, S: Serializer>(table: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        table.serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// What its settings say, each with its name.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Table<T>>::deserialize(deserializer)?.map(|table| table.0))
    }
}

const OFF: &str = "off";

struct Time {
    or_off: bool,
}

impl Time {
    fn without_unit<E: de::Error>(&self, number: impl fmt::Display) -> Result<Option<Duration>, E> {
        Err(E::custom(format_args!("the number {number} has no unit; write \"{number}s\" for seconds, or {self}")))
    }
}

/// What would be right.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text such as \"25s\", \"500ms\" or \"1h 30m\"")?;
        if self.or_off { f.write_str(", or \"off\"") } else { Ok(()) }
    }
}

impl de::Visitor<'_> for Time {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a duration: {self}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if self.or_off && text == OFF {
            return Ok(None);
        }
        match humantime::parse_duration(text) {
            Ok(duration) => Ok(Some(duration)),
            Err(_) if text.parse::<f64>().is_ok_and(f64::is_finite) => self.without_unit(text),
            Err(error) => Err(E::custom(format_args!("{text:?} is no duration ({error}); write {self}"))),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.without_unit(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.without_unit(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.without_unit(number)
    }
}

/// The smallest first.
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

struct Size;

impl de::Visitor<'_> for Size {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, such as 65536 or \"64KiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let (number, name) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = match name.trim() {
            "" => Some(1),
            name => UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, bytes)| *bytes),
        };
        let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        bytes.ok_or_else(|| {
            E::custom(format_args!(
                "{text:?} is no number of bytes; write 65536, or a whole number with one of the units B, kB, KiB, MB, \
                 MiB, GB and GiB, such as \"64KiB\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, I64Deserializer, StrDeserializer, StringDeserializer, U64Deserializer};
    use serde_json::value::Serializer;

    use super::*;

    fn time(text: &str) -> Result<Duration, String> {
        duration::deserialize(StrDeserializer::<Error>::new(text)).map_err(|error| error.to_string())
    }

    fn size(text: &str) -> Result<u64, String> {
        bytes::deserialize(StrDeserializer::<Error>::new(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_duration_has_its_unit() {
        for (text, millis) in [("25s", 25_000), ("500ms", 500), ("2m", 120_000), ("1h 30m", 5_400_000), ("0s", 0)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bare in ["25", "2.5", "-1"] {
            assert!(time(bare).expect_err(bare).contains("has no unit"), "{bare}");
        }
        let number = duration::deserialize(U64Deserializer::<Error>::new(25)).expect_err("no unit").to_string();
        assert!(number.contains("the number 25 has no unit; write \"25s\""), "{number}");
        for nonsense in ["", "s", "25 parsecs", "off", "soon", "99999999999999999999s"] {
            let error = time(nonsense).expect_err(nonsense);
            assert!(error.contains(nonsense) && error.contains("\"1h 30m\""), "{error}");
        }
    }

    #[test]
    fn sizes_are_integers_or_have_one_of_the_units() {
        for (text, bytes) in [("7", 7), ("7B", 7), ("500kB", 500_000), ("64KiB", 65_536), ("1 GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for nonsense in ["", "MiB", "1.5MiB", "-1", "1Mib", "1MiB2", "+1", "99999999999GiB", "1 M iB"] {
            let error = size(nonsense).expect_err(nonsense);
            assert!(error.contains(&format!("{nonsense:?} is no number of bytes")), "{error}");
        }
        assert!(bytes::deserialize::<u64, _>(I64Deserializer::<Error>::new(-1)).is_err());
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for value in [0, 1, 1000, 1024, 1025, 1 << 20, 1_000_000, 3 << 30, u64::MAX] {
            let text = bytes::serialize(&value, Serializer).expect("writes");
            assert_eq!(size(text.as_str().expect("a text")), Ok(value), "{text}");
        }
        for value in [None, Some(Duration::from_millis(1)), Some(Duration::from_secs(86_400 * 366))] {
            let text = duration_or_off::serialize(&value, Serializer).expect("writes");
            let text = text.as_str().expect("a text").to_owned();
            assert_eq!(duration_or_off::deserialize(StringDeserializer::<Error>::new(text)), Ok(value));
        }
    }
}
