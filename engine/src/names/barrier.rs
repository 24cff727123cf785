//! The barrier in a logical plan: the boundary around the rows of a governed port. Below it stand the port's policy and
//! nothing of the statement but conditions that cannot reveal a hidden row.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use portolan_catalog::PortRef;

/// The rows of a port that the principal may see.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Barrier {
    pub(crate) port: PortRef,
    pub(crate) input: LogicalPlan,
}

/// DataFusion prints nodes in errors.
impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_for_explain(f)
    }
}

/// A barrier whose input is planned apart from the plan around it: a leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct SealedBarrier(pub(crate) Barrier);

/// Returns a plan with leaves in the place of its barriers. `input` returns what is below a barrier from then on.
pub(crate) fn sealed(plan: &LogicalPlan, input: impl Fn(&Barrier) -> Result<LogicalPlan>) -> Result<LogicalPlan> {
    let sealed = plan.clone().transform_down_with_subqueries(|node| {
        let Some(barrier) = Barrier::of(&node) else { return Ok(Transformed::no(node)) };
        let barrier = Barrier { port: barrier.port.clone(), input: input(barrier)? };
        let node = Arc::new(SealedBarrier(barrier));
        Ok(Transformed::new(LogicalPlan::Extension(Extension { node }), true, TreeNodeRecursion::Jump))
    })?;
    Ok(sealed.data)
}

impl Barrier {
    /// Returns the barrier, if the plan is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// The name of the operator in printed plans.
const NAME: &str = "Barrier";

impl Barrier {
    /// Prints a plan as `display_indent` does, without what is below its barriers: policies, and rows that they may hide.
    pub(crate) fn without_policies(plan: &LogicalPlan) -> String {
        let mut text = String::new();
        print(plan, 0, &mut text);
        text
    }
}

fn print(plan: &LogicalPlan, depth: usize, text: &mut String) {
    if depth > 0 {
        text.push('\n');
    }
    // Writing to a string does not fail, and neither does the visit.
    let _ = write!(text, "{:indent$}{}", "", plan.display(), indent = depth * 2);
    if Barrier::of(plan).is_some() {
        return;
    }
    let _ = plan.apply_subqueries(|subquery| {
        print(subquery, depth + 1, text);
        Ok(TreeNodeRecursion::Continue)
    });
    plan.inputs().into_iter().for_each(|input| print(input, depth + 1, text));
}

impl PartialOrd for Barrier {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        let by_port = self.port.cmp(&other.port);
        let ordering = if by_port == Ordering::Equal { self.input.partial_cmp(&other.input)? } else { by_port };
        (ordering != Ordering::Equal).then_some(ordering)
    }
}

impl UserDefinedLogicalNodeCore for Barrier {
    fn name(&self) -> &str {
        NAME
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{NAME}: {} by its policies", self.port)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("a barrier has one input");
        };
        if !exprs.is_empty() {
            return internal_err!("a barrier has no expressions");
        }
        Ok(Self { port: self.port.clone(), input })
    }
}

impl UserDefinedLogicalNodeCore for SealedBarrier {
    fn name(&self) -> &str {
        NAME
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.0.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt_for_explain(f)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match exprs.is_empty() && inputs.is_empty() {
            true => Ok(self.clone()),
            false => internal_err!("a sealed barrier is a leaf"),
        }
    }
}
