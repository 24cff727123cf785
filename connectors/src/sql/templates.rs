//! The templates of the allow-list, filled with operands.

use arrow::datatypes::DataType;

use super::allowed::{SqlKind, SqlOperand};
use super::dialect::SqlDialect;
use super::numbers::{Digits, integer};

/// The parts of a template beside the operands.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// The `FILTER` clause of an aggregate, with a space before it.
    pub(super) filter: String,
    /// The type of the result.
    pub(super) result: Option<DataType>,
}

/// Returns a template with operands in the place of its marks; `None` if the dialect cannot write one of them.
pub(super) fn filled(template: &str, operands: &[SqlOperand], parts: &Parts, dialect: &SqlDialect) -> Option<String> {
    let mut sql = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (mark, after) = after.split_once('}')?;
        sql += before;
        sql += &marked(mark, operands, parts, dialect)?;
        rest = after;
    }
    Some(sql + rest)
}

fn marked(mark: &str, operands: &[SqlOperand], parts: &Parts, dialect: &SqlDialect) -> Option<String> {
    match mark {
        "filter" => return Some(parts.filter.clone()),
        "type" => return (dialect.type_name)(parts.result.as_ref()?),
        "scale" => return scale(parts).map(|scale| scale.to_string()),
        "up" => return Some(format!("1{}", "0".repeat(scale(parts)?))),
        "down" => return Some(format!("0.{}1", "0".repeat(scale(parts)?.checked_sub(1)?))),
        _ => {}
    }
    let is_exact = mark.ends_with('!');
    let mark = mark.trim_end_matches('!');
    if let Some(first) = mark.strip_suffix("..") {
        let operands = operands.get(first.parse::<usize>().ok()?..)?.iter();
        let written = operands.map(|operand| if is_exact { exact(operand, dialect) } else { operand.sql.clone() });
        return Some(written.collect::<Vec<_>>().join(", "));
    }
    if let Some(digits) = mark.strip_suffix('#') {
        let literal = operands.get(digits.parse::<usize>().ok()?)?.literal.as_ref()?;
        return integer(literal).map(|value| value.to_string());
    }
    let operand = operands.get(mark.parse::<usize>().ok()?)?;
    Some(if is_exact { exact(operand, dialect) } else { operand.sql.clone() })
}

/// Returns the number of digits after the point of the result.
fn scale(parts: &Parts) -> Option<usize> {
    usize::try_from(Digits::of(parts.result.as_ref()?)?.scale).ok()
}

/// Returns an operand as it compares, groups and sorts like at a node: strings by their bytes.
pub(super) fn exact(operand: &SqlOperand, dialect: &SqlDialect) -> String {
    match SqlKind::of(&operand.data_type) {
        Some(SqlKind::Text) => dialect.exact_text.replace("{0}", &operand.sql),
        _ => operand.sql.clone(),
    }
}
