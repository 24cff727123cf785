//! Values that break a rule, for its report. They name their rows by the key of the port. Values of classified columns
//! are in no report.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use portolan_catalog::Port;
use portolan_engine::Session;

use super::conditions::{column_name, have_values};
use super::queries::texts;
use super::relation::Relation;

/// The largest number of examples of a rule.
const EXAMPLES: usize = 5;
/// The largest number of rows in which different values are searched.
const SEARCHED: usize = 200;
/// The largest number of columns that name a row, unless they are a key.
const NAMING: usize = 2;

/// The rows of which examples are shown.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) session: &'a Session,
    pub(super) port: &'a Port,
    pub(super) schema: &'a Schema,
    pub(super) relation: &'a Relation,
}

/// Returns examples of the rows that fulfil a condition. There are none if the examples cannot be read.
pub(super) async fn rows(shown: &Shown<'_>, columns: &[String], condition: &str) -> Vec<String> {
    let values: Vec<String> = columns.iter().filter(|name| is_open(shown.port, name)).cloned().collect();
    let naming = naming(shown, columns);
    let selected: Vec<String> = values.iter().chain(&naming).map(|name| column_name(name)).collect();
    if selected.is_empty() {
        return vec![];
    }
    let sql =
        format!("SELECT {} FROM {} AS s WHERE {condition} LIMIT {SEARCHED}", selected.join(", "), shown.relation.name);
    let Ok(found) = texts(shown.session, &sql, SEARCHED).await else { return vec![] };
    let (mut seen, mut examples) = (BTreeSet::new(), vec![]);
    for row in found {
        let (own, name) = row.split_at(values.len().min(row.len()));
        let is_null = own.iter().all(|value| value == "NULL");
        if examples.len() < EXAMPLES && (is_null || seen.insert(own.to_vec())) {
            let own: &[String] = if is_null && !naming.is_empty() { &[] } else { own };
            examples.push(example(own, &naming, name));
        }
    }
    examples
}

/// Returns the values that occur most often, with their numbers. There are none if a column is classified.
pub(super) async fn duplicates(shown: &Shown<'_>, columns: &[String]) -> Vec<String> {
    if !columns.iter().all(|name| is_open(shown.port, name)) {
        return vec![];
    }
    let names: Vec<String> = columns.iter().map(|name| column_name(name)).collect();
    let positions: Vec<String> = (1..=names.len()).map(|position| position.to_string()).collect();
    let sql = format!(
        "SELECT {0}, count(*) FROM {1} AS s WHERE {2} GROUP BY {0} HAVING count(*) > 1 ORDER BY {3} DESC, {4} LIMIT \
         {EXAMPLES}",
        names.join(", "),
        shown.relation.name,
        have_values(columns),
        names.len() + 1,
        positions.join(", ")
    );
    let Ok(found) = texts(shown.session, &sql, EXAMPLES).await else { return vec![] };
    let example = |row: Vec<String>| {
        let (count, values) = row.split_last()?;
        Some(format!("`{}` ({count} times)", values.join("`, `")))
    };
    found.into_iter().filter_map(example).collect()
}

/// Returns the columns that name a row beside those of the rule: the key, or else the first columns of the port.
fn naming(shown: &Shown<'_>, columns: &[String]) -> Vec<String> {
    let port = shown.port;
    let may_name = |name: &&String| {
        let field = shown.schema.field_with_name(name);
        !columns.contains(name) && is_open(port, name) && field.is_ok_and(|field| !field.data_type().is_nested())
    };
    let key: Vec<String> = port.primary_key.iter().filter(may_name).cloned().collect();
    if key.is_empty() {
        let all = port.columns.iter().map(|column| &column.name);
        return all.filter(may_name).take(NAMING).cloned().collect();
    }
    key
}

fn is_open(port: &Port, name: &str) -> bool {
    port.columns.iter().any(|column| column.name == name && column.is_open())
}

/// Returns the values of a row, with the columns that name the row.
fn example(values: &[String], naming: &[String], named: &[String]) -> String {
    let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
    let row: Vec<_> = naming.iter().zip(named).map(|(name, value)| format!("{name} = {value}")).collect();
    match (values.is_empty(), row.is_empty()) {
        (false, false) => format!("{} ({})", values.join(", "), row.join(", ")),
        (false, true) => values.join(", "),
        (true, _) => format!("the row with {}", row.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_its_values_and_its_row() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (id, seven) = (texts(&["id"]), texts(&["7"]));
        assert_eq!(example(&texts(&["lost"]), &id, &seven), "`lost` (id = 7)");
        assert_eq!(example(&texts(&["lost"]), &[], &[]), "`lost`");
        assert_eq!(example(&[], &id, &seven), "the row with id = 7");
    }
}
