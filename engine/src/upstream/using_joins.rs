//! Spells out `JOIN … USING` and `NATURAL JOIN` before a statement is planned. The merged column of a `RIGHT JOIN` has
//! the values of the right side. That of a `FULL JOIN` has the values of the side that has a row.
//!
//! DataFusion 55.2 reads the merged column from the left side, whatever the kind of the join. It also refuses an
//! unqualified merged column in `WHERE`, or reads it as a column of an outer query that has the name
//! (<https://github.com/apache/datafusion/issues/22881>, <https://github.com/apache/datafusion/pull/22998>). It plans a
//! `NATURAL LEFT JOIN` without a common column as a cross join. Here each side's own column stays readable under its
//! qualified name.
//!
//! Before: `SELECT *, k FROM a FULL JOIN b USING (k)`. After: `SELECT coalesce(a.k, b.k) AS k, a.x, b.y,
//! coalesce(a.k, b.k) AS k FROM a FULL JOIN b ON a.k = b.k`.

mod columns;
mod from;
mod probe;
mod select;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as Parsed;
use sqlparser::ast::{Query, Statement};

use self::columns::JoinedColumns;
use self::probe::{Find, SelectWithJoins};
use self::select::Rewrite;
use crate::execution::errors::from_datafusion;
use crate::visit::visit_mut;
use crate::{Error, ErrorKind, Result};

/// Spells out all joins of a statement that name or imply their join columns.
///
/// # Errors
/// `InvalidQuery` if a side lacks a column or has it twice. `Unsupported` for an outer join over a relation whose
/// columns are not known before the whole statement is planned.
pub(crate) async fn spell_out(statement: &mut Statement, state: &SessionState) -> Result<()> {
    let mut left_alone = 0;
    while let Some(found) = Find::first(statement, left_alone) {
        if found.in_pipe {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "USING and NATURAL are not supported behind `|> JOIN`: write ON, and coalesce(a.k, b.k) for the merged \
                 column",
            ));
        }
        match known(&found, state).await? {
            Some(columns) => {
                // The search does not find a spelled-out join again.
                let mut rewrite = Rewrite::new(left_alone, columns);
                if let std::ops::ControlFlow::Break(outcome) = visit_mut(statement, &mut rewrite) {
                    (*outcome)?;
                }
            }
            None => left_alone += 1,
        }
    }
    Ok(())
}

/// Returns the columns of the relations that a `SELECT` reads; `None` if they are not known and not needed.
async fn known(found: &SelectWithJoins, state: &SessionState) -> Result<Option<Vec<JoinedColumns>>> {
    let mut all = vec![];
    for (relation, query) in &found.relations {
        let planned = match query {
            Some(query) => plan(query.clone(), state).await.map(|schema| JoinedColumns::of(&schema)),
            None => Err(Error::new(ErrorKind::Unsupported, "the relation has no name")),
        };
        match planned {
            Ok(columns) => all.push(columns),
            Err(_) if !found.is_outer => return Ok(None),
            Err(e) => {
                let what = format!(
                    "the columns of `{relation}` are not known before USING or NATURAL needs them: write ON, and coalesce(a.k, b.k) \
                     for the merged column"
                );
                return Err(Error::new(ErrorKind::Unsupported, what).with_source(e));
            }
        }
    }
    Ok(Some(all))
}

async fn plan(query: Query, state: &SessionState) -> Result<datafusion::common::DFSchemaRef> {
    let statement = Parsed::Statement(Box::new(Statement::Query(Box::new(query))));
    let plan = state.statement_to_plan(statement).await.map_err(|e| from_datafusion(&e))?;
    Ok(plan.schema().clone())
}
