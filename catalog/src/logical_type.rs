//! The families of Arrow types that a contract's `logicalType` names.

use arrow_schema::{DataType, TimeUnit};

use crate::model::{Column, PortSource, SourceKind};

/// True if a column of `data_type` has the type that `logical_type` promises.
///
/// Dictionaries and run-end encoded columns count as their values. A column that never holds a value (Arrow's `Null`)
/// fits every logical type. A logical type that this function does not know fits every column: the standard's schema
/// has already accepted it.
pub fn fits(logical_type: &str, data_type: &DataType) -> bool {
    use DataType as T;

    match data_type {
        T::Dictionary(_, values) => return fits(logical_type, values),
        T::RunEndEncoded(_, values) => return fits(logical_type, values.data_type()),
        T::Null => return true,
        _ => {}
    }
    match logical_type {
        // ODCS has `format: binary` for bytes, which it counts as strings.
        "string" => data_type.is_string() || data_type.is_binary(),
        "integer" => data_type.is_integer() || scale(data_type).is_some_and(|scale| scale <= 0),
        "number" => data_type.is_numeric(),
        "boolean" => *data_type == T::Boolean,
        // Before 3.1 the standard had no `timestamp`: the formats of `date` still have a time of day.
        "date" => matches!(data_type, T::Date32 | T::Date64 | T::Timestamp(..)),
        "timestamp" => matches!(data_type, T::Timestamp(..) | T::Date64),
        "time" => matches!(data_type, T::Time32(_) | T::Time64(_)),
        "object" => matches!(data_type, T::Struct(_) | T::Map(..)),
        "map" => matches!(data_type, T::Map(..)),
        "array" => data_type.is_list(),
        // Arrow has no type for elements of one bit, or for `bfloat16`.
        "vector" => data_type.is_list() || data_type.is_binary(),
        _ => true,
    }
}

/// Returns the type as which text of this logical type is read, if the logical type determines one.
pub fn type_of_text(logical_type: &str) -> Option<DataType> {
    match logical_type {
        "string" => Some(DataType::Utf8),
        "integer" => Some(DataType::Int64),
        "number" => Some(DataType::Float64),
        "boolean" => Some(DataType::Boolean),
        "date" => Some(DataType::Date32),
        "timestamp" => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        "time" => Some(DataType::Time64(TimeUnit::Microsecond)),
        _ => None,
    }
}

/// Returns the logical type that a type of SQL, Arrow or another tool stands for. A contract has the type itself in
/// `physicalType`.
pub(crate) fn logical_type_of(name: &str) -> Option<&'static str> {
    let name = name.split('(').next().unwrap_or(name).trim().to_lowercase();
    let names: [(&str, &[&str]); 8] = [
        ("string", &["str", "text", "utf8", "varchar", "char", "character", "uuid", "binary", "bytes", "blob"]),
        ("integer", &["int", "int8", "int16", "int32", "int64", "bigint", "smallint", "tinyint", "long", "short"]),
        ("number", &["decimal", "numeric", "float", "float32", "float64", "double", "real", "money"]),
        ("boolean", &["bool", "bit", "logical"]),
        ("date", &["date32", "date64", "day"]),
        ("timestamp", &["datetime", "timestamptz", "instant"]),
        ("object", &["struct", "record", "row", "json"]),
        ("array", &["list", "repeated"]),
    ];
    names.iter().find(|(_, others)| others.contains(&name.as_str())).map(|(logical, _)| *logical)
}

/// Returns the type as which text of a column is read, or the type of a column of a query, if the contract determines one.
pub fn declared_type(column: &Column, source: Option<&PortSource>) -> Option<DataType> {
    let declared = source.and_then(|source| match &source.kind {
        SourceKind::Files(files) => files.columns.get(&column.name)?.data_type.clone(),
        SourceKind::Database(database) => database.types.get(&column.name).cloned(),
        SourceKind::Query(query) => query.types.get(&column.name).cloned(),
    });
    declared.or_else(|| type_of_text(column.logical_type.as_deref()?))
}

fn scale(data_type: &DataType) -> Option<i8> {
    use DataType as T;

    match data_type {
        T::Decimal32(_, s) | T::Decimal64(_, s) | T::Decimal128(_, s) | T::Decimal256(_, s) => Some(*s),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn families() {
        use DataType as T;

        let list = T::new_list(T::Int32, true);
        let object = T::Struct(vec![Field::new("x", T::Int32, true)].into());
        let entries = T::Struct(vec![Field::new("key", T::Utf8, false), Field::new("value", T::Utf8, true)].into());
        let map = T::Map(Field::new("entries", entries, false).into(), false);
        let timestamp = T::Timestamp(TimeUnit::Microsecond, None);
        let families: [(&str, &[DataType]); 11] = [
            ("string", &[T::Utf8, T::LargeUtf8, T::Utf8View, T::Binary, T::BinaryView, T::FixedSizeBinary(16)]),
            (
                "integer",
                &[T::Int8, T::Int64, T::UInt64, T::Decimal32(9, 0), T::Decimal128(38, 0), T::Decimal256(76, -2)],
            ),
            ("number", &[T::Float32, T::Float64, T::Decimal64(18, 4), T::Decimal128(15, 2)]),
            ("boolean", &[T::Boolean]),
            ("date", &[T::Date32, T::Date64, timestamp.clone()]),
            ("timestamp", &[timestamp, T::Date64]),
            ("time", &[T::Time32(TimeUnit::Second), T::Time64(TimeUnit::Microsecond)]),
            ("object", &[object, map.clone()]),
            ("map", &[map]),
            ("array", std::slice::from_ref(&list)),
            ("vector", &[list.clone(), T::Binary, T::BinaryView, T::FixedSizeBinary(16)]),
        ];
        let all: Vec<_> = families.iter().flat_map(|f| f.1.iter()).collect();
        for (logical, types) in families {
            for data_type in &all {
                let is_integer = families[1].1.contains(data_type);
                let expected = types.contains(data_type) || (logical == "number" && is_integer);
                assert_eq!(fits(logical, data_type), expected, "{logical} {data_type}");
            }
            assert!(fits(logical, &T::Null), "{logical}");
        }
    }

    #[test]
    fn encodings_count_as_their_values() {
        let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        assert!(fits("string", &dictionary));
        assert!(!fits("integer", &dictionary));
        let field = |name: &str, data_type| Field::new(name, data_type, true).into();
        let runs = DataType::RunEndEncoded(field("run_ends", DataType::Int32), field("values", DataType::Utf8));
        assert!(fits("string", &runs));
        assert!(!fits("integer", &runs));
    }

    #[test]
    fn text_is_read_as_a_type_of_its_family() {
        for logical in ["string", "integer", "number", "boolean", "date", "timestamp", "time"] {
            assert!(type_of_text(logical).is_some_and(|text| fits(logical, &text)), "{logical}");
        }
        assert_eq!(type_of_text("object"), None);
    }

    #[test]
    fn types_of_other_tools_have_a_logical_type() {
        let of = |name: &str| logical_type_of(name).unwrap_or_default();
        assert_eq!(
            ["DECIMAL(10, 2)", "Int64", "varchar(20)", "bool"].map(of),
            ["number", "integer", "string", "boolean"]
        );
        assert_eq!(logical_type_of("colour"), None);
    }

    #[test]
    fn an_unknown_logical_type_is_not_checked() {
        assert!(fits("interval", &DataType::Utf8));
    }
}
