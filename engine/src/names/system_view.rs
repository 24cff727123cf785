//! A table of the node itself, whose rows are computed when it is read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A function that returns the rows, always with the same columns.
type MakeRows = Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>;

/// A view over the rows that a function returns.
pub(super) struct SystemView {
    rows: MakeRows,
    schema: SchemaRef,
}

impl SystemView {
    pub(super) fn new(rows: impl Fn() -> Result<RecordBatch> + Send + Sync + 'static) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { schema: rows()?.schema(), rows: Box::new(rows) }))
    }
}

#[async_trait]
impl TableProvider for SystemView {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = (self.rows)()?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema.clone(), projection.cloned())?)
    }
}

impl fmt::Debug for SystemView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemView").field("schema", &self.schema).finish_non_exhaustive()
    }
}
