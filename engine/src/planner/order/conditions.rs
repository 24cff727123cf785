//! The conditions of joins: the relations that they read, and the equalities that compare two relations.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use super::graph::{Relation, Set};
use crate::planner::cardinality::{self, Cardinality};

/// A condition over some relations.
pub(super) struct Condition {
    pub(super) over: Set,
    pub(super) expr: Expr,
    pub(super) selectivity: f64,
    /// The two sides of an equality, with the relations that each reads.
    sides: Option<[(Set, Expr); 2]>,
}

impl Condition {
    pub(super) fn new(relations: &[Relation], over: Set, expr: Expr, sides: Option<[(Set, Expr); 2]>) -> Self {
        let mut of: Vec<&Cardinality> =
            relations.iter().enumerate().filter(|(i, _)| over & (1 << i) != 0).map(|(_, r)| &r.rows).collect();
        let selectivity = match (of.pop(), of.pop(), of.pop()) {
            (Some(right), Some(left), None) => cardinality::join_selectivity(left, right, &[], Some(&expr)),
            _ => 0.1,
        };
        Self { over, expr, selectivity, sides }
    }

    /// Returns the condition as an equality of two sets: the expression of the one set, and that of the other.
    pub(super) fn between(&self, one: Set, other: Set) -> Option<(Expr, Expr)> {
        let [(left, l), (right, r)] = self.sides.as_ref()?;
        match (left & !one, right & !other, left & !other, right & !one) {
            (0, 0, ..) => Some((l.clone(), r.clone())),
            (.., 0, 0) => Some((r.clone(), l.clone())),
            _ => None,
        }
    }
}

/// Returns the two sides of an equality, with the relations that each reads. Each side reads at least one relation, and
/// no relation is on both sides.
pub(super) fn sides(expr: &Expr, relations: &[LogicalPlan]) -> Option<[(Set, Expr); 2]> {
    let Expr::BinaryExpr(binary) = expr else { return None };
    let (left, right) = (over(&binary.left, relations), over(&binary.right, relations));
    let compares = binary.op == Operator::Eq && left != 0 && right != 0 && left & right == 0;
    compares.then(|| [(left, (*binary.left).clone()), (right, (*binary.right).clone())])
}

/// Returns the two sides of an equality of two relations, each with its relation.
pub(super) fn equality(expr: &Expr, relations: &[LogicalPlan]) -> Option<[(usize, Expr); 2]> {
    let sides = sides(expr, relations)?;
    let alone = sides.iter().all(|(over, _)| over.count_ones() == 1);
    alone.then(|| sides.map(|(over, expr)| (over.trailing_zeros() as usize, expr)))
}

/// Returns the relations whose columns an expression reads.
pub(super) fn over(expr: &Expr, relations: &[LogicalPlan]) -> Set {
    let has = |column: &Column| relations.iter().position(|r| r.schema().has_column(column));
    expr.column_refs().into_iter().filter_map(has).fold(0, |set, i| set | (1 << i))
}
