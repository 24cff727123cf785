//! A workaround, part of normalising: the names that the optimizer generates are never names of the plan.
//!
//! `CommonSubexprEliminate` of DataFusion 55.2 computes a repeated expression once, as a column `__common_expr_1`, and does
//! not check whether the plan has a column of that name. It has one if a query writes the name, or if another node has
//! optimized the plan before it sent it. In `SELECT a * 7 AS x, a * 7 + 1 AS y, __common_expr_1 AS p FROM …`, `p` then has the
//! values of `x`. The names of subqueries (`__correlated_sq_1`) use the same counter. Before the optimizer runs, the counter
//! advances past every such number in the plan.

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

/// Advances the generator past the numbers of all names in a plan.
pub(crate) fn skip(plan: &LogicalPlan, generator: &AliasGenerator) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        for (relation, field) in node.schema().iter() {
            let names = relation.map(|relation| relation.table()).into_iter().chain([field.name().as_str()]);
            names.filter_map(number_of).for_each(|number| generator.update_min_id(number));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Returns the number at the end of a name such as `__common_expr_1`.
fn number_of(name: &str) -> Option<usize> {
    let (_, number) = name.strip_prefix("__")?.rsplit_once('_')?;
    // The generator counts on from the number, which must not overflow.
    number.parse().ok().filter(|number| *number < usize::MAX / 2)
}
