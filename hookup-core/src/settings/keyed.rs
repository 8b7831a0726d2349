//! Errors of a table's values that name the key. Of the formats that a user reads some say where a bad value is, and
//! some which; serde itself says neither.

use std::fmt;

use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer as _, MapAccess, Visitor},
    forward_to_deserialize_any,
};

/// A deserializer of a struct, whose errors begin with the name of the field that they are about.
#[derive(Debug)]
pub struct Keyed<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Keyed<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, KeyedVisitor(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Takes a map alone: settings by their places, as derived structs take them too, would be a trap.
struct KeyedVisitor<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for KeyedVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(KeyedMap { map, key: String::new() })
    }
}

struct KeyedMap<A> {
    map: A,
    key: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KeyedMap<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.map.next_key_seed(Key { seed, key: &mut self.key })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        // In the seed rather than around it, so that the format can add where the value is.
        self.map.next_value_seed(Value { seed, key: &self.key })
    }
}

struct Key<'a, K> {
    seed: K,
    key: &'a mut String,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        *self.key = String::deserialize(deserializer)?;
        self.seed.deserialize(self.key.as_str().into_deserializer())
    }
}

struct Value<'a, V> {
    seed: V,
    key: &'a str,
}

impl<'de, V: DeserializeSeed<'de>> DeserializeSeed<'de> for Value<'_, V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let value = self.seed.deserialize(deserializer);
        value.map_err(|error| D::Error::custom(format_args!("{}: {error}", self.key)))
    }
}
