//! Matches operators of the placed plan with the physical operators that do their work, to compare estimates with
//! actual figures. Two operators match if they do the same kind of work over the same leaves, and no other operators
//! do.

use std::collections::BTreeMap;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};

use crate::exchange::RemoteScanExec;
use crate::plan::Placed;

/// The kinds of work that both plans have. A sort or a window may become several physical operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WorkKind {
    Aggregate,
    Filter,
    Join,
    Union,
}

/// The features that identify an operator: its kind, and the leaves below it.
type Work = (WorkKind, Vec<String>);

/// The place of an operator in its plan, and the place after its last descendant.
#[derive(Clone, Copy, Debug)]
struct OperatorSpan {
    place: usize,
    end: usize,
}

/// Returns pairs of operators that do the same work: the place in the placed plan, and the place in the physical plan.
/// Places count from the root, and every operator comes before its inputs. In the placed plan, an operator's subqueries
/// come before its inputs. The roots match.
pub(super) fn match_operators(placed: &Placed, physical: &dyn ExecutionPlan) -> Vec<(usize, usize)> {
    let (mut logical, mut executed) = (Operators::default(), Operators::default());
    logical.placed(placed);
    executed.physical(physical);
    let mut matched = vec![];
    for (work, there) in &executed.found {
        if let Some(here) = logical.found.get(work)
            && here.len() == there.len()
            && is_chain(here)
            && is_chain(there)
        {
            matched.extend(here.iter().zip(there).map(|(h, t)| (h.place, t.place)));
        }
    }
    if !matched.iter().any(|(h, t)| *h == 0 || *t == 0) {
        matched.push((0, 0));
    }
    matched.sort_unstable();
    matched
}

/// True if each operator is below the one before. The operators are then the same from the top in both plans.
fn is_chain(operators: &[OperatorSpan]) -> bool {
    operators.windows(2).all(|pair| matches!(pair, [above, below] if below.place < above.end))
}

#[derive(Default)]
struct Operators {
    next: usize,
    found: BTreeMap<Work, Vec<OperatorSpan>>,
}

impl Operators {
    /// Returns the leaves.
    fn placed(&mut self, placed: &Placed) -> Vec<String> {
        let place = self.next;
        self.next += 1;
        let mut leaves: Vec<String> =
            placed.subqueries.iter().chain(placed.shown_inputs()).flat_map(|i| self.placed(i)).collect();
        if let Some(number) = placed.fragment {
            // The operators below run at another site.
            self.found.retain(|_, found| {
                found.retain(|f| f.place < place);
                !found.is_empty()
            });
            return vec![fragment(number)];
        }
        if leaves.is_empty() {
            leaves = vec![columns(placed.plan.schema().fields().iter().map(|f| f.name().as_str()))];
        }
        self.note(kind_of(&placed.plan), leaves, place)
    }

    fn physical(&mut self, plan: &dyn ExecutionPlan) -> Vec<String> {
        let place = self.next;
        self.next += 1;
        let mut leaves: Vec<String> = plan.children().into_iter().flat_map(|c| self.physical(c.as_ref())).collect();
        if let Some(scan) = plan.downcast_ref::<RemoteScanExec>() {
            leaves = vec![fragment(scan.fragment.number)];
        } else if leaves.is_empty() {
            leaves = vec![columns(plan.schema().fields().iter().map(|f| f.name().as_str()))];
        }
        self.note(kind_done_by(plan), leaves, place)
    }

    fn note(&mut self, kind: Option<WorkKind>, mut leaves: Vec<String>, place: usize) -> Vec<String> {
        leaves.sort_unstable();
        if let Some(kind) = kind {
            let found = self.found.entry((kind, leaves.clone())).or_default();
            found.push(OperatorSpan { place, end: self.next });
            found.sort_unstable_by_key(|f| f.place);
        }
        leaves
    }
}

fn fragment(number: usize) -> String {
    format!("fragment {number}")
}

/// Returns the name of a scan, built from its columns, because a physical scan does not have its table's name.
fn columns<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    format!("columns {}", names.join(" "))
}

fn kind_of(plan: &LogicalPlan) -> Option<WorkKind> {
    match plan {
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Some(WorkKind::Aggregate),
        LogicalPlan::Filter(_) => Some(WorkKind::Filter),
        LogicalPlan::Join(_) => Some(WorkKind::Join),
        LogicalPlan::Union(_) => Some(WorkKind::Union),
        _ => None,
    }
}

fn kind_done_by(plan: &dyn ExecutionPlan) -> Option<WorkKind> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        // A partial aggregate returns a group once for each partition.
        let whole = !matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
        return whole.then_some(WorkKind::Aggregate);
    }
    let joins = plan.is::<HashJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<PiecewiseMergeJoinExec>()
        || plan.is::<CrossJoinExec>();
    if joins {
        Some(WorkKind::Join)
    } else if plan.is::<FilterExec>() {
        Some(WorkKind::Filter)
    } else if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
        Some(WorkKind::Union)
    } else {
        None
    }
}
