//! Joins.

use std::sync::Arc;

use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};

use super::{Compensation, Fused, have_same_items};

/// The conditions of a join over fused inputs.
struct Conditions {
    on: Vec<(Expr, Expr)>,
    filter: Vec<Expr>,
}

/// Fuses joins with equal conditions. Only one input may have rows of some plans only, and whether a row of that input passes
/// the join must not depend on other rows of it.
pub(super) fn joins(plans: &[&Join], left: Fused, right: Fused) -> Option<Fused> {
    let first = *plans.first()?;
    // As `lr_is_preserved` of DataFusion's PushDownFilter, which is private: a filter of this side may stand above the join.
    let (is_left_preserved, is_right_preserved) = match first.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (true, false),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (false, true),
        JoinType::Full => (false, false),
    };
    let (left_differs, right_differs) = (left.has_different_rows(), right.has_different_rows());
    if (left_differs && (right_differs || !is_left_preserved)) || (right_differs && !is_right_preserved) {
        return None;
    }
    let sides = left.compensations.iter().zip(&right.compensations);
    let mut compensations: Vec<Compensation> = sides.clone().map(|(left, right)| of_join(left, right)).collect();
    let mut conditions = plans
        .iter()
        .zip(sides)
        .zip(&compensations)
        .map(|((join, (left, right)), both)| Conditions::of(join, left, right, both))
        .collect::<Option<Vec<_>>>()?;
    let is_same = |(join, of_join): (&&Join, &Conditions)| {
        conditions[0].is_same(of_join)
            && join.join_type == first.join_type
            && join.join_constraint == first.join_constraint
            && join.null_equality == first.null_equality
            && join.null_aware == first.null_aware
    };
    plans.iter().zip(&conditions).all(is_same).then_some(())?;
    let Conditions { on, filter } = conditions.swap_remove(0);
    let join = Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        on,
        conjunction(filter),
        first.join_type,
        first.join_constraint,
        first.null_equality,
        first.null_aware,
    );
    let join = join.ok()?;
    for compensation in &mut compensations {
        // A semi join drops one side. An alias above could give the names of that side to the other one.
        compensation.renamed.retain(|_, to| join.schema.has_column(to));
    }
    Some(Fused { plan: LogicalPlan::Join(join), compensations })
}

impl Conditions {
    /// Returns the conditions of a join, with the names of the fused inputs.
    fn of(join: &Join, left: &Compensation, right: &Compensation, both: &Compensation) -> Option<Self> {
        let on = join.on.iter().map(|(l, r)| Some((left.renamed(l)?, right.renamed(r)?))).collect::<Option<_>>()?;
        let filter = join.filter.iter().flat_map(split_conjunction).map(|condition| both.renamed(condition));
        Some(Self { on, filter: filter.collect::<Option<_>>()? })
    }

    /// True if two joins have the same conditions, in any order.
    fn is_same(&self, other: &Self) -> bool {
        have_same_items(&self.on, &other.on) && have_same_items(&self.filter, &other.filter)
    }
}

/// Returns the compensation of a join, of which one input at most has a filter.
fn of_join(left: &Compensation, right: &Compensation) -> Compensation {
    let renamed = left.renamed.iter().chain(&right.renamed).map(|(from, to)| (from.clone(), to.clone()));
    Compensation { filter: left.filter.clone().or(right.filter.clone()), renamed: renamed.collect() }
}
