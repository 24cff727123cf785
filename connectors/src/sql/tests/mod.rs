//! The SQL of each operator, what the dialects refuse, and the rows that SQLite returns.

#![allow(clippy::unwrap_used, clippy::panic)]

mod allow_list;
#[cfg(feature = "sqlite")]
mod both;
mod hashed_joins;
mod operators;
mod ranges;
#[cfg(feature = "sqlite")]
mod same_rows;
mod spelling;
mod spelling_of_calls;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, table_scan};

use super::{ColumnUsage, SqlColumn, SqlDialect, SqlTable, query, quoted_name};

/// A table with a column of each kind.
fn orders() -> LogicalPlanBuilder {
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("na\"me", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(15, 2), true),
        Field::new("weight", DataType::Float64, true),
        Field::new("small", DataType::Int32, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", micros(None), true),
        Field::new("seen", micros(Some("UTC")), true),
        Field::new("open", DataType::Boolean, true),
        Field::new("mood", DataType::Utf8, true),
    ]);
    table_scan(Some("o"), &schema, None).unwrap()
}

/// The columns of [`orders`] in a table of a database. `mood` is only returned.
fn table(scan: &TableScan, has_ranges: bool) -> Option<Arc<SqlTable>> {
    let name = scan.table_name.table();
    let quoted = |name: &str| quoted_name(name, &super::POSTGRES);
    let column = |name: &String| SqlColumn {
        name: name.clone(),
        sql: format!("t.{}", quoted(name)),
        usage: if name == "mood" { ColumnUsage::Returned } else { ColumnUsage::All },
    };
    let columns = scan.source.schema().fields().iter().map(|field| column(field.name())).collect();
    let table = SqlTable { from: format!("\"shop\".{}", quoted(name)), columns, has_ranges, is_stored: true };
    (name != "elsewhere").then(|| Arc::new(table))
}

/// Returns the query of a plan.
#[track_caller]
fn written(plan: &LogicalPlan, dialect: &SqlDialect) -> String {
    query(plan, dialect, &|scan| table(scan, false)).map(|sql| sql.text).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Returns the refusal of a plan.
#[track_caller]
fn refusal(plan: &LogicalPlan, dialect: &SqlDialect) -> String {
    match query(plan, dialect, &|scan| table(scan, false)) {
        Err(refusal) => refusal.to_string(),
        Ok(sql) => panic!("{} runs {}", dialect.name, sql.text),
    }
}

fn filtered(predicate: Expr) -> LogicalPlan {
    orders().filter(predicate).unwrap().build().unwrap()
}

fn name() -> Expr {
    Expr::Column(Column::new(Some("o"), "na\"me"))
}

/// A decimal with two digits after its point.
fn cents(value: i128) -> Expr {
    Expr::Literal(ScalarValue::Decimal128(Some(value), 15, 2), None)
}
