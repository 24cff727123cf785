//! The join graph: the inputs of a tree of inner joins, and what connects them.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};

use crate::planner::cardinality::{self, Cardinality};

/// A set of relations, by their positions.
pub(super) type Set = u64;

/// More relations than a [`Set`] holds are left in the order in which they were written.
const MOST_RELATIONS: usize = 64;

/// The inputs of a tree of inner joins, and what connects them.
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    pub(super) edges: Vec<Equalities>,
    /// Every other condition: one that is no equality of two relations.
    pub(super) conditions: Vec<Condition>,
}

/// An input of the joins.
pub(super) struct Relation {
    pub(super) plan: LogicalPlan,
    pub(super) rows: Cardinality,
}

/// What two relations must have equal.
pub(super) struct Equalities {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) on: Vec<(Expr, Expr)>,
    /// The share of all pairs that has them equal.
    pub(super) selectivity: f64,
    /// How many different keys each side has.
    pub(super) distinct: (f64, f64),
    /// Bytes of a key.
    pub(super) key_bytes: f64,
}

/// What must be equal: expressions of one side and of the other.
type Pairs = Vec<(Expr, Expr)>;

/// A condition over some relations.
pub(super) struct Condition {
    pub(super) over: Set,
    pub(super) expr: Expr,
    pub(super) selectivity: f64,
}

/// Whether a join may be put elsewhere among its neighbours.
pub(super) fn is_free(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.null_aware
        && !join.filter.iter().chain(join.on.iter().flat_map(|(l, r)| [l, r])).any(pinned)
}

/// A condition that is asked of a pair of rows once, in a certain place.
fn pinned(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)));
    expr.is_volatile() || expr.exists(is_subquery).unwrap_or(true)
}

impl Graph {
    /// The graph of the joins at and below `join`; `None` where there is nothing to order.
    pub(super) fn of(join: &Join) -> Result<Option<Self>> {
        let mut found = Found::default();
        found.join(join);
        if found.relations.len() > MOST_RELATIONS {
            return Ok(None);
        }
        let mut relations = found.relations;
        // Names must tell the relations apart.
        for (i, relation) in relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if relations[..i].iter().any(|r| r.schema().has_column(&column)) {
                    return Ok(None);
                }
            }
        }
        let mut pairs: Vec<(usize, usize, Pairs)> = vec![];
        let mut others: Vec<(Set, Expr)> = vec![];
        for expr in found.conditions {
            match equality(&expr, &relations) {
                Some((left, right, pair)) => match pairs.iter_mut().find(|(l, r, _)| (*l, *r) == (left, right)) {
                    Some((_, _, on)) => on.push(pair),
                    None => pairs.push((left, right, vec![pair])),
                },
                None => others.push((over(&expr, &relations), expr)),
            }
        }
        // What reads one relation alone is asked of it alone; what reads none may be asked of any.
        let (alone, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(over, _)| over.count_ones() <= 1);
        for (over, expr) in alone {
            let relation = &mut relations[(over.trailing_zeros() % 64) as usize % found.count.max(1)];
            let filter = datafusion::logical_expr::Filter::try_new(expr, Arc::new(relation.clone()))?;
            *relation = LogicalPlan::Filter(filter);
        }
        let relations: Vec<Relation> =
            relations.into_iter().map(|plan| Relation { rows: cardinality::estimate(&plan), plan }).collect();
        let edges = pairs.into_iter().map(|(left, right, on)| Equalities::new(&relations, left, right, on)).collect();
        let conditions = others.into_iter().map(|(over, expr)| Condition::new(&relations, over, expr)).collect();
        Ok(Some(Self { relations, edges, conditions }))
    }

    /// Every relation.
    pub(super) fn all(&self) -> Set {
        match self.relations.len() {
            64.. => Set::MAX,
            n => (1 << n) - 1,
        }
    }

    /// The relations that share an edge with one of `set`, `set` aside.
    pub(super) fn neighbours(&self, set: Set) -> Set {
        let mut found = 0;
        for edge in &self.edges {
            let (left, right) = (1 << edge.left, 1 << edge.right);
            if left & set != 0 {
                found |= right;
            }
            if right & set != 0 {
                found |= left;
            }
        }
        for condition in self.conditions.iter().filter(|c| c.over & set != 0) {
            found |= condition.over;
        }
        found & !set
    }

    /// How many rows the join of `set` gives, in whatever order it is made.
    pub(super) fn rows(&self, set: Set) -> f64 {
        let mut rows = 1.0;
        for (i, relation) in self.relations.iter().enumerate() {
            if set & (1 << i) != 0 {
                rows *= relation.rows.rows.max(1e-3);
            }
        }
        for edge in &self.edges {
            if set & (1 << edge.left) != 0 && set & (1 << edge.right) != 0 {
                rows *= edge.selectivity;
            }
        }
        for condition in self.conditions.iter().filter(|c| c.over & !set == 0) {
            rows *= condition.selectivity;
        }
        rows.clamp(0.0, f64::MAX)
    }
}

impl Equalities {
    fn new(relations: &[Relation], left: usize, right: usize, on: Vec<(Expr, Expr)>) -> Self {
        let (l, r) = (&relations[left].rows, &relations[right].rows);
        let distinct = |side: &Cardinality, exprs: Vec<&Expr>| {
            exprs.into_iter().map(|e| side.distinct(e)).product::<f64>().min(side.rows).max(1.0)
        };
        let distinct =
            (distinct(l, on.iter().map(|(l, _)| l).collect()), distinct(r, on.iter().map(|(_, r)| r).collect()));
        let selectivity = cardinality::join_selectivity(l, r, &on, None);
        Self { left, right, key_bytes: 8.0 * on.len() as f64, on, selectivity, distinct }
    }
}

impl Condition {
    fn new(relations: &[Relation], over: Set, expr: Expr) -> Self {
        let mut of: Vec<&Cardinality> =
            relations.iter().enumerate().filter(|(i, _)| over & (1 << i) != 0).map(|(_, r)| &r.rows).collect();
        let selectivity = match (of.pop(), of.pop(), of.pop()) {
            (Some(right), Some(left), None) => cardinality::join_selectivity(left, right, &[], Some(&expr)),
            _ => 0.1,
        };
        Self { over, expr, selectivity }
    }
}

/// The inputs and the conditions of a tree of joins, as they are met.
#[derive(Default)]
struct Found {
    relations: Vec<LogicalPlan>,
    conditions: Vec<Expr>,
    count: usize,
}

impl Found {
    fn join(&mut self, join: &Join) {
        for (left, right) in &join.on {
            self.conditions.push(left.clone().eq(right.clone()));
        }
        if let Some(filter) = &join.filter {
            self.conditions.extend(split_conjunction_owned(filter.clone()));
        }
        self.plan(&join.left);
        self.plan(&join.right);
    }

    fn plan(&mut self, plan: &LogicalPlan) {
        match inner(plan) {
            Some(join) => self.join(join),
            None => {
                self.relations.push(plan.clone());
                self.count += 1;
            }
        }
    }
}

/// The join that a plan is, or that it narrows by leaving out columns.
fn inner(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if is_free(join) => Some(join),
        LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => inner(&p.input),
        _ => None,
    }
}

/// Two relations and what they must have equal.
fn equality(expr: &Expr, relations: &[LogicalPlan]) -> Option<(usize, usize, (Expr, Expr))> {
    let Expr::BinaryExpr(binary) = expr else { return None };
    if binary.op != datafusion::logical_expr::Operator::Eq {
        return None;
    }
    let (left, right) = (over(&binary.left, relations), over(&binary.right, relations));
    if left.count_ones() != 1 || right.count_ones() != 1 || left == right {
        return None;
    }
    let pair = ((*binary.left).clone(), (*binary.right).clone());
    let (l, r) = (left.trailing_zeros() as usize, right.trailing_zeros() as usize);
    Some(if l < r { (l, r, pair) } else { (r, l, (pair.1, pair.0)) })
}

/// The relations whose columns an expression reads.
fn over(expr: &Expr, relations: &[LogicalPlan]) -> Set {
    let has = |column: &Column| relations.iter().position(|r| r.schema().has_column(column));
    expr.column_refs().into_iter().filter_map(has).fold(0, |set, i| set | (1 << i))
}
