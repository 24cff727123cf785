//! The Arrow type of a column, and the expression that reads it.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use tokio_postgres::types::Type;

use crate::sql::ColumnUsage;

/// The largest precisions of decimals.
const MAX_DECIMAL128: i32 = 38;
const MAX_DECIMAL256: i32 = 76;
/// The digits of `money`, in the smallest unit.
const MONEY_DIGITS: u8 = 19;

/// A type of PostgreSQL, without the domains around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NativeType {
    /// The identity.
    pub(super) oid: u32,
    /// The details, such as the precision of a `numeric`; -1 without.
    pub(super) modifier: i32,
    /// The type as the database writes it.
    pub(super) shown: String,
    /// The items of an array.
    pub(super) element: Option<u32>,
    /// True if strings of the column may be equal without having the same bytes.
    pub(super) is_loose: bool,
    /// True if the strings of the database are not UTF-8: their bytes have another order and other lengths.
    pub(super) is_recoded: bool,
    /// The decimal places of `money` in this database.
    pub(super) money_scale: i8,
}

/// The way in which a column is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) data_type: Result<DataType, String>,
    pub(super) sql: String,
    pub(super) usage: ColumnUsage,
}

impl Reading {
    fn all(data_type: DataType, sql: impl Into<String>) -> Self {
        Self { data_type: Ok(data_type), sql: sql.into(), usage: ColumnUsage::All }
    }

    /// Returns a column whose values the database only returns.
    fn returned(data_type: DataType, sql: impl Into<String>) -> Self {
        Self { data_type: Ok(data_type), sql: sql.into(), usage: ColumnUsage::Returned }
    }

    fn unreadable(reason: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { data_type: Err(reason.into()), sql: sql.into(), usage: ColumnUsage::Returned }
    }
}

/// Returns how a column is read. `column` is the column as an expression, and `wanted` the type that the contract
/// determines.
pub(super) fn reading(native: &NativeType, column: &str, wanted: Option<&DataType>) -> Reading {
    let mut own = own_reading(native, column, wanted);
    if native.is_recoded && own.data_type == Ok(DataType::Utf8) {
        own.usage = ColumnUsage::Returned;
    }
    let (Ok(own_type), Some(wanted)) = (&own.data_type, wanted) else { return own };
    match widened(own_type, wanted) {
        // With the type of the contract, the database computes as a node does.
        Some(name) => Reading::all(wanted.clone(), format!("CAST({} AS {name})", own.sql)),
        None => own,
    }
}

/// Returns how a column is read with its own type.
fn own_reading(native: &NativeType, column: &str, wanted: Option<&DataType>) -> Reading {
    let cast = |name| format!("CAST({column} AS {name})");
    match Type::from_oid(native.oid).unwrap_or(Type::UNKNOWN) {
        Type::TEXT | Type::VARCHAR => Reading::all(DataType::Utf8, text(column.to_owned(), native)),
        Type::NUMERIC => numeric(native.modifier, column, wanted),
        Type::MONEY => Reading::all(DataType::Decimal128(MONEY_DIGITS, native.money_scale), cast("numeric")),
        Type::OID => Reading::all(DataType::UInt32, cast("int8")),
        other => match plain(&other) {
            Some(data_type @ DataType::Interval(_)) => Reading::returned(data_type, column),
            Some(data_type) => Reading::all(data_type, column),
            None => match native.element {
                Some(element) => array(native, element, column),
                None => Reading::all(DataType::Utf8, text(cast("text"), native)),
            },
        },
    }
}

/// Returns the Arrow type of a type whose values are read without a conversion.
fn plain(native: &Type) -> Option<DataType> {
    Some(match *native {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// Returns text of which equal strings have the same bytes, as in the collation of the database. For text that has this
/// collation already, the database ignores the clause, and uses the indexes of the column.
fn text(text: String, native: &NativeType) -> String {
    if native.is_loose { format!("({text} COLLATE pg_catalog.\"default\")") } else { text }
}

/// Returns how a `numeric` is read.
fn numeric(modifier: i32, column: &str, wanted: Option<&DataType>) -> Reading {
    match (modifier_of_numeric(modifier).and_then(|(precision, scale)| decimal(precision, scale)), wanted) {
        (Some(own), _) => Reading::all(own, column),
        (None, Some(decimal @ (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)))) => {
            match u8::try_from(*scale).ok().filter(|scale| scale <= precision) {
                Some(scale) => Reading::returned(decimal.clone(), checked(column, *precision, scale)),
                None => Reading::unreadable("expected a scale from 0 to the precision", column),
            }
        }
        (None, _) => Reading::unreadable(
            "expected a numeric with a precision of at most 76, got one without or with more; write the digits of its \
             values as `physicalType: numeric(p,s)` in the contract, and values with more digits are errors",
            column,
        ),
    }
}

/// Returns the precision and the scale in the modifier of a `numeric`; `None` if it has none.
fn modifier_of_numeric(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    // The scale is a signed number of 11 bits.
    Some(((packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 0x400) - 0x400))
}

/// Returns the decimal with these digits. A scale below zero or above the precision gets more digits.
fn decimal(precision: i32, scale: i32) -> Option<DataType> {
    let precision = if scale < 0 { precision - scale } else { precision.max(scale) };
    let scale = i8::try_from(scale.max(0)).ok()?;
    let digits = u8::try_from(precision).ok()?;
    if precision <= MAX_DECIMAL128 {
        return Some(DataType::Decimal128(digits, scale));
    }
    (precision <= MAX_DECIMAL256).then_some(DataType::Decimal256(digits, scale))
}

/// Returns a number that is NaN if it does not fit. A cast would round it, and the reader refuses NaN.
fn checked(column: &str, precision: u8, scale: u8) -> String {
    let limit = format!("1{}", "0".repeat(usize::from(precision - scale)));
    format!(
        "CASE WHEN {column} <> pg_catalog.trunc({column}, {scale}) OR pg_catalog.abs({column}) >= CAST({limit} AS numeric) \
         THEN CAST('NaN' AS numeric) ELSE {column} END"
    )
}

/// Returns how an array is read.
fn array(native: &NativeType, element: u32, column: &str) -> Reading {
    let list = |data_type| DataType::List(Field::new_list_field(data_type, true).into());
    let own = match Type::from_oid(element).unwrap_or(Type::UNKNOWN) {
        Type::TEXT | Type::VARCHAR => Some(DataType::Utf8),
        Type::NUMERIC => match numeric(native.modifier, column, None).data_type {
            Ok(data_type) => Some(data_type),
            Err(_) => {
                return Reading::unreadable(
                    "expected an array of numeric with a precision, such as numeric(12,2)[]",
                    column,
                );
            }
        },
        other => plain(&other),
    };
    match own {
        Some(item) => Reading::returned(list(item), column),
        None => Reading::returned(list(DataType::Utf8), format!("CAST({column} AS text[])")),
    }
}

/// Returns the name of the decimal type `to`, if it has every value of the other type `from`. A contract determines no
/// other types.
fn widened(from: &DataType, to: &DataType) -> Option<String> {
    use DataType::{Decimal128, Decimal256, Int16, Int32, Int64, UInt32};
    let (Decimal128(precision, scale) | Decimal256(precision, scale)) = to else { return None };
    let (whole, places) = match from {
        Int16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        Int64 => (19, 0),
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), i16::from(*scale))
        }
        _ => return None,
    };
    let fits = i16::from(*precision) - i16::from(*scale) >= whole && i16::from(*scale) >= places;
    (fits && from != to).then(|| format!("numeric({precision},{scale})"))
}
