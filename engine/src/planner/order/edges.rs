//! The edges of the join graph: the equalities between two relations.

use datafusion::logical_expr::Expr;

use super::equal::Class;
use super::graph::{Relation, Set};
use crate::planner::cardinality;
use crate::upstream::unfiltered_keys::makes_filter;

/// The equalities between two relations.
pub(super) struct Equalities {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) pairs: Vec<Pair>,
    /// The classes of the pairs, by their positions.
    pub(super) classes: Set,
    /// The share of all pairs of rows for which all equalities hold.
    pub(super) selectivity: f64,
    /// The number of distinct keys on each side.
    pub(super) distinct: (f64, f64),
}

/// An expression of each of two relations. The two must be equal.
pub(super) struct Pair {
    /// The class of both, by its position.
    pub(super) class: usize,
    pub(super) on: (Expr, Expr),
    pub(super) selectivity: f64,
    pub(super) distinct: (f64, f64),
    /// True if a join by these keys may send them.
    pub(super) makes_filter: bool,
}

/// Returns the edges between relations that have members of the same classes.
pub(super) fn edges(classes: &[Class], relations: &[Relation]) -> Vec<Equalities> {
    let mut edges = vec![];
    for left in 0..relations.len() {
        for right in left + 1..relations.len() {
            let common = |class: &Class| Some((class.of(left)?.clone(), class.of(right)?.clone()));
            let on: Vec<_> = classes.iter().enumerate().filter_map(|(i, c)| Some((i, common(c)?))).collect();
            if !on.is_empty() {
                edges.push(Equalities::new(relations, left, right, on));
            }
        }
    }
    edges.sort_by(|a, b| b.pairs.len().cmp(&a.pairs.len()).then(a.selectivity.total_cmp(&b.selectivity)));
    edges
}

impl Equalities {
    fn new(relations: &[Relation], left: usize, right: usize, on: Vec<(usize, (Expr, Expr))>) -> Self {
        let (l, r) = (&relations[left].rows, &relations[right].rows);
        let distinct = |on: &[(Expr, Expr)]| {
            (l.distinct_keys(on.iter().map(|(e, _)| e)), r.distinct_keys(on.iter().map(|(_, e)| e)))
        };
        let all: Vec<(Expr, Expr)> = on.iter().map(|(_, pair)| pair.clone()).collect();
        let pair = |(class, on): (usize, (Expr, Expr))| {
            let one = [on.clone()];
            let selectivity = cardinality::join_selectivity(l, r, &one, None);
            let makes_filter = makes_filter(&on, relations[left].plan.schema(), relations[right].plan.schema());
            Pair { class, on, selectivity, distinct: distinct(&one), makes_filter }
        };
        Self {
            left,
            right,
            selectivity: cardinality::join_selectivity(l, r, &all, None),
            distinct: distinct(&all),
            classes: on.iter().fold(0, |classes, (class, _)| classes | (1 << class)),
            pairs: on.into_iter().map(pair).collect(),
        }
    }
}
