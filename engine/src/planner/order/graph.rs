//! The join graph: the inputs of a tree of inner joins, and the conditions that connect them.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, JoinType, LogicalPlan};

use super::conditions::{Condition, equality, over, sides};
use super::edges::{Equalities, Pair, edges};
use super::equal::{self, Class};
use crate::planner::cardinality::{self, Cardinality};
use crate::planner::infallible::never_fails;

/// A set of relations, by their positions.
pub(super) type Set = u64;

/// The largest number of relations in a [`Set`], and of classes. Joins with more of either keep their written order.
const MAX_RELATIONS: usize = 64;

/// The inputs of a tree of inner joins, and the conditions that connect them.
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    /// The classes of expressions that must be equal.
    pub(super) classes: Vec<Class>,
    /// Pairs of relations with equalities: those with the most equalities first, then the most selective.
    edges: Vec<Equalities>,
    /// Every other condition: one that is not an equality of two relations.
    pub(super) conditions: Vec<Condition>,
}

/// An input of the joins.
pub(super) struct Relation {
    pub(super) plan: LogicalPlan,
    pub(super) rows: Cardinality,
}

/// The equalities that connect two sets of relations.
pub(super) struct SetConnection {
    pub(super) pairs: usize,
    /// The relations of each set that the equalities read.
    pub(super) over: (Set, Set),
    /// The number of distinct keys of each set, as if the set had all rows of these relations.
    pub(super) distinct: (f64, f64),
    /// True if a join by the equalities may send its keys.
    pub(super) makes_filter: bool,
}

/// True if a join may change its place among its neighbours.
pub(super) fn is_free(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.null_aware
        // In another order, a condition is evaluated for rows that it did not read before. It must not fail for those,
        // nor be volatile or have a subquery.
        && join.on.iter().all(|(l, r)| never_fails(l, join.left.schema()) && never_fails(r, join.right.schema()))
        && join.filter.iter().all(|filter| never_fails(filter, &join.schema))
}

impl Graph {
    /// Returns the graph of the joins at and below `join`; `None` if the joins cannot be ordered.
    pub(super) fn of(join: &Join) -> Result<Option<Self>> {
        let mut found = FlattenedJoins::default();
        found.join(join);
        if found.relations.len() > MAX_RELATIONS {
            return Ok(None);
        }
        let mut relations = found.relations;
        // Column names must be unique across relations.
        for (i, relation) in relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if relations[..i].iter().any(|r| r.schema().has_column(&column)) {
                    return Ok(None);
                }
            }
        }
        let mut classes = vec![];
        let mut others: Vec<(Set, Expr)> = vec![];
        for expr in found.conditions {
            match equality(&expr, &relations) {
                Some([left, right]) => {
                    let data_type = |(relation, e): &(usize, Expr)| e.get_type(relations[*relation].schema().as_ref());
                    let same_type = data_type(&left)? == data_type(&right)?;
                    equal::add(&mut classes, left, right, same_type);
                }
                None => others.push((over(&expr, &relations), expr)),
            }
        }
        if classes.len() > MAX_RELATIONS {
            return Ok(None);
        }
        // A condition on one relation becomes a filter of the relation. A condition on no relation may filter any.
        let (alone, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(over, _)| over.count_ones() <= 1);
        for (over, expr) in alone {
            let relation = &mut relations[(over.trailing_zeros() % 64) as usize % found.count.max(1)];
            let filter = datafusion::logical_expr::Filter::try_new(expr, Arc::new(relation.clone()))?;
            *relation = LogicalPlan::Filter(filter);
        }
        let conditions: Vec<(Set, Expr, _)> = others
            .into_iter()
            .map(|(over, expr)| {
                let sides = sides(&expr, &relations);
                (over, expr, sides)
            })
            .collect();
        let relations: Vec<Relation> =
            relations.into_iter().map(|plan| Relation { rows: cardinality::estimate(&plan), plan }).collect();
        let edges = edges(&classes, &relations);
        let conditions =
            conditions.into_iter().map(|(over, e, sides)| Condition::new(&relations, over, e, sides)).collect();
        Ok(Some(Self { relations, classes, edges, conditions }))
    }

    /// Returns the set of all relations.
    pub(super) fn all(&self) -> Set {
        match self.relations.len() {
            64.. => Set::MAX,
            n => (1 << n) - 1,
        }
    }

    /// Returns the relations outside `set` that a condition connects with it.
    pub(super) fn neighbours(&self, set: Set) -> Set {
        let classes = self.classes.iter().map(Class::relations);
        let connected = classes.chain(self.conditions.iter().map(|c| c.over));
        connected.filter(|over| over & set != 0).fold(0, |found, over| found | over) & !set
    }

    /// Returns the rows of the join of `set`, which do not depend on the join order.
    pub(super) fn rows(&self, set: Set) -> f64 {
        let mut rows = 1.0;
        for (i, relation) in self.relations.iter().enumerate() {
            if set & (1 << i) != 0 {
                rows *= relation.rows.rows.max(1e-3);
            }
        }
        let within = |edge: &&Equalities| set & (1 << edge.left) != 0 && set & (1 << edge.right) != 0;
        // Two relations that are equal through a third add nothing: only the first edges that connect a class count.
        let mut connected: Vec<Vec<Set>> = vec![];
        let shared = self.classes.iter().enumerate().filter(|(_, c)| (c.relations() & set).count_ones() > 2);
        let shared = shared.fold(0, |shared: Set, (class, _)| shared | (1 << class));
        for edge in self.edges.iter().filter(within) {
            if edge.classes & shared == 0 {
                rows *= edge.selectivity;
                continue;
            }
            connected.resize(self.classes.len(), vec![]);
            let both: Set = 1 << edge.left | 1 << edge.right;
            let is_known = |pair: &&Pair| connected[pair.class].iter().any(|known| known & both == both);
            rows *= match edge.pairs.iter().filter(is_known).count() {
                0 => edge.selectivity,
                _ => edge.pairs.iter().filter(|p| !is_known(p)).map(|p| p.selectivity).product(),
            };
            for pair in &edge.pairs {
                connect(&mut connected[pair.class], both);
            }
        }
        for condition in self.conditions.iter().filter(|c| c.over & !set == 0) {
            rows *= condition.selectivity;
        }
        rows.clamp(0.0, f64::MAX)
    }

    /// Returns the equalities that connect two sets, added up.
    pub(super) fn connection(&self, one: Set, other: Set) -> SetConnection {
        let mut connection = SetConnection { pairs: 0, over: (0, 0), distinct: (1.0, 1.0), makes_filter: true };
        self.each_connection(one, other, |edge, is_forward, new| {
            let pairs = edge.pairs.iter().filter(|p| new & (1 << p.class) != 0);
            connection.makes_filter &= pairs.clone().all(|p| p.makes_filter);
            let (l, r) = match new.count_ones() as usize == edge.pairs.len() {
                true => edge.distinct,
                false => pairs.fold((1.0, 1.0), |d, p| (d.0 * p.distinct.0, d.1 * p.distinct.1)),
            };
            let (left, right) = (1 << edge.left, 1 << edge.right);
            let (distinct, over) = if is_forward { ((l, r), (left, right)) } else { ((r, l), (right, left)) };
            connection.pairs += new.count_ones() as usize;
            connection.distinct = (connection.distinct.0 * distinct.0, connection.distinct.1 * distinct.1);
            connection.over = (connection.over.0 | over.0, connection.over.1 | over.1);
        });
        connection
    }

    /// Returns the equalities that connect two sets, as pairs of an expression of each set. There is one pair for each
    /// class with members in both sets. The members within a set are equal already, so all members are equal then.
    pub(super) fn equalities(&self, one: Set, other: Set) -> Vec<(Expr, Expr)> {
        let mut on = vec![];
        self.each_connection(one, other, |edge, is_forward, new| {
            let pairs = edge.pairs.iter().filter(|p| new & (1 << p.class) != 0).map(|p| p.on.clone());
            on.extend(pairs.map(|(left, right)| if is_forward { (left, right) } else { (right, left) }));
        });
        on
    }

    /// Visits edges between two sets until it has met each class that has members in both sets. Edges with the most
    /// equalities come first. `visit` gets the edge, true if the edge's left relation is in the first set, and the
    /// classes that are met for the first time.
    fn each_connection(&self, one: Set, other: Set, mut visit: impl FnMut(&Equalities, bool, Set)) {
        let mut met: Set = 0;
        for edge in &self.edges {
            let (left, right): (Set, Set) = (1 << edge.left, 1 << edge.right);
            let is_forward = left & one != 0 && right & other != 0;
            let is_backward = right & one != 0 && left & other != 0;
            if !is_forward && !is_backward {
                continue;
            }
            let new = edge.classes & !met;
            if new != 0 {
                visit(edge, is_forward, new);
            }
            met |= edge.classes;
        }
    }

    /// True if an equality over more than two relations compares the two sets.
    pub(super) fn compares(&self, one: Set, other: Set) -> bool {
        let relevant = self.conditions.iter().filter(|c| c.over & !(one | other) == 0);
        relevant.filter_map(|c| c.between(one, other)).next().is_some()
    }
}

/// Merges `more` with the sets that share a relation with it.
fn connect(sets: &mut Vec<Set>, mut more: Set) {
    sets.retain(|set| {
        let apart = set & more == 0;
        if !apart {
            more |= set;
        }
        apart
    });
    sets.push(more);
}

/// The inputs and the conditions of a tree of joins, in the order of a walk over the tree.
#[derive(Default)]
struct FlattenedJoins {
    relations: Vec<LogicalPlan>,
    conditions: Vec<Expr>,
    count: usize,
}

impl FlattenedJoins {
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

/// Returns the join, if a plan is one or only drops columns of one.
fn inner(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if is_free(join) => Some(join),
        LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => inner(&p.input),
        _ => None,
    }
}
