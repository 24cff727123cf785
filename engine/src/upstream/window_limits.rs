//! A workaround, part of normalising: a limit above a window function stays an operator of its own.
//!
//! DataFusion 55.2 drops a sort with a limit if its input is sorted already, and moves the limit below. Under a window
//! over the whole table, the limit changes the rows that the window reads, and so the result (see the upstream notes in
//! the book). A limit next to a sort without one stays in its place.
//! Before: `Sort: c0, fetch=1 (Window: count(*) OVER () (…))`.
//! After: `Limit: fetch=1 (Sort: c0 (Window: … (…)))`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Limit, LogicalPlan, Sort};
use datafusion::prelude::lit;

/// Separates limits from sorts above windows.
pub(crate) fn keep_above(plan: LogicalPlan) -> Result<LogicalPlan> {
    let separated = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Sort(Sort { expr, input, fetch: Some(fetch) }) if reads_window(&input)? => {
            let fetch = i64::try_from(fetch).unwrap_or(i64::MAX);
            let sort = LogicalPlan::Sort(Sort { expr, input, fetch: None });
            let limit = Limit { skip: None, fetch: Some(Box::new(lit(fetch))), input: Arc::new(sort) };
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(separated.data)
}

fn reads_window(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Window(_))))
}
