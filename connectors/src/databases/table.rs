//! The table of a port for scans at the node. The queries of a node use the site of the database instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType, table_scan};
use datafusion::physical_plan::ExecutionPlan;
use portolan_catalog::{DatabaseRelation, PortRef, PortStatistics};

use super::client::DatabaseClient;
use super::database::DescribedTable;
use super::fit::Fit;
use super::scan::{DatabaseScan, of_port};
use crate::error::{Error, ErrorKind, Result};
use crate::poison::lock;
use crate::source::Footprint;
use crate::sql;
use crate::statistics::Estimating;

/// The time for which the columns of a table are not described again.
const FRESH: Duration = Duration::from_secs(1);

/// A port over a table, a view or a query of a database.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    pub(super) port: PortRef,
    pub(super) client: Arc<DatabaseClient>,
    pub(super) relation: DatabaseRelation,
    /// The types that the contract determines, by the names of the columns in the database.
    pub(super) wanted: BTreeMap<String, DataType>,
    /// The relation when the port was opened.
    pub(super) described: DescribedTable,
    pub(super) fit: Fit,
    /// The last time when the columns were as they were when the port was opened.
    pub(super) checked: Mutex<Instant>,
}

impl DatabaseTable {
    /// Returns a state of the data and of the columns; `None` if the database has none, does not respond, or no longer
    /// has the table.
    pub(super) async fn footprint(&self) -> Option<Footprint> {
        let footprint = self.client.footprint(&self.relation).await?;
        // Most databases count rows that change, and not columns.
        let has_same_columns = self.check_columns().await.is_ok();
        let columns = if has_same_columns { "as opened" } else { "altered" };
        Some(Footprint { version: format!("{}, columns {columns}", footprint.version), ..footprint })
    }

    /// Returns the database's statistics of the port, if it has some about columns.
    pub(super) async fn statistics(&self) -> Option<PortStatistics> {
        let known = self.client.statistics(&self.relation, &self.described).await?;
        let names = self.fit.schema.fields().iter().zip(&self.fit.names);
        let columns = names.filter_map(|(field, name)| Some((field.name().clone(), known.columns.get(name)?.clone())));
        let columns: BTreeMap<_, _> = columns.collect();
        let statistics = PortStatistics { rows: known.rows, bytes: known.bytes, columns, data_version: None };
        (statistics.rows.is_some() && !statistics.columns.is_empty()).then_some(statistics)
    }

    /// Returns the number of rows that the database expects.
    pub(super) async fn guess_rows(&self) -> Option<u64> {
        self.client.statistics(&self.relation, &self.described).await?.rows
    }

    /// Checks that the table still has the columns of the port, with the same types.
    ///
    /// # Errors
    /// `InvalidData` for a column that was altered; as [`super::Database::describe`].
    async fn check_columns(&self) -> Result<()> {
        if lock(&self.checked).elapsed() < FRESH {
            return Ok(());
        }
        let now = self.client.describe(&self.relation, &self.wanted).await?;
        for name in &self.fit.names {
            let of = |table: &DescribedTable| {
                let column = table.columns.iter().find(|column| column.name == *name)?;
                Some((column.data_type.clone(), column.sql.clone(), column.usage, column.nullable))
            };
            if of(&now) != of(&self.described) {
                let shown = &self.client.origin().shown;
                let what = format!("{shown}: column `{name}` was altered after the port was opened");
                return Err(Error::new(ErrorKind::InvalidData, what));
            }
        }
        *lock(&self.checked) = Instant::now();
        Ok(())
    }

    /// Returns the plan of a scan of some columns, and their schema.
    fn plan(&self, columns: &[usize], limit: Option<usize>) -> DataFusionResult<(LogicalPlan, SchemaRef)> {
        let schema = &self.fit.schema;
        let plan = table_scan(Some("port"), schema, Some(columns.to_vec()))?;
        let plan = match limit {
            Some(rows) => plan.limit(0, Some(rows))?.build()?,
            None => plan.build()?,
        };
        Ok((plan, Arc::new(schema.project(columns)?)))
    }
}

#[async_trait]
impl TableProvider for DatabaseTable {
    fn schema(&self) -> SchemaRef {
        self.fit.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        // Nothing else would show that the table was altered, or is gone.
        if state.config().get_extension::<Estimating>().is_some() {
            self.check_columns().await.map_err(|error| of_port(&self.port, error))?;
        }
        let all: Vec<usize> = (0..self.fit.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        // A query in SQL has at least one column.
        let columns: &[usize] = if wanted.is_empty() { &[0] } else { wanted };
        let (plan, schema) = self.plan(columns, limit)?;
        let table = self.fit.table.clone();
        let query = sql::query(&plan, self.client.database().dialect(), &|_| Some(table.clone()));
        let query = query.map_err(|refusal| {
            let what = format!("its rows cannot be read in SQL: {refusal}");
            of_port(&self.port, Error::new(ErrorKind::Unsupported, what))
        })?;
        let (port, client) = (self.port.clone(), self.client.clone());
        Ok(Arc::new(DatabaseScan::new(port, client, query, schema, wanted.is_empty())?))
    }
}
