//! Literals with more digits than a float holds keep them until it is known what they meet.
//!
//! DataFusion's SQL planner makes a float of every number with a point, and of integers beyond 64 bits. Those of more than 15
//! digits are planned as a cast of their text to a float instead: the same float, but [`super::exact::Exact`] reads the
//! text where a decimal is met.

use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Statement, UnaryOperator, Value, ValueWithSpan, visit_expressions_mut,
};

/// Every number of so many digits comes out of a float as it went in.
const DIGITS_OF_FLOATS: usize = 15;

/// Writes literals with many digits as casts of their text.
pub(crate) fn keep_digits(statement: &mut Statement) {
    let _ = visit_expressions_mut(statement, |expr| {
        let text = match &*expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|digits| format!("-{digits}")),
            other => number(other).map(str::to_owned),
        };
        if let Some(text) = text.filter(|text| is_long(text)) {
            let text = text.replace('_', "");
            *expr = cast(text);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => Some(text),
        _ => None,
    }
}

/// True if a float may not hold every digit, and no integer does.
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
