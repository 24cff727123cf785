//! `INTERSECT` and `EXCEPT` compare values of one type, and `INTERSECT ALL` and `EXCEPT ALL` count rows.
//!
//! DataFusion 55.2 plans both as a semi or anti join of the sides as they are. `ALL` returns every row of the left side
//! that the right side has at all. The columns keep the types of the left side, although the join compares wider ones
//! (<https://github.com/apache/datafusion/issues/12955>, <https://github.com/apache/datafusion/issues/12956>). Here
//! equal rows are numbered, so that each row of one side matches one row of the other.
//!
//! ```text
//! before: LeftSemi Join: a.x = b.x
//!           a
//!           b
//! after:  Projection: a.x
//!           LeftSemi Join: a.x = b.x, #left copy = #right copy
//!             Projection: a.x, row_number() PARTITION BY [a.x] AS #left copy
//!             Projection: b.x, row_number() PARTITION BY [b.x] AS #right copy
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, NullEquality, Result, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
};

use super::operand_types::unrelated;

/// The column of each side with the number of a row among its equals.
const COPY: [&str; 2] = ["#left copy", "#right copy"];

/// Rewrites the set operations of a plan that is not analysed yet. Only set operations have such joins in it.
pub(crate) fn rewrite(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => Ok(Transformed::yes(set_operation(join, state)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn is_set_operation(join: &Join) -> bool {
    let columns = join.left.schema().fields().len();
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == columns
        && join.right.schema().fields().len() == columns
        && !join.left.schema().fields().iter().any(|field| COPY.contains(&field.name().as_str()))
}

fn set_operation(join: Join, state: &SessionState) -> Result<LogicalPlan> {
    // Below a DISTINCT, so that it also merges values that only a wider type makes equal.
    let (left, distinct) = match Arc::unwrap_or_clone(join.left) {
        LogicalPlan::Distinct(Distinct::All(input)) => (Arc::unwrap_or_clone(input), true),
        other => (other, false),
    };
    let (left, right) = of_one_type(left, Arc::unwrap_or_clone(join.right), state)?;
    if distinct {
        let left = LogicalPlanBuilder::from(left).distinct()?.build()?;
        let keys = (left.schema().columns(), right.schema().columns());
        return joined(left, right, join.join_type, keys);
    }
    let columns = left.schema().columns();
    let (left, right) = (numbered(left, COPY[0])?, numbered(right, COPY[1])?);
    let keys = (left.schema().columns(), right.schema().columns());
    let all = joined(left, right, join.join_type, keys)?;
    LogicalPlanBuilder::from(all).project(columns.into_iter().map(Expr::Column))?.build()
}

fn joined(
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    keys: (Vec<Column>, Vec<Column>),
) -> Result<LogicalPlan> {
    let builder = LogicalPlanBuilder::from(left);
    builder.join_detailed(right, join_type, keys, None, NullEquality::NullEqualsNull)?.build()
}

/// Returns both sides with columns of the types that hold the values of both.
fn of_one_type(left: LogicalPlan, right: LogicalPlan, state: &SessionState) -> Result<(LogicalPlan, LogicalPlan)> {
    // Only an analysed plan has the types of its columns.
    let analysed = |plan: &LogicalPlan| -> Result<Arc<DFSchema>> {
        let plan = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
        Ok(plan.schema().clone())
    };
    let (of_left, of_right) = (analysed(&left)?, analysed(&right)?);
    let mut types = vec![];
    for (l, r) in of_left.fields().iter().zip(of_right.fields()) {
        if let Some((left, right)) = unrelated(l.data_type(), r.data_type()) {
            return plan_err!(
                "{left} and {right} have no common type in column `{}` of INTERSECT or EXCEPT: CAST one of them",
                l.name()
            );
        }
        let Some(common) = type_union_coercion(l.data_type(), r.data_type()) else {
            return plan_err!(
                "the two sides of INTERSECT or EXCEPT have types that cannot be compared in column `{}`: {} and {}; CAST one \
                 of them",
                l.name(),
                l.data_type(),
                r.data_type()
            );
        };
        types.push(common);
    }
    let cast = |plan: LogicalPlan, analysed: &DFSchema| -> Result<LogicalPlan> {
        if analysed.fields().iter().zip(&types).all(|(field, common)| field.data_type() == common) {
            return Ok(plan);
        }
        let columns = plan.schema().columns().into_iter().zip(analysed.fields()).zip(&types);
        let cast = columns.map(|((column, field), common)| {
            let (table, name) = (column.relation.clone(), column.name.clone());
            Ok(match field.data_type() == common {
                true => Expr::Column(column),
                false => Expr::Column(column).cast_to(common, analysed)?.alias_qualified(table, name),
            })
        });
        let cast = cast.collect::<Result<Vec<_>>>()?;
        LogicalPlanBuilder::from(plan).project(cast)?.build()
    };
    Ok((cast(left, &of_left)?, cast(right, &of_right)?))
}

/// Returns the rows with their numbers among their equals.
fn numbered(plan: LogicalPlan, copy: &str) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let windowed = LogicalPlanBuilder::from(plan).window([number])?;
    windowed.project(columns.into_iter().chain([Expr::Column(Column::from_name(name)).alias(copy)]))?.build()
}
