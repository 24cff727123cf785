//! The columns of JSON that no contract declares: the keys in the order in which the text has them, with types that hold
//! every value. Arrow's inference sorts the keys, reads only records of one line, and rounds large integers.

use std::collections::HashMap;
use std::sync::Arc;
use std::{fmt, mem};

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::error::Result;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fatal;
use super::json::RECORD;
use super::strict::{Found, Key};
use crate::data_fault::DataFault;

/// The largest number of keys. Others are no columns.
const MOST_KEYS: usize = 10_000;
/// The largest integer up to which a floating-point number has each one.
const EXACT: u64 = 1 << 53;
/// The least integer that `serde_json` reads as a floating-point number: 2^63, for negative ones.
const LONG: f64 = 9_223_372_036_854_775_808.0;

/// The columns of the records that were read so far.
#[derive(Debug)]
pub(in crate::files) struct JsonColumns {
    /// The shape of a record: an object, once there is one.
    record: Shape,
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
        Self { record: Shape::Null, room: MOST_KEYS }
    }
}

impl JsonColumns {
    /// Adds the first records of a text, at most `most`. `is_whole` is true for a text from the beginning of a file on.
    ///
    /// # Errors
    /// Text that is no JSON.
    pub(in crate::files) fn add(&mut self, text: &[u8], most: usize, is_whole: bool) -> Result<()> {
        let mut records = serde_json::Deserializer::from_slice(text);
        for _ in 0..most {
            if records.end().is_ok() {
                break;
            }
            let record = ShapeSeed { shape: &mut self.record, room: &mut self.room };
            records.deserialize_map(record).map_err(|error| {
                let line = u64::try_from(error.line()).ok().filter(|_| is_whole);
                fatal(DataFault::of_record(line, RECORD, Found::from(error).0))
            })?;
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
        match &self.record {
            Shape::Object(record) => Schema::new(record.fields()),
            _ => Schema::empty(),
        }
    }
}

impl Object {
    fn add<'de, A: MapAccess<'de>>(&mut self, mut members: A, room: &mut usize) -> Result<(), A::Error> {
        while let Some(Key(key)) = members.next_key()? {
            let mut left_out = Shape::Null;
            let shape = match self.0.get_mut(&*key) {
                Some((_, shape)) => shape,
                None if *room == 0 => &mut left_out,
                None => {
                    *room -= 1;
                    let place = self.0.len();
                    &mut self.0.entry(key.into_owned()).or_insert((place, Shape::Null)).1
                }
            };
            members.next_value_seed(ShapeSeed { shape, room: &mut *room })?;
        }
        Ok(())
    }

    fn fields(&self) -> Fields {
        let mut parts: Vec<(&String, &(usize, Shape))> = self.0.iter().collect();
        parts.sort_by_key(|(_, (place, _))| *place);
        parts.into_iter().map(|(name, (_, shape))| Field::new(name, shape.data_type(), true)).collect()
    }
}

impl Shape {
    fn add(&mut self, value: Self) {
        *self = match (mem::take(self), value) {
            (Self::Null, own) => own,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Integer { is_wide: a }, Self::Integer { is_wide: b }) => Self::Integer { is_wide: a || b },
            (Self::Float | Self::Integer { is_wide: false }, Self::Float)
            | (Self::Float, Self::Integer { is_wide: false }) => Self::Float,
            (Self::List(_) | Self::Object(_) | Self::Mixed, _) | (_, Self::Mixed) => Self::Mixed,
            _ => Self::Text,
        };
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

/// Adds a value to the shape of those before it.
struct ShapeSeed<'a> {
    shape: &'a mut Shape,
    room: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        if matches!(self.shape, Shape::Null) {
            *self.shape = Shape::Object(Object::default());
        }
        match self.shape {
            Shape::Object(object) => object.add(members, self.room),
            other => {
                *other = Shape::Mixed;
                Object::default().add(members, &mut 0)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        if matches!(self.shape, Shape::Null) {
            *self.shape = Shape::List(Box::default());
        }
        let (mut left_out, mut no_room) = (Shape::Null, 0);
        let (item, room) = match self.shape {
            Shape::List(item) => (&mut **item, self.room),
            other => {
                *other = Shape::Mixed;
                (&mut left_out, &mut no_room)
            }
        };
        while values.next_element_seed(ShapeSeed { shape: &mut *item, room: &mut *room })?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.shape.add(Shape::Boolean);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.shape.add(Shape::Integer { is_wide: value.unsigned_abs() > EXACT });
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        // An integer of more than 63 bits is a string.
        let shape = i64::try_from(value).map_or(Shape::Text, |_| Shape::Integer { is_wide: value > EXACT });
        self.shape.add(shape);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // `serde_json` reads long integers as floating-point numbers. They are strings, and so is `1e20`.
        let is_integer = value.fract() == 0.0 && (LONG..1e38).contains(&value.abs());
        self.shape.add(if is_integer { Shape::Text } else { Shape::Float });
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.shape.add(Shape::Text);
        Ok(())
    }
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
            (&["123456789012345678901234567890"], DataType::Utf8),
            (&["-9223372036854775809", "1"], DataType::Utf8),
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
