//! A scan of a port at the node, outside of fragments: for statistics and tests of the data.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};
use portolan_catalog::PortRef;

use super::client::DatabaseClient;
use super::database::RunContext;
use crate::error::Error;
use crate::sql::SqlQuery;

/// The time limit of a scan. The caller may have a shorter one, and drops the rows.
const SCAN_TIME: Duration = Duration::from_secs(600);

/// A query of a database whose rows are columns of one port.
#[derive(Debug)]
pub(super) struct DatabaseScan {
    port: PortRef,
    client: Arc<DatabaseClient>,
    query: SqlQuery,
    /// The columns of the query.
    schema: SchemaRef,
    /// True if the rows have no columns. The query has one.
    is_empty: bool,
    properties: Arc<PlanProperties>,
}

impl DatabaseScan {
    /// Returns a scan whose query has the columns of `schema`. If `is_empty` is true, the scan has none.
    pub(super) fn new(
        port: PortRef,
        client: Arc<DatabaseClient>,
        query: SqlQuery,
        schema: SchemaRef,
        is_empty: bool,
    ) -> Result<Self> {
        let columns = if is_empty { Arc::new(schema.project(&[])?) } else { schema.clone() };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(columns),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { port, client, query, schema, is_empty, properties: Arc::new(properties) })
    }
}

impl DisplayAs for DatabaseScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseScan: port={}, database={}", self.port, self.client.origin().shown)
    }
}

impl ExecutionPlan for DatabaseScan {
    fn name(&self) -> &'static str {
        "DatabaseScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan of a database has no inputs") }
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (client, query, schema) = (self.client.clone(), self.query.clone(), self.schema.clone());
        let context = RunContext { query_id: None, deadline: Instant::now() + SCAN_TIME };
        let rows = stream::once(async move { client.query(query, schema, context).await }).try_flatten();
        let (port, is_empty) = (self.port.clone(), self.is_empty);
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(|error| of_port(&port, error))?;
            Ok(if is_empty { batch.project(&[])? } else { batch })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.properties.eq_properties.schema().clone(), rows)))
    }
}

/// Returns an error with the name of its port.
pub(super) fn of_port(port: &PortRef, error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error.within(format!("port {port}"))))
}
