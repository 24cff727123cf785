//! A query after the last pass: the part that runs here, the parts that run elsewhere, and what EXPLAIN shows of both.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::{Fragment, Placed};
use crate::names::Barrier;

/// A query after the last pass.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// The result of DataFusion's optimizer.
    pub(crate) normalised: LogicalPlan,
    /// Every operator, with its site and the reason for it.
    pub(crate) placed: Placed,
    /// The part that runs here, with an exchange in the place of each fragment.
    pub(crate) plan: LogicalPlan,
    /// The parts that run elsewhere, in the order of their exchanges.
    pub(crate) fragments: Vec<Arc<Fragment>>,
    /// The reason why a part was planned again while the query ran; `None` if none was.
    pub(crate) adapted: Option<String>,
}

impl Planned {
    /// True if the part that runs here reads governed rows.
    pub(crate) fn has_barrier(&self) -> bool {
        let mut found = false;
        // The visit itself never fails.
        let _ = self.plan.apply_with_subqueries(|operator| {
            found = Barrier::of(operator).is_some();
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        found
    }
}
