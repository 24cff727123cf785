//! Reads the `quality` rules of a contract. A rule that nothing here can check says why.

use serde_json::Value;

use crate::rules::{Metric, RuleKind, Threshold};

/// Reads one entry of a `quality` list. `column` is the column that has the list, and `known` are all columns. Returns
/// the columns that the rule is about, and the rule.
pub(super) fn read(entry: &Value, column: Option<&str>, known: &[&str]) -> (Vec<String>, RuleKind) {
    let own: Vec<String> = column.into_iter().map(str::to_owned).collect();
    let unchecked = |rule: &str, reason: String| RuleKind::Unchecked { rule: rule.to_owned(), reason };
    match (entry["type"].as_str(), entry["metric"].as_str()) {
        (Some("text"), _) => (own, unchecked("text", "it is for readers".to_owned())),
        (Some("custom"), _) => {
            let engine = entry["engine"].as_str().unwrap_or("another program");
            (own, unchecked("custom", format!("`{engine}` checks it")))
        }
        (Some("sql"), _) => match threshold(entry) {
            Ok(threshold) => {
                let query = entry["query"].as_str().unwrap_or_default().to_owned();
                (own, RuleKind::Sql { query, threshold })
            }
            Err(reason) => (own, unchecked("sql", reason)),
        },
        (_, Some(name)) => match metric(name, entry, column, known) {
            Ok((columns, kind)) => (columns, kind),
            Err(reason) => (own, unchecked(name, reason)),
        },
        (_, None) => (own, unchecked("quality", "the key `metric` is missing".to_owned())),
    }
}

/// Reads a rule of the type `library`.
///
/// # Errors
/// The reason why the rule cannot be checked.
fn metric(name: &str, entry: &Value, column: Option<&str>, known: &[&str]) -> Result<(Vec<String>, RuleKind), String> {
    let arguments = &entry["arguments"];
    let metric = match name {
        "rowCount" => Metric::RowCount,
        "nullValues" => Metric::NullValues,
        "missingValues" => Metric::MissingValues(values(arguments, "missingValues")?.ok_or_else(|| {
            "`arguments.missingValues` is missing: the values that stand for a missing one".to_owned()
        })?),
        "invalidValues" => invalid_values(arguments)?,
        "duplicateValues" => Metric::DuplicateValues,
        _ => return Err("the metric is not known here".to_owned()),
    };
    let columns = match (&metric, column) {
        (Metric::RowCount, _) => vec![],
        (_, Some(column)) => vec![column.to_owned()],
        (Metric::DuplicateValues, None) => properties(arguments, known)?,
        (_, None) => return Err("it is a metric of one property, and this rule is not in a property".to_owned()),
    };
    let percent = match entry["unit"].as_str() {
        None | Some("rows") => false,
        Some("percent") if metric == Metric::RowCount => {
            return Err("expected the unit `rows`, got `percent`".to_owned());
        }
        Some("percent") => true,
        Some(unit) => return Err(format!("expected the unit `rows` or `percent`, got `{unit}`")),
    };
    Ok((columns, RuleKind::Metric { metric, threshold: threshold(entry)?, percent }))
}

fn invalid_values(arguments: &Value) -> Result<Metric, String> {
    let valid = values(arguments, "validValues")?;
    let pattern = match &arguments["pattern"] {
        Value::Null => None,
        Value::String(pattern) => Some(pattern.clone()),
        other => return Err(format!("`arguments.pattern`: expected a string, got {other}")),
    };
    if valid.is_none() && pattern.is_none() {
        return Err("`arguments` has neither `validValues` nor `pattern`".to_owned());
    }
    Ok(Metric::InvalidValues { valid: valid.unwrap_or_default(), pattern })
}

/// Returns a list of values among the arguments, or `None` if there is none.
fn values(arguments: &Value, key: &str) -> Result<Option<Vec<Value>>, String> {
    match &arguments[key] {
        Value::Null => Ok(None),
        Value::Array(values) if values.is_empty() => Err(format!("`arguments.{key}` is empty")),
        Value::Array(values) => Ok(Some(values.clone())),
        other => Err(format!("`arguments.{key}`: expected a list, got {other}")),
    }
}

/// Returns the columns whose values together are compared.
fn properties(arguments: &Value, known: &[&str]) -> Result<Vec<String>, String> {
    let names = values(arguments, "properties")?
        .ok_or_else(|| "`arguments.properties` is missing: the columns whose values are compared".to_owned())?;
    let column = |name: &Value| match name.as_str() {
        Some(name) if known.contains(&name) => Ok(name.to_owned()),
        _ => Err(format!("`arguments.properties`: there is no column {name}")),
    };
    names.iter().map(column).collect()
}

/// Returns the expected result. The standard's schema has checked that there is exactly one.
fn threshold(entry: &Value) -> Result<Threshold, String> {
    let key = Threshold::KEYS.into_iter().find(|key| !entry[key].is_null());
    let key = key.ok_or_else(|| format!("one of `{}` is missing", Threshold::KEYS.join("`, `")))?;
    let value = &entry[key];
    let number = |value: &Value| match value {
        Value::Bool(value) => Ok(f64::from(*value)),
        other => other.as_f64().ok_or_else(|| format!("`{key}`: expected a number or a boolean, got {other}")),
    };
    let range = || match value.as_array().map(Vec::as_slice) {
        Some([from, to]) => Ok((number(from)?, number(to)?)),
        _ => Err(format!("`{key}`: expected two numbers, got {value}")),
    };
    Ok(match key {
        "mustBe" => Threshold::Equal(number(value)?),
        "mustNotBe" => Threshold::NotEqual(number(value)?),
        "mustBeGreaterThan" => Threshold::Greater(number(value)?),
        "mustBeGreaterOrEqualTo" => Threshold::GreaterOrEqual(number(value)?),
        "mustBeLessThan" => Threshold::Less(number(value)?),
        "mustBeLessOrEqualTo" => Threshold::LessOrEqual(number(value)?),
        "mustBeBetween" => range().map(|(from, to)| Threshold::Between(from, to))?,
        _ => range().map(|(from, to)| Threshold::NotBetween(from, to))?,
    })
}
