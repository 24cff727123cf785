//! `TIMESTAMP` without a precision has microseconds, as in other databases, if that loses no digit.
//!
//! To DataFusion 55.2 it has nanoseconds, which hold only 1677 to 2262. `TIMESTAMP '9999-12-31 00:00:00'` cannot be
//! written, and `CAST(valid_to AS TIMESTAMP)` fails on rows with such dates. Here planning marks the type, and the
//! analyzer chooses the unit from the operand of the cast. The unit is nanoseconds for a literal with more than six
//! digits after the second, and for a nanosecond column. So it is for a string column, which may have any number of
//! digits.
//! See <https://github.com/apache/datafusion/issues/8336>.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::DataType as SqlType;

use super::groups::plain;
use crate::dialect::type_of;

/// The metadata key of a type that the query writes without a precision.
const MARK: &str = "portolan.timestamp";
/// The number of digits after the second that microseconds hold.
const MICROSECOND_DIGITS: usize = 6;

/// Marks `TIMESTAMP` without a precision, and knows the names of types in other databases.
#[derive(Debug)]
pub(crate) struct TimestampTypes;

impl TypePlanner for TimestampTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(match sql_type {
            SqlType::Timestamp(None, _) | SqlType::Datetime(None) => {
                let mark = HashMap::from([(MARK.to_owned(), String::new())]);
                let field = Field::new("", DataType::Timestamp(TimeUnit::Nanosecond, None), true);
                Some(Arc::new(field.with_metadata(mark)))
            }
            // A state has one planner of types.
            other => type_of(other).map(|data_type| Arc::new(Field::new("", data_type, true))),
        })
    }
}

/// Returns the final type of a cast to a marked type; `None` for any other cast.
pub(super) fn unit_of(expr: &Expr, to: &FieldRef, schema: &DFSchema) -> Result<Option<FieldRef>> {
    if let Some(field) = nested_without_mark(to) {
        return Ok(Some(field));
    }
    let (true, DataType::Timestamp(_, zone)) = (is_marked(to), to.data_type()) else { return Ok(None) };
    let unit = match plain(&expr.get_type(schema)?) {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => TimeUnit::Nanosecond,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null => TimeUnit::Microsecond,
        _ => match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map_or(TimeUnit::Nanosecond, unit_of_text),
            _ => TimeUnit::Nanosecond,
        },
    };
    Ok(Some(unmarked(to, DataType::Timestamp(unit, zone.clone()))))
}

/// Returns the unit that holds the digits of a timestamp as text: at least microseconds.
pub(super) fn unit_of_text(text: &str) -> TimeUnit {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    match fraction[..end].trim_end_matches('0').len() > MICROSECOND_DIGITS {
        true => TimeUnit::Nanosecond,
        false => TimeUnit::Microsecond,
    }
}

/// Removes a cast to a finer unit from a compared operand: the optimizer would move it to a literal and cut the
/// literal's digits.
pub(super) fn compare_uncast(expr: &mut Expr, schema: &DFSchema) -> Result<()> {
    if let Expr::Cast(cast) = expr
        && let DataType::Timestamp(to, zone) = cast.field.data_type()
        && let DataType::Timestamp(from, own_zone) = cast.expr.get_type(schema)?
        && (from < *to && own_zone == *zone)
    {
        *expr = cast.expr.as_ref().clone();
    }
    Ok(())
}

/// Returns the columns of a new table, with microseconds for each `TIMESTAMP` without a precision.
pub(crate) fn without_mark(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(_, zone) if is_marked(field) => {
            unmarked(field, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => nested_without_mark(field).unwrap_or_else(|| field.clone()),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

fn is_marked(field: &Field) -> bool {
    field.metadata().contains_key(MARK)
}

fn unmarked(field: &Field, data_type: DataType) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata.remove(MARK);
    Arc::new(field.clone().with_data_type(data_type).with_metadata(metadata))
}

/// Returns a list type of marked elements without the mark; `None` for any other type.
fn nested_without_mark(field: &FieldRef) -> Option<FieldRef> {
    let element = |inner: &FieldRef| match is_marked(inner) {
        true => Some(unmarked(inner, inner.data_type().clone())),
        false => nested_without_mark(inner),
    };
    let data_type = match field.data_type() {
        DataType::List(inner) => DataType::List(element(inner)?),
        DataType::LargeList(inner) => DataType::LargeList(element(inner)?),
        DataType::FixedSizeList(inner, length) => DataType::FixedSizeList(element(inner)?, *length),
        _ => return None,
    };
    Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
}
