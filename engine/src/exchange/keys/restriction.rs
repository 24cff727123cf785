//! The restrictions that a join's filter puts on the rows that can match: keys, ranges, or no row at all. A restriction
//! may let more rows pass than the filter does, and never fewer: an expression that is not understood restricts
//! nothing.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr, Literal,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::column::KeyColumn;

/// The rows that pass a filter.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::exchange) struct Restriction {
    /// Rows with a NULL in one of these columns pass in any case.
    pub(super) nulls: Vec<KeyColumn>,
    pub(in crate::exchange) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::exchange) enum Body {
    /// No row passes.
    Nothing,
    /// A row passes if it meets all of these conditions. Every row passes if there are none.
    All(Vec<Condition>),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::exchange) enum Condition {
    /// The row has one of these keys: an array for each column, with NULLs and duplicates.
    Keys { columns: Vec<KeyColumn>, values: Vec<ArrayRef> },
    /// The value is at least this.
    AtLeast(KeyColumn, ScalarValue),
    /// The value is at most this.
    AtMost(KeyColumn, ScalarValue),
}

impl Restriction {
    /// Reads a filter in its current state.
    pub(in crate::exchange) fn of(filter: &dyn PhysicalExpr) -> Self {
        if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
            return match dynamic.current() {
                Ok(current) => Self::of(current.as_ref()),
                Err(_) => Self { nulls: vec![], body: everything() },
            };
        }
        let mut nulls = vec![];
        if let Some(either) = binary(filter, Operator::Or)
            && is_null(either.left().as_ref(), &mut nulls)
        {
            return Self { nulls, body: body(either.right().as_ref()) };
        }
        Self { nulls: vec![], body: body(filter) }
    }

    /// True if no row passes.
    pub(in crate::exchange) fn rejects_all_rows(&self) -> bool {
        self.nulls.is_empty() && self.body == Body::Nothing
    }
}

fn everything() -> Body {
    Body::All(vec![])
}

/// True if the expression is `a IS NULL OR b IS NULL OR …`. Collects the columns.
fn is_null(expr: &dyn PhysicalExpr, columns: &mut Vec<KeyColumn>) -> bool {
    if let Some(either) = binary(expr, Operator::Or) {
        return is_null(either.left().as_ref(), columns) && is_null(either.right().as_ref(), columns);
    }
    let column = expr.downcast_ref::<IsNullExpr>().and_then(|e| key_column(e.arg().as_ref()));
    columns.extend(column.clone());
    column.is_some()
}

fn body(expr: &dyn PhysicalExpr) -> Body {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return match literal.value() {
            ScalarValue::Boolean(Some(false)) => Body::Nothing,
            _ => everything(),
        };
    }
    if let Some(both) = expr.downcast_ref::<BinaryExpr>() {
        return match both.op() {
            Operator::And => and(body(both.left().as_ref()), body(both.right().as_ref())),
            Operator::GtEq => bound(both, Condition::AtLeast),
            Operator::LtEq => bound(both, Condition::AtMost),
            _ => everything(),
        };
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return in_list(list).map_or_else(everything, |keys| Body::All(vec![keys]));
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        // The branch of a row depends on the hash of its key. A row that passes, passes one of the branches.
        let Some(otherwise) = case.else_expr() else { return everything() };
        let branches = case.when_then_expr().iter().map(|(_, then)| body(then.as_ref()));
        return branches.fold(body(otherwise.as_ref()), or);
    }
    everything()
}

fn binary(expr: &dyn PhysicalExpr, op: Operator) -> Option<&BinaryExpr> {
    expr.downcast_ref::<BinaryExpr>().filter(|e| *e.op() == op)
}

fn key_column(expr: &dyn PhysicalExpr) -> Option<KeyColumn> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some(KeyColumn { index: column.index(), cast: None });
    }
    let cast = expr.downcast_ref::<CastExpr>()?;
    let column = cast.expr().downcast_ref::<Column>()?;
    Some(KeyColumn { index: column.index(), cast: Some(cast.cast_type().clone()) })
}

fn bound(comparison: &BinaryExpr, condition: impl Fn(KeyColumn, ScalarValue) -> Condition) -> Body {
    let column = key_column(comparison.left().as_ref());
    let value = comparison.right().downcast_ref::<Literal>().map(|l| l.value().clone());
    match (column, value) {
        (Some(column), Some(value)) if !value.is_null() => Body::All(vec![condition(column, value)]),
        _ => everything(),
    }
}

fn in_list(list: &InListExpr) -> Option<Condition> {
    if list.negated() || list.is_empty() {
        return None;
    }
    let literal = |e: &std::sync::Arc<dyn PhysicalExpr>| Some(e.downcast_ref::<Literal>()?.value().clone());
    let scalars = list.list().iter().map(literal).collect::<Option<Vec<_>>>()?;
    let values = ScalarValue::iter_to_array(scalars).ok()?;
    if let Some(column) = key_column(list.expr().as_ref()) {
        return Some(Condition::Keys { columns: vec![column], values: vec![values] });
    }
    let together = list.expr().downcast_ref::<ScalarFunctionExpr>().filter(|f| f.name() == "struct")?;
    let columns = together.args().iter().map(|a| key_column(a.as_ref())).collect::<Option<Vec<_>>>()?;
    let values = values.as_struct_opt().filter(|v| v.null_count() == 0)?;
    (values.num_columns() == columns.len()).then(|| Condition::Keys { columns, values: values.columns().to_vec() })
}

fn and(a: Body, b: Body) -> Body {
    match (a, b) {
        (Body::All(mut a), Body::All(b)) => {
            a.extend(b);
            Body::All(a)
        }
        _ => Body::Nothing,
    }
}

/// Returns the conditions of rows that meet one of two lists of conditions: those that both lists have in some form.
fn or(a: Body, b: Body) -> Body {
    match (a, b) {
        (Body::Nothing, other) | (other, Body::Nothing) => other,
        (Body::All(a), Body::All(b)) => {
            Body::All(a.iter().filter_map(|a| b.iter().find_map(|b| weaker(a, b))).collect())
        }
    }
}

/// Returns a condition that rows meet if they meet either of two.
fn weaker(a: &Condition, b: &Condition) -> Option<Condition> {
    match (a, b) {
        (Condition::Keys { columns, values: a }, Condition::Keys { columns: others, values: b }) => {
            let joined = |(a, b): (&ArrayRef, &ArrayRef)| arrow::compute::concat(&[a.as_ref(), b.as_ref()]).ok();
            let values = a.iter().zip(b).map(joined).collect::<Option<Vec<_>>>();
            let values = values.filter(|_| columns == others)?;
            Some(Condition::Keys { columns: columns.clone(), values })
        }
        (Condition::AtLeast(column, a), Condition::AtLeast(other, b)) if column == other => {
            let least = if a.partial_cmp(b)?.is_le() { a } else { b };
            Some(Condition::AtLeast(column.clone(), least.clone()))
        }
        (Condition::AtMost(column, a), Condition::AtMost(other, b)) if column == other => {
            let most = if a.partial_cmp(b)?.is_ge() { a } else { b };
            Some(Condition::AtMost(column.clone(), most.clone()))
        }
        _ => None,
    }
}
