//! Trees to typed values, through serde; unknown fields and wrong types are found with their paths.

use super::path::{FieldPath, Step};
use super::tree::{Entry, Node, Value};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Wrong types looked for in one object before giving up.
const WRONG_TYPES_MAX: usize = 16;

/// What a typed reading found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where.
    pub(super) path: FieldPath,
    /// `None`: the type has no such field; else what is wrong with the value.
    pub(super) message: Option<String>,
}

/// Reads a typed value.
///
/// After a value of a wrong type the rest is read without it, so that all of them are found.
pub(super) fn decode<T: DeserializeOwned>(root: &Node<'_>) -> (Option<T>, Vec<Misfit>) {
    let mut wrong = Vec::new();
    let mut pruned: Option<Node<'_>> = None;
    loop {
        let mut unknown = Vec::new();
        match decode_once::<T>(pruned.as_ref().unwrap_or(root), &mut unknown) {
            Ok(value) => {
                let value = wrong.is_empty().then_some(value);
                wrong.extend(unknown);
                return (value, wrong);
            }
            Err(misfit) => {
                let is_pruned = pruned
                    .get_or_insert_with(|| root.clone())
                    .prune(&misfit.path);
                wrong.push(misfit);
                if !is_pruned || wrong.len() >= WRONG_TYPES_MAX {
                    wrong.extend(unknown);
                    return (None, wrong);
                }
            }
        }
    }
}

fn decode_once<T: DeserializeOwned>(
    root: &Node<'_>,
    unknown: &mut Vec<Misfit>,
) -> Result<T, Misfit> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(root, &mut track);
    let result = serde_ignored::deserialize(tracked, |path| {
        unknown.push(Misfit {
            path: ignored_path(&path),
            message: None,
        });
    });
    result.map_err(|error: DecodeError| Misfit {
        path: tracked_path(&track.path()),
        message: Some(error.0),
    })
}

fn ignored_path(path: &serde_ignored::Path<'_>) -> FieldPath {
    use serde_ignored::Path;
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        rest = match rest {
            Path::Root => break,
            Path::Seq { parent, index } => {
                steps.push(Step::Index(*index));
                parent
            }
            Path::Map { parent, key } => {
                steps.push(Step::Key(key.clone()));
                parent
            }
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => parent,
        };
    }
    steps.reverse();
    FieldPath::from_steps(steps)
}

fn tracked_path(path: &serde_path_to_error::Path) -> FieldPath {
    use serde_path_to_error::Segment;
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    FieldPath::from_steps(steps.collect())
}

/// What serde says of a value that does not fit.
#[derive(Debug)]
pub(super) struct DecodeError(String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl<'de> Deserializer<'de> for &'de Node<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.value {
            Value::Sequence(items) => visitor.visit_seq(Items(items.iter())),
            Value::Mapping(entries) => visitor.visit_map(Fields {
                rest: entries.iter(),
                value: None,
            }),
            Value::Scalar { .. } if self.is_null() => visitor.visit_unit(),
            Value::Scalar {
                text,
                is_plain: false,
            } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, .. } => visit_plain(text, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Kubernetes' own reader knows YAML 1.1, where these are booleans too.
        match &self.value {
            Value::Scalar {
                text,
                is_plain: true,
            } => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => visitor.visit_bool(true),
                "no" | "off" | "n" => visitor.visit_bool(false),
                _ => self.deserialize_any(visitor),
            },
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => {
                self.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        use serde::de::IntoDeserializer;
        match &self.value {
            Value::Scalar { text, .. } => {
                visitor.visit_enum(IntoDeserializer::<DecodeError>::into_deserializer(&**text))
            }
            Value::Sequence(_) | Value::Mapping(_) => Err(serde::de::Error::custom(format!(
                "invalid type: {}, expected text",
                self.describe()
            ))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A plain scalar by the core schema of YAML 1.2. What YAML 1.1 would read as octal stays text.
fn visit_plain<'de, V: Visitor<'de>>(text: &'de str, visitor: V) -> Result<V::Value, DecodeError> {
    match text {
        "true" | "True" | "TRUE" => return visitor.visit_bool(true),
        "false" | "False" | "FALSE" => return visitor.visit_bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_as_number || (digits.len() > 1 && digits.starts_with('0') && !digits.contains('.')) {
        return visitor.visit_borrowed_str(text);
    }
    if let Ok(integer) = text.parse::<i64>() {
        return visitor.visit_i64(integer);
    }
    if let Ok(integer) = text.parse::<u64>() {
        return visitor.visit_u64(integer);
    }
    match text.parse::<f64>() {
        Ok(float) => visitor.visit_f64(float),
        Err(_) => visitor.visit_borrowed_str(text),
    }
}

struct Items<'de, 'a>(std::slice::Iter<'de, Node<'a>>);

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0.next().map(|item| seed.deserialize(item)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Fields<'de, 'a> {
    rest: std::slice::Iter<'de, Entry<'a>>,
    value: Option<&'de Node<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        // Duplicates are reported by themselves; the first one counts here.
        let Some(entry) = self.rest.find(|entry| !entry.is_duplicate) else {
            return Ok(None);
        };
        self.value = Some(&entry.value);
        seed.deserialize(BorrowedStrDeserializer::new(&entry.key))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        let value = self.value.take();
        seed.deserialize(value.ok_or_else(|| DecodeError("value asked for before its key".into()))?)
    }
}
