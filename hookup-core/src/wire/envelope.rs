//! Reading `{"type":…,"id":…,"content":…}` without building a JSON value: one pass, and slices of the frame.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The fields of an envelope, as they stand in the text. Where a key stands twice, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Option<&'a RawValue>,
    pub(super) id: Option<&'a RawValue>,
    pub(super) content: Option<&'a RawValue>,
    /// What Hookup's Scala server calls the content of an ack request.
    pub(super) message: Option<&'a RawValue>,
    pub(super) timeout: Option<&'a RawValue>,
}

/// What a text is.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    /// A JSON object.
    Object(Fields<'a>),
    /// A JSON array.
    Array,
    /// Anything else, valid JSON or not.
    Text,
}

impl<'a> Shape<'a> {
    /// Looks at the first character that is not blank, and only if it promises an object or array, at the rest.
    pub(super) fn of(text: &'a str) -> Self {
        match text.bytes().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{') => match serde_json::from_str(text) {
                Ok(fields) => Self::Object(fields),
                // A key with a lone surrogate: valid JSON that has no form as a string of ours.
                Err(_) if is_valid(text) => Self::Object(Fields::default()),
                Err(_) => Self::Text,
            },
            Some(b'[') if is_valid(text) => Self::Array,
            _ => Self::Text,
        }
    }
}

pub(super) fn is_object_or_array(text: &str) -> bool {
    matches!(text.bytes().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'[')) && is_valid(text)
}

/// serde_json skips values without recursion, so the depth of the nesting does not matter here.
fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// A JSON string, borrowed where it has no escapes.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str::<Borrowed<'_>>(raw.get()).ok().map(|Borrowed(string)| string)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Type,
    Id,
    Content,
    Message,
    Timeout,
    #[serde(other)]
    Other,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            let field = match key {
                Key::Type => &mut fields.kind,
                Key::Id => &mut fields.id,
                Key::Content => &mut fields.content,
                Key::Message => &mut fields.message,
                Key::Timeout => &mut fields.timeout,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value()?);
        }
        Ok(fields)
    }
}
