//! Whether a column's Arrow type is of the family that a contract's `logicalType` names.

use arrow_schema::DataType;

/// Whether values of `data_type` are what `logical_type` says. An unknown logical type fits nothing.
///
/// Dictionaries and run-end encoded columns count as what they hold; a column that never holds a value
/// (Arrow's `Null`) fits everything.
pub fn fits(logical_type: &str, data_type: &DataType) -> bool {
    use DataType as T;

    match data_type {
        T::Dictionary(_, values) => return fits(logical_type, values),
        T::RunEndEncoded(_, values) => return fits(logical_type, values.data_type()),
        _ => {}
    }
    let is_list =
        matches!(data_type, T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::ListView(_) | T::LargeListView(_));
    let is_whole = data_type.is_integer() || matches!(data_type, scaled if scale(scaled).is_some_and(|s| s <= 0));
    let fits = match logical_type {
        // ODCS has `format: binary` for bytes, which it counts as strings.
        "string" => {
            data_type.is_string()
                || matches!(data_type, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
        }
        "integer" => is_whole,
        "number" => data_type.is_numeric(),
        "boolean" => matches!(data_type, T::Boolean),
        "date" => matches!(data_type, T::Date32 | T::Date64),
        "timestamp" => matches!(data_type, T::Timestamp(..)),
        "time" => matches!(data_type, T::Time32(_) | T::Time64(_)),
        "object" => matches!(data_type, T::Struct(_) | T::Map(..)),
        "map" => matches!(data_type, T::Map(..)),
        "array" => is_list,
        "vector" => is_list,
        _ => return false,
    };
    fits || matches!(data_type, T::Null)
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
    use arrow_schema::{Field, TimeUnit};

    use super::*;

    #[test]
    fn families() {
        use DataType as T;

        let list = T::new_list(T::Int32, true);
        let object = T::Struct(vec![Field::new("x", T::Int32, true)].into());
        let families: [(&str, &[DataType]); 8] = [
            ("string", &[T::Utf8, T::LargeUtf8, T::Utf8View, T::Binary]),
            ("integer", &[T::Int8, T::Int64, T::UInt64, T::Decimal128(38, 0)]),
            ("number", &[T::Int64, T::Float32, T::Float64, T::Decimal128(15, 2), T::Decimal128(38, 0)]),
            ("boolean", &[T::Boolean]),
            ("date", &[T::Date32, T::Date64]),
            ("timestamp", &[T::Timestamp(TimeUnit::Microsecond, None)]),
            ("object", &[object]),
            ("array", &[list]),
        ];
        let all: Vec<_> = families.iter().flat_map(|f| f.1.iter()).collect();
        for (logical, types) in families {
            for data_type in &all {
                let declared = types.contains(data_type) || (logical == "number" && data_type.is_integer());
                assert_eq!(fits(logical, data_type), declared, "{logical} {data_type}");
            }
            assert!(fits(logical, &T::Null));
        }
    }

    #[test]
    fn encodings_count_as_what_they_hold() {
        let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        assert!(fits("string", &dictionary));
        assert!(!fits("integer", &dictionary));
        assert!(!fits("text", &DataType::Utf8));
    }
}
