//! Each subquery that calls a volatile function is evaluated on its own.
//!
//! DataFusion 55.2 evaluates equal scalar subqueries once, and takes equal expressions for equal values:
//! `(SELECT random()) = (SELECT random())` is true. Here each subquery gets an alias of its own, so that no two are equal.
//! So does a subquery that reads a table whose name another table of the statement has, in a view or in the session: plans
//! are compared by the names of their tables. A copy that the SQL planner makes, as for the name of a column in `HAVING`, keeps the alias and so the value.
//!
//! Before: two subqueries `Projection: random()`. After: `SubqueryAlias: __volatile_1 (Projection: random())`, and
//! `__volatile_2`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::SubqueryAlias;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::leaves::calls_volatile;

/// The prefix of the aliases. A number follows.
const PREFIX: &str = "__volatile_";

/// Gives the subqueries of a plan that comes from the SQL planner their aliases. `namesakes` are the names that several
/// tables have.
pub(crate) fn apart(plan: LogicalPlan, namesakes: &HashSet<TableReference>) -> Result<LogicalPlan> {
    if namesakes.is_empty() && !calls_volatile(&plan)? {
        return Ok(plan);
    }
    Ok(Aliases { namesakes, last: 0 }.plan(plan, &mut KnownSubqueries::new())?.data)
}

/// The subqueries of one query, by their plans in memory, which copies share. Each has its plan as it was, so that no
/// other plan gets its place in memory, and the plan with an alias.
type KnownSubqueries = HashMap<*const LogicalPlan, (Arc<LogicalPlan>, Arc<LogicalPlan>)>;

struct Aliases<'a> {
    namesakes: &'a HashSet<TableReference>,
    last: usize,
}

impl Aliases<'_> {
    fn plan(&mut self, plan: LogicalPlan, known: &mut KnownSubqueries) -> Result<Transformed<LogicalPlan>> {
        let own = plan.map_expressions(|expr| expr.transform_up(|part| self.expression(part, known)))?;
        let below = match own.data {
            // Two readings of one view share the plan of the view, and each has values of its own.
            alias @ LogicalPlan::SubqueryAlias(_) => {
                let mut of_alias = KnownSubqueries::new();
                alias.map_children(|input| self.plan(input, &mut of_alias))?
            }
            other => other.map_children(|input| self.plan(input, known))?,
        };
        Ok(Transformed::new_transformed(below.data, own.transformed || below.transformed))
    }

    fn expression(&mut self, mut expr: Expr, known: &mut KnownSubqueries) -> Result<Transformed<Expr>> {
        let (subquery, is_scalar) = match &mut expr {
            Expr::ScalarSubquery(subquery) => (subquery, true),
            Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. }) => (subquery, false),
            _ => return Ok(Transformed::no(expr)),
        };
        // The joins that other correlated subqueries become read columns that an alias would hide.
        let may_have_alias = is_scalar || subquery.outer_ref_columns.is_empty() && !returns_row(&subquery.subquery);
        if !may_have_alias || !self.has_own_value(&subquery.subquery)? {
            return Ok(Transformed::no(expr));
        }
        let place = Arc::as_ptr(&subquery.subquery);
        if let Some((_, aliased)) = known.get(&place) {
            subquery.subquery = Arc::clone(aliased);
            return Ok(Transformed::yes(expr));
        }
        let before = Arc::clone(&subquery.subquery);
        let plan = self.plan(before.as_ref().clone(), &mut KnownSubqueries::new())?.data;
        self.last += 1;
        let alias = TableReference::bare(format!("{PREFIX}{}", self.last));
        let aliased = Arc::new(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), alias)?));
        subquery.subquery = Arc::clone(&aliased);
        known.insert(place, (before, aliased));
        Ok(Transformed::yes(expr))
    }
}

impl Aliases<'_> {
    /// True if an equal subquery may have another value.
    fn has_own_value(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = calls_volatile(plan)?;
        if !self.namesakes.is_empty() {
            plan.apply_with_subqueries(|node| {
                found |= matches!(node, LogicalPlan::TableScan(scan) if self.namesakes.contains(&scan.table_name));
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })?;
        }
        Ok(found)
    }
}

/// True for a subquery whose rows are compared as values: `(a, b) IN (SELECT x, y …)`. They are taken apart later.
fn returns_row(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Projection(projection) = plan else { return false };
    let [expr] = projection.expr.as_slice() else { return false };
    let expr = if let Expr::Alias(alias) = expr { alias.expr.as_ref() } else { expr };
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "struct")
}
