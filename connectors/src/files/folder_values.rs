//! The values in the names of Hive's folders: `…/year=2024/…`.

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use percent_encoding::percent_decode_str;

use super::format::Encoding;
use super::text::{Cell, ColumnFaults, ValueParser};

/// The folder name that stands for NULL in Hive and in tools that follow Hive.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the value of the folder `name=…` in a path.
pub(super) fn folder_value(path: &str, name: &str) -> Option<String> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let value = folders.split('/').filter_map(|f| f.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(percent_decode_str(value).decode_utf8().map_or_else(|_| value.to_owned(), Into::into))
}

/// Parses the value of a folder's name. Returns `None` if it is no value of the column.
pub(super) fn value_of_folder(encoding: &Encoding, text: &str, field: &Field) -> Option<ScalarValue> {
    if text == HIVE_NULL {
        return ScalarValue::try_from(field.data_type()).ok();
    }
    let format = encoding.column(field.name()).format;
    // A cast would round a decimal number, and cut a time of day or the digits of a fraction. It knows no pattern.
    if format.pattern.is_none() && !field.data_type().is_decimal() && !field.data_type().is_temporal() {
        return in_notation_of_hive(text, field.data_type());
    }
    let parser = ValueParser::new(field.data_type(), &format, false).ok().flatten()?;
    let mut faults = ColumnFaults::new(0);
    let value = parser.parse(std::iter::once(Cell::Text(text)), &mut faults);
    let value = ScalarValue::try_from_array(&value, 0).ok()?;
    (!faults.has_more).then_some(value)
}

/// Parses a value in the notation of Hive. Returns `None` if it is no value of the type.
fn in_notation_of_hive(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    let value = ScalarValue::try_from_string(text.to_owned(), data_type).ok()?;
    (!value.is_null()).then_some(value)
}
