//! The parameters of a statement: their types, and their values in a plan.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};
use datafusion::scalar::ScalarValue;
use portolan_catalog::nearest::nearest;

use crate::execution::conform::lossless;
use crate::execution::errors::from_datafusion;
use crate::{Error, ErrorKind, Result};

/// Returns the parameters: `$1` first, or those with names in the order of the names.
///
/// # Errors
/// `InvalidQuery` for a parameter that is neither a number nor a name, for both together, and for a missing number.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<SchemaRef> {
    let found = plan.get_parameter_types().map_err(|e| from_datafusion(&e))?;
    let mut inferred = inferred_types(plan).map_err(|e| from_datafusion(&e))?;
    let mut all = vec![];
    for (id, data_type) in found {
        let data_type = data_type.or_else(|| inferred.remove(&id)).unwrap_or(DataType::Null);
        all.push((number(&id), Field::new(id, data_type, true)));
    }
    all.sort_by(|(a, first), (b, second)| a.cmp(b).then_with(|| first.name().cmp(second.name())));
    let named: Vec<&str> = all.iter().filter(|(n, _)| n.is_none()).map(|(_, field)| field.name().as_str()).collect();
    let gap = all.iter().filter_map(|(number, _)| *number).enumerate().find(|(i, number)| *number != i + 1);
    let wrong = match (named.iter().find(|name| !is_name(name)), named.first(), gap) {
        (Some(name), ..) => Some(format!("expected a parameter `$1`, `$2`, … or `$name`, got `{name}`")),
        (None, Some(name), _) if named.len() < all.len() => {
            Some(format!("expected parameters with numbers or with names, got both: `$1` and `{name}`"))
        }
        (None, None, Some((i, number))) => Some(format!("the statement has a parameter ${number} but no ${}", i + 1)),
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(invalid(wrong));
    }
    let fields = all.into_iter().map(|(number, field)| match number {
        Some(number) => field.with_name(format!("${number}")),
        None => field,
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Checks that values can be bound by their position. The names of parameters have no order that a statement shows.
///
/// # Errors
/// `InvalidQuery` for parameters with names.
pub(super) fn require_numbers(parameters: &Schema) -> Result<()> {
    if !have_names(parameters) {
        return Ok(());
    }
    let names: Vec<_> = parameters.fields().iter().map(|field| format!("`{}`", field.name())).collect();
    Err(invalid(format!(
        "the statement has parameters with names, {}: bind the values by name, or write `$1`, `$2`, … in the statement",
        names.join(", ")
    )))
}

/// Returns the values in the order of the parameters. A name may begin with `$`.
///
/// # Errors
/// `InvalidQuery` for an unknown name, for a name that comes twice, and for a parameter without a value.
pub(super) fn by_name(parameters: &Schema, values: &[(&str, ScalarValue)]) -> Result<Vec<ScalarValue>> {
    let places = places(parameters, values.iter().map(|(name, _)| *name))?;
    Ok(places.into_iter().filter_map(|place| values.get(place)).map(|(_, value)| value.clone()).collect())
}

/// Returns rows of parameters with their columns in the order of the parameters. If the parameters have names, the
/// columns have the same ones.
///
/// # Errors
/// As [`by_name`].
pub(super) fn rows_by_name(parameters: &Schema, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    if !have_names(parameters) {
        return Ok(rows.to_vec());
    }
    let in_order = |batch: &RecordBatch| {
        let schema = batch.schema();
        let places = places(parameters, schema.fields().iter().map(|field| field.name().as_str()))?;
        batch.project(&places).map_err(|e| invalid("the parameters do not form a batch".to_owned()).with_source(e))
    };
    rows.iter().map(in_order).collect()
}

/// Returns the place of each parameter among names.
fn places<'a>(parameters: &Schema, names: impl Iterator<Item = &'a str>) -> Result<Vec<usize>> {
    let names: Vec<&str> = names.map(bare).collect();
    let wanted: Vec<&str> = parameters.fields().iter().map(|field| bare(field.name())).collect();
    if let Some(unknown) = names.iter().find(|name| !wanted.contains(name)) {
        let hint = nearest(unknown, wanted.iter().copied()).map(|n| format!("; did you mean `${n}`?"));
        return Err(invalid(format!("the statement has no parameter `${unknown}`{}", hint.unwrap_or_default())));
    }
    let place = |name: &&str| {
        let mut places = names.iter().enumerate().filter(|(_, given)| *given == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(invalid(format!("the parameter `${name}` has two values"))),
            (None, _) => Err(invalid(format!("the parameter `${name}` has no value"))),
        }
    };
    wanted.iter().map(place).collect()
}

/// True if the parameters have names and not numbers.
fn have_names(parameters: &Schema) -> bool {
    parameters.fields().iter().any(|field| number(field.name()).is_none())
}

/// Returns the number of a parameter such as `$1`; `None` for any other one.
fn number(id: &str) -> Option<usize> {
    id.trim_start_matches('$').parse().ok().filter(|number| *number > 0)
}

/// True for a parameter such as `$region`.
fn is_name(id: &str) -> bool {
    let name = id.strip_prefix('$').unwrap_or_default();
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn bare(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, what)
}

/// Returns the plan with values for its parameters.
///
/// # Errors
/// `InvalidQuery` if the values do not fit the parameters.
pub(super) fn with_values(plan: LogicalPlan, parameters: &Schema, values: &[ScalarValue]) -> Result<LogicalPlan> {
    let fields = parameters.fields();
    if values.len() != fields.len() {
        return Err(invalid(format!("expected {} parameters, got {} values", fields.len(), values.len())));
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let values = values.iter().zip(fields).map(|(value, field)| fitting(value, field)).collect::<Result<Vec<_>>>()?;
    let values = if have_names(parameters) {
        let names = fields.iter().map(|field| bare(field.name()).to_owned());
        ParamValues::from(names.zip(values).collect::<Vec<_>>())
    } else {
        ParamValues::from(values)
    };
    plan.with_param_values(values).map_err(|e| from_datafusion(&e))
}

/// Returns a value with the type of its parameter.
fn fitting(value: &ScalarValue, parameter: &Field) -> Result<ScalarValue> {
    if value.is_null() {
        return ScalarValue::try_from(parameter.data_type()).map_err(|e| from_datafusion(&e));
    }
    if parameter.data_type().is_null() || *parameter.data_type() == value.data_type() {
        return Ok(value.clone());
    }
    let wrong = || invalid(format!("the value of {} is not a valid {}", parameter.name(), parameter.data_type()));
    let array = value.to_array().map_err(|e| wrong().with_source(e))?;
    let cast = lossless(&array, parameter.data_type()).map_err(|e| match e {
        Some(e) => wrong().with_source(e),
        None => wrong(),
    })?;
    ScalarValue::try_from_array(&cast, 0).map_err(|e| wrong().with_source(e))
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
