//! A shared part in a logical plan: a part that occurs several times, and runs once. Each occurrence is a node with the same
//! number over the same plan.

use std::collections::HashMap;
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
    pub(crate) is_once: bool,
    /// True if the part is planned apart from its readers, which are leaves.
    is_sealed: bool,
}

impl Shared {
    /// Returns a reader of the part with this number and this plan.
    pub(crate) fn reader(number: usize, input: Arc<LogicalPlan>) -> LogicalPlan {
        Self { number, input, is_once: false, is_sealed: false }.into_plan()
    }

    /// Returns a reader of the part with this number and this plan, of which a second run could return other rows.
    pub(crate) fn once(number: usize, input: Arc<LogicalPlan>) -> LogicalPlan {
        Self { number, input, is_once: true, is_sealed: false }.into_plan()
    }

    /// Returns a reader of the part with this number as a leaf. The plan of the part is at another reader.
    pub(crate) fn other_reader(number: usize, input: Arc<LogicalPlan>) -> LogicalPlan {
        Self { number, input, is_once: false, is_sealed: true }.into_plan()
    }

    /// Returns the reader over another plan of the part, not as a leaf.
    pub(crate) fn over(&self, input: Arc<LogicalPlan>) -> LogicalPlan {
        Self { input, is_sealed: false, ..self.clone() }.into_plan()
    }

    /// Returns the reader as a leaf, with this number.
    pub(crate) fn leaf(&self, number: usize) -> LogicalPlan {
        Self { number, is_sealed: true, ..self.clone() }.into_plan()
    }

    /// True if the reader is a leaf.
    pub(crate) fn is_leaf(&self) -> bool {
        self.is_sealed
    }

    fn into_plan(self) -> LogicalPlan {
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
            Ok(Transformed::new(shared.leaf(shared.number), true, TreeNodeRecursion::Jump))
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

    /// Returns a plan that `change` has changed while its readers were leaves, over parts that `of_part` has changed, each
    /// once. So nothing of one reader gets into a part.
    pub(crate) fn changed_apart(
        plan: &LogicalPlan,
        of_part: &mut dyn FnMut(&LogicalPlan) -> Result<LogicalPlan>,
        change: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<LogicalPlan> {
        let mut parts: HashMap<usize, (DFSchemaRef, Arc<LogicalPlan>)> = HashMap::new();
        let sealed = plan.clone().transform_down_with_subqueries(|node| {
            let Some(shared) = Self::of(&node) else { return Ok(Transformed::no(node)) };
            let input = match parts.get(&shared.number) {
                Some((schema, input)) if schema == shared.schema() => input.clone(),
                Some(_) => return internal_err!("the readers of a shared part differ in their columns"),
                None => {
                    let input = Arc::new(of_part(&shared.input)?);
                    parts.insert(shared.number, (shared.schema().clone(), input.clone()));
                    input
                }
            };
            let node = Self { input, is_sealed: true, ..shared.clone() };
            Ok(Transformed::new(node.into_plan(), true, TreeNodeRecursion::Jump))
        })?;
        let opened = change(sealed.data)?.transform_up_with_subqueries(|node| {
            let Some(shared) = Self::of(&node) else { return Ok(Transformed::no(node)) };
            Ok(Transformed::yes(shared.over(shared.input.clone())))
        })?;
        Ok(opened.data)
    }
}

impl UserDefinedLogicalNodeCore for Shared {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        if self.is_sealed { vec![] } else { vec![&self.input] }
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
