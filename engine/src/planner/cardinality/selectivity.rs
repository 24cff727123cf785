//! The share of rows that a predicate keeps, and what is known of the columns afterwards.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, Like, Operator};
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::constraints::{Constraint, constraint, flatten};
use super::expressions::{self, stripped};
use super::interval::{EQUAL, ExpressionStatistics, OPEN_RANGE};
use super::{Cardinality, float, keys, null_share, sane, share, strings, thin};

/// A predicate of which nothing can be said: a subquery, a function that gives a boolean.
const UNKNOWN: f64 = 1.0 / 3.0;
/// `EXISTS` and `IN` that stayed subqueries (PostgreSQL takes a half too).
const SUBQUERY: f64 = 0.5;
/// A regular expression that is not read.
const PATTERN: f64 = 0.1;
/// Predicates within predicates are judged to this depth.
const DEPTH: usize = 32;
/// So many independent conjuncts count in full; of each further one the square root, the fourth root, and so on.
const IN_FULL: usize = 2;

/// The rows that meet all predicates.
pub(super) fn filter<'a>(mut input: Cardinality, predicates: impl IntoIterator<Item = &'a Expr>) -> Cardinality {
    let judged = Judged::of(&input, predicates.into_iter().flat_map(|p| flatten(p, Operator::And)), 0);
    if judged.constraints.is_empty() && judged.factors.is_empty() {
        return input;
    }
    let kept = judged.share();
    let before = input.rows;
    let after = if kept == 0.0 { 0.0 } else { sane(before * kept).max(before.min(1.0)) };
    let mut refined = HashMap::new();
    for (expr, constraint, share) in &judged.constraints {
        let Expr::Column(column) = expr else { continue };
        let statistics = known(&input, expr, input.columns.get(column)).refined(constraint, *share);
        if let (Some(origin), Some(distinct)) = (input.origins.get_mut(column), statistics.distinct)
            && constraint.null.is_none()
            && constraint.none_of.is_empty()
        {
            origin.domain = origin.domain.min(float(distinct).max(1.0));
            origin.assumed = false;
        }
        refined.insert(column.clone(), (statistics, before * share));
    }
    for (column, statistics) in &mut input.columns {
        if !refined.contains_key(column) {
            thin(statistics, before, after);
        }
    }
    for (column, (mut statistics, own)) in refined {
        thin(&mut statistics, own, after);
        input.columns.insert(column, statistics);
    }
    input.rows = after;
    input
}

/// The share of rows (0 to 1) that meet a predicate.
pub(super) fn selectivity(input: &Cardinality, predicate: &Expr) -> f64 {
    conjunction(input, predicate, 0)
}

/// What conjuncts ask for: constraints on one expression each, and the shares of those that are something else.
struct Judged<'a> {
    constraints: Vec<(&'a Expr, Constraint, f64)>,
    factors: Vec<f64>,
}

impl<'a> Judged<'a> {
    fn of(input: &Cardinality, conjuncts: impl IntoIterator<Item = &'a Expr>, depth: usize) -> Self {
        let mut by_expression: HashMap<&Expr, usize> = HashMap::new();
        let mut judged = Self { constraints: vec![], factors: vec![] };
        for conjunct in conjuncts {
            let Some((expr, found)) = constraint(input, conjunct) else {
                judged.factors.push(other(input, conjunct, depth));
                continue;
            };
            match by_expression.get(expr).and_then(|i| judged.constraints.get_mut(*i)) {
                Some((_, constraint, _)) => constraint.and(found),
                None => {
                    by_expression.insert(expr, judged.constraints.len());
                    judged.constraints.push((expr, found, 1.0));
                }
            }
        }
        for (expr, constraint, kept) in &mut judged.constraints {
            let statistics = expressions::statistics(input, expr);
            *kept = known(input, expr, statistics.as_deref()).share(constraint);
        }
        judged
    }

    /// The share that meets all: the most selective ones are taken to be independent, the others to overlap with them
    /// more and more (exponential back-off, as SQL Server has it since 2014).
    fn share(&self) -> f64 {
        let mut factors = self.factors.clone();
        factors.extend(self.constraints.iter().map(|(_, _, share)| *share));
        factors.sort_by(f64::total_cmp);
        let exponent = |i: usize| 0.5f64.powi(i32::try_from(i.saturating_sub(IN_FULL - 1)).unwrap_or(i32::MAX));
        share(factors.iter().enumerate().map(|(i, f)| share(*f).powf(exponent(i))).product())
    }
}

fn known<'a>(input: &Cardinality, expr: &Expr, column: Option<&'a ColumnStatistics>) -> ExpressionStatistics<'a> {
    ExpressionStatistics { column, distinct: expressions::distinct(input, expr), rows: input.rows }
}

fn conjunction(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    if depth > DEPTH {
        return UNKNOWN;
    }
    Judged::of(input, flatten(predicate, Operator::And), depth).share()
}

/// A conjunct that is no constraint on one expression.
fn other(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    let inner = |expr: &Expr| conjunction(input, expr, depth + 1);
    match predicate {
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        Expr::Literal(..) => 0.0,
        Expr::BinaryExpr(b) if b.op == Operator::Or => disjunction(input, predicate, depth),
        Expr::BinaryExpr(b) if b.op == Operator::And => inner(predicate),
        Expr::BinaryExpr(b) => compared(input, b),
        Expr::Not(e) | Expr::IsNotTrue(e) | Expr::IsFalse(e) => 1.0 - inner(e),
        Expr::IsTrue(e) | Expr::IsNotFalse(e) => inner(e),
        Expr::Cast(cast) => inner(&cast.expr),
        Expr::TryCast(cast) => inner(&cast.expr),
        Expr::Between(between) => range_between(input, between, depth),
        Expr::InList(list) => {
            let each = 1.0 / input.distinct(&list.expr).max(2.0);
            let any = share(each * float(list.list.len() as u64)).min(SUBQUERY);
            if list.negated { 1.0 - any } else { any }
        }
        Expr::Like(l) => like(input, l),
        Expr::Case(case) => branches(input, case, depth),
        Expr::SimilarTo(l) => negated(l.negated, PATTERN),
        Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => SUBQUERY,
        Expr::IsUnknown(_) => 0.05,
        Expr::IsNotUnknown(_) => 0.95,
        Expr::ScalarFunction(f) if f.name().contains("regexp") || f.name().contains("like") => PATTERN,
        Expr::ScalarFunction(f) if matches!(f.name(), "starts_with" | "ends_with" | "contains" | "strpos") => PATTERN,
        _ => UNKNOWN,
    }
}

/// Disjuncts are taken to be independent, `1 - (1 - a)(1 - b)`; where all constrain one expression, what two of them
/// share is counted once: `a < 1 OR a > 5` adds up, `a < 1 OR a < 5` is the latter.
fn disjunction(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    const COMPARED: usize = 16;
    let disjuncts = flatten(predicate, Operator::Or);
    let independent =
        |disjuncts: &[&Expr]| 1.0 - disjuncts.iter().map(|e| 1.0 - conjunction(input, e, depth + 1)).product::<f64>();
    if disjuncts.len() > COMPARED {
        return independent(&disjuncts);
    }
    // Another disjunction within would be read once more for each level.
    let simple = |e: &&Expr| {
        flatten(e, Operator::And).into_iter().all(|c| !matches!(c, Expr::BinaryExpr(b) if b.op == Operator::Or))
    };
    let mut judged = vec![];
    for disjunct in disjuncts.iter().filter(|e| simple(e)) {
        let mut one = Judged::of(input, flatten(disjunct, Operator::And), depth + 1);
        match (one.constraints.pop(), one.constraints.is_empty() && one.factors.is_empty()) {
            (Some(constraint), true) => judged.push(constraint),
            _ => return independent(&disjuncts),
        }
    }
    let Some((expr, _, _)) = judged.first() else { return independent(&disjuncts) };
    if judged.len() < disjuncts.len() || judged.iter().any(|(e, _, _)| e != expr) {
        return independent(&disjuncts);
    }
    let statistics = expressions::statistics(input, expr);
    let known = known(input, expr, statistics.as_deref());
    let mut any = 0.0;
    for (i, (_, constraint, kept)) in judged.iter().enumerate() {
        let shared = judged.iter().take(i).map(|(_, other, _)| {
            let mut both = constraint.clone();
            both.and(other.clone());
            known.share(&both)
        });
        any += (kept - shared.fold(0.0, f64::max)).max(0.0);
    }
    share(any)
}

/// `CASE` as a predicate: each branch by the chance that it is taken.
fn branches(input: &Cardinality, case: &Case, depth: usize) -> f64 {
    let inner = |expr: &Expr| conjunction(input, expr, depth + 1);
    let (mut holds, mut rest) = (0.0, 1.0);
    for (when, then) in &case.when_then_expr {
        let taken = match (&case.expr, when.as_ref()) {
            (None, when) => inner(when),
            (Some(of), Expr::Literal(ScalarValue::Boolean(Some(true)), _)) => inner(of),
            (Some(of), _) => 1.0 / input.distinct(of).max(2.0),
        };
        holds += rest * taken * inner(then);
        rest *= 1.0 - taken;
    }
    share(holds + rest * case.else_expr.as_ref().map_or(0.0, |e| inner(e)))
}

fn negated(negated: bool, share: f64) -> f64 {
    if negated { 1.0 - share } else { share }
}

/// `NOT BETWEEN` values, and `BETWEEN` where an end is a column.
fn range_between(input: &Cardinality, between: &Between, depth: usize) -> f64 {
    let inside = Expr::Between(Between { negated: false, ..between.clone() });
    match constraint(input, &inside) {
        Some((expr, found)) => {
            let statistics = expressions::statistics(input, expr);
            let nulls = statistics.as_deref().map_or(0.0, |c| null_share(c, input.rows));
            share(1.0 - nulls - known(input, expr, statistics.as_deref()).share(&found))
        }
        None if depth > DEPTH => UNKNOWN,
        None => {
            let (low, high) = (&between.low, &between.high);
            negated(between.negated, at_most(input, low, &between.expr) * at_most(input, &between.expr, high))
        }
    }
}

fn like(input: &Cardinality, like: &Like) -> f64 {
    let (Expr::Literal(pattern, _), (expr, _)) = (like.pattern.as_ref(), stripped(&like.expr)) else { return PATTERN };
    let Some(Some(pattern)) = pattern.try_as_str() else { return PATTERN };
    let statistics = expressions::statistics(input, expr);
    let known = known(input, expr, statistics.as_deref());
    let wild = pattern.contains(['%', '_', like.escape_char.unwrap_or('\\')]);
    let matching = if wild || like.case_insensitive {
        strings::like(pattern, like.case_insensitive, like.escape_char, known.column, input.rows)
    } else {
        known.equal(Some(&StatisticValue::Text(pattern.to_owned())))
    };
    let nulls = known.column.map_or(0.0, |c| null_share(c, input.rows));
    if like.negated { share(1.0 - nulls - matching) } else { matching }
}

/// Two expressions of the rows are compared with each other.
fn compared(input: &Cardinality, b: &BinaryExpr) -> f64 {
    match b.op {
        Operator::Eq | Operator::IsNotDistinctFrom => equal(input, b),
        Operator::NotEq | Operator::IsDistinctFrom => 1.0 - equal(input, b),
        Operator::Lt | Operator::LtEq => at_most(input, &b.left, &b.right),
        Operator::Gt | Operator::GtEq => at_most(input, &b.right, &b.left),
        Operator::RegexMatch | Operator::RegexIMatch | Operator::LikeMatch | Operator::ILikeMatch => PATTERN,
        Operator::RegexNotMatch | Operator::RegexNotIMatch | Operator::NotLikeMatch | Operator::NotILikeMatch => {
            1.0 - PATTERN
        }
        _ => UNKNOWN,
    }
}

/// `a = b`: one in as many as the side with more values has.
fn equal(input: &Cardinality, b: &BinaryExpr) -> f64 {
    let (left, right) = (expressions::distinct(input, &b.left), expressions::distinct(input, &b.right));
    if left.is_none() && right.is_none() { EQUAL } else { keys::pair(input, &b.left, input, &b.right) }
}

/// `a < b`: for ranges that are known, the chance for two independent values that are spread evenly; else as any range.
fn at_most(input: &Cardinality, less: &Expr, more: &Expr) -> f64 {
    const STEPS: u32 = 16;
    let range = |expr| expressions::range(expressions::statistics(input, expr).as_deref()?);
    let (Some((a, b)), Some((c, d))) = (range(less), range(more)) else { return OPEN_RANGE };
    if b <= a || d <= c {
        return OPEN_RANGE;
    }
    let below = |i: u32| share((c + (d - c) * (f64::from(i) + 0.5) / f64::from(STEPS) - a) / (b - a));
    (0..STEPS).map(below).sum::<f64>() / f64::from(STEPS)
}
