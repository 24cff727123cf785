//! The SQL conditions of the rows that break a rule, or that count for its metric. The rows are called `s`.

use arrow::datatypes::{DataType, Schema};
use portolan_catalog::rules::{Bound, Metric, Rule, RuleKind, Size};
use serde_json::Value;

use super::literal::{literal, or_null, quoted_name, quoted_text, type_of_values};

/// The way in which a rule is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// By the rows that fulfil a condition.
    Rows(String),
    /// By the values of the rule's columns that occur more than once.
    Duplicates,
    /// By the rows without a partner in another port.
    Partners,
    /// By the number of all rows.
    RowCount,
    /// By a query of the contract.
    Query,
    /// Not at all, for this reason.
    Impossible(String),
}

/// Returns the way in which a rule is checked over rows with this schema.
pub(super) fn check_of(rule: &Rule, schema: &Schema) -> Check {
    match &rule.kind {
        RuleKind::Unique | RuleKind::PrimaryKey | RuleKind::Metric { metric: Metric::DuplicateValues, .. } => {
            Check::Duplicates
        }
        RuleKind::References { .. } => Check::Partners,
        RuleKind::Metric { metric: Metric::RowCount, .. } => Check::RowCount,
        RuleKind::Sql { .. } => Check::Query,
        RuleKind::Unchecked { reason, .. } => Check::Impossible(reason.clone()),
        kind => {
            let column = rule.columns.first().and_then(|name| schema.field_with_name(name).ok());
            let condition = column.ok_or_else(|| "the port has no such column".to_owned());
            match condition.and_then(|column| condition_of(kind, column.name(), column.data_type())) {
                Ok(condition) => Check::Rows(condition),
                Err(reason) => Check::Impossible(reason),
            }
        }
    }
}

/// Returns the name of a column of the rows.
pub(super) fn column_name(name: &str) -> String {
    format!("s.{}", quoted_name(name))
}

/// Returns the condition that no column is NULL.
pub(super) fn have_values(columns: &[String]) -> String {
    columns.iter().map(|name| format!("{} IS NOT NULL", column_name(name))).collect::<Vec<_>>().join(" AND ")
}

fn condition_of(kind: &RuleKind, name: &str, data_type: &DataType) -> Result<String, String> {
    let column = column_name(name);
    match kind {
        RuleKind::Required => Ok(format!("{column} IS NULL")),
        RuleKind::Enum(values) => none_of(&column, values, data_type),
        RuleKind::Pattern(pattern) => no_match(&column, pattern, data_type),
        RuleKind::Bound(bound, value) => {
            let beyond = match bound {
                Bound::Minimum => "<",
                Bound::ExclusiveMinimum => "<=",
                Bound::Maximum => ">",
                Bound::ExclusiveMaximum => ">=",
            };
            Ok(format!("{column} {beyond} {}", literal(value, data_type)?))
        }
        RuleKind::Size(size, bound) => wrong_size(*size, *bound, &column, data_type),
        RuleKind::MultipleOf(number) => match (type_of_values(data_type).is_integer(), number.as_u64()) {
            (true, Some(number)) if number > 0 => Ok(format!("{column} % {number} <> 0")),
            _ => Err("only integers are checked for it".to_owned()),
        },
        RuleKind::UniqueItems => {
            is_list(data_type)?;
            Ok(format!(
                "{column} IS NOT NULL AND {} <> {}",
                items(&format!("array_distinct({column})")),
                items(&column)
            ))
        }
        RuleKind::Metric { metric: Metric::NullValues, .. } => Ok(format!("{column} IS NULL")),
        RuleKind::Metric { metric: Metric::MissingValues(values), .. } => Ok(missing(&column, values, data_type)),
        RuleKind::Metric { metric: Metric::InvalidValues { valid, pattern }, .. } => {
            let other = (!valid.is_empty()).then(|| none_of(&column, valid, data_type)).transpose()?;
            let no_match = pattern.as_ref().map(|p| no_match(&column, p, data_type)).transpose()?;
            Ok(other.into_iter().chain(no_match).collect::<Vec<_>>().join(" OR "))
        }
        _ => Err("it is not supported".to_owned()),
    }
}

/// The values are others than these. NULL is not.
fn none_of(column: &str, values: &[Value], data_type: &DataType) -> Result<String, String> {
    let values = values.iter().filter(|value| !value.is_null());
    let literals = values.map(|value| literal(value, data_type)).collect::<Result<Vec<_>, _>>()?;
    Ok(match literals.is_empty() {
        true => format!("{column} IS NOT NULL"),
        false => format!("{column} NOT IN ({})", literals.join(", ")),
    })
}

/// The values are some of these, of which one may be NULL. A value of another type than the column cannot occur.
fn missing(column: &str, values: &[Value], data_type: &DataType) -> String {
    let literals: Vec<_> = values.iter().filter_map(|value| literal(value, data_type).ok()).map(or_null).collect();
    let null = values.iter().any(Value::is_null).then(|| format!("{column} IS NULL"));
    let listed = (!literals.is_empty()).then(|| format!("{column} IN ({})", literals.join(", ")));
    let conditions: Vec<_> = null.into_iter().chain(listed).collect();
    if conditions.is_empty() { "FALSE".to_owned() } else { conditions.join(" OR ") }
}

fn no_match(column: &str, pattern: &str, data_type: &DataType) -> Result<String, String> {
    Ok(format!("NOT regexp_like({}, {})", string(column, data_type)?, quoted_text(pattern)))
}

fn wrong_size(size: Size, bound: u64, column: &str, data_type: &DataType) -> Result<String, String> {
    let beyond = match size {
        Size::MinLength | Size::MinItems => "<",
        Size::MaxLength | Size::MaxItems => ">",
        Size::Dimensions => "<>",
    };
    match size {
        Size::MinLength | Size::MaxLength => {
            Ok(format!("character_length({}) {beyond} {bound}", string(column, data_type)?))
        }
        Size::MinItems | Size::MaxItems | Size::Dimensions => {
            is_list(data_type)?;
            Ok(format!("{column} IS NOT NULL AND {} {beyond} {bound}", items(column)))
        }
    }
}

/// Returns a column as a string.
fn string(column: &str, data_type: &DataType) -> Result<String, String> {
    match type_of_values(data_type) {
        values if !values.is_string() => Err(format!("only strings are checked for it, and the column is {values}")),
        values if values == data_type => Ok(column.to_owned()),
        _ => Ok(format!("CAST({column} AS VARCHAR)")),
    }
}

fn is_list(data_type: &DataType) -> Result<(), String> {
    match data_type.is_list() {
        true => Ok(()),
        false => Err(format!("only lists are checked for it, and the column is {data_type}")),
    }
}

/// Returns the number of items of a list, which has no length if it is empty.
fn items(list: &str) -> String {
    format!("coalesce(array_length({list}), 0)")
}

#[cfg(test)]
mod tests;
