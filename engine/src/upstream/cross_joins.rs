//! A workaround, part of normalising: DataFusion's rule that turns cross joins into joins skips plans whose meaning it
//! would change.
//!
//! `EliminateCrossJoin` of DataFusion 55.2 takes a tree of inner joins apart and builds it again. It loses a key if one
//! side of the key reads several of the inputs (`a.k + b.h = c.k`). It gives all joins the NULL equality of the topmost
//! join. An `=` of the filter above becomes a key and gets this equality, too (see the upstream notes in the book).
//! Here the rule skips plans with such joins.

use std::collections::HashSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};

use super::guarded_rules::{Action, Guard};

pub(super) const GUARD: Guard = Guard { rules: &["eliminate_cross_join"], action: Action::Skip(has_joins_to_keep) };

/// True if the rule may not take apart a tree of inner joins somewhere in the plan.
fn has_joins_to_keep(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    // The joins of a tree that was checked from its top.
    let mut seen = HashSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && join.join_type == JoinType::Inner
            && !seen.remove(&std::ptr::from_ref(join))
        {
            let (mut joins, mut leaves) = (vec![], vec![]);
            take_apart(join, &mut joins, &mut leaves);
            seen.extend(joins.iter().skip(1).map(|join| std::ptr::from_ref::<Join>(join)));
            found |= joins.iter().any(|join| {
                let compares_null = join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty();
                let mut sides = join.on.iter().flat_map(|(left, right)| [left, right]);
                compares_null || sides.any(|side| leaves.len() > 2 && read(side, &leaves) != 1)
            });
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn take_apart<'a>(join: &'a Join, joins: &mut Vec<&'a Join>, leaves: &mut Vec<&'a LogicalPlan>) {
    joins.push(join);
    for side in [&join.left, &join.right] {
        match side.as_ref() {
            LogicalPlan::Join(below) if below.join_type == JoinType::Inner => take_apart(below, joins, leaves),
            leaf => leaves.push(leaf),
        }
    }
}

/// Returns the number of the leaves that an expression reads.
fn read(expr: &Expr, leaves: &[&LogicalPlan]) -> usize {
    let columns = expr.column_refs();
    leaves.iter().filter(|leaf| columns.iter().any(|c| leaf.schema().has_column(c))).count()
}
