//! The forms in which SQLite stores the values of a type. Each form has the expression that reads it, and the condition on
//! which comparisons in SQLite mean what they mean at a node.
//!
//! In SQLite, each value has a type of its own. The reader rejects values of another type, but a comparison in SQLite
//! accepts them. So a column is compared there only after all its values have been checked. An expression never hides a
//! wrong value: it returns the value itself, or a text that the reader rejects.
//!
//! Compared values have one text for each value, which the dialect's literals have as well: `2024-01-31`,
//! `2024-01-31 09:30:00`, `09:30:00`. A fraction of a second has three digits if they are enough, and six otherwise. The
//! order of these strings is the order of the values.

use arrow::datatypes::{DataType, TimeUnit};

use super::declared::Affinity;

/// A way to read a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The values as an expression over the alias `t`.
    pub(super) sql: String,
    /// The condition over a row that is true for each value that the form has; NULL is not tested.
    pub(super) condition: String,
}

/// The ways to read a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forms {
    /// The values of a column that is only returned, as an expression over the alias `t`.
    pub(super) returned: String,
    /// The forms in which SQLite may compare the values, the preferred one first.
    pub(super) compared: Vec<Form>,
}

/// A column of a table, a view or a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnTraits<'a> {
    /// The column as an expression: `t."name"`.
    pub(super) reference: &'a str,
    pub(super) affinity: Affinity,
    /// True for a column of a table whose collation is BINARY. The parts of a view can have several affinities.
    pub(super) is_plain: bool,
}

/// The first and last second of the years 0 to 9999, since 1970.
const SECONDS: (i64, i64) = (-62_167_219_200, 253_402_300_799);
/// The beginning and the end of these years as Julian days.
const JULIAN_DAYS: (&str, &str) = ("1721059.5", "5373484.4999");

/// Returns the ways to read a column as this type.
pub(super) fn forms(column: ColumnTraits<'_>, data_type: &DataType) -> Forms {
    let c = column.reference;
    let plain =
        |condition: String| Forms { returned: c.to_owned(), compared: vec![Form { sql: c.to_owned(), condition }] };
    match data_type {
        DataType::Boolean => plain(format!("typeof({c}) = 'integer' AND {c} IN (0, 1)")),
        data_type if data_type.is_integer() => match range(data_type) {
            Some((min, max)) => plain(format!("typeof({c}) = 'integer' AND {c} BETWEEN {min} AND {max}")),
            None => plain(format!("typeof({c}) = 'integer'")),
        },
        DataType::Float64 => plain(format!("typeof({c}) = 'real'")),
        DataType::Utf8 => Forms {
            returned: c.to_owned(),
            compared: vec![Form {
                sql: text(column),
                // Functions of SQLite end at a NUL.
                condition: format!("typeof({c}) = 'text' AND instr({c}, char(0)) = 0"),
            }],
        },
        DataType::Binary => plain(format!("typeof({c}) = 'blob'")),
        DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _) => match column.affinity {
            Affinity::Integer => seconds(c, data_type),
            Affinity::Real => julian(c, data_type),
            _ if *data_type == DataType::Date32 => {
                plain(format!("typeof({c}) = 'text' AND date({c}) = {c} COLLATE BINARY"))
            }
            _ => timestamps(c),
        },
        DataType::Time64(TimeUnit::Microsecond) => times(c),
        _ => Forms { returned: c.to_owned(), compared: vec![] },
    }
}

/// Returns text without the affinity and the collation that would change comparisons.
fn text(column: ColumnTraits<'_>) -> String {
    let c = column.reference;
    let keeps_literals = matches!(column.affinity, Affinity::Text | Affinity::Blob);
    match (column.is_plain, keeps_literals) {
        (true, true) => c.to_owned(),
        (true, false) => format!("(+{c})"),
        (false, _) => format!("(+{c} COLLATE BINARY)"),
    }
}

/// Returns the range of an integer type that is smaller than SQLite's.
fn range(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, i64::MAX),
        _ => return None,
    })
}

/// Returns the forms of timestamps as text: with a space or a `T` before the time, and with a `T` also with `Z` at the end.
fn timestamps(c: &str) -> Forms {
    let head = format!("substr({c}, 1, 19)");
    let is = |separator: &str, lengths: &str| {
        let valid = format!("strftime('%Y-%m-%d{separator}%H:%M:%S', {head}) = {head} COLLATE BINARY");
        format!("typeof({c}) = 'text' AND octet_length({c}) IN ({lengths}) AND {valid}")
    };
    let fraction = format!("substr({c}, 20)");
    let (spaced, with_t) = (is(" ", "19, 23, 26"), is("T", "19, 23, 26"));
    let before_z = format!("{} AND substr({c}, -1) = 'Z'", is("T", "20, 24, 27"));
    let replaced = format!("replace({c}, 'T', ' ')");
    let without_z = format!("replace({replaced}, 'Z', '')");
    let form = |sql: String, condition: String| Form { sql, condition };
    Forms {
        returned: c.to_owned(),
        compared: vec![
            form(c.to_owned(), format!("{spaced} AND {}", is_short(&fraction))),
            form(shortened(c, 20), format!("{spaced} AND {}", is_fraction(&fraction))),
            form(shortened(&replaced, 20), format!("{with_t} AND {}", is_fraction(&fraction))),
            form(
                shortened(&without_z, 20),
                format!("{before_z} AND {}", is_fraction(&format!("rtrim({fraction}, 'Z')"))),
            ),
        ],
    }
}

/// Returns the forms of times of day as text.
fn times(c: &str) -> Forms {
    let (head, fraction) = (format!("substr({c}, 1, 8)"), format!("substr({c}, 9)"));
    let valid = format!("strftime('%H:%M:%S', {head}) = {head} COLLATE BINARY");
    let is = format!("typeof({c}) = 'text' AND octet_length({c}) IN (8, 12, 15) AND {valid}");
    Forms {
        returned: c.to_owned(),
        compared: vec![
            Form { sql: c.to_owned(), condition: format!("{is} AND {}", is_short(&fraction)) },
            Form { sql: shortened(c, 9), condition: format!("{is} AND {}", is_fraction(&fraction)) },
        ],
    }
}

/// Returns a condition for the fraction of a second: none, or three or six digits.
fn is_fraction(fraction: &str) -> String {
    let digits = |count: usize| format!("{fraction} GLOB '.{}'", "[0-9]".repeat(count));
    format!("({fraction} = '' OR {} OR {})", digits(3), digits(6))
}

/// Returns a condition for the fraction that is the only one with its value: three digits have no zeros in the place of
/// none, and six have none in the place of three.
fn is_short(fraction: &str) -> String {
    format!("{} AND {fraction} <> '.000' AND substr({fraction}, 5) <> '000'", is_fraction(fraction))
}

/// Returns an expression with the short fraction of a text, which has the point of its fraction at this position.
fn shortened(value: &str, point: usize) -> String {
    let (before, millis, end) = (point - 1, point + 3, point + 4);
    format!(
        "(CASE WHEN substr({value}, {point}) IN ('.000', '.000000') THEN substr({value}, 1, {before}) \
         WHEN substr({value}, {end}) = '000' THEN substr({value}, 1, {millis}) ELSE {value} END)"
    )
}

/// Returns the form of dates and timestamps as seconds since 1970.
fn seconds(c: &str, data_type: &DataType) -> Forms {
    let (min, max) = SECONDS;
    let whole_days = if *data_type == DataType::Date32 { format!(" AND {c} % 86400 = 0") } else { String::new() };
    let condition = format!("typeof({c}) = 'integer' AND {c} BETWEEN {min} AND {max}{whole_days}");
    let value = match data_type {
        DataType::Date32 => format!("date({c}, 'unixepoch')"),
        _ => format!("strftime('%Y-%m-%d %H:%M:%S', {c}, 'unixepoch')"),
    };
    converted(c, condition, &value)
}

/// Returns the form of dates and timestamps as Julian days. SQLite computes with milliseconds.
fn julian(c: &str, data_type: &DataType) -> Forms {
    let (min, max) = JULIAN_DAYS;
    let whole_days =
        if *data_type == DataType::Date32 { format!(" AND {c} + 0.5 = round({c} + 0.5)") } else { String::new() };
    let condition = format!("typeof({c}) = 'real' AND {c} >= {min} AND {c} < {max}{whole_days}");
    let value = match data_type {
        DataType::Date32 => format!("date({c})"),
        _ => shortened(&format!("strftime('%Y-%m-%d %H:%M:%f', {c})"), 20),
    };
    converted(c, condition, &value)
}

/// Returns the form of a value that SQLite converts. For another value, the expression is the name of the value's storage
/// class, which the reader rejects.
fn converted(c: &str, condition: String, value: &str) -> Forms {
    let sql = format!("(CASE WHEN {c} IS NULL THEN NULL WHEN {condition} THEN {value} ELSE typeof({c}) END)");
    Forms { returned: sql.clone(), compared: vec![Form { sql, condition }] }
}
