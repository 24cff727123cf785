//! Checks of values, on which comparisons in the database depend.
//!
//! A column that the database may compare has a mark in its expression: `t."price" /* check 3 */`. So each query shows
//! which checks it depends on. Before such a query runs, the checks are made in the query's own snapshot, unless the same
//! connection has made them and no other has changed the file since. A check that fails fails the query.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::OptionalExtension;

use super::link::Link;
use super::place::Place;
use super::stop::Stop;
use crate::error::{Error, ErrorKind, Result};
use crate::poison::lock;

/// The largest number of checks of one database. Columns beyond it are only returned.
const MAX_CHECKS: usize = 10_000;
const MARK: (&str, &str) = (" /* check ", " */");

/// A check of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// The relation in a `FROM` clause.
    pub(super) from: String,
    /// The name of the column, for errors.
    pub(super) column: String,
    /// The expression that reads the column, without the mark.
    pub(super) sql: String,
    /// The relation's definition in the schema.
    pub(super) definition: Definition,
    /// A condition over a row, which is not true if the value has another form; `None` if the definition decides.
    pub(super) condition: Option<String>,
}

/// A definition that the meaning of a query depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// The table; `None` for a view or a query, which depends on every definition.
    pub(super) table: Option<String>,
    /// The text of the definition.
    pub(super) text: Arc<str>,
}

/// The checks of a database, by their numbers.
#[derive(Default)]
pub(super) struct Checks(Mutex<Vec<Arc<Check>>>);

impl Checks {
    /// Returns the number of a check, and its column's expression with the mark. `None` if there are too many checks.
    pub(super) fn mark(&self, check: Check) -> Option<(usize, String)> {
        let mut all = lock(&self.0);
        let sql = check.sql.clone();
        let number = match all.iter().position(|other| **other == check) {
            Some(number) => number,
            None if all.len() < MAX_CHECKS => {
                all.push(Arc::new(check));
                all.len() - 1
            }
            None => return None,
        };
        Some((number, format!("{sql}{}{number}{}", MARK.0, MARK.1)))
    }

    /// Returns the column of each check that reads rows.
    #[cfg(test)]
    pub(super) fn conditions(&self) -> Vec<Option<String>> {
        lock(&self.0).iter().map(|check| check.condition.as_ref().map(|_| check.column.clone())).collect()
    }

    /// Returns the checks that a query depends on. A query that only returns the columns of one table depends on none.
    fn of_query(&self, text: &str) -> Vec<(usize, Arc<Check>)> {
        let all = lock(&self.0);
        let numbers = text.split(MARK.0).skip(1).filter_map(|rest| rest.split_once(MARK.1)?.0.parse().ok());
        let mut checks: Vec<(usize, Arc<Check>)> =
            numbers.filter_map(|number: usize| Some((number, all.get(number)?.clone()))).collect();
        checks.sort_by_key(|(number, _)| *number);
        checks.dedup_by_key(|(number, _)| *number);
        let rest = checks.iter().fold(text.to_owned(), |text, (number, check)| {
            text.replace(&format!("{}{}{number}{}", check.sql, MARK.0, MARK.1), "")
        });
        // Every operator of a fragment reads a derived table in brackets.
        let only_returns = !["(", " WHERE ", " ORDER ", " GROUP ", "DISTINCT"].iter().any(|word| rest.contains(word));
        if only_returns { vec![] } else { checks }
    }

    /// Makes the checks that a query depends on, in the snapshot of the link.
    ///
    /// # Errors
    /// `SiteUnavailable` if a value or a definition has changed so that the query would mean something else.
    pub(super) fn verify(&self, text: &str, link: &mut Link, place: &Place, stop: &Stop) -> Result<()> {
        let mut missing: BTreeMap<String, Vec<(usize, Arc<Check>)>> = BTreeMap::new();
        for (number, check) in self.of_query(text) {
            if !link.checked.contains(&number) {
                missing.entry(check.from.clone()).or_default().push((number, check));
            }
        }
        for (from, checks) in missing {
            let result = violated(link, &from, &checks);
            match result.map_err(|error| place.failed(&error, stop))? {
                None => link.checked.extend(checks.iter().map(|(number, _)| *number)),
                Some(column) => return Err(changed(place, &column)),
            }
        }
        Ok(())
    }
}

/// Returns the column of a check that fails.
fn violated(link: &Link, from: &str, checks: &[(usize, Arc<Check>)]) -> rusqlite::Result<Option<String>> {
    for (_, check) in checks {
        let text = definition(link, check.definition.table.as_deref())?.unwrap_or_default();
        if *text != *check.definition.text {
            return Ok(Some(check.column.clone()));
        }
    }
    let tested: Vec<&Arc<Check>> = checks.iter().map(|(_, check)| check).filter(|c| c.condition.is_some()).collect();
    if tested.is_empty() {
        return Ok(None);
    }
    let conditions = tested.iter().filter_map(|check| check.condition.as_deref());
    let parts: Vec<String> = conditions.map(|condition| format!("({condition}) IS NOT TRUE")).collect();
    let cases: Vec<String> = parts.iter().enumerate().map(|(i, part)| format!("WHEN {part} THEN {i}")).collect();
    let sql = format!("SELECT CASE {} END FROM {from} AS t WHERE {} LIMIT 1", cases.join(" "), parts.join(" OR "));
    let first: Option<u32> = link.connection.query_row(&sql, [], |row| row.get(0)).optional()?;
    Ok(first.and_then(|i| tested.get(i as usize)).map(|check| check.column.clone()))
}

/// Returns a condition that is true for NULL and for values with this condition.
pub(super) fn or_null(reference: &str, condition: &str) -> String {
    format!("{reference} IS NULL OR ({condition})")
}

/// Returns the text of a definition: of a table, or of all tables and views. `None` if the table does not exist.
///
/// # Errors
/// The schema cannot be read.
pub(super) fn definition(link: &Link, table: Option<&str>) -> rusqlite::Result<Option<String>> {
    let connection = &link.connection;
    match table {
        Some(table) => {
            let sql = "SELECT s.sql FROM sqlite_schema AS s WHERE s.type = 'table' AND s.name = ?1 COLLATE NOCASE";
            connection.query_row(sql, [table], |row| row.get(0)).optional()
        }
        None => {
            let sql = "SELECT group_concat(s.sql, ';') FROM (SELECT s.sql FROM sqlite_schema AS s \
                       WHERE s.type IN ('table', 'view') AND s.name NOT LIKE 'sqlite%' ORDER BY s.name) AS s";
            connection.query_row(sql, [], |row| row.get(0))
        }
    }
}

fn changed(place: &Place, column: &str) -> Error {
    let text = format!(
        "column `{column}` has changed since its values were checked, and the query compares them; try again after the \
         node has opened the port again"
    );
    place.error(ErrorKind::SiteUnavailable, text)
}
