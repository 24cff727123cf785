//! Refuses a `WITH` query that calls a volatile function and is read more than once. DataFusion 55.2 plans the query
//! again for each reading, with other values.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Volatility;
use sqlparser::ast::{Expr, Ident, ObjectNamePart, Query, Statement, Visit, Visitor};

use crate::upstream::identifiers::normal;
use crate::visit::{find_expression, visit, visit_relations};
use crate::{Error, ErrorKind, Result};

/// Refuses a statement that reads such a query more than once.
///
/// # Errors
/// `Unsupported`, with a query to write instead.
pub(crate) fn check(statement: &Statement, state: &SessionState) -> Result<()> {
    match visit(statement, &mut CommonTables { state }) {
        ControlFlow::Break(refused) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "`{table}` calls the volatile function `{function}` and is read {times} times, with other values each time: \
                 write CREATE TABLE {table} AS … first",
                table = refused.table,
                function = refused.function,
                times = refused.times
            ),
        )),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct CommonTables<'a> {
    state: &'a SessionState,
}

struct Refused {
    table: Ident,
    function: String,
    times: usize,
}

impl Visitor for CommonTables<'_> {
    type Break = Box<Refused>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let Some(with) = &query.with else { return ControlFlow::Continue(()) };
        let mut volatile: Vec<(Ident, String)> = vec![];
        for (place, cte) in with.cte_tables.iter().enumerate() {
            let through = volatile.iter().find(|(name, _)| reads(cte.query.as_ref(), name) > 0);
            let through = through.map(|(_, function)| function.clone());
            let Some(function) = through.or_else(|| self.called(&cte.query)) else { continue };
            let name = &cte.alias.name;
            let later = with.cte_tables.iter().skip(place + 1).map(|later| reads(later.query.as_ref(), name));
            // The query without its WITH.
            let body = reads(query.body.as_ref(), name) + reads(&query.order_by, name);
            let times = later.sum::<usize>() + body;
            if times > 1 {
                return ControlFlow::Break(Box::new(Refused { table: name.clone(), function, times }));
            }
            volatile.push((name.clone(), function));
        }
        ControlFlow::Continue(())
    }
}

impl CommonTables<'_> {
    /// Returns a volatile function that a query calls.
    fn called(&self, query: &Query) -> Option<String> {
        find_expression(query, |expr| {
            let Expr::Function(function) = expr else { return None };
            let name = function.name.to_string().to_lowercase();
            let known = self.state.scalar_functions().get(&name)?;
            (known.signature().volatility == Volatility::Volatile).then_some(name)
        })
    }
}

/// Counts the readings of a table of this name in a part of a statement.
fn reads(part: &impl Visit, name: &Ident) -> usize {
    let mut times = 0;
    visit_relations(part, |relation| {
        if let [ObjectNamePart::Identifier(only)] = relation.0.as_slice() {
            times += usize::from(normal(only) == normal(name));
        }
    });
    times
}
