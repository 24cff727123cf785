//! The metadata of columns under Flight SQL's keys: the SQL name of the type, its precision and scale, and flags for
//! clients.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use crate::rows::sql_types::{SqlType, sql_type};

const PREFIX: &str = "ARROW:FLIGHT:SQL:";
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
const IS_AUTO_INCREMENT: &str = "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT";
const IS_CASE_SENSITIVE: &str = "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE";
const IS_READ_ONLY: &str = "ARROW:FLIGHT:SQL:IS_READ_ONLY";
const IS_SEARCHABLE: &str = "ARROW:FLIGHT:SQL:IS_SEARCHABLE";
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

/// Returns a result column with its metadata. It has no remarks, because the JDBC driver shows remarks in place of the
/// column's name.
pub(crate) fn describe_result(field: &FieldRef) -> FieldRef {
    let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let flag = |is: bool| if is { "1" } else { "0" }.to_owned();
    described(
        field,
        [
            (IS_CASE_SENSITIVE, flag(is_text)),
            // A result is a copy, so it cannot be updated.
            (IS_READ_ONLY, flag(true)),
            (IS_SEARCHABLE, flag(true)),
        ],
    )
}

/// Returns a column of a table, with the owner's description as remarks.
pub(crate) fn describe_table_column(field: &FieldRef, remarks: Option<&str>) -> FieldRef {
    described(field, remarks.map(|remarks| (REMARKS, remarks.to_owned())))
}

/// Returns the field with these entries and those of its type. Other entries under Flight SQL's keys are removed,
/// because uploaded rows may carry another server's metadata.
fn described(field: &FieldRef, more: impl IntoIterator<Item = (&'static str, String)>) -> FieldRef {
    let SqlType { name, precision, scale } = sql_type(field.data_type());
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| !key.starts_with(PREFIX));
    metadata.insert(TYPE_NAME.to_owned(), name.to_owned());
    metadata.insert(IS_AUTO_INCREMENT.to_owned(), "0".to_owned());
    for (key, digits) in [(PRECISION, precision), (SCALE, scale)] {
        if let Some(digits) = digits {
            metadata.insert(key.to_owned(), digits.to_string());
        }
    }
    metadata.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Arc::new(Field::clone(field).with_metadata(metadata))
}
