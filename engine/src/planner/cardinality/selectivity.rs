//! The share of rows that a predicate keeps, and the column statistics afterwards.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, Like, Operator};
use portolan_catalog::{ColumnStatistics, StatisticValue};
use portolan_connectors::statistic_value;

use crate::encode::keys::{InKeys, KeyTest};

use super::constraints::{Constraint, constraint, flatten};
use super::expressions::{self, stripped};
use super::interval::{EQUAL, ExpressionStatistics, OPEN_RANGE, outside};
use super::{Cardinality, float, keys, null_share, sane, share, strings, thin};

/// The share of a predicate that cannot be estimated, such as a subquery or a function that returns a boolean.
const UNKNOWN: f64 = 1.0 / 3.0;
/// The share of `EXISTS` and `IN` that remain subqueries (PostgreSQL uses a half too).
const SUBQUERY: f64 = 0.5;
/// The share of a regular expression, which the planner does not analyse.
const PATTERN: f64 = 0.1;
/// The largest number of keys of a test that are compared with statistics.
const KEYS_READ: usize = 1024;
/// The maximum depth of nested predicates that are estimated.
const DEPTH: usize = 32;
/// The number of independent conjuncts that count in full. Each further one counts with its square root, its fourth
/// root, and so on.
const IN_FULL: usize = 2;

/// Returns the rows that meet all predicates.
pub(super) fn filter<'a>(mut input: Cardinality, predicates: impl IntoIterator<Item = &'a Expr>) -> Cardinality {
    let judged = Conjuncts::of(&input, predicates.into_iter().flat_map(|p| flatten(p, Operator::And)), 0);
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

/// Returns the share of rows (0 to 1) that meet a predicate.
pub(super) fn selectivity(input: &Cardinality, predicate: &Expr) -> f64 {
    conjunction(input, predicate, 0)
}

/// The conjuncts of a predicate: constraints on one expression each, with their shares, and the shares of all other
/// conjuncts.
struct Conjuncts<'a> {
    constraints: Vec<(&'a Expr, Constraint, f64)>,
    factors: Vec<f64>,
}

impl<'a> Conjuncts<'a> {
    fn of(input: &Cardinality, conjuncts: impl IntoIterator<Item = &'a Expr>, depth: usize) -> Self {
        let mut by_expression: HashMap<&Expr, usize> = HashMap::new();
        let mut judged = Self { constraints: vec![], factors: vec![] };
        let mut key_sets = vec![];
        for conjunct in conjuncts {
            if let Some(set) = key_set(conjunct) {
                key_sets.push((set, conjunct));
                continue;
            }
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
        for ((column, test), conjunct) in key_sets {
            let kept = other(input, conjunct, depth);
            let range = by_expression.get(column).and_then(|i| judged.constraints.get_mut(*i));
            match range.filter(|(_, range, _)| holds_all(range, test)) {
                // The rows with a key are in the range of the keys.
                Some((_, _, share)) => *share = share.min(kept),
                None => judged.factors.push(kept),
            }
        }
        judged
    }

    /// Returns the share of rows that meet all conjuncts. The most selective conjuncts count as independent. The others
    /// count less and less, because they overlap (exponential back-off, as in SQL Server since 2014).
    fn share(&self) -> f64 {
        let mut factors = self.factors.clone();
        factors.extend(self.constraints.iter().map(|(_, _, share)| *share));
        factors.sort_by(f64::total_cmp);
        let exponent = |i: usize| 0.5f64.powi(i32::try_from(i.saturating_sub(IN_FULL - 1)).unwrap_or(i32::MAX));
        share(factors.iter().enumerate().map(|(i, f)| share(*f).powf(exponent(i))).product())
    }
}

/// Returns the column and the keys of a test for keys of one column.
fn key_set(conjunct: &Expr) -> Option<(&Expr, &KeyTest)> {
    let Expr::ScalarFunction(call) = conjunct else { return None };
    let test = &InKeys::of(call)?.keys.test;
    let [column] = call.args.as_slice() else { return None };
    test.number().map(|_| (stripped(column).0, test))
}

/// True if a constraint is a range that has every key. Keys often travel with the range from the least to the greatest.
fn holds_all(constraint: &Constraint, keys: &KeyTest) -> bool {
    let is_range = Constraint { lower: None, upper: None, ..constraint.clone() } == Constraint::default();
    let within = |key: &ScalarValue| statistic_value(key).is_some_and(|key| constraint.within(&key));
    is_range && keys.ends().is_some_and(|(least, greatest)| within(&least) && within(&greatest))
}

fn known<'a>(input: &Cardinality, expr: &Expr, column: Option<&'a ColumnStatistics>) -> ExpressionStatistics<'a> {
    ExpressionStatistics { column, distinct: expressions::distinct(input, expr), rows: input.rows }
}

fn conjunction(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    if depth > DEPTH {
        return UNKNOWN;
    }
    Conjuncts::of(input, flatten(predicate, Operator::And), depth).share()
}

/// Returns the share of a conjunct that is not a constraint on one expression.
fn other(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    let inner = |expr: &Expr| conjunction(input, expr, depth + 1);
    match predicate {
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
        Expr::Literal(..) => 0.0,
        Expr::BinaryExpr(b) if b.op == Operator::Or => disjunction(input, predicate, depth),
        Expr::BinaryExpr(b) => compared(input, b),
        Expr::Not(e) | Expr::IsNotTrue(e) | Expr::IsFalse(e) => 1.0 - inner(e),
        Expr::IsTrue(e) | Expr::IsNotFalse(e) => inner(e),
        Expr::Cast(cast) => inner(&cast.expr),
        Expr::TryCast(cast) => inner(&cast.expr),
        Expr::Between(between) => range_between(input, between),
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
        Expr::ScalarFunction(call) => called(input, call),
        _ => UNKNOWN,
    }
}

/// Returns the share of the rows that have one of the keys: the sum of the shares of `column = key`, which depend on the
/// column's range, on its number of values and on its frequent values. Of many keys, which are sorted, every n-th stands
/// for n keys. Returns `None` if the statistics are not known.
pub(crate) fn has_key(input: &Cardinality, column: &Expr, keys: &ArrayRef) -> Option<f64> {
    let statistics = expressions::statistics(input, column);
    let known = known(input, column, statistics.as_deref());
    let (Some(of_column), Some(_)) = (known.column, known.distinct) else { return None };
    let step = keys.len().div_ceil(KEYS_READ).max(1);
    let one = |row| {
        let key = statistic_value(&ScalarValue::try_from_array(keys, row).ok()?)?;
        Some(if outside(of_column, &key) { 0.0 } else { known.equal(Some(&key)) })
    };
    let shares = (0..keys.len()).step_by(step).map(one).collect::<Option<Vec<f64>>>()?;
    let average = shares.iter().sum::<f64>() / float(shares.len().max(1) as u64);
    let one_row = 1.0 / input.rows.max(1.0);
    Some(share((average * float(keys.len() as u64)).min(1.0 - null_share(of_column, input.rows)).max(one_row)))
}

/// Returns the share of a call.
fn called(input: &Cardinality, call: &ScalarFunction) -> f64 {
    let test = InKeys::of(call).map(|function| &function.keys.test);
    if let (Some(keys), [column]) = (test.and_then(KeyTest::values), call.args.as_slice())
        && let Some(kept) = has_key(input, column, keys)
    {
        return kept;
    }
    if let Some(keys) = test.and_then(KeyTest::number) {
        // Keys of several columns have at least as many combinations as each column has values.
        let distinct = call.args.iter().map(|column| input.distinct(column)).fold(2.0, f64::max);
        return share(float(keys as u64) / distinct);
    }
    let name = call.name();
    if name.contains("regexp") || name.contains("like") {
        return PATTERN;
    }
    if matches!(name, "starts_with" | "ends_with" | "contains" | "strpos") { PATTERN } else { UNKNOWN }
}

/// Returns the share of a disjunction. Disjuncts count as independent, `1 - (1 - a)(1 - b)`. If all of them constrain
/// one expression, the overlap of two counts once: the shares of `a < 1 OR a > 5` add up, and `a < 1 OR a < 5` has the
/// share of the latter.
fn disjunction(input: &Cardinality, predicate: &Expr, depth: usize) -> f64 {
    const COMPARED: usize = 16;
    let disjuncts = flatten(predicate, Operator::Or);
    let independent =
        |disjuncts: &[&Expr]| 1.0 - disjuncts.iter().map(|e| 1.0 - conjunction(input, e, depth + 1)).product::<f64>();
    if disjuncts.len() > COMPARED {
        return independent(&disjuncts);
    }
    // A nested disjunction would be read once more for each level.
    let simple = |e: &&Expr| {
        flatten(e, Operator::And).into_iter().all(|c| !matches!(c, Expr::BinaryExpr(b) if b.op == Operator::Or))
    };
    let mut judged = vec![];
    for disjunct in disjuncts.iter().filter(|e| simple(e)) {
        let mut one = Conjuncts::of(input, flatten(disjunct, Operator::And), depth + 1);
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

/// Returns the share of a `CASE` as a predicate: each branch counts with its probability.
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

/// Returns the share of a `NOT BETWEEN` with values, or of a `BETWEEN` if an end is a column.
fn range_between(input: &Cardinality, between: &Between) -> f64 {
    let inside = Expr::Between(Between { negated: false, ..between.clone() });
    match constraint(input, &inside) {
        Some((expr, found)) => {
            let statistics = expressions::statistics(input, expr);
            let nulls = statistics.as_deref().map_or(0.0, |c| null_share(c, input.rows));
            share(1.0 - nulls - known(input, expr, statistics.as_deref()).share(&found))
        }
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

/// Returns the share of a comparison of two expressions of the rows.
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

/// Returns the share of `a = b`: 1 divided by the number of values of the side with more values.
fn equal(input: &Cardinality, b: &BinaryExpr) -> f64 {
    let (left, right) = (expressions::distinct(input, &b.left), expressions::distinct(input, &b.right));
    if left.is_none() && right.is_none() { EQUAL } else { keys::pair(input, &b.left, input, &b.right) }
}

/// Returns the share of `a < b`. For known ranges, this is the probability for two independent, uniformly distributed
/// values. Otherwise it is the default share of a range.
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
