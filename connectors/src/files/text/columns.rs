//! Parses the columns of a batch, also nested ones. Readers return every value as a string, so that one parser decides
//! what a value is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;
use portolan_catalog::ColumnFormat;

use super::cells::{Cell, ColumnFaults, Faults, ValueFault};
use super::values::ValueParser;
use crate::data_fault::DataFault;

/// A column of a port in text files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::files) struct TextColumn {
    /// The name in SQL.
    pub(in crate::files) name: String,
    /// True if an error may show a value.
    pub(in crate::files) is_open: bool,
    /// The notation of the column.
    pub(in crate::files) format: ColumnFormat,
}

/// The parser of one column.
#[derive(Debug)]
pub(in crate::files) struct ColumnParser {
    column: TextColumn,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Value(ValueParser),
    List(FieldRef, Box<Shape>),
    Struct(Fields, Vec<Shape>),
    /// The field of the entries, and the shape of their values. Keys are strings.
    Map(FieldRef, bool, Box<Shape>),
    /// A type that readers return as it is.
    Other,
}

impl TextColumn {
    /// Returns the name for messages: that in SQL, and that in the file if it differs.
    pub(in crate::files) fn shown(&self) -> String {
        match &self.format.name_in_file {
            Some(in_file) => format!("`{}` (`{in_file}` in the file)", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// Returns the type in which a reader of JSON returns a column, so that [`ColumnParser`] can parse its values.
pub(in crate::files) fn as_text(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(as_text(field.data_type())));
    match data_type {
        DataType::List(inner) => DataType::List(field(inner)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, is_sorted) => DataType::Map(field(entries), *is_sorted),
        DataType::Null => DataType::Null,
        _ => DataType::Utf8,
    }
}

impl ColumnParser {
    /// Returns the parser of a column. `empty_is_null` is true for CSV.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub(in crate::files) fn new(
        column: &TextColumn,
        data_type: &DataType,
        empty_is_null: bool,
    ) -> Result<Self, String> {
        let shape = shape(data_type, &column.format, empty_is_null)?;
        Ok(Self { column: column.clone(), shape })
    }

    /// Parses the values of a column of CSV, which is never nested.
    pub(in crate::files) fn parse_cells<'a>(
        &self,
        cells: impl Iterator<Item = Cell<'a>>,
        line: impl Fn(usize) -> Option<u64>,
        faults: &mut Faults,
    ) -> ArrayRef {
        let mut own = ColumnFaults::new(faults.limit);
        let array: ArrayRef = match &self.shape {
            Shape::Value(parser) => parser.parse(cells, &mut own),
            // The contract cannot declare another type for CSV, and the inferred ones are of this kind.
            _ => Arc::new(arrow::array::NullArray::new(cells.count())),
        };
        self.report(own, line, faults);
        array
    }

    /// Parses the values of an array that was read with the type of [`as_text`].
    ///
    /// # Errors
    /// The array has another type.
    pub(in crate::files) fn parse(
        &self,
        array: &ArrayRef,
        line: impl Fn(usize) -> Option<u64>,
        faults: &mut Faults,
    ) -> Result<ArrayRef, ArrowError> {
        let mut own = ColumnFaults::new(faults.limit);
        let array = self.shape.parse(array, "", &|row| row, &mut own)?;
        self.report(own, line, faults);
        Ok(array)
    }

    fn report(&self, own: ColumnFaults, line: impl Fn(usize) -> Option<u64>, faults: &mut Faults) {
        faults.has_more |= own.has_more;
        for ValueFault { row, value, expected, hint } in own.found {
            faults.add(|| DataFault {
                line: line(row),
                column: Some(self.column.shown()),
                found: if value.is_none() { "other bytes".to_owned() } else { String::new() },
                value,
                shows_value: self.column.is_open,
                expected,
                hint,
                ..DataFault::default()
            });
        }
    }
}

fn shape(data_type: &DataType, format: &ColumnFormat, empty_is_null: bool) -> Result<Shape, String> {
    let inner = |field: &FieldRef| shape(field.data_type(), format, empty_is_null);
    Ok(match data_type {
        DataType::List(item) => Shape::List(item.clone(), Box::new(inner(item)?)),
        DataType::Struct(fields) => Shape::Struct(fields.clone(), fields.iter().map(inner).collect::<Result<_, _>>()?),
        DataType::Map(entries, is_sorted) => match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 => {
                Shape::Map(entries.clone(), *is_sorted, Box::new(inner(&parts[1])?))
            }
            _ => Shape::Other,
        },
        _ => ValueParser::new(data_type, format, empty_is_null)?.map_or(Shape::Other, Shape::Value),
    })
}

impl Shape {
    /// Parses an array. `path` is the place within the column, and `row_of` returns the row of a value.
    fn parse(
        &self,
        array: &ArrayRef,
        path: &str,
        row_of: &dyn Fn(usize) -> usize,
        faults: &mut ColumnFaults,
    ) -> Result<ArrayRef, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("a value of type {} was not expected", array.data_type()));
        match self {
            Self::Other => Ok(array.clone()),
            Self::Value(parser) => {
                let texts = array.as_string_opt::<i32>().ok_or_else(wrong)?;
                let mut own = ColumnFaults::new(faults.limit);
                let parsed = parser.parse(texts.iter().map(|text| text.map_or(Cell::Null, Cell::Text)), &mut own);
                faults.take(own, path, row_of);
                Ok(parsed)
            }
            Self::List(field, inner) => {
                let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
                let values =
                    inner.parse(list.values(), path, &|value| row_of(owner(list.value_offsets(), value)), faults)?;
                let list = ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?;
                Ok(Arc::new(list))
            }
            Self::Struct(fields, inner) => {
                let parts = array.as_struct_opt().ok_or_else(wrong)?;
                let part = |((part, field), shape): ((&ArrayRef, &FieldRef), &Self)| {
                    shape.parse(part, &format!("{path}.{}", field.name()), row_of, faults)
                };
                let columns = parts.columns().iter().zip(fields).zip(inner).map(part).collect::<Result<Vec<_>, _>>()?;
                let nulls = parts.nulls().cloned();
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, parts.len())?))
            }
            Self::Map(entries, is_sorted, inner) => {
                let map = array.as_map_opt().ok_or_else(wrong)?;
                let DataType::Struct(fields) = entries.data_type() else { return Err(wrong()) };
                let values =
                    inner.parse(map.values(), path, &|value| row_of(owner(map.value_offsets(), value)), faults)?;
                let parts = StructArray::try_new(fields.clone(), vec![map.keys().clone(), values], None)?;
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, parts, nulls, *is_sorted)?))
            }
        }
    }
}

/// Returns the list that has a value, by the offsets of the lists.
fn owner(offsets: &[i32], value: usize) -> usize {
    let value = i32::try_from(value).unwrap_or(i32::MAX);
    offsets.partition_point(|offset| *offset <= value).saturating_sub(1)
}

impl ColumnFaults {
    /// Adds the faults of a part of a column.
    fn take(&mut self, part: Self, path: &str, row_of: &dyn Fn(usize) -> usize) {
        self.has_more |= part.has_more;
        for ValueFault { row, value, expected, hint } in part.found {
            let expected = match path {
                "" => expected,
                path => format!("{expected} at `{path}`"),
            };
            self.add(|| ValueFault { row: row_of(row), value, expected, hint });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn parser(data_type: &DataType) -> ColumnParser {
        let column = TextColumn { name: "c".to_owned(), is_open: true, format: ColumnFormat::default() };
        ColumnParser::new(&column, data_type, false).unwrap()
    }

    #[test]
    fn a_fault_in_a_list_has_the_line_of_its_record() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "x", "4"]));
        let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1, 0, 2, 1]);
        let list: ArrayRef = Arc::new(ListArray::new(item, offsets, texts, None));
        let integers = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        assert_eq!(as_text(&integers), *list.data_type());
        let mut faults = Faults::new(10);
        let parsed = parser(&integers).parse(&list, |row| Some(row as u64 + 10), &mut faults).unwrap();
        assert_eq!(faults.found.len(), 1);
        assert_eq!(faults.found[0].to_string(), "line 12, column `c`: expected an integer of 64 bits, got `x`");
        let values = parsed.as_list::<i32>().values().clone();
        assert_eq!(values.as_ref(), &Int64Array::from(vec![Some(1), Some(2), None, Some(4)]) as &dyn Array);
    }

    #[test]
    fn a_fault_in_an_object_has_its_path() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let part = |data_type| DataType::Struct(Fields::from(vec![Field::new("zip", data_type, true)]));
        let DataType::Struct(fields) = part(DataType::Utf8) else { return };
        let object: ArrayRef = Arc::new(StructArray::new(fields, vec![texts], None));
        let mut faults = Faults::new(10);
        parser(&part(DataType::Int64)).parse(&object, |row| Some(row as u64 + 1), &mut faults).unwrap();
        assert_eq!(
            faults.found[0].to_string(),
            "line 1, column `c`: expected an integer of 64 bits at `.zip`, got `x`"
        );
    }

    #[test]
    fn the_number_of_faults_is_bounded() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; 100]));
        let mut faults = Faults::new(3);
        parser(&DataType::Int64).parse(&texts, |row| Some(row as u64), &mut faults).unwrap();
        assert_eq!((faults.found.len(), faults.has_more), (3, true));
    }
}
