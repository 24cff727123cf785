//! The plans of repeated statements and fragments: a query uses the plan of an equal one, if the policies decide the same
//! for both. Decision 10 (`docs/adr`) has the reasons.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use portolan_connectors::ResultLabel;
use portolan_governance::Caller;

use super::Query;
use crate::execution::errors::from_datafusion;
use crate::explain::PassRows;
use crate::functions::bounded_again;
use crate::names::PortTable;
use crate::plan::Planned;
use crate::planner::Observer;
use crate::planner::govern::{Labelling, PortRules, RuleAnswers};
use crate::state::{EngineState, PlanKey};
use crate::{Result, Settings, planner};

/// The estimated size of a column in the schema of an operator without its name, in bytes.
const FIELD_BYTES: usize = 128;
/// The plans of about the same size that a planned query has: the optimized one, the one with sites, the one of this node,
/// and those of its fragments.
const PLANS_OF_QUERY: usize = 4;

/// The place of a query's plan among the kept plans.
pub(super) struct Reuse {
    version: u64,
    key: PlanKey,
    found: Option<Arc<KeptPlan>>,
}

/// A plan after the passes, with all that a run needs besides.
struct KeptPlan {
    /// The plan before the passes, with the values of the parameters.
    analysed: LogicalPlan,
    planned: Arc<Planned>,
    label: ResultLabel,
    answers: RuleAnswers,
}

impl Reuse {
    /// Returns the place of a plan for a version of the mesh. `number` is that of the kept statement or fragment.
    pub(super) fn of(
        engine: &EngineState,
        version: u64,
        number: u64,
        values: &[ScalarValue],
        caller: Caller,
        settings: &Settings,
    ) -> Self {
        let values = values.iter().map(|value| (value.data_type(), value.clone())).collect();
        let key = PlanKey::Planned { of: number, values, caller, settings: format!("{settings:?}") };
        let found = engine.plans.find(version, &key);
        Self { version, key, found }
    }

    /// Returns the plan before the passes, if one is kept. The policies have no part in it.
    pub(super) fn analysed(&self) -> Option<&LogicalPlan> {
        self.found.as_ref().map(|found| &found.analysed)
    }
}

impl Query {
    /// Plans the query, or returns the plan of an equal one, with the label of the ports of this node.
    pub(super) fn planned(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
        rules: &PortRules,
        passes: &mut Option<PassRows>,
    ) -> Result<(Arc<Planned>, ResultLabel)> {
        if let Some(found) = self.found(rules) {
            return Ok((found.planned.clone(), found.label.clone()));
        }
        // A prepared statement runs often, also if its plans are not kept.
        let bounded = bounded_again(plan.clone()).map_err(|e| from_datafusion(&e))?;
        let (mut labelling, mut shown) = (Labelling::new(rules), PassRows::observer(passes));
        let observe: &mut Observer<'_> = &mut |pass, draft| {
            labelling.observe(pass, draft);
            shown(pass, draft);
        };
        let (settings, view, is_fragment) = (&self.settings, &self.view, self.is_fragment());
        let planned = planner::plan_observed(state, &bounded, settings, view, rules, is_fragment, observe);
        let planned = Arc::new(planned.inspect_err(|e| self.record_refusal(e, rules))?);
        self.keep(plan, &planned, &labelling.label, rules);
        Ok((planned, labelling.label))
    }

    /// Returns the kept plan, if it is right for this run: the decisions are taken again.
    fn found(&self, rules: &PortRules) -> Option<&KeptPlan> {
        let reuse = self.reuse.as_ref()?;
        let is_same_mesh = rules.view.version == reuse.version;
        let found = reuse.found.as_deref().filter(|found| is_same_mesh && rules.repeats(&found.answers));
        self.engine.plans.count(found.is_some());
        found
    }

    /// Keeps the plan for later runs.
    fn keep(&self, plan: &LogicalPlan, planned: &Arc<Planned>, label: &ResultLabel, rules: &PortRules) {
        let Some(reuse) = self.reuse.as_ref().filter(|reuse| rules.view.version == reuse.version) else { return };
        let Some(answers) = rules.answers() else { return };
        let sent: usize = planned.fragments.iter().map(|fragment| fragment.sent.size()).sum();
        let bytes = plan_bytes(plan) + PLANS_OF_QUERY * plan_bytes(&planned.normalised) + sent;
        let kept = KeptPlan { analysed: plan.clone(), planned: planned.clone(), label: label.clone(), answers };
        self.engine.plans.keep(reuse.version, reuse.key.clone(), Arc::new(kept), bytes);
    }
}

/// True if a plan means the same in each run: it reads nothing but ports, and calls no function whose value depends on the
/// time or on chance.
pub(super) fn is_repeatable(plan: &LogicalPlan) -> bool {
    let mut is_repeatable = true;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            is_repeatable &= PortTable::with_scanned(scan, |_| ()).is_some();
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                is_repeatable &= is_immutable(part);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if is_repeatable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && is_repeatable
}

fn is_immutable(part: &Expr) -> bool {
    let is_immutable = |signature: &Signature| signature.volatility == Volatility::Immutable;
    match part {
        Expr::ScalarFunction(call) => is_immutable(call.func.signature()),
        Expr::AggregateFunction(call) => is_immutable(call.func.signature()),
        Expr::WindowFunction(call) => is_immutable(&call.fun.signature()),
        Expr::HigherOrderFunction(_) | Expr::ScalarVariable(..) => false,
        _ => true,
    }
}

/// Returns the estimated size of a plan in bytes.
pub(super) fn plan_bytes(plan: &LogicalPlan) -> usize {
    let mut bytes = 0;
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        bytes += size_of::<LogicalPlan>();
        bytes += node.schema().fields().iter().map(|field| FIELD_BYTES + field.name().len()).sum::<usize>();
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                bytes += size_of::<Expr>() + content_bytes(part);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    bytes
}

/// Returns the size of the name or the value in an expression. An expression without a name of its own is a column with
/// its text as the name, in each operator above.
fn content_bytes(part: &Expr) -> usize {
    match part {
        Expr::Literal(value, _) => value.size(),
        Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => column.name.len(),
        Expr::Alias(alias) => alias.name.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
