//! Refuses to compare values of unrelated types.
//!
//! DataFusion 55.2 casts a date and an integer to dates: 1998 is the 1,998th day after 1970, and `day > 1998` holds for
//! every row. It casts a date and a time to nanoseconds, and the integers in a `UNION` of a date and an integer to
//! dates. Here such operands are refused, and the message says what to write instead. Arithmetic (`day + 7`) stays as
//! it is. So do string literals, which are read as the other side's type.

use arrow::datatypes::DataType;
use datafusion::common::utils::quote_identifier;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Expr;

use super::groups::{Group, Operand};
use crate::execution::errors::{into_datafusion, position};
use crate::{Error, ErrorKind};

/// Types whose values mean the same kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Number,
    Boolean,
    Day,
    Time,
    Interval,
    /// Strings, bytes, nested values and NULL. DataFusion decides about them.
    Any,
}

impl Family {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Self::Day,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            data_type if data_type.is_numeric() => Self::Number,
            _ => Self::Any,
        }
    }
}

/// Returns a type in words.
fn noun(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "a boolean",
        DataType::Date32 | DataType::Date64 => "a date",
        DataType::Timestamp(..) => "a timestamp",
        DataType::Time32(_) | DataType::Time64(_) => "a time",
        DataType::Interval(_) | DataType::Duration(_) => "an interval",
        _ => "a number",
    }
}

/// Returns two types in words, if their values have no common type.
pub(in crate::upstream) fn unrelated(one: &DataType, other: &DataType) -> Option<(&'static str, &'static str)> {
    let (a, b) = (Family::of(one), Family::of(other));
    (a != b && a != Family::Any && b != Family::Any).then(|| (noun(one), noun(other)))
}

/// Refuses operands of unrelated types.
pub(super) fn refuse(group: Group, operands: &[Operand<'_>]) -> Result<()> {
    let mut known = operands.iter().filter(|operand| Family::of(operand.plain()) != Family::Any);
    let Some(first) = known.next() else { return Ok(()) };
    let Some(other) = known.find(|operand| Family::of(operand.plain()) != Family::of(first.plain())) else {
        return Ok(());
    };
    let (own, others) = (noun(first.plain()), noun(other.plain()));
    let what = match group {
        Group::Compared => format!("{own} cannot be compared with {others}"),
        Group::Branches => format!("{own} and {others} have no common type"),
    };
    Err(refusal(operands, &format!("{what}: {}", advice(first, other))))
}

/// Returns what to write instead.
fn advice(first: &Operand<'_>, other: &Operand<'_>) -> String {
    let (a, b) = (Family::of(first.plain()), Family::of(other.plain()));
    let (temporal, _) = if a == Family::Day { (first, other) } else { (other, first) };
    match (a, b) {
        (Family::Day, Family::Number) | (Family::Number, Family::Day) => {
            let column = shown(temporal.expr);
            format!("write `extract(year FROM {column})` for its year, or a date as `DATE '2024-12-31'`")
        }
        (Family::Day, Family::Time) | (Family::Time, Family::Day) => {
            format!("write `CAST({} AS TIME)` for the time of a timestamp", shown(temporal.expr))
        }
        (Family::Boolean, Family::Number) | (Family::Number, Family::Boolean) => {
            "write `CAST(… AS INT)` for the number, where true is 1".to_owned()
        }
        _ => "CAST one of them to the type of the other".to_owned(),
    }
}

/// Returns the refusal of a group of operands, with the first two of them, and the position of the first column.
pub(super) fn refusal(operands: &[Operand<'_>], what: &str) -> DataFusionError {
    let first: Vec<_> = operands.iter().take(2).map(|operand| format!("`{}`", shown(operand.expr))).collect();
    let error = Error::new(ErrorKind::InvalidQuery, format!("{what} (in {})", first.join(" and ")));
    let span = operands.iter().find_map(|operand| operand.expr.spans()?.first());
    into_datafusion(error.at(span.and_then(|span| position(span.start.line, span.start.column))))
}

/// Returns an expression as a message shows it: a column without its table.
fn shown(expr: &Expr) -> String {
    const LONGEST: usize = 80;
    let text = match expr {
        Expr::Column(column) => quote_identifier(&column.name).into_owned(),
        other => other.human_display().to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
