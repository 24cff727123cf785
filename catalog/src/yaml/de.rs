//! A serde deserializer over a [`Document`]. Its errors have the path of the node, and the names that are valid there.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Document, Entry, Node, Step, Value};

/// An error, and the path of its node.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Vec<Step>,
    placed: bool,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    UnknownKey { key: String, expected: &'static [&'static str] },
    UnknownVariant { value: String, expected: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

pub(super) fn deserialize<T: DeserializeOwned>(document: &Document) -> Result<T, Fault> {
    T::deserialize(NodeDeserializer { node: &document.root, path: vec![] })
}

impl Fault {
    fn new(cause: Cause) -> Self {
        Self { path: vec![], placed: false, cause }
    }

    /// Sets the path, unless an inner node has already set it: an error belongs to the innermost node that reported it.
    fn at(mut self, path: &[Step]) -> Self {
        if !self.placed {
            self.path = path.to_vec();
            self.placed = true;
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Cause::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Other(format!("expected {}, found {}", wanted(expected), kind(&found))))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // A string may be a secret. A number out of range is not.
        let found = match found {
            Unexpected::Unsigned(n) => n.to_string(),
            Unexpected::Signed(n) => n.to_string(),
            Unexpected::Float(n) => n.to_string(),
            other => kind(&other).into(),
        };
        Self::new(Cause::Other(format!("expected {}, found {found}", wanted_value(expected))))
    }

    fn unknown_field(key: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownKey { key: key.into(), expected })
    }

    fn unknown_variant(value: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownVariant { value: value.into(), expected })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Cause::MissingKey(key))
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}

/// Returns the YAML name of a type, from serde's description of it.
fn wanted(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a string" | "string" | "str" | "a character" => "a string".into(),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => {
            "an integer".into()
        }
        "f32" | "f64" => "a number".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        s if s.starts_with("struct ") => "a mapping".into(),
        s if s.starts_with("tuple ") || s.starts_with("an array") => "a list".into(),
        s if s.starts_with("enum ") => "one of its names".into(),
        s => s.into(),
    }
}

/// Returns the same as [`wanted`] for a value that has the right type but is not valid, with the range of an integer
/// type.
fn wanted_value(expected: &dyn Expected) -> String {
    let range = |min: &dyn fmt::Display, max: &dyn fmt::Display| format!("an integer from {min} to {max}");
    match expected.to_string().as_str() {
        "u8" => range(&u8::MIN, &u8::MAX),
        "u16" => range(&u16::MIN, &u16::MAX),
        "u32" => range(&u32::MIN, &u32::MAX),
        "u64" | "u128" | "usize" => "an integer that is not negative".into(),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        _ => wanted(expected),
    }
}

struct NodeDeserializer<'a> {
    node: &'a Node,
    path: Vec<Step>,
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let path = self.path.as_slice();
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(n), _, _) => visitor.visit_u64(n),
                (_, Some(n), _) => visitor.visit_i64(n),
                (_, _, n) => visitor.visit_f64(n.unwrap_or(f64::NAN)),
            },
            Value::String(s) => visitor.visit_str(s),
            Value::List(items) => visitor.visit_seq(ListAccess { items: items.iter().enumerate(), path }),
            Value::Map(entries) => visitor.visit_map(EntryAccess { entries: entries.iter(), value: None, path }),
        }
        .map_err(|fault| fault.at(path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.as_slice();
        match &self.node.value {
            Value::String(s) => visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(s.as_str())),
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(EntryAccess {
                entries: entries.iter(),
                value: None,
                path,
            })),
            _ => return self.deserialize_any(visitor),
        }
        .map_err(|fault| fault.at(path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        // Serde would accept a list as the fields in their order, which is error-prone.
        match self.node.value {
            Value::List(_) => Err(<Fault as de::Error>::invalid_type(Unexpected::Seq, &visitor).at(&self.path)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

struct ListAccess<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'a [Step],
}

impl<'de> SeqAccess<'de> for ListAccess<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((i, node)) = self.items.next() else { return Ok(None) };
        let path = down(self.path, Step::Index(i));
        seed.deserialize(NodeDeserializer { node, path: path.clone() }).map(Some).map_err(|fault| fault.at(&path))
    }
}

struct EntryAccess<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    path: &'a [Step],
}

impl<'de> MapAccess<'de> for EntryAccess<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(&down(self.path, Step::Key(entry.key.clone()))))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else { return Err(de::Error::custom("a value without its key")) };
        let path = down(self.path, Step::Key(entry.key.clone()));
        seed.deserialize(NodeDeserializer { node: &entry.node, path: path.clone() }).map_err(|fault| fault.at(&path))
    }
}

fn down(path: &[Step], step: Step) -> Vec<Step> {
    path.iter().cloned().chain([step]).collect()
}
