//! The conjuncts of a predicate that compare one expression with values. Conjuncts on the same expression become one
//! constraint, so that `a >= 1 AND a < 5` is one interval and not two independent events.

use std::cmp::Ordering;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::expressions::{self, stripped};
use super::{Cardinality, DAYS_OR_SECONDS};
use portolan_connectors::{SECONDS_A_DAY, statistic_value};

/// An end of an interval. Its value is `None` if it is known only at execution (a parameter, a subquery).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) value: Option<StatisticValue>,
    pub(super) inclusive: bool,
}

/// The constraint that several conjuncts put on one expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Constraint {
    pub(super) lower: Option<Bound>,
    pub(super) upper: Option<Bound>,
    /// The expression has one of these values. A value is `None` as in [`Bound`].
    pub(super) among: Option<Vec<Option<StatisticValue>>>,
    /// The expression has none of these values.
    pub(super) none_of: Vec<Option<StatisticValue>>,
    /// True if the expression is NULL, false if it is not.
    pub(super) null: Option<bool>,
    /// True if no value meets the constraint.
    pub(super) never: bool,
}

/// Returns the operands of a chain of AND or OR. It does not recurse, because there may be thousands.
pub(super) fn flatten(predicate: &Expr, operator: Operator) -> Vec<&Expr> {
    let (mut pending, mut found) = (vec![predicate], vec![]);
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::BinaryExpr(b) if b.op == operator => pending.extend([b.right.as_ref(), b.left.as_ref()]),
            Expr::Alias(alias) => pending.push(&alias.expr),
            other => found.push(other),
        }
    }
    found
}

/// Reads a conjunct as a constraint on one expression; `None` if it is something else.
pub(super) fn constraint<'a>(input: &Cardinality, conjunct: &'a Expr) -> Option<(&'a Expr, Constraint)> {
    match conjunct {
        Expr::BinaryExpr(b) if b.op == Operator::Or => disjunction(input, conjunct),
        Expr::BinaryExpr(b) => comparison(input, b),
        Expr::Between(b) if !b.negated && is_value(&b.low) && is_value(&b.high) => {
            let subject = Subject::of(input, &b.expr);
            let bound = |e| Some(Bound { value: subject.value(e), inclusive: true });
            let never = is_null(&b.low) || is_null(&b.high);
            let (lower, upper) = (bound(&b.low), bound(&b.high));
            Some((subject.expr, Constraint { lower, upper, never, ..Constraint::default() }))
        }
        Expr::InList(list) if list.list.iter().all(is_value) => {
            let subject = Subject::of(input, &list.expr);
            let values = list.list.iter().filter(|e| !is_null(e)).map(|e| subject.value(e)).collect();
            Some(if list.negated {
                let never = list.list.iter().any(is_null);
                (subject.expr, Constraint { none_of: values, never, ..Constraint::default() })
            } else {
                (subject.expr, Constraint { among: Some(distinct_values(values)), ..Constraint::default() })
            })
        }
        Expr::IsNull(expr) => Some((stripped(expr).0, Constraint { null: Some(true), ..Constraint::default() })),
        Expr::IsNotNull(expr) => Some((stripped(expr).0, Constraint { null: Some(false), ..Constraint::default() })),
        Expr::Not(expr) | Expr::IsFalse(expr) => boolean(expr, 0.0),
        Expr::IsTrue(expr) => boolean(expr, 1.0),
        Expr::Column(_) => boolean(conjunct, 1.0),
        _ => None,
    }
}

/// Reads a boolean column as a predicate.
fn boolean(expr: &Expr, value: f64) -> Option<(&Expr, Constraint)> {
    let column = stripped(expr).0;
    let among = Some(vec![Some(StatisticValue::Number(value))]);
    matches!(column, Expr::Column(_)).then(|| (column, Constraint { among, ..Constraint::default() }))
}

fn comparison<'a>(input: &Cardinality, b: &'a BinaryExpr) -> Option<(&'a Expr, Constraint)> {
    let (expr, op, value) = match (is_value(&b.left), is_value(&b.right)) {
        (false, true) => (b.left.as_ref(), b.op, b.right.as_ref()),
        (true, false) => (b.right.as_ref(), b.op.swap().unwrap_or(b.op), b.left.as_ref()),
        _ => return None,
    };
    let subject = Subject::of(input, expr);
    let none = Constraint::default();
    let bound = |inclusive| Some(Bound { value: subject.value(value), inclusive });
    let mut found = match op {
        Operator::Eq => Constraint { among: Some(vec![subject.value(value)]), ..none },
        Operator::NotEq => Constraint { none_of: vec![subject.value(value)], ..none },
        Operator::Lt => Constraint { upper: bound(false), ..none },
        Operator::LtEq => Constraint { upper: bound(true), ..none },
        Operator::Gt => Constraint { lower: bound(false), ..none },
        Operator::GtEq => Constraint { lower: bound(true), ..none },
        Operator::IsNotDistinctFrom if is_null(value) => {
            return Some((subject.expr, Constraint { null: Some(true), ..none }));
        }
        Operator::IsNotDistinctFrom => Constraint { among: Some(vec![subject.value(value)]), ..none },
        _ => return None,
    };
    found.never = is_null(value);
    Some((subject.expr, found))
}

/// Reads `a = 1 OR a IN (2, 3)` as one list.
fn disjunction<'a>(input: &Cardinality, predicate: &'a Expr) -> Option<(&'a Expr, Constraint)> {
    let mut subject: Option<&Expr> = None;
    let mut values = vec![];
    for disjunct in flatten(predicate, Operator::Or) {
        // Only one level is read: a nested conjunction or disjunction is not a list.
        if matches!(disjunct, Expr::BinaryExpr(b) if b.op != Operator::Eq) {
            return None;
        }
        let (expr, found) = constraint(input, disjunct)?;
        let listed = Constraint { among: found.among.clone(), ..Constraint::default() };
        if found != listed || subject.is_some_and(|s| s != expr) {
            return None;
        }
        subject = Some(expr);
        values.extend(found.among?);
    }
    Some((subject?, Constraint { among: Some(distinct_values(values)), ..Constraint::default() }))
}

impl Constraint {
    /// Combines two constraints, so that both must hold.
    pub(super) fn and(&mut self, other: Self) {
        tighten(&mut self.lower, other.lower, Ordering::Greater);
        tighten(&mut self.upper, other.upper, Ordering::Less);
        self.among = match (self.among.take(), other.among) {
            (Some(a), Some(b)) if a.iter().chain(&b).all(Option::is_some) => {
                Some(a.into_iter().filter(|v| b.contains(v)).collect())
            }
            (Some(a), Some(b)) => Some(if a.len() <= b.len() { a } else { b }),
            (a, b) => a.or(b),
        };
        self.none_of.extend(other.none_of);
        self.never |= other.never || matches!((self.null, other.null), (Some(a), Some(b)) if a != b);
        self.null = self.null.or(other.null);
    }

    /// True if a value is within the bounds and not excluded. So is a value that cannot be compared.
    pub(super) fn admits(&self, value: &StatisticValue) -> bool {
        self.within(value) && !self.none_of.iter().flatten().any(|v| same(v, value))
    }

    /// True if a value is within the bounds.
    pub(super) fn within(&self, value: &StatisticValue) -> bool {
        let outside = |bound: &Option<Bound>, wrong: Ordering| {
            let Some(Bound { value: Some(end), inclusive }) = bound else { return false };
            if same(value, end) {
                return !inclusive;
            }
            value.partial_cmp(end) == Some(wrong)
        };
        !outside(&self.lower, Ordering::Less) && !outside(&self.upper, Ordering::Greater)
    }
}

/// Keeps the tighter of two bounds. If they cannot be compared, keeps the first.
fn tighten(bound: &mut Option<Bound>, other: Option<Bound>, tighter: Ordering) {
    let Some(other) = other else { return };
    let replace = match bound {
        None => true,
        Some(Bound { value: None, .. }) => other.value.is_some(),
        Some(Bound { value: Some(value), inclusive }) => match other.value.as_ref().and_then(|o| compared(o, value)) {
            Some(Ordering::Equal) => *inclusive && !other.inclusive,
            Some(order) => order == tighter,
            None => false,
        },
    };
    if replace {
        *bound = Some(other);
    }
}

/// Compares values of the same kind.
pub(super) fn compared(a: &StatisticValue, b: &StatisticValue) -> Option<Ordering> {
    match (a, b) {
        (StatisticValue::Number(a), StatisticValue::Number(b)) => a.partial_cmp(b),
        (StatisticValue::Text(a), StatisticValue::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// True if two values are the same, rounding aside.
pub(super) fn same(a: &StatisticValue, b: &StatisticValue) -> bool {
    match (a, b) {
        (StatisticValue::Number(a), StatisticValue::Number(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        (a, b) => a == b,
    }
}

fn distinct_values(values: Vec<Option<StatisticValue>>) -> Vec<Option<StatisticValue>> {
    // With more values than this, comparing all pairs costs more than duplicates distort the estimate.
    const COMPARED: usize = 100;
    if values.len() > COMPARED {
        return values;
    }
    let mut kept: Vec<Option<StatisticValue>> = Vec::with_capacity(values.len());
    for value in values {
        if value.is_none() || !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// True if an expression has one value for all rows of the operator.
pub(super) fn is_value(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Column(_) => false,
        other => !other.any_column_refs(),
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(stripped(expr).0, Expr::Literal(value, _) if value.is_null())
}

/// The compared expression without casts, and the information that converts a value to its scale.
struct Subject<'a> {
    expr: &'a Expr,
    cast: Option<&'a DataType>,
    magnitude: f64,
}

impl<'a> Subject<'a> {
    fn of(input: &Cardinality, expr: &'a Expr) -> Self {
        let (expr, cast) = stripped(expr);
        let magnitude = match cast {
            Some(_) => expressions::statistics(input, expr).map_or(0.0, |s| magnitude(&s)),
            None => 0.0,
        };
        Self { expr, cast, magnitude }
    }

    /// Returns a value on the scale of the expression below its casts. For example, a timestamp may be cast to a date
    /// and compared with a date: the date is in days, and the timestamp's range is in seconds.
    fn value(&self, expr: &Expr) -> Option<StatisticValue> {
        let Expr::Literal(literal, _) = stripped(expr).0 else { return None };
        match (statistic_value(literal)?, self.cast) {
            (StatisticValue::Number(days), Some(DataType::Date32 | DataType::Date64))
                if self.magnitude > DAYS_OR_SECONDS =>
            {
                Some(StatisticValue::Number(days * SECONDS_A_DAY))
            }
            (StatisticValue::Number(seconds), Some(DataType::Timestamp(..)))
                if self.magnitude > 0.0 && self.magnitude < DAYS_OR_SECONDS =>
            {
                Some(StatisticValue::Number(seconds / SECONDS_A_DAY))
            }
            (value, _) => Some(value),
        }
    }
}

fn magnitude(statistics: &ColumnStatistics) -> f64 {
    let of = |value: &Option<StatisticValue>| match value {
        Some(StatisticValue::Number(n)) => n.abs(),
        _ => 0.0,
    };
    of(&statistics.min).max(of(&statistics.max))
}
