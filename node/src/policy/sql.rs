//! The conditions of policies as SQL that their owner can read.

use arrow::temporal_conversions::timestamp_ms_to_datetime;
use portolan_catalog::sql_string;
use portolan_governance::{Comparison, Condition, Literal, Operand, PatternPart};

/// The strength of operators: a weaker one stands in parentheses within a stronger one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Not,
    Atom,
}

/// Returns a condition as SQL.
pub(super) fn sql_of(condition: &Condition) -> String {
    written(condition).0
}

/// Returns a condition, in parentheses if it is weaker than its surroundings.
fn within(condition: &Condition, surroundings: Strength) -> String {
    let (text, strength) = written(condition);
    if strength < surroundings { format!("({text})") } else { text }
}

fn written(condition: &Condition) -> (String, Strength) {
    let atom = |text: String| (text, Strength::Atom);
    match condition {
        Condition::Constant(value) => atom(boolean(*value).to_owned()),
        Condition::Compare { left, op, right } => {
            atom(format!("{} {} {}", operand(left), comparison(*op), operand(right)))
        }
        Condition::In { column, values } => {
            let values: Vec<String> = values.iter().map(literal).collect();
            atom(format!("{} IN ({})", name(column), values.join(", ")))
        }
        Condition::Like { column, pattern } => atom(format!("{} LIKE {}", name(column), like(pattern))),
        Condition::IsPresent(column) => atom(format!("{} IS NOT NULL", name(column))),
        Condition::And(parts) => joined(parts, " AND ", Strength::And, true),
        Condition::Or(parts) => joined(parts, " OR ", Strength::Or, false),
        Condition::Not(inner) => match inner.as_ref() {
            Condition::IsPresent(column) => atom(format!("{} IS NULL", name(column))),
            inner => (format!("NOT {}", negated(inner)), Strength::Not),
        },
        Condition::Sql(text) => atom(format!("({})", text.trim())),
        other => atom(format!("{other:?}")),
    }
}

/// Returns the operand of NOT. Without parentheses a reader may take NOT for a part of the comparison.
fn negated(condition: &Condition) -> String {
    match condition {
        Condition::Constant(_) | Condition::Sql(_) => within(condition, Strength::Not),
        _ => format!("({})", sql_of(condition)),
    }
}

fn joined(parts: &[Condition], word: &str, strength: Strength, none: bool) -> (String, Strength) {
    match parts {
        [] => (boolean(Some(none)).to_owned(), Strength::Atom),
        [only] => written(only),
        parts => (parts.iter().map(|part| within(part, strength)).collect::<Vec<_>>().join(word), strength),
    }
}

fn boolean(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "TRUE",
        Some(false) => "FALSE",
        None => "NULL",
    }
}

fn comparison(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq => "=",
        Comparison::NotEq => "<>",
        Comparison::Less => "<",
        Comparison::LessEq => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterEq => ">=",
    }
}

fn operand(operand: &Operand) -> String {
    match operand {
        Operand::Column(column) => name(column),
        Operand::Literal(value) => literal(value),
    }
}

/// Returns the name of a column, in quotes if SQL needs them.
fn name(column: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_well = column.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    match starts_well && column.chars().all(is_plain) {
        true => column.to_owned(),
        false => format!("\"{}\"", column.replace('"', "\"\"")),
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Bool(value) => boolean(Some(*value)).to_owned(),
        Literal::Long(value) => value.to_string(),
        Literal::String(value) => sql_string(value),
        Literal::Datetime(millis) => match timestamp_ms_to_datetime(*millis) {
            Some(time) => format!("TIMESTAMP '{time}Z'"),
            None => format!("to_timestamp_millis({millis})"),
        },
        Literal::Decimal(value) => decimal(*value),
        other => format!("{other:?}"),
    }
}

/// Returns a number of ten-thousandths.
fn decimal(value: i64) -> String {
    let (sign, digits) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let fraction = format!("{:04}", digits % 10_000);
    let fraction = fraction.trim_end_matches('0');
    format!("{sign}{}.{}", digits / 10_000, if fraction.is_empty() { "0" } else { fraction })
}

fn like(pattern: &[PatternPart]) -> String {
    let mut text = String::new();
    for part in pattern {
        match part {
            PatternPart::Any => text.push('%'),
            PatternPart::Text(part) => {
                for c in part.chars() {
                    if matches!(c, '%' | '_' | '\\') {
                        text.push('\\');
                    }
                    text.push(c);
                }
            }
        }
    }
    sql_string(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(column: &str, value: Literal) -> Condition {
        let (left, right) = (Operand::Column(column.to_owned()), Operand::Literal(value));
        Condition::Compare { left, op: Comparison::Eq, right }
    }

    #[test]
    fn conditions_are_readable() {
        let region = || equal("region", Literal::String("E'U".to_owned()));
        let present = || Condition::IsPresent("Owner".to_owned());
        let list = Condition::In { column: "id".to_owned(), values: vec![Literal::Long(1), Literal::Long(-2)] };
        let pattern = vec![PatternPart::Text("a_".to_owned()), PatternPart::Any];
        for (condition, expected) in [
            (region(), "region = 'E''U'"),
            (
                Condition::And(vec![Condition::Or(vec![region(), list.clone()]), present()]),
                "(region = 'E''U' OR id IN (1, -2)) AND \"Owner\" IS NOT NULL",
            ),
            (
                Condition::Or(vec![Condition::And(vec![region(), list]), present()]),
                "region = 'E''U' AND id IN (1, -2) OR \"Owner\" IS NOT NULL",
            ),
            (Condition::Not(Box::new(present())), "\"Owner\" IS NULL"),
            (Condition::Not(Box::new(region())), "NOT (region = 'E''U')"),
            (Condition::Not(Box::new(Condition::Sql("a + 1 > 2".to_owned()))), "NOT (a + 1 > 2)"),
            (Condition::Like { column: "c".to_owned(), pattern }, "c LIKE 'a\\_%'"),
            (equal("at", Literal::Datetime(86_400_000)), "at = TIMESTAMP '1970-01-02 00:00:00Z'"),
            (equal("x", Literal::Decimal(-12_500)), "x = -1.25"),
            (equal("x", Literal::Decimal(20_000)), "x = 2.0"),
            (Condition::And(vec![]), "TRUE"),
            (Condition::NULL, "NULL"),
        ] {
            assert_eq!(sql_of(&condition), expected);
        }
    }
}
