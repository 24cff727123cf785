//! The exchange in a logical plan: a leaf in the place of a fragment that was cut out.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use portolan_catalog::ColumnStatistics;

use super::Fragment;

/// The rows of a fragment.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) fragment: Arc<Fragment>,
    /// The running fragment, while the rest of the plan is planned again; `None` if the fragment has not started.
    pub(crate) running: Option<Running>,
}

/// A fragment that runs while the rest is planned again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    /// The fragment's number in the plan that started it.
    pub(crate) number: usize,
    /// The number of rows that the fragment returns, if it is counted.
    pub(crate) rows: Option<f64>,
    /// The exact statistics of the columns of join keys, as [`Counted`](super::Counted) has them.
    pub(crate) keys: Arc<BTreeMap<usize, ColumnStatistics>>,
}

impl Exchange {
    /// Returns the exchange, if the plan is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl PartialEq for Exchange {
    fn eq(&self, other: &Self) -> bool {
        self.fragment.number == other.fragment.number
            && self.fragment.site == other.fragment.site
            && self.fragment.sent == other.fragment.sent
    }
}

impl Eq for Exchange {}

impl Hash for Exchange {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fragment.number.hash(state);
        self.fragment.sent.hash(state);
    }
}

impl PartialOrd for Exchange {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other)
            .then_some(Ordering::Equal)
            .or_else(|| self.fragment.number.partial_cmp(&other.fragment.number).filter(|o| *o != Ordering::Equal))
    }
}

impl UserDefinedLogicalNodeCore for Exchange {
    fn name(&self) -> &str {
        "Exchange"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.fragment.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Exchange: fragment {} at {}", self.fragment.number, self.fragment.site)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || !inputs.is_empty() {
            return internal_err!("an exchange has neither expressions nor inputs");
        }
        Ok(self.clone())
    }
}
