//! The values that a `CHECK` of a table permits for a column, if it lists them: `CHECK (state IN ('open', 'closed'))`.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{ColumnOption, Expr, Statement, TableConstraint, Value};
use datafusion::sql::sqlparser::dialect::SQLiteDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Returns the permitted values of columns, by their names in lower case. A definition that cannot be parsed permits any.
pub(super) fn permitted_values(definition: &str) -> BTreeMap<String, Vec<String>> {
    let Ok(statements) = Parser::parse_sql(&SQLiteDialect {}, definition) else { return BTreeMap::new() };
    let Some(Statement::CreateTable(table)) = statements.first() else { return BTreeMap::new() };
    let of_columns =
        table.columns.iter().flat_map(|column| &column.options).filter_map(|option| match &option.option {
            ColumnOption::Check(check) => Some(check.expr.as_ref()),
            _ => None,
        });
    let of_table = table.constraints.iter().filter_map(|constraint| match constraint {
        TableConstraint::Check(check) => Some(check.expr.as_ref()),
        _ => None,
    });
    of_columns.chain(of_table).filter_map(listed).collect()
}

/// Returns the column and its values, if an expression is a list of strings.
fn listed(check: &Expr) -> Option<(String, Vec<String>)> {
    match check {
        Expr::Nested(inner) => listed(inner),
        Expr::InList { expr, list, negated: false } => {
            let Expr::Identifier(column) = expr.as_ref() else { return None };
            let values = list.iter().map(|value| match value {
                Expr::Value(value) => match &value.value {
                    Value::SingleQuotedString(text) => Some(text.clone()),
                    _ => None,
                },
                _ => None,
            });
            Some((column.value.to_ascii_lowercase(), values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_strings_permit_values() {
        let definition = "CREATE TABLE \"t\" (a TEXT CHECK (a IN ('x', 'it''s')), \"B\" TEXT, c INTEGER CHECK (c IN (1, 2)), \
                          d TEXT CHECK (d NOT IN ('x')), e TEXT CHECK (e IN ('x') OR e = 'y'), CHECK ((\"B\" IN ('z')))) STRICT";
        let expected =
            [("a".to_owned(), vec!["x".to_owned(), "it's".to_owned()]), ("b".to_owned(), vec!["z".to_owned()])];
        assert_eq!(permitted_values(definition), BTreeMap::from(expected));
        assert_eq!(permitted_values("CREATE TABLE"), BTreeMap::new());
    }
}
