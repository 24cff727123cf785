//! A derived port as a table. The planner puts the plan of the port's query in the place of the table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A derived port of this engine.
#[derive(Debug)]
pub(crate) struct DerivedTable {
    /// The columns of the port. All are nullable.
    pub(crate) schema: SchemaRef,
    /// The plan of the query before the analysis. A statement that reads the port is analysed together with it.
    pub(crate) written: LogicalPlan,
    /// The analysed plan of the query, for fragments: their senders have analysed the rest.
    pub(crate) analysed: LogicalPlan,
}

#[async_trait]
impl TableProvider for DerivedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a derived port was read without the plan of its query")
    }
}
