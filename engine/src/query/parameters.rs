//! The parameters of a statement: their types, and their values in a plan.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};
use datafusion::scalar::ScalarValue;
use portolan_catalog::sql_type;

use crate::execution::conform::converted;
use crate::execution::errors::from_datafusion;
use crate::{Error, ErrorKind, Result};

/// Returns the parameters, `$1` first.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<SchemaRef> {
    let found = plan.get_parameter_types().map_err(|e| from_datafusion(&e))?;
    let mut inferred = inferred_types(plan).map_err(|e| from_datafusion(&e))?;
    let mut numbered = vec![];
    for (name, data_type) in found {
        let number: usize = name.trim_start_matches('$').parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::new(ErrorKind::InvalidQuery, format!("expected a parameter `$1`, `$2`, …, got `{name}`"))
        })?;
        numbered.push((number, data_type.or_else(|| inferred.remove(&name)).unwrap_or(DataType::Null)));
    }
    numbered.sort_by_key(|(number, _)| *number);
    if let Some((i, (number, _))) = numbered.iter().enumerate().find(|(i, (number, _))| *number != i + 1) {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("the statement has a parameter ${number} but no ${}", i + 1),
        ));
    }
    let fields: Vec<_> = numbered.into_iter().map(|(n, t)| Field::new(format!("${n}"), t, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// Returns the plan with values for its parameters.
///
/// # Errors
/// `InvalidQuery` if the values do not fit the parameters.
pub(super) fn with_values(plan: LogicalPlan, parameters: &Schema, values: &[ScalarValue]) -> Result<LogicalPlan> {
    let fields = parameters.fields();
    if values.len() != fields.len() {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("each parameter needs a value: expected {}, got {}", fields.len(), values.len()),
        ));
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let values = values.iter().zip(fields).map(|(value, field)| fitting(value, field)).collect::<Result<Vec<_>>>()?;
    plan.with_param_values(ParamValues::from(values)).map_err(|e| from_datafusion(&e))
}

/// Returns a value with the type of its parameter.
fn fitting(value: &ScalarValue, parameter: &Field) -> Result<ScalarValue> {
    if value.is_null() {
        return ScalarValue::try_from(parameter.data_type()).map_err(|e| from_datafusion(&e));
    }
    if parameter.data_type().is_null() || *parameter.data_type() == value.data_type() {
        return Ok(value.clone());
    }
    let what = || format!("the value of {} is not a valid {}", parameter.name(), sql_type(parameter.data_type()));
    let wrong = |e: DataFusionError| Error::new(ErrorKind::InvalidQuery, what()).with_source(from_datafusion(&e));
    let array = value.to_array().map_err(wrong)?;
    let cast = converted(&array, parameter.data_type(), what)?;
    ScalarValue::try_from_array(&cast, 0).map_err(wrong)
}

/// Returns the types of parameters that DataFusion does not infer: those of casts, and of LIMIT and OFFSET.
fn inferred_types(plan: &LogicalPlan) -> datafusion::error::Result<HashMap<String, DataType>> {
    let mut inferred = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for bound in [&limit.skip, &limit.fetch].into_iter().flatten() {
                bound.apply(|e| {
                    if let Expr::Placeholder(parameter) = e {
                        inferred.insert(parameter.id.clone(), DataType::Int64);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                if let Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) = e
                    && let Expr::Placeholder(parameter) = expr.as_ref()
                {
                    inferred.entry(parameter.id.clone()).or_insert_with(|| field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(inferred)
}
