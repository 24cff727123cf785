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

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, NullEquality, Result, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder, cast,
};

use super::operand_types::{Side, settle_sides, unrelated};
use super::ranks::row_number;

/// The column of each side with the number of a row among its equals.
const COPY: [&str; 2] = ["#left copy", "#right copy"];

/// Rewrites the set operations of a plan that is not analysed yet. Only set operations are such joins in that plan.
pub(crate) fn rewrite(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut last = None;
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => {
            let types = BranchTypes { state, last: last.take() };
            let (plan, schema) = set_operation(join, &types)?;
            last = Some((plan.clone(), schema));
            Ok(Transformed::yes(plan))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The types of the columns of plans that were not analysed.
struct BranchTypes<'a> {
    state: &'a SessionState,
    /// The set operation that was rewritten last, with its types: in a chain it is a side of the next one.
    last: Option<(LogicalPlan, Arc<DFSchema>)>,
}

impl BranchTypes<'_> {
    /// Returns the plan's columns with the types that they will have after the analysis.
    fn of(&self, plan: &LogicalPlan) -> Result<Arc<DFSchema>> {
        if let Some((last, schema)) = &self.last
            && last == plan
        {
            return Ok(schema.clone());
        }
        let state = self.state;
        let plan = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
        Ok(plan.schema().clone())
    }
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

/// Returns the set operation, and its columns with their types.
fn set_operation(join: Join, types: &BranchTypes<'_>) -> Result<(LogicalPlan, Arc<DFSchema>)> {
    // The casts are below a DISTINCT, so that it also merges values that only a wider type makes equal.
    let (left, distinct) = match Arc::unwrap_or_clone(join.left) {
        LogicalPlan::Distinct(Distinct::All(input)) => (Arc::unwrap_or_clone(input), true),
        other => (other, false),
    };
    let (left, right, common) = of_one_type(left, Arc::unwrap_or_clone(join.right), types)?;
    if distinct {
        let left = LogicalPlanBuilder::from(left).distinct()?.build()?;
        let keys = (left.schema().columns(), right.schema().columns());
        return Ok((joined(left, right, join.join_type, keys)?, common));
    }
    let columns = left.schema().columns();
    let (left, right) = (numbered(left, COPY[0])?, numbered(right, COPY[1])?);
    let keys = (left.schema().columns(), right.schema().columns());
    let all = joined(left, right, join.join_type, keys)?;
    Ok((LogicalPlanBuilder::from(all).project(columns.into_iter().map(Expr::Column))?.build()?, common))
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

/// Returns both sides with columns of the types that hold the values of both, as in a union, and the left side's
/// columns with these types.
fn of_one_type(
    left: LogicalPlan,
    right: LogicalPlan,
    types: &BranchTypes<'_>,
) -> Result<(LogicalPlan, LogicalPlan, Arc<DFSchema>)> {
    let (of_left, of_right) = (types.of(&left)?, types.of(&right)?);
    for (l, r) in of_left.fields().iter().zip(of_right.fields()) {
        if let Some((left, right)) = unrelated(l.data_type(), r.data_type()) {
            return plan_err!(
                "{left} and {right} have no common type in column `{}` of INTERSECT or EXCEPT: CAST one of them",
                l.name()
            );
        }
    }
    let types_of = |schema: &DFSchema| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    let mut left = Side { plan: left, types: types_of(&of_left) };
    let mut right = Side { plan: right, types: types_of(&of_right) };
    settle_sides(&mut left, &mut right)?;
    let mut types = vec![];
    for ((l, r), field) in left.types.iter().zip(&right.types).zip(of_left.fields()) {
        let Some(common) = type_union_coercion(l, r) else {
            return plan_err!(
                "the two sides of INTERSECT or EXCEPT have types that cannot be compared in column `{}`: {l} and {r}; CAST one \
                 of them",
                field.name()
            );
        };
        types.push(common);
    }
    let common = of_left.iter().zip(&types).map(|((table, field), common)| {
        (table.cloned(), Arc::new(field.as_ref().clone().with_data_type(common.clone())))
    });
    let common = DFSchema::new_with_metadata(common.collect(), of_left.metadata().clone())?;
    Ok((with_types(left, &types)?, with_types(right, &types)?, Arc::new(common)))
}

/// Returns a side with its columns cast to these types.
fn with_types(side: Side, types: &[DataType]) -> Result<LogicalPlan> {
    let Side { plan, types: own } = side;
    if own == types {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(&own).zip(types);
    let columns = columns.map(|((column, own), common)| {
        let (table, name) = (column.relation.clone(), column.name.clone());
        match own == common {
            true => Expr::Column(column),
            false => cast(Expr::Column(column), common.clone()).alias_qualified(table, name),
        }
    });
    let columns: Vec<_> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Returns the rows with their numbers among their equals.
fn numbered(plan: LogicalPlan, copy: &str) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let windowed = LogicalPlanBuilder::from(plan).window([number])?;
    windowed.project(columns.into_iter().chain([Expr::Column(Column::from_name(name)).alias(copy)]))?.build()
}
