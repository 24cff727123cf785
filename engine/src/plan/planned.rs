//! A query after the last pass: what runs here, what runs elsewhere, and what EXPLAIN shows of both.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::{Fragment, Placed};

/// A query after the last pass.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// What DataFusion's optimizer made of it.
    pub(crate) normalised: LogicalPlan,
    /// Every operator with its site and why.
    pub(crate) placed: Placed,
    /// What runs here, with an exchange where each fragment was.
    pub(crate) plan: LogicalPlan,
    /// What runs elsewhere, in the order of the exchanges.
    pub(crate) fragments: Vec<Arc<Fragment>>,
    /// Why a part of it was planned again while the query ran; `None` where it was not.
    pub(crate) adapted: Option<String>,
}
