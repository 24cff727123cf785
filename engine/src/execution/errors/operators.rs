//! Errors about operators whose operands have the wrong types.

use super::Message;
use super::sql_words::{in_sql_words, split};

/// Describes an operator that does not accept its operands; `None` for other messages.
pub(super) fn message(message: &str) -> Option<Message> {
    const STARTS: [&str; 12] = [
        "Cannot coerce arithmetic expression ",
        "Cannot get result type for arithmetic operation ",
        "Cannot get result type for temporal operation ",
        "Cannot get result type for decimal operation ",
        "Cannot infer common argument type for comparison operation ",
        "Cannot infer common argument type for logical boolean operation ",
        "Cannot infer common argument type for regex operation ",
        "Cannot infer common argument type for operation ",
        "Cannot infer common argument type for AtAt operation ",
        "Cannot infer common type for bitwise operation ",
        "Cannot infer common string type for string concat operation ",
        "There isn't a common type to coerce ",
    ];
    let rest = STARTS.iter().find_map(|start| message.strip_prefix(start))?;
    if let Some((types, operator)) = rest.strip_suffix(" expression").and_then(|rest| rest.rsplit_once(" in ")) {
        let (left, right) = types.split_once(" and ")?;
        return Some(refused(operator, left, right));
    }
    let rest = rest.strip_suffix(" to valid types").unwrap_or(rest);
    let words = words(rest);
    match words.as_slice() {
        [left, operator @ .., right] if !operator.is_empty() => Some(refused(&operator.join(" "), left, right)),
        _ => None,
    }
}

fn refused(operator: &str, left: &str, right: &str) -> Message {
    let (left, right) = (in_sql_words(left), in_sql_words(right));
    let text = ["VARCHAR", "NULL"];
    let is_time = |name: &str| name == "DATE" || name.starts_with("TIMESTAMP");
    let instead = match (operator, left.as_str(), right.as_str()) {
        ("=" | "!=", left, "STRUCT") if left != "STRUCT" => "write IN for a list of values",
        ("+" | "-", left, "VARCHAR" | "BIGINT" | "INTEGER") if is_time(left) => {
            "write an interval, as in INTERVAL '1 day'"
        }
        ("*" | "/", "INTERVAL", _) | ("*", _, "INTERVAL") => "write the interval itself, as in INTERVAL '2 months'",
        ("+", left, right) if text.contains(&left) && text.contains(&right) => "`||` concatenates strings",
        ("AND" | "OR", ..) => "compare the value, as in `x <> 0`",
        _ => "CAST one of them",
    };
    Message::new(format!("`{operator}` does not accept {left} and {right}: {instead}"))
}

/// Splits an operation at the spaces that are not in parentheses. A colon behind the operation begins its cause.
fn words(operation: &str) -> Vec<&str> {
    let operation = split(operation, ':').into_iter().next().unwrap_or_default();
    split(operation, ' ').into_iter().filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn operands_have_their_sql_types() {
        for (message, expected) in [
            (
                "Cannot coerce arithmetic expression Utf8View + Int64 to valid types",
                "`+` does not accept VARCHAR and BIGINT: CAST one of them",
            ),
            (
                "Cannot coerce arithmetic expression Utf8 + Utf8View to valid types",
                "`+` does not accept VARCHAR and VARCHAR: `||` concatenates strings",
            ),
            (
                "Cannot get result type for temporal operation Interval(MonthDayNano) * Int64: Invalid argument error: \
                 Invalid interval arithmetic operation: Interval(MonthDayNano) * Interval(MonthDayNano)",
                "`*` does not accept INTERVAL and BIGINT: write the interval itself, as in INTERVAL '2 months'",
            ),
            (
                "Cannot infer common argument type for comparison operation Decimal128(15, 2) IS DISTINCT FROM List(Int64)",
                "`IS DISTINCT FROM` does not accept DECIMAL(15,2) and BIGINT[]: CAST one of them",
            ),
            (
                "Cannot infer common argument type for logical boolean operation Int64 AND Boolean",
                "`AND` does not accept BIGINT and BOOLEAN: compare the value, as in `x <> 0`",
            ),
            (
                "Cannot infer common argument type for comparison operation Utf8View = Struct(\"c0\": Utf8, \"c1\": Utf8)",
                "`=` does not accept VARCHAR and STRUCT: write IN for a list of values",
            ),
            (
                "Cannot coerce arithmetic expression Date32 + Utf8 to valid types",
                "`+` does not accept DATE and VARCHAR: write an interval, as in INTERVAL '1 day'",
            ),
            (
                "Cannot coerce arithmetic expression Timestamp(ns) - Int64 to valid types",
                "`-` does not accept TIMESTAMP and BIGINT: write an interval, as in INTERVAL '1 day'",
            ),
            (
                "There isn't a common type to coerce Int64 and Utf8 in LIKE expression",
                "`LIKE` does not accept BIGINT and VARCHAR: CAST one of them",
            ),
        ] {
            assert_eq!(super::message(message).unwrap().text, expected);
        }
    }
}
