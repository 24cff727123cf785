//! The metadata of columns under Flight SQL's keys: the SQL name of the type, its digits, and what a client may do
//! with the column.

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

/// The column of a result. Without remarks: the JDBC driver shows them in the place of the column's name.
pub(crate) fn describe_result(field: &FieldRef) -> FieldRef {
    let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let flag = |is: bool| if is { "1" } else { "0" }.to_owned();
    described(
        field,
        [
            (IS_CASE_SENSITIVE, flag(is_text)),
            // A result is a copy: there is nothing to update in it.
            (IS_READ_ONLY, flag(true)),
            (IS_SEARCHABLE, flag(true)),
        ],
    )
}

/// The column of a table, with its owner's words on it.
pub(crate) fn describe_table_column(field: &FieldRef, remarks: Option<&str>) -> FieldRef {
    described(field, remarks.map(|remarks| (REMARKS, remarks.to_owned())))
}

/// The field with these entries and those that follow from its type. Other keys of Flight SQL's go: rows that were
/// uploaded may bring what another server said of them.
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
