//! The types of columns: the Arrow type, the expression that returns the values, and the reasons why some have none.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};

use super::metadata::ColumnFacts;
use crate::databases::DescribedColumn;
use crate::sql::{ColumnUsage, SqlDialect, quoted_name};

/// The type of instants: the sessions are in UTC.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Returns a column as ports have it. `wanted` is the type that the contract determines.
pub(super) fn described(facts: &ColumnFacts, wanted: Option<&DataType>, dialect: &SqlDialect) -> DescribedColumn {
    let name = format!("t.{}", quoted_name(&facts.name, dialect));
    let native = if facts.is_readable { native(facts) } else { Err("the account may not read it".to_owned()) };
    let (data_type, sql) = match native {
        Ok(native) => match wanted.filter(|wanted| is_boolean(facts, wanted)) {
            Some(wanted) => (Ok(wanted.clone()), boolean(&name)),
            None => {
                let data_type = wanted.filter(|wanted| widens(&native, wanted)).unwrap_or(&native).clone();
                // Arithmetic over an integer that the contract calls a decimal must not overflow as integers do.
                let sql = match &data_type {
                    DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
                        if integer_digits(&native).is_some() =>
                    {
                        format!("CAST({} AS DECIMAL({precision}, {scale}))", expression(facts, &name))
                    }
                    _ => expression(facts, &name),
                };
                (Ok(data_type), sql)
            }
        },
        Err(reason) => (Err(reason), name),
    };
    DescribedColumn {
        name: facts.name.clone(),
        native_type: facts.native_type.clone(),
        data_type,
        sql,
        // Comparisons of strings name a collation of bytes, so the column's own collation has no effect. The server sorts
        // and groups by the beginning of a string, which is longer than the strings of other types.
        usage: match facts.type_name.as_str() {
            "mediumtext" | "longtext" | "json" => ColumnUsage::Returned,
            _ => ColumnUsage::All,
        },
        nullable: facts.is_nullable,
        unique: false,
        comment: facts.comment.clone(),
        enumeration: vec![],
    }
}

/// Returns the Arrow type of a column's values.
///
/// # Errors
/// The reason why no Arrow type has these values.
fn native(facts: &ColumnFacts) -> Result<DataType, String> {
    use DataType as T;
    let is_unsigned = facts.native_type.contains("unsigned");
    let signed_or = |signed: T, unsigned: T| if is_unsigned { unsigned } else { signed };
    Ok(match facts.type_name.as_str() {
        "tinyint" => signed_or(T::Int8, T::UInt8),
        "smallint" => signed_or(T::Int16, T::UInt16),
        "mediumint" | "int" | "integer" => signed_or(T::Int32, T::UInt32),
        "bigint" => signed_or(T::Int64, T::UInt64),
        "year" => T::Int16,
        "bit" => T::UInt64,
        "float" => T::Float32,
        "double" | "real" => T::Float64,
        "decimal" | "numeric" => return decimal(facts),
        "date" => T::Date32,
        "datetime" => T::Timestamp(TimeUnit::Microsecond, None),
        "timestamp" => instant(),
        "time" => T::Time64(TimeUnit::Microsecond),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "json" | "enum" | "set" | "uuid"
        | "inet4" | "inet6" => T::Utf8,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => T::Binary,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => {
            return Err(format!(
                "`{}` has no Arrow type: let a view or a query return ST_AsText of it",
                facts.type_name
            ));
        }
        other => return Err(format!("`{other}` has no Arrow type: let a view or a query cast it")),
    })
}

fn decimal(facts: &ColumnFacts) -> Result<DataType, String> {
    let precision = facts.precision.and_then(|precision| u8::try_from(precision).ok());
    let scale = facts.scale.and_then(|scale| i8::try_from(scale).ok());
    match (precision, scale) {
        (Some(precision), Some(scale)) if precision <= DECIMAL128_MAX_PRECISION => {
            Ok(DataType::Decimal128(precision, scale))
        }
        (Some(precision), Some(scale)) => Ok(DataType::Decimal256(precision, scale)),
        _ => Err("a decimal without a precision has no Arrow type".to_owned()),
    }
}

/// Returns the expression that returns a column's values as the Arrow type has them.
fn expression(facts: &ColumnFacts, name: &str) -> String {
    match facts.type_name.as_str() {
        // The server compares the year 70 with the number 1970.
        "year" => format!("CAST({name} AS SIGNED)"),
        "bit" => format!("CAST({name} AS UNSIGNED)"),
        // These have an order and an equality of their own. Their names compare as text.
        "enum" | "set" => format!("CONVERT({name} USING utf8mb4)"),
        "uuid" | "inet4" | "inet6" => format!("CAST({name} AS CHAR CHARACTER SET utf8mb4)"),
        "json" => format!("CAST({name} AS CHAR CHARACTER SET utf8mb4)"),
        // The collation of bytes that comparisons name exists for this character set only.
        _ if facts.charset.as_deref().is_some_and(|charset| charset != "utf8mb4") => {
            format!("CONVERT({name} USING utf8mb4)")
        }
        _ => name.to_owned(),
    }
}

/// True if the contract may have a column as Boolean. The type of columns for Booleans is `tinyint(1)`, which holds other
/// numbers too.
fn is_boolean(facts: &ColumnFacts, wanted: &DataType) -> bool {
    *wanted == DataType::Boolean && (facts.type_name == "tinyint" || facts.native_type == "bit(1)")
}

/// Returns a number as a Boolean. Numbers besides 0 and 1 are an error wherever the server reads them: they overflow. So
/// a condition never sees a Boolean that a query would not return.
fn boolean(name: &str) -> String {
    format!("(CASE WHEN {name} IN (0, 1) THEN {name} ELSE 18446744073709551615 + ABS({name}) END = 1)")
}

/// True if `wanted` is a decimal type that has every value of the other type. A contract determines no other types.
fn widens(native: &DataType, wanted: &DataType) -> bool {
    use DataType as T;
    let (T::Decimal128(precision, scale) | T::Decimal256(precision, scale)) = wanted else { return false };
    let digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
    let (whole, places) = match native {
        T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => (digits(*precision, *scale), *scale),
        native => match integer_digits(native) {
            Some(whole) => (whole, 0),
            None => return false,
        },
    };
    *scale >= places && digits(*precision, *scale) >= whole
}

/// Returns the number of digits of the largest integer of a type.
fn integer_digits(data_type: &DataType) -> Option<i16> {
    use DataType as T;
    Some(match data_type {
        T::Int8 | T::UInt8 => 3,
        T::Int16 | T::UInt16 => 5,
        T::Int32 | T::UInt32 => 10,
        T::Int64 => 19,
        T::UInt64 => 20,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn facts(type_name: &str, native_type: &str) -> ColumnFacts {
        ColumnFacts {
            name: "c".into(),
            type_name: type_name.into(),
            native_type: native_type.into(),
            is_readable: true,
            ..ColumnFacts::default()
        }
    }

    fn column(facts: &ColumnFacts, wanted: Option<DataType>) -> (Result<DataType, String>, String) {
        let quote = crate::sql::MARIADB.quote;
        let described = described(facts, wanted.as_ref(), &crate::sql::MARIADB);
        (described.data_type, described.sql.replace(quote, "`"))
    }

    #[test]
    fn a_contract_determines_decimals_that_hold_every_value_and_booleans() {
        let tinyint = facts("tinyint", "tinyint(1)");
        assert_eq!(column(&tinyint, None), (Ok(DataType::Int8), "t.`c`".into()));
        assert_eq!(column(&tinyint, Some(DataType::Int64)), (Ok(DataType::Int8), "t.`c`".into()));
        let cast = "CAST(t.`c` AS DECIMAL(5, 2))".into();
        assert_eq!(column(&tinyint, Some(DataType::Decimal128(5, 2))), (Ok(DataType::Decimal128(5, 2)), cast));
        assert_eq!(column(&tinyint, Some(DataType::Decimal128(4, 2))), (Ok(DataType::Int8), "t.`c`".into()));
        let (data_type, sql) = column(&tinyint, Some(DataType::Boolean));
        assert_eq!(data_type, Ok(DataType::Boolean));
        assert!(sql.starts_with("(CASE WHEN t.`c` IN (0, 1) "), "{sql}");
        let big = facts("bigint", "bigint(20) unsigned");
        assert_eq!(column(&big, Some(DataType::Decimal128(20, 0))).0, Ok(DataType::Decimal128(20, 0)));
        assert_eq!(column(&big, Some(DataType::Decimal128(19, 0))).0, Ok(DataType::UInt64));
        let unsigned = facts("int", "int(10) unsigned");
        assert_eq!(column(&unsigned, Some(DataType::Int64)).0, Ok(DataType::UInt32));
        assert_eq!(column(&unsigned, Some(DataType::Boolean)).0, Ok(DataType::UInt32));
        let price = ColumnFacts { precision: Some(10), scale: Some(2), ..facts("decimal", "decimal(10,2)") };
        assert_eq!(column(&price, Some(DataType::Decimal128(12, 4))).0, Ok(DataType::Decimal128(12, 4)));
        assert_eq!(column(&price, Some(DataType::Decimal128(10, 3))).0, Ok(DataType::Decimal128(10, 2)));
        assert_eq!(column(&price, Some(DataType::Float64)).0, Ok(DataType::Decimal128(10, 2)));
        let large = ColumnFacts { precision: Some(65), scale: Some(30), ..facts("decimal", "decimal(65,30)") };
        assert_eq!(column(&large, None).0, Ok(DataType::Decimal256(65, 30)));
    }

    #[test]
    fn text_of_other_character_sets_is_converted() {
        let text = |charset: &str| ColumnFacts { charset: Some(charset.into()), ..facts("varchar", "varchar(9)") };
        assert_eq!(column(&text("utf8mb4"), None), (Ok(DataType::Utf8), "t.`c`".into()));
        assert_eq!(column(&text("latin1"), None), (Ok(DataType::Utf8), "CONVERT(t.`c` USING utf8mb4)".into()));
        let mood = ColumnFacts { charset: Some("utf8mb4".into()), ..facts("enum", "enum('b','a')") };
        assert_eq!(column(&mood, None), (Ok(DataType::Utf8), "CONVERT(t.`c` USING utf8mb4)".into()));
        assert_eq!(column(&facts("year", "year(4)"), None), (Ok(DataType::Int16), "CAST(t.`c` AS SIGNED)".into()));
    }

    #[test]
    fn other_columns_have_a_reason() {
        let reason = column(&facts("point", "point"), None).0.unwrap_err();
        assert!(reason.contains("ST_AsText"), "{reason}");
        let hidden = ColumnFacts { is_readable: false, ..facts("int", "int(11)") };
        assert_eq!(column(&hidden, None).0, Err("the account may not read it".into()));
    }
}
