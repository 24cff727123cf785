//! The conditions of policies as expressions. None of them fails for a row.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    BinaryExpr, EmptyRelation, Expr, ExprSchemable, Filter, Like, LogicalPlan, Operator, lit,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::{cast, in_list};
use portolan_governance::{Comparison, Condition, Literal, Operand, PatternPart};

use super::column_of;
use crate::execution::errors::from_datafusion;
use crate::planner::analyse;
use crate::planner::infallible::never_fails;
use crate::upstream::compared_casts;
use crate::{Error, ErrorKind, Result as EngineResult};

/// Returns a condition as an expression over the rows of its port.
pub(super) fn expression(condition: &Condition, schema: &DFSchema, state: &SessionState) -> Result<Expr> {
    let below = |condition: &Condition| expression(condition, schema, state);
    Ok(match condition {
        Condition::Constant(value) => lit(ScalarValue::Boolean(*value)),
        Condition::Compare { left, op, right } => compare(left, *op, right, schema)?,
        Condition::In { column, values } => {
            let column = plain_column(schema, column)?;
            if values.is_empty() {
                // NULL for NULL and false otherwise, unlike an empty list.
                return Ok(column.is_null().and(lit(ScalarValue::Boolean(None))));
            }
            let (column, values) = comparable(column, values.iter(), schema)?;
            in_list(column, values, false)
        }
        Condition::Like { column, pattern } => {
            let column = plain_column(schema, column)?;
            let pattern = ScalarValue::from(like(pattern)).cast_to(value_type(&column.get_type(schema)?))?;
            Expr::Like(Like::new(false, Box::new(column), Box::new(lit(pattern)), None, false))
        }
        Condition::IsPresent(column) => Expr::Column(column_of(schema, column)?).is_not_null(),
        Condition::And(parts) => joined(parts, Operator::And, true, below)?,
        Condition::Or(parts) => joined(parts, Operator::Or, false, below)?,
        Condition::Not(inner) => Expr::Not(Box::new(below(inner)?)),
        Condition::Sql(text) => match sql_condition(text, schema, state) {
            Ok(expr) => expr,
            Err(error) => return plan_err!("{}", error.context()),
        },
        other => return plan_err!("a condition of a policy is unknown: {other:?}"),
    })
}

fn joined(parts: &[Condition], op: Operator, none: bool, below: impl Fn(&Condition) -> Result<Expr>) -> Result<Expr> {
    let mut joined: Option<Expr> = None;
    for part in parts {
        let part = below(part)?;
        joined = Some(match joined {
            None => part,
            Some(left) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(part))),
        });
    }
    Ok(joined.unwrap_or_else(|| lit(none)))
}

fn compare(left: &Operand, op: Comparison, right: &Operand, schema: &DFSchema) -> Result<Expr> {
    let op = match op {
        Comparison::Eq => Operator::Eq,
        Comparison::NotEq => Operator::NotEq,
        Comparison::Less => Operator::Lt,
        Comparison::LessEq => Operator::LtEq,
        Comparison::Greater => Operator::Gt,
        Comparison::GreaterEq => Operator::GtEq,
    };
    let binary = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let column = |name: &str| plain_column(schema, name);
    match (left, right) {
        (Operand::Column(name), Operand::Literal(value)) => {
            let (column, mut values) = comparable(column(name)?, [value], schema)?;
            Ok(binary(column, values.remove(0)))
        }
        (Operand::Literal(value), Operand::Column(name)) => {
            let (column, mut values) = comparable(column(name)?, [value], schema)?;
            Ok(binary(values.remove(0), column))
        }
        (Operand::Column(a), Operand::Column(b)) => {
            Ok(binary(widened(column(a)?, schema)?, widened(column(b)?, schema)?))
        }
        (Operand::Literal(a), Operand::Literal(b)) => Ok(binary(lit(scalar(a)), lit(scalar(b)))),
    }
}

/// Returns a column as DataFusion can compare it: without runs.
fn plain_column(schema: &DFSchema, name: &str) -> Result<Expr> {
    let column = Expr::Column(column_of(schema, name)?);
    Ok(match column.get_type(schema)? {
        DataType::RunEndEncoded(_, values) => cast(column, values.data_type().clone()),
        _ => column,
    })
}

/// Returns a column and literals in one type: the column's, if each literal has a value in it.
fn comparable<'a>(
    column: Expr,
    values: impl IntoIterator<Item = &'a Literal>,
    schema: &DFSchema,
) -> Result<(Expr, Vec<Expr>)> {
    let data_type = column.get_type(schema)?;
    let values: Vec<ScalarValue> = values.into_iter().map(scalar).collect();
    let exact = |value: &ScalarValue| {
        let there = value.cast_to(value_type(&data_type)).ok()?;
        (!there.is_null() && there.cast_to(&value.data_type()).ok()? == *value).then_some(there)
    };
    match values.iter().map(exact).collect::<Option<Vec<_>>>() {
        Some(values) => Ok((column, values.into_iter().map(lit).collect())),
        None => {
            let values = values.into_iter().map(|value| widened(lit(value), schema)).collect::<Result<_>>()?;
            Ok((widened(column, schema)?, values))
        }
    }
}

/// Returns a value in the type in which all values of its kind are compared. No value fails to be cast to it.
fn widened(value: Expr, schema: &DFSchema) -> Result<Expr> {
    let data_type = value.get_type(schema)?;
    let wide = match value_type(&data_type) {
        t if t.is_integer() => DataType::Int64,
        t if t.is_string() => DataType::Utf8,
        t if t.is_decimal() => DataType::Decimal128(38, 4),
        t => match ticks(t) {
            Some((number, ticks)) => return Ok(instant(cast(value, number), ticks)),
            None => t.clone(),
        },
    };
    Ok(if wide == data_type { value } else { cast(value, wide) })
}

/// Returns the number that a date or an instant is stored as, and the nanoseconds of one. A policy compares a date as its
/// midnight in UTC.
fn ticks(data_type: &DataType) -> Option<(DataType, i128)> {
    Some(match data_type {
        DataType::Date32 => (DataType::Int32, 86_400_000_000_000),
        DataType::Timestamp(TimeUnit::Second, _) => (DataType::Int64, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (DataType::Int64, 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (DataType::Int64, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (DataType::Int64, 1),
        _ => return None,
    })
}

/// Returns nanoseconds since 1970, which 38 digits hold for every unit: a cast from one unit to another would lose a
/// fraction, or fail.
fn instant(number: Expr, ticks: i128) -> Expr {
    let number = cast(number, DataType::Decimal128(19, 0));
    cast(number * lit(ScalarValue::Decimal128(Some(ticks), 14, 0)), DataType::Decimal128(38, 0))
}

fn scalar(literal: &Literal) -> ScalarValue {
    match literal {
        Literal::Bool(value) => ScalarValue::from(*value),
        Literal::Long(value) => ScalarValue::from(*value),
        Literal::String(value) => ScalarValue::from(value.as_str()),
        Literal::Datetime(milliseconds) => ScalarValue::TimestampMillisecond(Some(*milliseconds), Some("UTC".into())),
        Literal::Decimal(value) => ScalarValue::Decimal128(Some(i128::from(*value)), 38, 4),
        // A literal that this engine does not know matches nothing.
        _ => ScalarValue::Null,
    }
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Returns a pattern of LIKE.
fn like(parts: &[PatternPart]) -> String {
    let mut pattern = String::new();
    for part in parts {
        match part {
            PatternPart::Any => pattern.push('%'),
            PatternPart::Text(text) => {
                for c in text.chars() {
                    if matches!(c, '%' | '_' | '\\') {
                        pattern.push('\\');
                    }
                    pattern.push(c);
                }
            }
        }
    }
    pattern
}

/// Parses the SQL condition of a policy over the rows of its port.
///
/// # Errors
/// `InvalidQuery` for a text that is not a condition, that reads something else than columns of the port, or that can
/// fail for a row.
pub(super) fn sql_condition(text: &str, schema: &DFSchema, state: &SessionState) -> EngineResult<Expr> {
    let datafusion = |e: datafusion::error::DataFusionError| from_datafusion(&e);
    let written = state.create_logical_expr(text, schema).map_err(datafusion)?;
    let rows = EmptyRelation { produce_one_row: false, schema: Arc::new(schema.clone()) };
    let rows = Arc::new(LogicalPlan::EmptyRelation(rows));
    let filter = Filter::try_new(written, rows).map_err(datafusion)?;
    let invalid = |reason: String| Err(Error::new(ErrorKind::InvalidQuery, reason));
    match analyse(state, LogicalPlan::Filter(filter))? {
        LogicalPlan::Filter(filter) => {
            // A date, for example, is a string that is cast.
            let facts = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
            let simplify = |condition| ExprSimplifier::new(facts).simplify(condition);
            let folded = compared_casts::simplified(filter.predicate, schema, simplify).map_err(datafusion)?;
            match never_fails(&folded, schema) {
                true => Ok(folded),
                false => invalid(format!(
                    "the condition `{text}` can fail for a row, or calls a function that policies may not call"
                )),
            }
        }
        _ => invalid(format!("`{text}` is not a condition on rows")),
    }
}
