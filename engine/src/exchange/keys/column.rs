//! The columns of a fragment that keys can be compared with: those that are columns all the way down. The owner's
//! optimizer pushes a filter down as far as it can. It would then compute a computed column for rows that the
//! fragment's own filters drop, and a query could fail with an unexpected division by zero.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, cast};

use crate::encode::keys::same_values;

/// A column of a fragment, by position, with a cast if it is needed as another type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::exchange) struct KeyColumn {
    pub(super) index: usize,
    pub(super) cast: Option<DataType>,
}

impl KeyColumn {
    /// Returns the column as an expression over a fragment's rows, and its type; `None` if a filter over it could do
    /// harm.
    pub(super) fn of(&self, plan: &LogicalPlan) -> Option<(Expr, DataType)> {
        let schema = plan.schema();
        let (_, field) = (self.index < schema.fields().len()).then(|| schema.qualified_field(self.index))?;
        if !is_column_below(plan, self.index) {
            return None;
        }
        let column = Column::from(schema.qualified_field(self.index));
        if schema.maybe_index_of_column(&column) != Some(self.index) {
            return None;
        }
        let column = Expr::Column(column);
        match &self.cast {
            None => Some((column, field.data_type().clone())),
            Some(to) if never_fails(field.data_type(), to) => Some((cast(column, to.clone()), to.clone())),
            Some(_) => None,
        }
    }
}

/// True if every value of one type is also a value of the other.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    let width = |t: &DataType| t.primitive_width();
    same_values(from, to)
        || from.is_signed_integer() && to.is_signed_integer() && width(from) <= width(to)
        || from.is_unsigned_integer() && to.is_unsigned_integer() && width(from) <= width(to)
        || from.is_unsigned_integer() && to.is_signed_integer() && width(from) < width(to)
}

/// True if an output column is one of a port's columns, a constant, or an aggregate's result, which no filter passes.
fn is_column_below(plan: &LogicalPlan, index: usize) -> bool {
    let below = |expr: &Expr, input: &LogicalPlan| is_column(expr, input);
    match plan {
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => true,
        LogicalPlan::Projection(p) => p.expr.get(index).is_some_and(|e| below(e, &p.input)),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => {
            plan.inputs().first().is_some_and(|input| is_column_below(input, index))
        }
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| is_column_below(input, index)),
        LogicalPlan::Aggregate(a) if a.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) => false,
        LogicalPlan::Aggregate(a) => a.group_expr.get(index).is_none_or(|e| below(e, &a.input)),
        LogicalPlan::Window(w) => index >= w.input.schema().fields().len() || is_column_below(&w.input, index),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                index >= join.left.schema().fields().len() || is_column_below(&join.left, index)
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                index >= join.right.schema().fields().len() || is_column_below(&join.right, index)
            }
            _ => match index.checked_sub(join.left.schema().fields().len()) {
                None => is_column_below(&join.left, index),
                Some(index) => is_column_below(&join.right, index),
            },
        },
        _ => false,
    }
}

fn is_column(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => is_column(&alias.expr, input),
        Expr::Column(column) => {
            input.schema().maybe_index_of_column(column).is_some_and(|index| is_column_below(input, index))
        }
        Expr::Literal(..) => true,
        _ => false,
    }
}
