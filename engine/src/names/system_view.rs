//! A table of the node itself, whose rows are computed when it is read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::audit_table;

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

/// True if a plan reads nothing but views of the node itself: `mesh`, `information_schema`, and constants. False for
/// operators that can create any number of rows.
pub(crate) fn reads_only_views(plan: &LogicalPlan) -> bool {
    let mut only_views = true;
    let visited = plan.apply_with_subqueries(|node| {
        only_views = match node {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                // The tables of `information_schema` and `mesh.audit` are the only ones of this type. A search of the audit
                // records can take long.
                let is_audit = scan.table_name.table() == audit_table::NAME;
                provider.is::<SystemView>() || (provider.is::<StreamingTable>() && !is_audit)
            }
            LogicalPlan::RecursiveQuery(_) | LogicalPlan::Unnest(_) | LogicalPlan::Extension(_) => false,
            _ => true,
        };
        Ok(if only_views { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    visited.is_ok() && only_views
}

impl fmt::Debug for SystemView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemView").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::reads_only_views;
    use crate::fake_mesh::{analysed, gateway};

    #[tokio::test]
    async fn queries_on_the_node_itself_are_distinguished_from_others() {
        let engine = gateway().await;
        for sql in [
            "SELECT 1 + 1",
            "SELECT * FROM (VALUES (1), (2)) v (n) ORDER BY n",
            "SELECT count(*) FROM mesh.nodes WHERE state = 'up'",
            "SELECT p.port, c.\"column\" FROM mesh.ports p JOIN mesh.columns c ON p.port = c.port",
            "SELECT table_name FROM information_schema.tables UNION ALL SELECT domain FROM mesh.domains",
        ] {
            assert!(reads_only_views(&analysed(&engine, sql).await), "{sql}");
        }
        for sql in [
            "SELECT n_name FROM geo.places.nation",
            "SELECT domain FROM mesh.domains UNION ALL SELECT n_name FROM geo.places.nation",
            "SELECT domain, (SELECT count(*) FROM geo.places.nation) FROM mesh.domains",
            "SELECT value FROM generate_series(1, 10)",
            "SELECT unnest([1, 2, 3])",
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t",
        ] {
            assert!(!reads_only_views(&analysed(&engine, sql).await), "{sql}");
        }
    }
}
