//! Translates what partial evaluation leaves of a policy to a [`Condition`].
//!
//! An expression of Cedar is true, false or fails; a condition is TRUE, FALSE or NULL. The translation maps failure to
//! NULL, and nothing else:
//!
//! | Cedar | condition |
//! |---|---|
//! | `resource has x` | `x IS NOT NULL`, never NULL |
//! | `resource.x == v`, `<`, … | the comparison, NULL where `x` is NULL: there the attribute is missing, and Cedar fails |
//! | `[v, …].contains(resource.x)` | `x IN (v, …)` |
//! | `resource.x like "a*"` | the pattern |
//! | `!a` | `NOT a` |
//! | `a && b` | `a AND b`; if `a` may be NULL `(a AND b) OR (a AND NOT a)`, as Cedar fails where `a` fails |
//! | `a \|\| b` | `a OR b`; if `a` may be NULL `(a OR b) AND (a OR NOT a)` |
//! | `if c then a else b` | `(c AND a) OR (NOT c AND b)`; if `c` may be NULL also `OR (c AND NOT c)` |
//! | a failure | NULL |
//!
//! `c AND NOT c` is FALSE, but NULL where `c` is NULL. Validated policies test optional attributes with `has` before
//! they read them, so that the longer forms are rare.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::pst::{BinaryOp, Expr, Literal as CedarLiteral, PatternElem, UnaryOp};

use crate::condition::{Comparison, Condition, Literal, Operand, PatternPart};
use crate::entity::{ColumnKind, EntityName};
use crate::operators::is_comparison;
use crate::scope::name_of;
use crate::time;

/// The largest number of nodes of a condition.
const MAX_SIZE: usize = 10_000;

/// The port that residuals are about.
pub(crate) struct Translator<'a> {
    /// The port as an entity.
    pub(crate) port: &'a EntityName,
    /// The columns that Cedar can read.
    pub(crate) kinds: &'a BTreeMap<String, ColumnKind>,
    /// The columns that are never NULL.
    pub(crate) required: &'a BTreeSet<String>,
}

impl Translator<'_> {
    /// Translates a residual.
    ///
    /// # Errors
    /// The expression that cannot be translated.
    pub(crate) fn condition(&self, expr: &Expr) -> Result<Condition, String> {
        let condition = self.translate(expr)?;
        match condition.size() {
            ..=MAX_SIZE => Ok(condition),
            size => Err(format!("the condition has {size} parts, and may have {MAX_SIZE}")),
        }
    }

    fn translate(&self, expr: &Expr) -> Result<Condition, String> {
        match expr {
            Expr::ResidualError => Ok(Condition::NULL),
            Expr::Literal(CedarLiteral::Bool(value)) => Ok(Condition::Constant(Some(*value))),
            Expr::HasAttr { expr, attrs } if self.is_port(expr) && attrs.len() == 1 => {
                Ok(match self.kinds.contains_key(attrs.head.as_str()) {
                    true => Condition::IsPresent(attrs.head.to_string()),
                    false => Condition::FALSE,
                })
            }
            Expr::GetAttr { .. } => {
                let left = self.operand(expr)?;
                Ok(compare(left, Comparison::Eq, Operand::Literal(Literal::Bool(true))))
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(self.translate(expr)?.negate()),
            Expr::BinaryOp { op: BinaryOp::And, left, right } => {
                Ok(self.and(self.translate(left)?, self.translate(right)?))
            }
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                Ok(self.or(self.translate(left)?, self.translate(right)?))
            }
            Expr::BinaryOp { op: BinaryOp::Contains, left, right } => self.contains(left, right),
            Expr::BinaryOp { op, left, right } if is_comparison(*op) => self.comparison(*op, left, right),
            Expr::Like { expr, pattern } => {
                let Operand::Column(column) = self.operand(expr)? else { return Err(unsupported(expr)) };
                Ok(Condition::Like { column, pattern: parts(pattern) })
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let (test, then, otherwise) =
                    (self.translate(cond)?, self.translate(then_expr)?, self.translate(else_expr)?);
                let fails = self.fails(&test);
                let cases = [Condition::all([test.clone(), then]), Condition::all([test.negate(), otherwise])];
                Ok(Condition::any(cases.into_iter().chain(fails)))
            }
            other => Err(unsupported(other)),
        }
    }

    fn comparison(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Condition, String> {
        if matches!((left, right), (Expr::ResidualError, _) | (_, Expr::ResidualError)) {
            return Ok(Condition::NULL);
        }
        let op = match op {
            BinaryOp::Eq => Comparison::Eq,
            BinaryOp::NotEq => Comparison::NotEq,
            BinaryOp::Less | BinaryOp::DecimalLessThan => Comparison::Less,
            BinaryOp::LessEq | BinaryOp::DecimalLessEq => Comparison::LessEq,
            BinaryOp::Greater | BinaryOp::DecimalGreater => Comparison::Greater,
            _ => Comparison::GreaterEq,
        };
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        let kind = |operand: &Operand| operand.column().and_then(|column| self.kinds.get(column));
        match (kind(&left), kind(&right)) {
            (Some(l), Some(r)) if l != r => Err(format!("compares columns of two kinds, {l:?} and {r:?}")),
            _ => Ok(compare(left, op, right)),
        }
    }

    fn contains(&self, set: &Expr, item: &Expr) -> Result<Condition, String> {
        let (Expr::Set(items), Operand::Column(column)) = (set, self.operand(item)?) else {
            return Err(unsupported(set));
        };
        let mut values =
            items.iter().map(|e| literal(e).ok_or_else(|| unsupported(e))).collect::<Result<Vec<_>, _>>()?;
        values.sort();
        values.dedup();
        Ok(Condition::In { column, values })
    }

    fn operand(&self, expr: &Expr) -> Result<Operand, String> {
        if let Some(literal) = literal(expr) {
            return Ok(Operand::Literal(literal));
        }
        match expr {
            Expr::GetAttr { expr: of, attr } if self.is_port(of) && self.kinds.contains_key(attr.as_str()) => {
                Ok(Operand::Column(attr.to_string()))
            }
            other => Err(unsupported(other)),
        }
    }

    fn is_port(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Literal(CedarLiteral::EntityUID(uid)) if name_of(uid) == *self.port)
    }

    /// Returns `left && right`.
    pub(crate) fn and(&self, left: Condition, right: Condition) -> Condition {
        match (left, right) {
            (left @ (Condition::FALSE | Condition::NULL), _) => left,
            (Condition::TRUE, right) => right,
            (left, Condition::TRUE) => left,
            (left, right) => {
                let fails = self.fails(&left);
                Condition::any(std::iter::once(Condition::all([left, right])).chain(fails))
            }
        }
    }

    fn or(&self, left: Condition, right: Condition) -> Condition {
        match (left, right) {
            (left @ (Condition::TRUE | Condition::NULL), _) => left,
            (Condition::FALSE, right) => right,
            (left, Condition::FALSE) => left,
            (left, right) => {
                // `left OR NOT left` is the negation of `left AND NOT left`.
                let fails = self.fails(&left).map(Condition::negate);
                Condition::all(std::iter::once(Condition::any([left, right])).chain(fails))
            }
        }
    }

    /// Returns a condition that is FALSE, but NULL where `condition` is NULL. `None` if it is never NULL.
    fn fails(&self, condition: &Condition) -> Option<Condition> {
        let may_be_null = self.may_be_null(condition, &BTreeSet::new());
        may_be_null.then(|| Condition::And(vec![condition.clone(), Condition::Not(Box::new(condition.clone()))]))
    }

    /// True if the condition may be NULL although the columns in `present` are not.
    fn may_be_null(&self, condition: &Condition, present: &BTreeSet<&str>) -> bool {
        let missing = |column: &str| !self.required.contains(column) && !present.contains(column);
        match condition {
            Condition::Constant(value) => value.is_none(),
            Condition::IsPresent(_) => false,
            Condition::Compare { left, right, .. } => {
                [left, right].into_iter().filter_map(Operand::column).any(missing)
            }
            Condition::In { column, .. } | Condition::Like { column, .. } => missing(column),
            Condition::Not(inner) => self.may_be_null(inner, present),
            Condition::And(parts) => self.one_may_be_null(parts, present, true),
            Condition::Or(parts) => self.one_may_be_null(parts, present, false),
            Condition::Sql(_) => true,
        }
    }

    /// True if one of the parts may be NULL where all parts before it are `value`.
    fn one_may_be_null<'c>(&self, parts: &'c [Condition], present: &BTreeSet<&'c str>, value: bool) -> bool {
        let mut present = present.clone();
        parts.iter().any(|part| {
            let may_be_null = self.may_be_null(part, &present);
            present.extend(present_if(part, value));
            may_be_null
        })
    }
}

/// Returns the columns that are not NULL if the condition is `value`.
fn present_if(condition: &Condition, value: bool) -> BTreeSet<&str> {
    match condition {
        Condition::IsPresent(column) if value => [column.as_str()].into(),
        Condition::Compare { .. } | Condition::In { .. } | Condition::Like { .. } => condition.columns(),
        Condition::Not(inner) => present_if(inner, !value),
        Condition::And(parts) if value => parts.iter().flat_map(|part| present_if(part, true)).collect(),
        Condition::Or(parts) if !value => parts.iter().flat_map(|part| present_if(part, false)).collect(),
        _ => BTreeSet::new(),
    }
}

fn compare(left: Operand, op: Comparison, right: Operand) -> Condition {
    Condition::Compare { left, op, right }
}

fn literal(expr: &Expr) -> Option<Literal> {
    Some(match expr {
        Expr::Literal(CedarLiteral::Bool(value)) => Literal::Bool(*value),
        Expr::Literal(CedarLiteral::Long(value)) => Literal::Long(*value),
        Expr::Literal(CedarLiteral::String(value)) => Literal::String(value.to_string()),
        Expr::UnaryOp { op: UnaryOp::Decimal, expr } => Literal::Decimal(decimal(string(expr)?)?),
        _ => Literal::Datetime(datetime(expr).filter(|millis| time::RANGE.contains(millis))?),
    })
}

/// Returns the milliseconds of `datetime("…")` or of `datetime("…").offset(duration("…ms"))`, which is how Cedar writes
/// instants that it has computed.
fn datetime(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Datetime, expr } => time::parse_cedar(string(expr)?),
        Expr::BinaryOp { op: BinaryOp::Offset, left, right } => {
            let Expr::UnaryOp { op: UnaryOp::Duration, expr } = &**right else { return None };
            let millis = string(expr)?.strip_suffix("ms")?.parse().ok()?;
            datetime(left)?.checked_add(millis)
        }
        _ => None,
    }
}

/// Returns the ten-thousandths of a decimal in Cedar's notation.
fn decimal(text: &str) -> Option<i64> {
    let (whole, places) = text.split_once('.')?;
    if places.len() > 4 {
        return None;
    }
    format!("{whole}{places:0<4}").parse().ok()
}

fn string(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(CedarLiteral::String(text)) => Some(text),
        _ => None,
    }
}

fn parts(pattern: &[PatternElem]) -> Vec<PatternPart> {
    let mut parts = vec![];
    for element in pattern {
        match (element, parts.last_mut()) {
            (PatternElem::Char(c), Some(PatternPart::Text(text))) => text.push(*c),
            (PatternElem::Char(c), _) => parts.push(PatternPart::Text(c.to_string())),
            (PatternElem::Wildcard, Some(PatternPart::Any)) => {}
            (PatternElem::Wildcard, _) => parts.push(PatternPart::Any),
        }
    }
    parts
}

fn unsupported(expr: &Expr) -> String {
    format!("`{expr}` cannot be translated to a condition on rows")
}
