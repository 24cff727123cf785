//! Refuses lists in functions of strings. DataFusion 55.2 prints the list first: `length([1, 2])` would be 6, the number
//! of the printed characters.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::execution::errors::{into_datafusion, position};
use crate::{Error, ErrorKind};

/// The functions under DataFusion's names, as statements write them, and those for lists.
const OF_STRINGS: [(&str, &str, &str); 4] = [
    ("character_length", "length", "array_length(list)"),
    ("left", "left", "array_slice(list, 1, n)"),
    ("reverse", "reverse", "array_reverse(list)"),
    ("right", "right", "array_slice(list, -n, -1)"),
];

/// Refuses a call of such a function with a list.
pub(super) fn refuse(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::ScalarFunction(call) = expr else { return Ok(()) };
    let Some((_, name, instead)) = OF_STRINGS.iter().find(|(function, ..)| *function == call.func.name()) else {
        return Ok(());
    };
    let Some(argument) = call.args.first() else { return Ok(()) };
    if !matches!(argument.get_type(schema)?, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
        return Ok(());
    }
    let what = format!("`{name}` takes a string, got a list: write `{instead}`");
    let error = Error::new(ErrorKind::InvalidQuery, what);
    let span = argument.spans().and_then(|spans| spans.first());
    Err(into_datafusion(error.at(span.and_then(|span| position(span.start.line, span.start.column)))))
}
