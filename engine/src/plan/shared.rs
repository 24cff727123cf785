//! A shared part in a logical plan: a part that occurs several times, and runs once. Each occurrence is a node with the same
//! number over the same plan.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// A reader of a shared part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Shared {
    /// The number of the part in its plan, from 1.
    pub(crate) number: usize,
    pub(crate) input: Arc<LogicalPlan>,
    /// True if a second run could return other rows: the part is shared whatever it costs.
    pub(crate) is_required: bool,
    /// True if the plan of the part is not among the inputs: it is planned apart from the reader, or is at another reader.
    pub(crate) is_leaf: bool,
}

impl Shared {
    /// Returns a reader of the part with this number and this plan.
    pub(crate) fn new(number: usize, input: Arc<LogicalPlan>) -> Self {
        Self { number, input, is_required: false, is_leaf: false }
    }

    /// Returns a reader of the part with this number and this plan, of which a second run could return other rows.
    pub(crate) fn required(number: usize, input: Arc<LogicalPlan>) -> Self {
        Self { is_required: true, ..Self::new(number, input) }
    }

    /// Returns the reader over another plan of the part, not as a leaf.
    pub(crate) fn over(&self, input: Arc<LogicalPlan>) -> Self {
        Self { input, is_leaf: false, ..self.clone() }
    }

    /// Returns the reader as a leaf.
    pub(crate) fn leaf(&self) -> Self {
        Self { is_leaf: true, ..self.clone() }
    }

    /// Returns the reader as a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// Returns the reader, if the plan is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Returns a plan whose readers are leaves.
    pub(crate) fn sealed(plan: &LogicalPlan) -> Result<LogicalPlan> {
        let sealed = plan.clone().transform_down_with_subqueries(|node| {
            let Some(shared) = Self::of(&node) else { return Ok(Transformed::no(node)) };
            Ok(Transformed::new(shared.leaf().into_plan(), true, TreeNodeRecursion::Jump))
        })?;
        Ok(sealed.data)
    }

    /// Returns a plan in which each reader has the plan of its part: the part may run once for each of them.
    pub(crate) fn without_parts(plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            let Some(shared) = Self::of(&node) else { return Ok(Transformed::no(node)) };
            Ok(Transformed::yes(shared.input.as_ref().clone()))
        })?;
        Ok(plan.data)
    }
}

impl UserDefinedLogicalNodeCore for Shared {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        if self.is_leaf { vec![] } else { vec![&self.input] }
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Shared: part {}", self.number)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let is_expected = exprs.is_empty() && inputs.len() == self.inputs().len();
        match (is_expected, inputs.into_iter().next()) {
            (true, Some(input)) => Ok(Self { input: Arc::new(input), ..self.clone() }),
            (true, None) => Ok(self.clone()),
            (false, _) => internal_err!("a shared part has no expressions, and one input until it is planned"),
        }
    }
}
