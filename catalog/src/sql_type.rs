//! The SQL names of Arrow's types, for people who read the columns of a table.

use arrow_schema::{DataType, Fields};

/// Returns the SQL name of a type, such as `INTEGER`, `DECIMAL(15,2)`, `VARCHAR[]` or `STRUCT(a BIGINT, b DATE)`.
/// Encodings of the same values have one name: a dictionary and a view have the name of their values.
pub fn sql_type(data_type: &DataType) -> String {
    use DataType as T;

    let name = match data_type {
        T::Null => "NULL",
        T::Boolean => "BOOLEAN",
        T::Int8 => "TINYINT",
        T::Int16 => "SMALLINT",
        T::Int32 => "INTEGER",
        T::Int64 => "BIGINT",
        T::UInt8 => "TINYINT UNSIGNED",
        T::UInt16 => "SMALLINT UNSIGNED",
        T::UInt32 => "INTEGER UNSIGNED",
        T::UInt64 => "BIGINT UNSIGNED",
        T::Float16 | T::Float32 => "REAL",
        T::Float64 => "DOUBLE",
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => return format!("DECIMAL({precision},{scale})"),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "VARCHAR",
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "BYTEA",
        T::Date32 | T::Date64 => "DATE",
        T::Time32(_) | T::Time64(_) => "TIME",
        T::Timestamp(_, None) => "TIMESTAMP",
        T::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        T::Duration(_) | T::Interval(_) => "INTERVAL",
        T::List(item) | T::ListView(item) | T::LargeList(item) | T::LargeListView(item) => {
            return format!("{}[]", sql_type(item.data_type()));
        }
        T::FixedSizeList(item, size) => return format!("{}[{size}]", sql_type(item.data_type())),
        T::Struct(fields) => return format!("STRUCT({})", members(fields)),
        T::Map(entries, _) => return map(entries.data_type()),
        T::Union(fields, _) => {
            let fields: Fields = fields.iter().map(|(_, field)| field.clone()).collect();
            return format!("UNION({})", members(&fields));
        }
        T::Dictionary(_, values) => return sql_type(values),
        T::RunEndEncoded(_, values) => return sql_type(values.data_type()),
    };
    name.into()
}

fn map(entries: &DataType) -> String {
    match entries {
        DataType::Struct(fields) => {
            let types: Vec<_> = fields.iter().map(|field| sql_type(field.data_type())).collect();
            format!("MAP({})", types.join(", "))
        }
        _ => "MAP".into(),
    }
}

/// Returns the names and types of fields. A name that is not a plain SQL name has quotes.
fn members(fields: &Fields) -> String {
    let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let member = |name: &str| match is_plain(name) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    };
    let members: Vec<_> =
        fields.iter().map(|field| format!("{} {}", member(field.name()), sql_type(field.data_type()))).collect();
    members.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{Field, TimeUnit};

    use super::*;

    #[test]
    fn types_have_sql_names() {
        use DataType as T;

        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        let entries = T::Struct(vec![field("keys", T::Utf8), field("values", T::Int32)].into());
        for (data_type, expected) in [
            (T::Int32, "INTEGER"),
            (T::UInt64, "BIGINT UNSIGNED"),
            (T::Float64, "DOUBLE"),
            (T::Decimal128(15, 2), "DECIMAL(15,2)"),
            (T::Utf8View, "VARCHAR"),
            (T::Dictionary(T::Int32.into(), T::LargeUtf8.into()), "VARCHAR"),
            (T::Date32, "DATE"),
            (T::Timestamp(TimeUnit::Nanosecond, None), "TIMESTAMP"),
            (T::Timestamp(TimeUnit::Second, Some("UTC".into())), "TIMESTAMP WITH TIME ZONE"),
            (T::new_list(T::Decimal128(9, 0), true), "DECIMAL(9,0)[]"),
            (T::new_fixed_size_list(T::Float32, 3, true), "REAL[3]"),
            (
                T::Struct(vec![field("a", T::Int64), field("B\"c", T::new_list(T::Date32, true))].into()),
                "STRUCT(a BIGINT, \"B\"\"c\" DATE[])",
            ),
            (T::Map(field("entries", entries), false), "MAP(VARCHAR, INTEGER)"),
        ] {
            assert_eq!(sql_type(&data_type), expected);
        }
    }
}
