//! The kinds of statements that return rows. Other kinds are rejected, with what to do instead.

use datafusion::sql::parser::Statement;
use sqlparser::ast::Statement as SqlStatement;

use super::unsupported;
use crate::Result;

/// The supported kinds of statements.
pub(super) const SUPPORTED: &str = "SELECT, EXPLAIN, SHOW, DESCRIBE, SET, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, \
                                    INSERT, UPDATE, DELETE and CALL";

/// Rejects statements that would write or define something, before any name is looked up.
///
/// # Errors
/// `Unsupported`, with the statements that are supported, or with what to do instead.
pub(super) fn only_reads(statement: &Statement) -> Result<()> {
    let reads = match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowFunctions { .. }
                | SqlStatement::ShowVariable { .. }
        ),
        _ => false,
    };
    if reads {
        return Ok(());
    }
    if let Statement::Explain(_) = statement {
        return Err(unsupported("EXPLAIN takes a query, and this is another EXPLAIN"));
    }
    let text = statement.to_string();
    if let Some(instead) = instead(&text) {
        return Err(unsupported(instead));
    }
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or("this").to_uppercase();
    // Other statements that begin with one of these words are supported.
    let second = if matches!(first.as_str(), "CREATE" | "DROP" | "SET") { words.next() } else { None };
    let first = second.map_or_else(|| first.clone(), |second| format!("{first} {}", second.to_uppercase()));
    Err(unsupported(format!("{first} is not supported: {SUPPORTED} are")))
}

/// Returns the error of a statement that other databases have, with what to do instead.
fn instead(text: &str) -> Option<String> {
    let first = text.split_whitespace().next()?.trim_end_matches(';').to_uppercase();
    let instead = match first.as_str() {
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "END" => {
            "there are no transactions, each statement stands alone"
        }
        "TRUNCATE" => "write DELETE FROM",
        "ALTER" => "write CREATE OR REPLACE TABLE … AS SELECT …",
        "MERGE" => "write UPDATE, DELETE and INSERT",
        "COPY" => {
            r"`\copy` of the prompt copies rows between a table and a file, and `portolan sql --output FILE` writes them"
        }
        "ATTACH" | "INSTALL" | "LOAD" => "the config and the descriptors of a node name the data that it reads",
        "KILL" => "write CALL mesh.cancel_query('id')",
        _ => return None,
    };
    Some(format!("{first} is not supported: {instead}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;
    use super::*;

    #[test]
    fn statements_of_other_databases_have_another_way() {
        for (sql, expected) in [
            ("BEGIN", "BEGIN is not supported: there are no transactions, each statement stands alone"),
            ("COMMIT", "COMMIT is not supported: there are no transactions, each statement stands alone"),
            ("TRUNCATE t", "TRUNCATE is not supported: write DELETE FROM"),
            ("ALTER TABLE t ADD COLUMN b INT", "ALTER is not supported: write CREATE OR REPLACE TABLE … AS SELECT …"),
            (
                "VACUUM",
                "VACUUM is not supported: SELECT, EXPLAIN, SHOW, DESCRIBE, SET, CREATE TABLE, CREATE VIEW, DROP TABLE, \
                 DROP VIEW, INSERT, UPDATE, DELETE and CALL are",
            ),
        ] {
            assert_eq!(only_reads(&parse(sql).unwrap()).unwrap_err().context(), expected, "{sql}");
        }
        only_reads(&parse("SELECT 1").unwrap()).unwrap();
    }
}
