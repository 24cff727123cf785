//! The values for which a subquery is evaluated: the distinct values of the outer columns that it reads.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, ExprSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, WindowFrameUnits};

use super::refused;
use crate::upstream::expressions::{any, has_expression, is_volatile};

/// Names that no query has. Each occurs once in a plan.
#[derive(Debug, Default)]
pub(super) struct FreshNames(Cell<usize>);

impl FreshNames {
    /// Returns a new name.
    pub(super) fn next(&self, what: &str) -> String {
        self.0.set(self.0.get() + 1);
        format!("__{what}_{}", self.0.get())
    }
}

/// The outer columns that a subquery reads, and the plan that has them.
#[derive(Debug)]
pub(super) struct Domain<'a> {
    base: &'a LogicalPlan,
    /// The outer columns.
    pub(super) columns: Vec<Column>,
    /// The source of new names.
    pub(super) names: &'a FreshNames,
}

impl<'a> Domain<'a> {
    pub(super) fn new(base: &'a LogicalPlan, columns: Vec<Column>, names: &'a FreshNames) -> Self {
        Self { base, columns, names }
    }

    /// Returns the columns of the plan around the subquery.
    pub(super) fn schema(&self) -> &DFSchemaRef {
        self.base.schema()
    }

    /// Refuses floats that the base computes: their sums depend on the order of rows, so two readings may differ.
    fn check_exact(&self) -> Result<()> {
        let floats = self.columns.iter().any(|c| self.schema().data_type(c).is_ok_and(DataType::is_floating));
        let computes = |node: &LogicalPlan| matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        if floats && self.base.exists(|node| Ok(computes(node)))? {
            return Err(refused(
                "a subquery reads a floating-point column of an aggregated query around it",
                "store the rows of that query with CREATE TABLE … AS first",
            ));
        }
        Ok(())
    }

    /// Returns one row for each combination of values of the outer columns, and the names of the rows' columns.
    ///
    /// The rows may include combinations that no row of the base has.
    ///
    /// # Errors
    /// `Unsupported` if two readings of the base may return different rows.
    pub(super) fn rows(&self) -> Result<(LogicalPlan, Vec<Column>)> {
        check_size(self.base)?;
        let base = repeatable(self.base)?;
        self.check_exact()?;
        let names: Vec<_> = self.columns.iter().map(|_| self.names.next("outer")).collect();
        let exprs = self.columns.iter().zip(&names).map(|(c, name)| Expr::Column(c.clone()).alias(name));
        let plan = LogicalPlanBuilder::from(base).project(exprs)?.distinct()?.build()?;
        Ok((plan, names.into_iter().map(Column::new_unqualified).collect()))
    }
}

/// Returns a plan with at least the rows of `plan` that returns the same rows each time that it runs.
fn repeatable(plan: &LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(limit) => repeatable(&limit.input),
        LogicalPlan::Sort(sort) => repeatable(&sort.input),
        LogicalPlan::Filter(filter) if is_volatile(plan) => repeatable(&filter.input),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) if !is_volatile(plan) => {
            rebuilt(plan)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && !is_volatile(plan) => rebuilt(plan),
        other => {
            let repeats = !other.exists(|node| {
                let fetches = matches!(node, LogicalPlan::Sort(sort) if sort.fetch.is_some());
                Ok(fetches || matches!(node, LogicalPlan::Limit(_)) || is_volatile(node) || depends_on_order(node))
            })?;
            match repeats {
                true => Ok(other.clone()),
                false => Err(refused(
                    "a subquery reads columns of rows that LIMIT, random() or a function of the rows' order such as \
                     first_value() or row_number() chooses",
                    "store these rows with CREATE TABLE … AS first, or write the subquery as a join",
                )),
            }
        }
    }
}

/// True if the values that an operator computes may depend on the order of its rows.
fn depends_on_order(node: &LogicalPlan) -> bool {
    let depends = |e: &Expr| match e {
        Expr::AggregateFunction(f) => !OF_ANY_ORDER.contains(&f.func.name()),
        Expr::WindowFunction(f) => {
            let numbered = f.fun.name() == "row_number" && numbers_equal_rows(node, &f.params.partition_by);
            let frame = &f.params.window_frame;
            let whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
            let of_peers = whole || frame.units == WindowFrameUnits::Range;
            !(numbered || OF_ANY_ORDER.contains(&f.fun.name()) && of_peers)
        }
        _ => false,
    };
    matches!(node, LogicalPlan::Distinct(Distinct::On(_))) || has_expression(node, |e| any(e, depends))
}

/// The functions whose values do not depend on the order of rows that are equal to `ORDER BY`, or of all rows without
/// it.
const OF_ANY_ORDER: [&str; 24] = [
    "approx_distinct",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "grouping",
    "max",
    "median",
    "min",
    "percent_rank",
    "rank",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// True if a window numbers rows that are equal in all columns: which row has which number makes no difference.
fn numbers_equal_rows(node: &LogicalPlan, partition: &[Expr]) -> bool {
    let columns = |input: &LogicalPlan| input.schema().columns();
    let of_all = |input| columns(input).iter().all(|c| partition.contains(&Expr::Column(c.clone())));
    matches!(node, LogicalPlan::Window(window) if of_all(&window.input))
}

fn rebuilt(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let inputs = plan.inputs().into_iter().map(repeatable).collect::<Result<Vec<_>>>()?;
    plan.with_new_exprs(plan.expressions(), inputs)
}

/// The largest number of operators of a subquery that becomes a join: the subquery is copied for each of its uses.
const MAX_OPERATORS: usize = 2_000;

/// Refuses a subquery that is too large to be copied.
///
/// # Errors
/// `Unsupported` if it has too many operators.
pub(super) fn check_size(plan: &LogicalPlan) -> Result<()> {
    let mut operators = 0;
    plan.apply_with_subqueries(|_| {
        operators += 1;
        Ok(if operators > MAX_OPERATORS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match operators > MAX_OPERATORS {
        true => Err(refused(
            &format!("a subquery and its inner subqueries have more than {MAX_OPERATORS} operators"),
            "nest fewer subqueries, or write them as joins",
        )),
        false => Ok(()),
    }
}

/// Returns the cross join of two plans.
pub(super) fn product(left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(left).cross_join(right)?.build()
}

/// Returns all columns of a plan.
pub(super) fn all_columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// Returns the plan with an alias.
pub(super) fn aliased(plan: LogicalPlan, alias: &str) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(Arc::new(plan)).alias(alias)?.build()
}
