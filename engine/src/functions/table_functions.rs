//! Table functions in a FROM. DataFusion evaluates their arguments while it plans. Here calls in these arguments are
//! bounded first.
//!
//! `generate_series` and `range` of DataFusion 55.2 accept only timestamps of nanoseconds, and literals of `TIMESTAMP`
//! have microseconds. Here the rows have microseconds, too, if the step is a literal without nanoseconds. So no digit
//! is lost. The function still makes nanoseconds, which hold the years from 1678 to 2261.
//!
//! DataFusion 55.2 compares the tables of plans by their names, and computes equal scalar subqueries once. So the table of a
//! call has the arguments in its name.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use sqlparser::ast::{FunctionArg, FunctionArgExpr, TableFactor, TableFunctionArgs};

use super::bound_calls;
use super::meter::WorkMeter;

/// Plans the table functions of a FROM. This planner comes before others: it plans such a relation without them.
#[derive(Debug)]
pub(crate) struct TableFunctions;

impl RelationPlanner for TableFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        // DataFusion finds a function by this part of its name, and names its table like this.
        let (name, args, alias, is_lateral) = match relation {
            TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. } => {
                (name, args, alias, false)
            }
            TableFactor::Function { name, args, alias, .. } => (name, args, alias, true),
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let (part, mark) = if is_lateral { (name.0.last(), "") } else { (name.0.first(), "()") };
        let Some(ident) = part.and_then(|part| part.as_ident()) else {
            return plan_err!("expected the name of a table function, got `{name}`");
        };
        let function = context.normalize_ident(ident.clone());
        let table = TableReference::bare(format!("{function}{mark}"));
        let plan = planned(&function, args, table, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn planned(
    function: &str,
    args: Vec<FunctionArg>,
    table: TableReference,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let arguments: Vec<String> = args.iter().map(ToString::to_string).collect();
    let scanned = TableReference::bare(format!("{function}({})", arguments.join(", ")));
    let (meter, schema) = (Arc::new(WorkMeter::default()), DFSchema::empty());
    let mut fault = None;
    let mut arguments = vec![];
    for arg in args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
            return plan_err!("expected an expression as the argument of `{function}`, got `{arg}`");
        };
        let argument = bound_calls(context.sql_expr_to_logical_expr(expr, &schema)?, &meter, false)?;
        if argument.transformed {
            fault = Some("expected arguments that take little time and memory");
        }
        arguments.push(argument.data);
    }
    let series = matches!(function, "generate_series" | "range");
    let microseconds = series && has_microseconds(&arguments, &schema);
    // The function refuses another number of timestamps.
    let converted = if series && arguments.len() == 3 { in_nanoseconds(&mut arguments, &schema) } else { vec![] };
    let source = context.context_provider().get_table_function_source(function, arguments);
    let source = source.map_err(|e| {
        let is_far = converted.into_iter().any(|timestamp| is_beyond_nanoseconds(timestamp, &schema));
        let fault = if is_far { Some("expected timestamps from 1678 to 2261") } else { fault };
        match fault {
            Some(fault) => e.context(format!("`{function}` in a FROM: {fault}")),
            None => e,
        }
    })?;
    let plan = LogicalPlanBuilder::scan(scanned, source, None)?.alias(table)?.build()?;
    if microseconds { in_microseconds(plan) } else { Ok(plan) }
}

/// True if microseconds hold the values of a series of dates or timestamps.
fn has_microseconds(arguments: &[Expr], schema: &DFSchema) -> bool {
    arguments.iter().all(|argument| match argument {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(step)), _) => step.nanoseconds % 1_000 == 0,
        // The step of an expression may have nanoseconds.
        other => match other.get_type(schema) {
            Ok(DataType::Timestamp(unit, _)) => unit != TimeUnit::Nanosecond,
            Ok(DataType::Interval(_)) | Err(_) => false,
            Ok(_) => true,
        },
    })
}

/// Converts timestamps of other units to nanoseconds, and returns them as they were.
fn in_nanoseconds(arguments: &mut [Expr], schema: &DFSchema) -> Vec<Expr> {
    let mut converted = vec![];
    for argument in arguments {
        if let Ok(DataType::Timestamp(unit, zone)) = argument.get_type(schema)
            && unit != TimeUnit::Nanosecond
        {
            converted.push(argument.clone());
            *argument = cast(std::mem::take(argument), DataType::Timestamp(TimeUnit::Nanosecond, zone));
        }
    }
    converted
}

/// True if nanoseconds do not hold the value of a timestamp. The error of DataFusion does not always show that.
fn is_beyond_nanoseconds(timestamp: Expr, schema: &DFSchema) -> bool {
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    let value = simplifier.coerce(timestamp, schema).and_then(|timestamp| simplifier.simplify(timestamp));
    let Ok(Expr::Literal(value, _)) = value else { return false };
    let DataType::Timestamp(_, zone) = value.data_type() else { return false };
    value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone)).is_err()
}

/// Converts a column of nanoseconds to microseconds, under its name.
fn in_microseconds(plan: LogicalPlan) -> Result<LogicalPlan> {
    let (relation, field) = plan.schema().qualified_field(0);
    let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type() else { return Ok(plan) };
    let value = Expr::Column(Column::from((relation, field)));
    let value = cast(value, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()));
    let value = value.alias_qualified(relation.cloned(), field.name());
    LogicalPlanBuilder::from(plan).project([value])?.build()
}
