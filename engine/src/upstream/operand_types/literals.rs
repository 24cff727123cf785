//! Literals with more digits than a float holds keep their digits until the analyzer knows the other operand. Literals
//! of `TIMESTAMP` have the unit that holds their digits.
//!
//! The SQL planner of DataFusion 55.2 makes a float of every number with a point, and of integers beyond 64 bits. Here
//! a number of more than 15 digits becomes a cast of its text to a float. The float is the same, but next to a decimal
//! [`super::exact::Exact`] reads the text. See <https://github.com/apache/datafusion/issues/3480>.

use arrow::datatypes::TimeUnit;
use sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Statement, TypedString, UnaryOperator, Value, ValueWithSpan,
};

use super::timestamps::unit_of_text;
use crate::visit::visit_expressions_mut;

/// A float restores every number of at most this many digits.
const DIGITS_OF_FLOATS: usize = 15;

/// Replaces literals with many digits by casts of their text, and gives the `TIMESTAMP` of a literal a precision.
pub(crate) fn keep_digits(statement: &mut Statement) {
    visit_expressions_mut(statement, |expr| {
        let text = match &*expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|digits| format!("-{digits}")),
            other => number(other).map(str::to_owned),
        };
        if let Some(text) = text.filter(|text| is_long(text)) {
            let text = text.replace('_', "");
            *expr = cast(text);
        }
        give_precision(expr);
    });
}

/// Adds a precision to a literal's type without one: six, or nine if the text has more than six digits after the
/// second.
fn give_precision(expr: &mut Expr) {
    let (text, data_type) = match expr {
        Expr::TypedString(TypedString { value, data_type, .. }) => (&value.value, data_type),
        Expr::Cast { expr: inner, data_type, .. } => match &**inner {
            Expr::Value(value) => (&value.value, data_type),
            _ => return,
        },
        _ => return,
    };
    if let DataType::Timestamp(precision @ None, _) = data_type {
        *precision = match text {
            Value::SingleQuotedString(text) if unit_of_text(text) == TimeUnit::Nanosecond => Some(9),
            Value::SingleQuotedString(_) | Value::Null => Some(6),
            _ => return,
        };
    }
}

fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => Some(text),
        _ => None,
    }
}

/// True if a float may lose a digit, and the text is not a 64-bit integer.
fn is_long(text: &str) -> bool {
    let is_integer = text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    !is_integer && digits > DIGITS_OF_FLOATS && !text.contains(['e', 'E'])
}

fn cast(text: String) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::SingleQuotedString(text).into())),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}
