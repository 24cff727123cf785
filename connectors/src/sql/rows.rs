//! Orders and bounds of rows as SQL.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{FetchType, Limit, LogicalPlan, SkipType, Sort, SortExpr};

use super::allowed::Shape;
use super::dialect::NullOrder;
use super::operators::Writer;
use super::queries::{Body, Input, Query};
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

impl Writer<'_> {
    /// Returns a sorted query with its bounds.
    pub(super) fn sorted(&self, sort: &Sort, input: &Input<'_>, bounds: &str) -> Result<Query> {
        self.needs(Shape::TopN, || "a sort with a limit".to_owned())?;
        let scope = self.scope_of(input);
        let mut keys = vec![];
        for key in &sort.expr {
            let sql = scope.key("ORDER BY", &key.expr)?;
            keys.push(self.sort_key(key, &sql)?);
            let direction = if key.asc { "ASC" } else { "DESC" };
            keys.extend(scope.tie(&key.expr, &sql)?.map(|tie| format!("{tie} {direction}")));
        }
        let clauses = format!("FROM {} ORDER BY {} {bounds}", input.from(), keys.join(", "));
        Ok(Query { body: Body::Select { columns: input.all(), clauses }, columns: input.columns.clone() })
    }

    fn sort_key(&self, key: &SortExpr, sql: &str) -> Result<String> {
        let direction = if key.asc { "ASC" } else { "DESC" };
        Ok(match self.dialect.nulls {
            NullOrder::Written => {
                let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
                format!("{sql} {direction} NULLS {nulls}")
            }
            NullOrder::Smallest if key.asc == key.nulls_first => format!("{sql} {direction}"),
            // The test is 1 for NULL.
            NullOrder::Smallest => format!("({sql} IS NULL) {direction}, {sql} {direction}"),
        })
    }

    /// Returns the bounds of a limit over at most `fetch` rows.
    pub(super) fn bounds(&self, limit: &Limit, fetch: Option<usize>) -> Result<String> {
        let refused = || Refusal::SqlOperator(self.dialect.name, "a limit that is computed".to_owned());
        let SkipType::Literal(skip) = limit.get_skip_type().map_err(|_| refused())? else { return Err(refused()) };
        let FetchType::Literal(own) = limit.get_fetch_type().map_err(|_| refused())? else { return Err(refused()) };
        let below = fetch.map(|fetch| fetch.saturating_sub(skip));
        // The largest number stands for no end, in plans that were decoded.
        let rows = own.into_iter().chain(below).min().filter(|rows| *rows < i64::MAX as usize);
        Ok(match (rows, skip, self.dialect.endless) {
            (Some(rows), 0, _) => format!("LIMIT {rows}"),
            (Some(rows), skip, _) => format!("LIMIT {rows} OFFSET {skip}"),
            (None, skip, None) => format!("OFFSET {skip}"),
            (None, skip, Some(endless)) => format!("LIMIT {endless} OFFSET {skip}"),
        })
    }
}

/// Returns true if the rows of a plan come in an order that a limit above depends on.
pub(super) fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Limit(_) => {
            plan.inputs().into_iter().any(is_ordered)
        }
        _ => false,
    }
}

/// Returns true if a plan has at most one row, whatever its tables have.
pub(super) fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Sort(_) => {
            plan.inputs().into_iter().all(has_one_row)
        }
        _ => false,
    }
}

/// Returns true if each row of a plan comes from one row of a table, and no other row has a part in it.
pub(super) fn is_row_wise(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            !has_subquery(plan) && plan.inputs().into_iter().all(is_row_wise)
        }
        _ => false,
    }
}

/// Returns true if an expression of an operator has a subquery, which reads all rows of its tables.
fn has_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_subqueries(|_| {
        found = true;
        Ok(TreeNodeRecursion::Stop)
    });
    found || walked.is_err()
}
