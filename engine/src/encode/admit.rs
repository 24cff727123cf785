//! The operators that travel. Senders and receivers use the same list. They refuse everything else, so that a fragment
//! can read ports and nothing else: no files, no writes, no definitions. A volatile function does not travel either: its
//! values would depend on the site.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use portolan_connectors::{Capabilities, Refusal, WireForm};

use super::keys;
use crate::names::{Barrier, PortTable};
use crate::{Error, ErrorKind, Result};

/// Returns an error with the reason if a site does not run this one operator, whatever its inputs are.
pub(crate) fn at_site(operator: &LogicalPlan, capabilities: &Capabilities) -> Result<(), Refusal> {
    match capabilities.wire_form {
        WireForm::Plan => Ok(()),
        WireForm::Sql(dialect) => keys::admit(operator, capabilities, dialect),
    }
}

/// Returns an error with the reason if this operator does not travel.
pub(crate) fn operator(plan: &LogicalPlan) -> Result<(), Refusal> {
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_) => without_volatile_functions(plan),
        LogicalPlan::TableScan(scan) => match PortTable::with_scanned(scan, PortTable::is_query) {
            Some(false) => Ok(()),
            // The plan of a query takes the place of each scan without filters.
            Some(true) | None => Err(Refusal::LocalTable(scan.table_name.to_string())),
        },
        LogicalPlan::RecursiveQuery(_) => Err(Refusal::RecursiveQuery),
        LogicalPlan::Repartition(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_) => Err(Refusal::Operator),
    }
}

fn without_volatile_functions(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut volatile = None;
    let walked = plan.apply_expressions(|expr| {
        expr.apply(|e| {
            if let Expr::ScalarFunction(f) = e
                && f.func.signature().volatility == Volatility::Volatile
            {
                volatile = Some(f.name().to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    match (walked, volatile) {
        (Err(e), _) => Err(Refusal::Unreadable(e.strip_backtrace())),
        (_, Some(name)) => Err(Refusal::VolatileFunction(name)),
        _ => Ok(()),
    }
}

/// Admits a whole plan, including subqueries.
///
/// # Errors
/// `InvalidQuery` with the first operator that is not on the list.
pub(crate) fn plan(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        // The receiver itself puts the query of a derived port in the place of its scan.
        if Barrier::of(node).is_some() {
            return Ok(TreeNodeRecursion::Continue);
        }
        Ok(match operator(node) {
            Ok(()) => TreeNodeRecursion::Continue,
            Err(reason) => {
                refused = Some(format!("a fragment may not hold `{}`: {reason}", node.display()));
                TreeNodeRecursion::Stop
            }
        })
    });
    match (walked, refused) {
        (Err(e), _) => Err(Error::new(ErrorKind::InvalidQuery, e.strip_backtrace())),
        (_, Some(reason)) => Err(Error::new(ErrorKind::InvalidQuery, reason)),
        _ => Ok(()),
    }
}
