//! Finds the groups of operands that one type is found for.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, cast,
};

use super::{decimals, instants, intervals, timestamps, unrelated};

/// What is done with the operands of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The first is compared with each of the others: only the outcome is seen.
    Compared,
    /// One of them is the value: all take one type.
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

    /// Its type without an encoding.
    pub(super) fn plain(&self) -> &DataType {
        plain(&self.data_type)
    }

    /// Casts it.
    pub(super) fn cast(&mut self, to: &DataType) {
        if self.data_type != *to {
            self.replace(cast(self.expr.clone(), to.clone()), to.clone());
        }
    }

    /// Puts another expression in its place.
    pub(super) fn replace(&mut self, expr: Expr, data_type: DataType) {
        (*self.expr, self.data_type) = (expr, data_type);
    }
}

/// The type of the values, whatever their encoding.
pub(super) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

/// Settles the operands of one expression whose own operands are settled.
pub(super) fn settle(expr: &mut Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            group(Group::Compared, vec![left, right], schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_exact(*op) => {
            decimals::calculate(*op, Operand::of(left, schema)?, Operand::of(right, schema)?);
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

/// Settles the keys of a join, each with the schema of its side.
pub(super) fn settle_keys(join: &mut Join) -> Result<()> {
    for (left, right) in &mut join.on {
        let mut operands = [Operand::of(left, join.left.schema())?, Operand::of(right, join.right.schema())?];
        settle_operands(Group::Compared, &mut operands)?;
    }
    Ok(())
}

/// Settles an expression that is compared with the only column of a subquery, and gives the subquery with that column.
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

/// Settles the operands of a group.
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

/// Settles what cannot wait for the analyzer: DataFusion plans no comparison of types that it knows no common type for.
pub(super) fn settle_planned(left: &mut Expr, right: &mut Expr, schema: &DFSchema) -> Result<()> {
    // What has no type yet is DataFusion's to report.
    let (Ok(left), Ok(right)) = (Operand::of(left, schema), Operand::of(right, schema)) else { return Ok(()) };
    let mut operands = [left, right];
    unrelated::refuse(Group::Compared, &operands)?;
    instants::settle_times(&mut operands);
    Ok(())
}

/// True if the operator compares its operands.
pub(super) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// True if the operator gives an exact result for decimals.
fn is_exact(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Modulo)
}

/// The columns of a plan as expressions; those of a projection as they are written.
pub(super) fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    match plan {
        LogicalPlan::Projection(projection) => projection.expr.clone(),
        other => other.schema().columns().into_iter().map(Expr::Column).collect(),
    }
}
