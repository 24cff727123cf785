//! The names that a session adds to the mesh: its tables, and the defaults for names without a domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::state::tables::{NUMBERED, ROW_NUMBER, TableContent};
use crate::state::{Activity, ClientIdentity, SessionHandle};

/// The schema of the tables that a session creates, in the catalog that every node has.
pub(crate) const SESSION_SCHEMA: &str = "session";

/// The names that a session adds to the mesh, for its statements.
#[derive(Clone, Debug)]
pub(crate) struct SessionNames {
    pub(crate) tables: Arc<BTreeMap<String, Arc<TableContent>>>,
    /// The catalog of names with two parts.
    pub(crate) catalog: Option<String>,
    /// The schema of names with one part, after the session's own tables.
    pub(crate) schema: Option<String>,
    /// The client of the session.
    pub(crate) client: ClientIdentity,
    /// The activity of the node.
    pub(crate) activity: Arc<Activity>,
}

impl SessionNames {
    /// Returns the current names of a session.
    pub(crate) fn of(session: &SessionHandle) -> Self {
        let settings = session.settings();
        Self {
            tables: session.shared.tables.snapshot(),
            catalog: settings.catalog,
            schema: settings.schema,
            client: session.shared.client(),
            activity: session.engine.activity.clone(),
        }
    }

    /// True if names have the same meaning in both.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tables, &other.tables) && self.catalog == other.catalog && self.schema == other.schema
    }

    /// Returns a session's table, with numbered rows if the name requests them.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let (name, numbered) = match name.strip_suffix(NUMBERED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let content = self.tables.get(name)?.clone();
        let schema = if numbered { numbered_schema(&content.schema) } else { content.schema.clone() };
        Some(Arc::new(SessionTable { content, schema, numbered }))
    }
}

/// The schema with the session's tables.
#[derive(Debug)]
pub(crate) struct SessionSchema(pub(crate) Arc<SessionNames>);

#[async_trait]
impl SchemaProvider for SessionSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.table(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table(name).is_some()
    }
}

/// The schema of names with one part: the session's tables, then the session's current schema.
#[derive(Debug)]
pub(crate) struct SearchPath {
    pub(crate) own: Arc<SessionNames>,
    pub(crate) current: Option<Arc<dyn SchemaProvider>>,
}

#[async_trait]
impl SchemaProvider for SearchPath {
    fn table_names(&self) -> Vec<String> {
        let current = self.current.iter().flat_map(|schema| schema.table_names());
        self.own.tables.keys().cloned().chain(current).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match (self.own.table(name), &self.current) {
            (Some(own), _) => Ok(Some(own)),
            (None, Some(current)) => current.table(name).await,
            (None, None) => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.table(name).is_some() || self.current.as_ref().is_some_and(|schema| schema.table_exist(name))
    }
}

/// A table of a session, with its content when the statement was planned.
#[derive(Debug)]
pub(crate) struct SessionTable {
    content: Arc<TableContent>,
    schema: SchemaRef,
    numbered: bool,
}

fn numbered_schema(schema: &Schema) -> SchemaRef {
    let number = Arc::new(Field::new(ROW_NUMBER, DataType::UInt64, false));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([number]).collect::<Vec<_>>()))
}

#[async_trait]
impl TableProvider for SessionTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.content.rows());
        Some(statistics)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = if self.numbered { self.numbered_batches()? } else { self.content.batches.clone() };
        let source = MemorySourceConfig::try_new(&[batches], self.schema.clone(), projection.cloned())?;
        Ok(DataSourceExec::from_data_source(source.with_limit(limit)))
    }
}

impl SessionTable {
    fn numbered_batches(&self) -> Result<Vec<RecordBatch>> {
        let mut first = 0;
        let numbered = |batch: &RecordBatch| {
            let next = first + batch.num_rows() as u64;
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(first..next));
            first = next;
            let columns = batch.columns().iter().cloned().chain([numbers]).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
        };
        self.content.batches.iter().map(numbered).collect()
    }
}
