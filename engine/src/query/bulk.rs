//! Many rows of parameters for one `INSERT … VALUES (…)`. The rows replace the single row of `VALUES`, so that they are
//! planned, run and take effect as one statement.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use portolan_catalog::sql_type;

use super::Prepared;
use crate::execution::conform::converted;
use crate::execution::errors::{arrow_text, from_datafusion};
use crate::{Error, ErrorKind, Result};

impl Prepared {
    /// Returns the rows of parameters in the types that the statement expects, or unchanged if the statement leaves a
    /// type open. `None` if there is only one row, or each value has a type of its own.
    pub(super) fn uploaded(&self, parameters: &[RecordBatch]) -> Result<Option<Vec<RecordBatch>>> {
        let wanted = self.parameters();
        let rows: usize = parameters.iter().map(RecordBatch::num_rows).sum();
        let is_union =
            |batch: &RecordBatch| batch.columns().iter().any(|c| matches!(c.data_type(), DataType::Union(..)));
        if rows < 2 || parameters.iter().any(is_union) {
            return Ok(None);
        }
        parameters.iter().map(|batch| fit(batch, &wanted)).collect::<Result<_>>().map(Some)
    }
}

/// Returns `rows` with the uploaded rows in place of its one row of values; `None` for a plan of another shape.
pub(super) fn with_rows(rows: &LogicalPlan, uploaded: Vec<RecordBatch>) -> Result<Option<LogicalPlan>> {
    replaced(rows, uploaded).map_err(|e| from_datafusion(&e))
}

fn replaced(rows: &LogicalPlan, uploaded: Vec<RecordBatch>) -> DataFusionResult<Option<LogicalPlan>> {
    let Some(schema) = uploaded.first().map(RecordBatch::schema) else { return Ok(None) };
    let table = provider_as_source(Arc::new(MemTable::try_new(schema, vec![uploaded])?));
    let Some(plan) = over(rows, &table)? else { return Ok(None) };
    let mut open = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|e| {
            e.apply(|e| {
                open |= matches!(e, Expr::Placeholder(_));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok((!open).then_some(plan))
}

/// Returns the plan over the table in place of its one row of values. Only operators that handle each row separately
/// may be above it: an aggregate, a limit or DISTINCT would apply to all sets of parameters together.
fn over(plan: &LogicalPlan, table: &Arc<dyn TableSource>) -> DataFusionResult<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Values(values) if values.values.len() == 1 => {
            let exprs = values.values.iter().flatten().zip(values.schema.fields());
            let exprs = exprs.map(|(expr, field)| Ok(of_columns(expr.clone())?.alias(field.name())));
            let exprs = exprs.collect::<DataFusionResult<Vec<_>>>()?;
            LogicalPlanBuilder::scan("parameters", table.clone(), None)?.project(exprs)?.build().map(Some)
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            let mut inputs = vec![];
            for input in plan.inputs() {
                let Some(input) = over(input, table)? else { return Ok(None) };
                inputs.push(input);
            }
            let exprs = plan.expressions().into_iter().map(of_columns).collect::<DataFusionResult<Vec<_>>>()?;
            plan.with_new_exprs(exprs, inputs).map(Some)
        }
        _ => Ok(None),
    }
}

/// Returns the expression with columns in place of parameters.
fn of_columns(expr: Expr) -> DataFusionResult<Expr> {
    let replaced = expr.transform(|e| match e {
        Expr::Placeholder(parameter) => {
            Ok(Transformed::yes(Expr::Column(Column::new(Some("parameters"), parameter.id))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// Returns the rows in the expected types.
fn fit(batch: &RecordBatch, wanted: &Schema) -> Result<RecordBatch> {
    if batch.num_columns() != wanted.fields().len() {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("each parameter needs a value: expected {}, got {}", wanted.fields().len(), batch.num_columns()),
        ));
    }
    let columns = batch.columns().iter().zip(wanted.fields()).map(|(column, field)| {
        if field.data_type().is_null() {
            return Ok(column.clone());
        }
        converted(column, field.data_type(), || {
            format!("a value of {} is not a valid {}", field.name(), sql_type(field.data_type()))
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    // In the plan, the parameters have numbers.
    let fields = (1..).zip(&columns).map(|(i, column)| Field::new(format!("${i}"), column.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).map_err(|e| {
        Error::new(ErrorKind::InvalidQuery, "the parameters do not form a batch").with_source(arrow_text(&e))
    })
}
