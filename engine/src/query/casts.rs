//! The casts of a statement. An error about a value names the column that has it: the site that fails knows only the
//! value.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::utils::quote_identifier;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use portolan_catalog::{sql_string, sql_type};

use crate::Error;
use crate::execution::errors::not_converted;

/// The largest number of casts that are kept. An error of a statement with more of them names no column.
const MOST_CASTS: usize = 64;
/// The largest number of columns that an error names.
const MOST_COLUMNS: usize = 3;

/// The casts of strings in a statement, each once: the SQL name of the type without its parameters, and the column, or
/// `None` for another expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Casts(Arc<[(String, Option<String>)]>);

impl Casts {
    /// Returns the casts of an analysed plan, in which every cast is written.
    pub(super) fn of(plan: &LogicalPlan) -> Self {
        let mut found: Vec<(String, Option<String>)> = vec![];
        let walked = plan.apply_with_subqueries(|node| {
            let mut schema = None;
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    let Expr::Cast(cast) = expr else { return Ok(TreeNodeRecursion::Continue) };
                    let schema: &DFSchema = schema.get_or_insert_with(|| merge_schema(&node.inputs()));
                    if cast.expr.get_type(schema).is_ok_and(|from| is_string(&from)) {
                        let to = sql_type(cast.field.data_type());
                        let to = to.split('(').next().unwrap_or(&to).to_owned();
                        let cast = (to, column(&cast.expr));
                        if !found.contains(&cast) {
                            found.push(cast);
                        }
                    }
                    Ok(if found.len() > MOST_CASTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                })
            })
        });
        if walked.is_err() || found.len() > MOST_CASTS { Self::default() } else { Self(found.into()) }
    }

    /// Returns an error about a value that cannot be converted with the column that has the value. If the value is a
    /// constant of the statement, the error stays as it is.
    pub(super) fn named(&self, error: Error, sql: &str) -> Error {
        if error.position().is_some() {
            return error;
        }
        let Some((string, data_type)) = not_converted(error.context()) else { return error };
        if sql.contains(&sql_string(string)) {
            return error;
        }
        let casts = self.0.iter().filter(|(to, _)| to == data_type);
        let columns: Option<Vec<String>> =
            casts.map(|(_, column)| column.as_ref().map(|column| format!("`{column}`"))).collect();
        match columns {
            Some(columns) if (1..=MOST_COLUMNS).contains(&columns.len()) => {
                let columns = columns.join(" or ");
                error.with_detail(&format!(" (in column {columns}; TRY_CAST returns NULL for such values)"))
            }
            _ => error,
        }
    }
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    }
}

/// Returns a column as a statement writes it.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        // A name with this start is ours.
        Expr::Column(column) if !column.name.starts_with('#') => Some(quote_identifier(&column.name).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::TryStreamExt;

    use crate::{Engine, Principal, Result};

    async fn failed(engine: &Engine, sql: &str) -> String {
        let run = async {
            let stream = Box::pin(engine.session(Principal::new("ann")).sql(sql)).await?;
            stream.try_collect::<Vec<_>>().await
        };
        let outcome: Result<_> = run.await;
        outcome.unwrap_err().chain()
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_converted_has_its_column() {
        let engine = Engine::builder().build().unwrap();
        let data = "(SELECT concat('v', CAST(value AS VARCHAR)) AS s, concat('w', CAST(value AS VARCHAR)) AS \"T\" FROM range(3))";
        for (select, expected) in [
            (
                "SELECT CAST(s AS INT) FROM {data}",
                "cannot convert 'v0' to INTEGER (in column `s`; TRY_CAST returns NULL for such values)",
            ),
            (
                "SELECT count(*) FROM {data} WHERE \"T\" = 5",
                "cannot convert 'w0' to BIGINT (in column `\"T\"`; TRY_CAST returns NULL for such values)",
            ),
            (
                "SELECT CAST(s AS INT), CAST(s AS INT) + 1, CAST(\"T\" AS DATE) FROM {data} WHERE CAST(s AS INT) = 1",
                "cannot convert 'v0' to INTEGER (in column `s`; TRY_CAST returns NULL for such values)",
            ),
            ("SELECT CAST(upper(s) AS INT) FROM {data}", "cannot convert 'V0' to INTEGER"),
            ("SELECT CAST('x' AS INT), CAST('x' AS INT), s FROM {data}", "cannot convert 'x' to INTEGER"),
        ] {
            assert_eq!(failed(&engine, &select.replace("{data}", data)).await, expected, "{select}");
        }
    }
}
