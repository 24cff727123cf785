//! Finds the groups of operands that need a common type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, NullEquality, Result};
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, cast,
};

use super::{decimals, instants, intervals, timestamps, unrelated};

/// The use of a group's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The first operand is compared with each of the others. Only the outcome is visible.
    Compared,
    /// One of the operands is the value. All of them get one type.
    Branches,
}

/// An operand and its type.
pub(super) struct Operand<'a> {
    pub(super) expr: &'a mut Expr,
    pub(super) data_type: DataType,
}

impl<'a> Operand<'a> {
    fn of(expr: &'a mut Expr, schema: &DFSchema) -> Result<Self> {
        let data_type = expr.get_type(schema)?;
        Ok(Self { expr, data_type })
    }

    /// Returns the operand's type without an encoding.
    pub(super) fn plain(&self) -> &DataType {
        plain(&self.data_type)
    }

    /// Casts the operand.
    pub(super) fn cast(&mut self, to: &DataType) {
        if self.data_type != *to {
            self.replace(cast(self.expr.clone(), to.clone()), to.clone());
        }
    }

    /// Replaces the operand with another expression.
    pub(super) fn replace(&mut self, expr: Expr, data_type: DataType) {
        (*self.expr, self.data_type) = (expr, data_type);
    }
}

/// Returns the type of the values, whatever their encoding.
pub(super) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

/// Finds common types for the operands of one expression, from the inside out.
pub(super) fn settle(expr: &mut Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            group(Group::Compared, vec![left, right], schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) => {
            decimals::divide(&mut Operand::of(left, schema)?, &mut Operand::of(right, schema)?);
            Ok(())
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_exact(*op) => {
            let (mut left, mut right) = (Operand::of(left, schema)?, Operand::of(right, schema)?);
            intervals::keep_time_of_day(*op, &mut left, &mut right);
            decimals::calculate(*op, left, right);
            Ok(())
        }
        Expr::Between(between) => {
            group(Group::Compared, vec![&mut between.expr, &mut between.low, &mut between.high], schema)
        }
        Expr::InList(list) => {
            let operands = std::iter::once(list.expr.as_mut()).chain(list.list.iter_mut());
            group(Group::Compared, operands.collect(), schema)
        }
        Expr::Case(case) => settle_case(case, schema),
        Expr::ScalarFunction(call) => {
            let args = &mut call.args;
            let branches: Vec<&mut Expr> = match call.func.name() {
                "coalesce" | "greatest" | "least" | "nvl" | "nullif" | "make_array" => args.iter_mut().collect(),
                "nvl2" => args.iter_mut().skip(1).collect(),
                _ => return Ok(()),
            };
            group(Group::Branches, branches, schema)
        }
        Expr::Cast(cast) => {
            if let Some(field) = timestamps::unit_of(&cast.expr, &cast.field, schema)? {
                cast.field = field;
            }
            decimals::keep_exact(&mut cast.expr, cast.field.data_type());
            Ok(())
        }
        Expr::TryCast(cast) => {
            if let Some(field) = timestamps::unit_of(&cast.expr, &cast.field, schema)? {
                cast.field = field;
            }
            decimals::keep_exact(&mut cast.expr, cast.field.data_type());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn settle_case(case: &mut Case, schema: &DFSchema) -> Result<()> {
    let (mut compared, mut branches) = (vec![], vec![]);
    let is_compared = case.expr.is_some();
    compared.extend(case.expr.as_mut().map(Box::as_mut));
    for (when, then) in &mut case.when_then_expr {
        if is_compared {
            compared.push(when.as_mut());
        }
        branches.push(then.as_mut());
    }
    branches.extend(case.else_expr.as_mut().map(Box::as_mut));
    group(Group::Compared, compared, schema)?;
    group(Group::Branches, branches, schema)
}

/// Finds a common type for each pair of a join's keys, each with the schema of its side.
///
/// The keys of `INTERSECT` and `EXCEPT` are compared as `UNION` and `GROUP BY` compare rows: intervals by their parts.
pub(super) fn settle_keys(join: &mut Join) -> Result<()> {
    let of_set_operation = join.null_equality == NullEquality::NullEqualsNull;
    for (left, right) in &mut join.on {
        let mut operands = [Operand::of(left, join.left.schema())?, Operand::of(right, join.right.schema())?];
        let [l, r] = &operands;
        if of_set_operation && l.data_type == r.data_type {
            continue;
        }
        settle_operands(Group::Compared, &mut operands)?;
    }
    Ok(())
}

/// Finds a common type for an expression and the only column of a subquery. Returns the subquery with that column.
pub(super) fn settle_with_subquery(expr: &mut Expr, subquery: Subquery, schema: &DFSchema) -> Result<Subquery> {
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let data_type = field.data_type().clone();
    let column = Expr::Column(Column::from((qualifier, field)));
    let mut settled = column.clone();
    let mut operands = [Operand::of(expr, schema)?, Operand { expr: &mut settled, data_type }];
    settle_operands(Group::Compared, &mut operands)?;
    if settled == column {
        return Ok(subquery);
    }
    let plan = LogicalPlanBuilder::from(subquery.subquery).project([settled])?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns: subquery.outer_ref_columns, spans: subquery.spans })
}

fn group(group: Group, operands: Vec<&mut Expr>, schema: &DFSchema) -> Result<()> {
    let operands = operands.into_iter().map(|expr| {
        if group == Group::Compared {
            timestamps::compare_uncast(expr, schema)?;
        }
        Operand::of(expr, schema)
    });
    settle_operands(group, &mut operands.collect::<Result<Vec<_>>>()?)
}

/// Finds a common type for the operands of a group.
pub(super) fn settle_operands(group: Group, operands: &mut [Operand<'_>]) -> Result<()> {
    unrelated::refuse(group, operands)?;
    intervals::settle(group, operands)?;
    let Some((first, others)) = operands.split_first() else { return Ok(()) };
    if others.iter().all(|other| other.data_type == first.data_type) {
        return Ok(());
    }
    decimals::settle(group, operands)?;
    instants::settle(group, operands)
}

/// Finds common types that DataFusion's SQL planner needs: it does not plan a comparison without a common type.
pub(super) fn settle_planned(left: &mut Expr, right: &mut Expr, schema: &DFSchema) -> Result<()> {
    // DataFusion reports an operand that has no type yet.
    let (Ok(left), Ok(right)) = (Operand::of(left, schema), Operand::of(right, schema)) else { return Ok(()) };
    let mut operands = [left, right];
    unrelated::refuse(Group::Compared, &operands)?;
    instants::settle_times(&mut operands);
    Ok(())
}

/// True if the operator compares its operands.
pub(in crate::upstream) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// True if the operator's result is exact for decimals.
fn is_exact(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Modulo)
}

/// Returns the columns of a plan as expressions. Those of a projection are the projection's expressions.
pub(super) fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    match plan {
        LogicalPlan::Projection(projection) => projection.expr.clone(),
        other => other.schema().columns().into_iter().map(Expr::Column).collect(),
    }
}
