//! The rows of `DESCRIBE`: the names and the SQL types of columns. DataFusion shows the types of Arrow.

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{Result as DataFusionResult, ToDFSchema};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{ident, lit};
use portolan_catalog::sql_type;

use crate::Result;
use crate::execution::errors::from_datafusion;

/// The columns of the rows, with the names in DataFusion's plan of constants.
const COLUMNS: [(&str, &str); 3] = [("column1", "column_name"), ("column2", "data_type"), ("column3", "is_nullable")];

/// Returns a plan of the rows, in the order of the columns.
pub(super) fn described(columns: &Schema) -> Result<LogicalPlan> {
    rows(columns).map_err(|e| from_datafusion(&e))
}

fn rows(columns: &Schema) -> DataFusionResult<LogicalPlan> {
    let rows: Vec<Vec<Expr>> = columns.fields().iter().map(row).collect();
    if rows.is_empty() {
        let schema = LogicalPlan::describe_schema().to_dfschema_ref()?;
        return Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }));
    }
    let named = COLUMNS.map(|(in_plan, name)| ident(in_plan).alias(name));
    LogicalPlanBuilder::values(rows)?.project(named)?.build()
}

fn row(column: &FieldRef) -> Vec<Expr> {
    let is_nullable = if column.is_nullable() { "YES" } else { "NO" };
    vec![lit(column.name().as_str()), lit(sql_type(column.data_type())), lit(is_nullable)]
}
