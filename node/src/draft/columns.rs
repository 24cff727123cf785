//! The columns of a drafted port.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use portolan_catalog::FileFormat;
use portolan_connectors::files::FoundFiles;

use super::names::{distinct, identifier};
use super::text_types::TextType;

/// A column of a drafted contract.
#[derive(Clone, Debug)]
pub(super) struct ColumnDraft {
    /// The name in SQL.
    pub(super) name: String,
    pub(super) name_in_file: String,
    /// The type in the files. For CSV, a string.
    pub(super) data_type: DataType,
    /// The type in the contract, with the notation of text.
    pub(super) text_type: TextType,
    /// True if the names of folders have the values.
    pub(super) is_partition: bool,
    /// True if no file can hold a NULL.
    pub(super) is_required: bool,
    /// The position in the primary key, from 1.
    pub(super) key_position: Option<usize>,
    pub(super) reference: Option<ReferenceDraft>,
}

impl ColumnDraft {
    fn new(name: String, name_in_file: String, data_type: DataType, text_type: TextType) -> Self {
        let (is_partition, is_required, key_position, reference) = (false, false, None, None);
        Self { name, name_in_file, data_type, text_type, is_partition, is_required, key_position, reference }
    }
}

/// A reference whose values were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReferenceDraft {
    pub(super) port: String,
    pub(super) column: String,
    /// The number of values that were found in the other port.
    pub(super) values: u64,
}

/// Returns the columns in the files, and the reasons why others are left out. `csv_names` are the columns of CSV.
pub(super) fn drafted(
    found: &FoundFiles,
    format: FileFormat,
    csv_names: &[String],
    has_header: bool,
) -> (Vec<ColumnDraft>, Vec<String>) {
    let in_files: Vec<(String, DataType, bool)> = match format {
        FileFormat::Csv => csv_names.iter().map(|name| (name.clone(), DataType::Utf8, false)).collect(),
        _ => found.columns.iter().map(|c| (c.name.clone(), c.data_type.clone(), c.is_required)).collect(),
    };
    let is_repeated = |name: &str| in_files.iter().filter(|(other, ..)| other == name).count() > 1;
    let in_folders = |name: &str| found.partitions.iter().any(|folder| folder.name == name);
    let (mut columns, mut left_out, mut taken) = (vec![], vec![], BTreeSet::new());
    let mut sql_name = |text: &str| {
        let own = identifier(text);
        distinct(if own.is_empty() { "column" } else { &own }, &mut taken)
    };
    for (name_in_file, data_type, is_required) in &in_files {
        if name_in_file.trim().is_empty() {
            left_out.push("a column without a name".to_owned());
            continue;
        }
        if is_repeated(name_in_file) {
            left_out.push(format!("`{name_in_file}`: more than one column has this name"));
            continue;
        }
        if in_folders(name_in_file) {
            left_out.push(format!("`{name_in_file}` in the files, as the names of folders have it too"));
            continue;
        }
        let name = sql_name(name_in_file);
        // Without a header, a file has no names.
        let name_in_file = if has_header { name_in_file.clone() } else { name.clone() };
        let text_type = TextType::of(logical_type(data_type).unwrap_or_default());
        let column = ColumnDraft::new(name, name_in_file, data_type.clone(), text_type);
        columns.push(ColumnDraft { is_required: *is_required, ..column });
    }
    left_out.dedup();
    for folder in &found.partitions {
        let logical_type = match folder.logical_type.as_deref() {
            Some("integer") => "integer",
            Some("date") => "date",
            _ => "string",
        };
        let (name, text_type) = (sql_name(&folder.name), TextType::of(logical_type));
        let column = ColumnDraft::new(name, folder.name.clone(), DataType::Utf8, text_type);
        columns.push(ColumnDraft { is_partition: true, ..column });
    }
    (columns, left_out)
}

/// Returns the `logicalType` of a type in files. `None` if the standard has none.
pub(super) fn logical_type(data_type: &DataType) -> Option<&'static str> {
    use DataType as T;

    Some(match data_type {
        T::Dictionary(_, values) => return logical_type(values),
        T::RunEndEncoded(_, values) => return logical_type(values.data_type()),
        T::Null => "string",
        T::Boolean => "boolean",
        T::Date32 | T::Date64 => "date",
        T::Timestamp(..) => "timestamp",
        T::Time32(_) | T::Time64(_) => "time",
        // The standard wants the types of the parts of a `map`.
        T::Struct(_) | T::Map(..) => "object",
        T::Decimal32(_, scale) | T::Decimal64(_, scale) | T::Decimal128(_, scale) | T::Decimal256(_, scale) => {
            if *scale <= 0 { "integer" } else { "number" }
        }
        other if other.is_list() => "array",
        other if other.is_string() || other.is_binary() => "string",
        other if other.is_integer() => "integer",
        other if other.is_floating() => "number",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use portolan_catalog::logical_type::fits;

    use super::*;

    #[test]
    fn a_type_in_files_fits_its_logical_type() {
        let list = DataType::new_list(DataType::Int32, true);
        let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        for (data_type, expected) in [
            (DataType::Utf8View, Some("string")),
            (DataType::FixedSizeBinary(16), Some("string")),
            (DataType::UInt64, Some("integer")),
            (DataType::Decimal128(20, 0), Some("integer")),
            (DataType::Decimal128(15, 2), Some("number")),
            (DataType::Float32, Some("number")),
            (DataType::Date64, Some("date")),
            (list, Some("array")),
            (dictionary, Some("string")),
            (DataType::Null, Some("string")),
            (DataType::Interval(arrow::datatypes::IntervalUnit::DayTime), None),
        ] {
            let found = logical_type(&data_type);
            assert_eq!(found, expected, "{data_type}");
            assert!(found.is_none_or(|logical| fits(logical, &data_type)), "{data_type}");
        }
    }
}
