//! The columns of JSON that no contract declares: the keys in the order in which the text has them, with types that hold
//! every value. Arrow's inference sorts the keys, reads only records of one line, and rounds large integers.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::error::Result;
use serde_json::value::RawValue;

use super::fatal;
use super::json::RECORD;
use super::members::Members;
use super::strict::{Found, MAX_DEPTH};
use crate::data_fault::DataFault;

/// The largest number of keys. Others are no columns.
const MOST_KEYS: usize = 10_000;

/// The columns of the records that were read so far.
#[derive(Debug)]
pub(in crate::files) struct JsonColumns {
    record: Object,
    /// The number of keys that can still be added.
    room: usize,
}

/// The shapes of the values of each key, with the place of the key among the others.
#[derive(Debug, Default)]
struct Object(HashMap<String, (usize, Shape)>);

/// What the values in one place have in common.
#[derive(Debug, Default)]
enum Shape {
    #[default]
    Null,
    Boolean,
    /// Integers. `is_wide` is true if a floating-point number would round one of them.
    Integer {
        is_wide: bool,
    },
    Float,
    Text,
    List(Box<Shape>),
    Object(Object),
    /// Nothing: no type holds them.
    Mixed,
}

impl Default for JsonColumns {
    fn default() -> Self {
        Self { record: Object::default(), room: MOST_KEYS }
    }
}

impl JsonColumns {
    /// Adds the first records of a text, at most `most`. `is_whole` is true for a text from the beginning of a file on.
    ///
    /// # Errors
    /// Text that is no JSON.
    pub(in crate::files) fn add(&mut self, text: &[u8], most: usize, is_whole: bool) -> Result<()> {
        for record in serde_json::Deserializer::from_slice(text).into_iter::<Members<'_>>().take(most) {
            let members = record.map_err(|error| {
                let line = u64::try_from(error.line()).ok().filter(|_| is_whole);
                fatal(DataFault::of_record(line, RECORD, Found::from(error).0))
            })?;
            self.record.add(&members, 0, &mut self.room);
        }
        Ok(())
    }

    /// Returns the columns.
    ///
    /// # Errors
    /// There may be more keys.
    pub(in crate::files) fn all(&self) -> Result<Schema> {
        match self.room {
            0 => {
                let fault = DataFault::of_record(None, format!("fewer than {MOST_KEYS} keys"), "more");
                Err(fatal(fault.with_hint("in a contract, an object whose keys are values is a `map`")))
            }
            _ => Ok(self.first()),
        }
    }

    /// Returns the columns, without those of keys beyond the limit.
    pub(in crate::files) fn first(&self) -> Schema {
        Schema::new(self.record.fields())
    }
}

impl Object {
    fn add(&mut self, Members(members): &Members<'_>, depth: usize, room: &mut usize) {
        for (key, value) in members {
            if let Some((_, shape)) = self.0.get_mut(&**key) {
                shape.add(value, depth + 1, room);
            } else if let Some(left) = room.checked_sub(1) {
                *room = left;
                let mut shape = Shape::Null;
                shape.add(value, depth + 1, room);
                self.0.insert(key.clone().into_owned(), (self.0.len(), shape));
            }
        }
    }

    fn fields(&self) -> Fields {
        let mut parts: Vec<(&String, &(usize, Shape))> = self.0.iter().collect();
        parts.sort_by_key(|(_, (place, _))| *place);
        parts.into_iter().map(|(name, (_, shape))| Field::new(name, shape.data_type(), true)).collect()
    }
}

impl Shape {
    fn add(&mut self, value: &RawValue, depth: usize, room: &mut usize) {
        let text = value.get();
        let own = match text.as_bytes().first() {
            Some(b'{' | b'[') if depth > MAX_DEPTH => Self::Mixed,
            Some(b'{') => return self.add_object(text, depth, room),
            Some(b'[') => return self.add_list(text, depth, room),
            Some(b'n') | None => return,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => Self::Text,
            Some(_) => number(text),
        };
        *self = match (mem::take(self), own) {
            (Self::Null, own) => own,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Integer { is_wide: a }, Self::Integer { is_wide: b }) => Self::Integer { is_wide: a || b },
            (Self::Float | Self::Integer { is_wide: false }, Self::Float)
            | (Self::Float, Self::Integer { is_wide: false }) => Self::Float,
            (Self::List(_) | Self::Object(_) | Self::Mixed, _) | (_, Self::Mixed) => Self::Mixed,
            _ => Self::Text,
        };
    }

    fn add_object(&mut self, text: &str, depth: usize, room: &mut usize) {
        if matches!(self, Self::Null) {
            *self = Self::Object(Object::default());
        }
        match (self, serde_json::from_str::<Members<'_>>(text)) {
            (Self::Object(object), Ok(members)) => object.add(&members, depth, room),
            (other, _) => *other = Self::Mixed,
        }
    }

    fn add_list(&mut self, text: &str, depth: usize, room: &mut usize) {
        if matches!(self, Self::Null) {
            *self = Self::List(Box::default());
        }
        match (self, serde_json::from_str::<Vec<&RawValue>>(text)) {
            (Self::List(item), Ok(values)) => values.into_iter().for_each(|value| item.add(value, depth + 1, room)),
            (other, _) => *other = Self::Mixed,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::Integer { .. } => DataType::Int64,
            Self::Float => DataType::Float64,
            // The reader reports values that are no single ones.
            Self::Text | Self::Mixed => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
            Self::Object(object) => DataType::Struct(object.fields()),
        }
    }
}

/// Returns the shape of a number. An integer of more than 64 bits is a string.
fn number(text: &str) -> Shape {
    if text.contains(['.', 'e', 'E']) {
        return Shape::Float;
    }
    text.parse::<i64>().map_or(Shape::Text, |value| Shape::Integer { is_wide: value.unsigned_abs() > 1 << 53 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns the columns of a text, with their types.
    fn columns(text: &str) -> Vec<(String, DataType)> {
        let mut columns = JsonColumns::default();
        columns.add(text.as_bytes(), usize::MAX, true).unwrap();
        let schema = columns.all().unwrap();
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    }

    fn named(expected: &[(&str, DataType)]) -> Vec<(String, DataType)> {
        expected.iter().map(|(name, data_type)| ((*name).to_owned(), data_type.clone())).collect()
    }

    #[test]
    fn columns_have_the_order_of_the_keys() {
        let text = "{\"b\":1,\"a\":\"x\"}\n{\"c\":true,\n \"a\":null,\"n\":null}";
        let expected = [("b", DataType::Int64), ("a", DataType::Utf8), ("c", DataType::Boolean), ("n", DataType::Null)];
        assert_eq!(columns(text), named(&expected));
    }

    #[test]
    fn a_type_holds_every_value_without_rounding() {
        for (values, expected) in [
            (&["1", "null", "-2"] as &[&str], DataType::Int64),
            (&["9007199254740993", "1"], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["1e300", "9007199254740992"], DataType::Float64),
            (&["9007199254740993", "2.5"], DataType::Utf8),
            (&["2.5", "-9007199254740993"], DataType::Utf8),
            (&["18446744073709551615"], DataType::Utf8),
            (&["true", "1"], DataType::Utf8),
            (&["\"x\"", "1"], DataType::Utf8),
            (&["{}", "1"], DataType::Utf8),
            (&["1", "{}"], DataType::Utf8),
            (&["[1]", "{}"], DataType::Utf8),
            (&["[1]", "1"], DataType::Utf8),
            (&["[1]", "[]", "[null, 2.5]"], DataType::new_list(DataType::Float64, true)),
            (&["[]"], DataType::new_list(DataType::Null, true)),
        ] {
            let text: String = values.iter().map(|value| format!("{{\"a\":{value}}}\n")).collect();
            assert_eq!(columns(&text), named(&[("a", expected)]), "{values:?}");
        }
    }

    #[test]
    fn nested_objects_have_the_keys_of_all() {
        let text = "{\"o\":{\"y\":1,\"x\":{}}}{\"o\":null}{\"o\":{\"x\":{\"z\":\"\"},\"l\":[{\"a\":1},{\"b\":2}]}}";
        let parts = |parts: &[(&str, DataType)]| {
            DataType::Struct(parts.iter().map(|(name, part)| Field::new(*name, part.clone(), true)).collect())
        };
        let list = DataType::new_list(parts(&[("a", DataType::Int64), ("b", DataType::Int64)]), true);
        let expected = parts(&[("y", DataType::Int64), ("x", parts(&[("z", DataType::Utf8)])), ("l", list)]);
        assert_eq!(columns(text), named(&[("o", expected)]));
    }

    #[test]
    fn text_that_is_no_json_has_its_line() {
        for (text, expected) in [
            (
                "{\"a\":1}\n{\"a\":[1 2]}\n",
                "line 2: expected a JSON object, got text that is none: expected `,` or `]`",
            ),
            ("[1]", "line 1: expected a JSON object, got another value"),
        ] {
            let fault = JsonColumns::default().add(text.as_bytes(), 10, true).unwrap_err().to_string();
            assert!(fault.ends_with(expected), "{fault}");
        }
        assert!(JsonColumns::default().add(b"{}\nx", 1, true).is_ok(), "only the first record");
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut columns = JsonColumns::default();
        let text: String = (0..=MOST_KEYS).map(|i| format!("{{\"o\":{{\"k{i}\":1}}}}\n")).collect();
        columns.add(text.as_bytes(), usize::MAX, true).unwrap();
        assert!(columns.all().unwrap_err().to_string().contains("`map`"));
        let DataType::Struct(parts) = columns.first().field(0).data_type().clone() else { return };
        assert_eq!(parts.len(), MOST_KEYS - 1);
    }
}
