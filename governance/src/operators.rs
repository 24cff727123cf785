//! The expressions that a condition may contain: what partial evaluation leaves of them must be a [`Condition`].
//! Other expressions are refused when policies are loaded.
//!
//! An expression is *fixed* if it does not read a column: partial evaluation makes it a literal.
//!
//! [`Condition`]: crate::Condition

use cedar_policy::pst::{BinaryOp, Clause, EntityUID, Expr, Literal, UnaryOp, Var};

/// The shape of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The expression reads no column.
    Fixed,
    /// The expression is a column.
    Column,
    /// The expression is a condition on columns.
    Condition,
}

/// Checks that the conditions of a policy can be translated.
///
/// # Errors
/// The reason why one cannot, and what to do.
pub(crate) fn check(clauses: &[Clause]) -> Result<(), String> {
    clauses.iter().try_for_each(|clause| match clause {
        Clause::When(e) | Clause::Unless(e) => shape(e).map(drop),
    })
}

fn shape(expr: &Expr) -> Result<Shape, String> {
    match expr {
        Expr::Literal(_) | Expr::Var(_) => Ok(Shape::Fixed),
        Expr::GetAttr { expr, .. } if is_resource(expr) => Ok(Shape::Column),
        Expr::HasAttr { expr, attrs } if is_resource(expr) => match attrs.len() {
            1 => Ok(Shape::Condition),
            _ => Err("columns have no attributes: test one column with `has`".into()),
        },
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } => fixed(expr, "an attribute"),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(match shape(expr)? {
            Shape::Fixed => Shape::Fixed,
            Shape::Column | Shape::Condition => Shape::Condition,
        }),
        Expr::UnaryOp { op, expr } => fixed(expr, &format!("`{op}`")),
        Expr::BinaryOp { op, left, right } => binary(*op, left, right),
        Expr::Like { expr, .. } => match shape(expr)? {
            Shape::Fixed => Ok(Shape::Fixed),
            Shape::Column => Ok(Shape::Condition),
            Shape::Condition => Err("`like` compares a column".into()),
        },
        Expr::Is { expr, in_expr, .. } => {
            if reads_resource(expr) {
                return Err("write the type of the resource in the scope: `resource is …`".into());
            }
            in_expr.as_ref().map_or(Ok(Shape::Fixed), |e| fixed(e, "`in`"))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            let shapes = [shape(cond)?, shape(then_expr)?, shape(else_expr)?];
            // A choice between values is refused where it is compared.
            let is_fixed = shapes == [Shape::Fixed; 3] && !reads_resource(expr);
            Ok(if is_fixed { Shape::Fixed } else { Shape::Condition })
        }
        Expr::Set(items) => {
            items.iter().try_for_each(|e| fixed(e, "a set").map(drop))?;
            Ok(Shape::Fixed)
        }
        Expr::Record(fields) => {
            fields.values().try_for_each(|e| fixed(e, "a record").map(drop))?;
            Ok(Shape::Fixed)
        }
        _ => Err("the condition has an expression that is not supported".into()),
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Result<Shape, String> {
    use Shape::{Column, Condition, Fixed};
    let shapes = (shape(left)?, shape(right)?);
    if shapes == (Fixed, Fixed) {
        return Ok(Fixed);
    }
    match op {
        BinaryOp::And | BinaryOp::Or => Ok(Condition),
        _ if is_comparison(op) => match shapes {
            (Condition, _) | (_, Condition) => {
                Err(format!("`{op}` compares columns and values, not conditions and not `if`: use `&&`, `||` and `!`"))
            }
            _ => Ok(Condition),
        },
        BinaryOp::Contains => match shapes {
            (Fixed, Column) => Ok(Condition),
            _ => Err("`contains` tests a column against a set that reads no column".into()),
        },
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => {
            Err(format!("`{op}` over columns may overflow: compare the column itself, or use `@row_filter`"))
        }
        _ => Err(format!("`{op}` cannot be used over columns: use `@row_filter`")),
    }
}

/// True for operators that compare two values.
pub(crate) fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Greater
            | BinaryOp::GreaterEq
            | BinaryOp::DecimalLessThan
            | BinaryOp::DecimalLessEq
            | BinaryOp::DecimalGreater
            | BinaryOp::DecimalGreaterEq
    )
}

fn fixed(expr: &Expr, what: &str) -> Result<Shape, String> {
    match shape(expr)? {
        Shape::Fixed => Ok(Shape::Fixed),
        _ => Err(format!("{what} over columns is not supported: compare the column itself, or use `@row_filter`")),
    }
}

fn is_resource(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}

fn reads_resource(expr: &Expr) -> bool {
    let mut found = false;
    visit(expr, &mut |e| found |= is_resource(e));
    found
}

/// The columns and instants that the conditions of a policy name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentions {
    /// The columns, as attributes of the resource.
    pub(crate) columns: Vec<String>,
    /// The pairs of columns that are compared with each other.
    pub(crate) compared: Vec<(String, String)>,
    /// The entities.
    pub(crate) entities: Vec<EntityUID>,
    /// The use of the current time.
    pub(crate) now: Now,
}

/// The use of `context.now` in a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Now {
    /// The policy does not depend on time.
    #[default]
    Unused,
    /// The policy compares the time with these instants, in milliseconds.
    Compared(Vec<i64>),
    /// The policy depends on time in another way.
    Other,
}

/// Returns what the conditions name.
pub(crate) fn mentions(clauses: &[Clause]) -> Mentions {
    let mut found = Mentions::default();
    let (mut uses, mut instants) = (0_usize, vec![]);
    for clause in clauses {
        let (Clause::When(e) | Clause::Unless(e)) = clause;
        visit(e, &mut |e| match e {
            Expr::GetAttr { expr, .. } if is_resource(expr) => found.columns.extend(column(e)),
            Expr::HasAttr { expr, attrs } if is_resource(expr) => found.columns.push(attrs.head.to_string()),
            Expr::Literal(Literal::EntityUID(uid)) => found.entities.push(uid.clone()),
            // A use of the whole context counts as a use of the time.
            Expr::Var(Var::Context) => uses += 1,
            Expr::HasAttr { expr, .. } if is_context(expr) => uses = uses.saturating_sub(1),
            Expr::GetAttr { expr, attr } if is_context(expr) && attr != "now" => uses = uses.saturating_sub(1),
            Expr::BinaryOp { op, left, right } if is_comparison(*op) => {
                instants.extend(instant(left, right).or_else(|| instant(right, left)));
                found.compared.extend(column(left).zip(column(right)));
            }
            _ => {}
        });
    }
    found.columns.sort();
    found.columns.dedup();
    found.now = match instants.len() {
        n if n < uses => Now::Other,
        0 => Now::Unused,
        _ => Now::Compared(instants),
    };
    found
}

/// Returns the instant that `now` is compared with, if `now` is the time and `other` a literal.
fn instant(now: &Expr, other: &Expr) -> Option<i64> {
    let is_now = matches!(now, Expr::GetAttr { expr, attr } if is_context(expr) && attr == "now");
    let Expr::UnaryOp { op: UnaryOp::Datetime, expr } = other else { return None };
    match &**expr {
        Expr::Literal(Literal::String(text)) if is_now => crate::time::parse_cedar(text),
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::GetAttr { expr, attr } if is_resource(expr) => Some(attr.to_string()),
        _ => None,
    }
}

fn is_context(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Context))
}

/// Calls `f` for an expression, after the expressions in it.
fn visit<'a>(expr: &'a Expr, f: &mut impl FnMut(&'a Expr)) {
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => visit(expr, f),
        Expr::BinaryOp { left, right, .. } => {
            visit(left, f);
            visit(right, f);
        }
        Expr::Is { expr, in_expr, .. } => {
            visit(expr, f);
            if let Some(e) = in_expr {
                visit(e, f);
            }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().for_each(|e| visit(e, f));
        }
        Expr::Set(items) => items.iter().for_each(|e| visit(e, f)),
        Expr::Record(fields) => fields.values().for_each(|e| visit(e, f)),
        _ => {}
    }
    f(expr);
}
