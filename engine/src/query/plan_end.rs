//! The end of a plan: what is counted then, and the part of the plan that stays until the query's rows are read.

use std::sync::{Arc, Mutex, OnceLock};

use portolan_connectors::{OperatorMetrics, lock};

use super::Ready;
use crate::execution::barrier::all_children;
use crate::explain;
use crate::metrics::Metrics;
use crate::state::ActivityGuard;

/// The current plan of a query. `None` for a statement without one, and for a query that has ended, unless its plan is
/// [kept](KeptPart::Plan).
pub(super) type CurrentPlan = Arc<Mutex<Option<Arc<Ready>>>>;

/// The metrics of the operators of a plan that has ended, if they are kept.
pub(super) type EndedOperators = Arc<OnceLock<Vec<OperatorMetrics>>>;

/// The part of a plan that its caller reads after the end of the plan. The rest is dropped: a plan keeps the memory of
/// its joins, and a client may read the last rows much later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptPart {
    Nothing,
    /// The metrics of the operators.
    Operators,
    /// The metrics of the operators, without their expressions: other nodes do not see the query of a derived port.
    OperatorNames,
    Plan,
}

/// A guard that is dropped when the plan of a query has ended. It then counts the bytes that the query has spilled, no
/// longer lists the query, and keeps only a part of the plan. It keeps nothing of a plan that has failed.
pub(super) struct PlanEnd {
    pub(super) kept: KeptPart,
    pub(super) plan: CurrentPlan,
    pub(super) operators: EndedOperators,
    pub(super) metrics: Arc<Metrics>,
    pub(super) listed: Arc<ActivityGuard>,
}

impl Drop for PlanEnd {
    fn drop(&mut self) {
        let kept = match self.listed.query.work.has_failed() {
            true => KeptPart::Nothing,
            false => self.kept,
        };
        let ready = match kept {
            KeptPart::Plan => lock(&self.plan).clone(),
            KeptPart::Nothing | KeptPart::Operators | KeptPart::OperatorNames => lock(&self.plan).take(),
        };
        let Some(ready) = ready else { return };
        if let KeptPart::Operators | KeptPart::OperatorNames = kept {
            let mut operators = explain::local_operators(ready.physical.as_ref(), Some(&ready.planned.placed));
            if kept == KeptPart::OperatorNames {
                operators.iter_mut().for_each(hide_expressions);
            }
            // This is the only place that sets the metrics.
            let _ = self.operators.set(operators);
        }
        let (mut open, mut bytes) = (vec![&ready.physical], 0);
        while let Some(operator) = open.pop() {
            bytes += operator.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0);
            open.extend(all_children(operator.as_ref()));
        }
        self.metrics.spilled(bytes);
    }
}

/// Keeps only the name of an operator. Its printed form has the name, a colon and its expressions.
fn hide_expressions(operator: &mut OperatorMetrics) {
    if let Some(end) = operator.operator.find(':') {
        operator.operator.truncate(end);
    }
}
