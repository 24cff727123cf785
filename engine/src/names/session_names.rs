//! The names that a session adds to the mesh: its tables and views, and the defaults for names without a domain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, TableReference};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use portolan_connectors::LocalFileOpener;

use super::RESERVED_CATALOG;
use super::opened::Opened;
use super::view_table::ViewTable;
use crate::state::tables::{NUMBERED, ROW_NUMBER, TableContent};
use crate::state::views::View;
use crate::state::{Activity, Audit, ClientIdentity, PlanCache, SessionHandle};

/// The schema of the tables that a session creates, in the catalog that every node has.
pub(crate) const SESSION_SCHEMA: &str = "session";

/// The names that a session adds to the mesh, for one of its statements.
#[derive(Clone, Debug)]
pub(crate) struct SessionNames {
    pub(crate) tables: Arc<BTreeMap<String, Arc<TableContent>>>,
    pub(crate) views: Arc<BTreeMap<String, Arc<View>>>,
    /// The names that mean tables and views; `None` for all. In the statement of a view, these are the names that meant
    /// them when the view was created. Others mean ports and files.
    pub(crate) only: Option<Arc<BTreeSet<String>>>,
    /// The views whose statements contain the present one, the outermost first.
    pub(crate) within: Vec<String>,
    /// The plans of the views and the files that the statement reads.
    pub(crate) opened: Arc<Opened>,
    /// The opener of files of this machine; `None` if statements must not read any.
    pub(crate) files: Option<Arc<dyn LocalFileOpener>>,
    /// The catalog of names with two parts.
    pub(crate) catalog: Option<String>,
    /// The schema of names with one part, after the session's own tables.
    pub(crate) schema: Option<String>,
    /// The client of the session.
    pub(crate) client: ClientIdentity,
    /// The activity of the node.
    pub(crate) activity: Arc<Activity>,
    /// The audit records of the node, if it keeps any.
    pub(crate) audit: Option<Audit>,
    /// The plans that the node keeps.
    pub(crate) plans: Arc<PlanCache>,
}

impl SessionNames {
    /// Returns the current names of a session.
    pub(crate) fn of(session: &SessionHandle) -> Self {
        let settings = session.settings();
        Self {
            tables: session.shared.tables.snapshot(),
            views: session.shared.tables.views(),
            only: None,
            within: vec![],
            opened: Arc::default(),
            files: session.engine.local_files.clone(),
            catalog: settings.catalog,
            schema: settings.schema,
            client: session.shared.client(),
            activity: session.engine.activity.clone(),
            audit: session.engine.audit.clone(),
            plans: session.engine.plans.clone(),
        }
    }

    /// True if names have the same meaning in both.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let same_tables = Arc::ptr_eq(&self.tables, &other.tables) && Arc::ptr_eq(&self.views, &other.views);
        same_tables && self.catalog == other.catalog && self.schema == other.schema
    }

    /// Returns the names for the statement of a view.
    pub(crate) fn of_view(&self, name: &str, view: &View) -> Self {
        Self {
            only: Some(Arc::new(view.reads.clone())),
            within: self.within.iter().cloned().chain([name.to_owned()]).collect(),
            catalog: view.catalog.clone(),
            schema: view.schema.clone(),
            ..self.clone()
        }
    }

    /// True if the session has neither tables nor views.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.views.is_empty()
    }

    /// True if the session has a table or a view with this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.views.contains_key(name)
    }

    /// Returns the names of the tables and views.
    fn all(&self) -> impl Iterator<Item = &String> {
        self.tables.keys().chain(self.views.keys())
    }

    /// True if a name can mean a table or a view of the session.
    pub(crate) fn is_visible(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(name))
    }

    /// Returns the table or view of the session that a reference means, if any.
    pub(crate) fn own<'a>(&self, reference: &'a TableReference) -> Option<&'a str> {
        // Two parts name a product, if the session has a current domain.
        let here = self.catalog.as_deref().is_none_or(|catalog| catalog == RESERVED_CATALOG);
        let name = match reference {
            TableReference::Bare { table } => Some(table),
            TableReference::Partial { schema, table } => Some(table).filter(|_| here && &**schema == SESSION_SCHEMA),
            TableReference::Full { catalog, schema, table } => {
                Some(table).filter(|_| &**catalog == RESERVED_CATALOG && &**schema == SESSION_SCHEMA)
            }
        };
        name.map(|name| &**name).filter(|name| self.is_visible(name) && self.has(name))
    }

    /// Returns a session's table, with numbered rows if the name requests them, a view, or a file that the statement has
    /// opened.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        if let Some(view) = self.views.get(name).filter(|_| self.is_visible(name)) {
            return Some(Arc::new(ViewTable::new(view.clone(), self.opened.view(name))));
        }
        let (name, numbered) = match name.strip_suffix(NUMBERED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let content = self.tables.get(name).filter(|_| self.is_visible(name)).cloned();
        let Some(content) = content else { return self.opened.file(name) };
        let schema = if numbered { numbered_schema(&content.schema) } else { content.schema.clone() };
        Some(Arc::new(SessionTable { content, schema, numbered }))
    }
}

/// The schema with the session's tables and views.
#[derive(Debug)]
pub(crate) struct SessionSchema(pub(crate) Arc<SessionNames>);

#[async_trait]
impl SchemaProvider for SessionSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.all().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.table(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table(name).is_some()
    }
}

/// The schema of names with one part: the session's tables and views, then the session's current schema.
#[derive(Debug)]
pub(crate) struct SearchPath {
    pub(crate) own: Arc<SessionNames>,
    pub(crate) current: Option<Arc<dyn SchemaProvider>>,
}

impl SearchPath {
    fn own(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        if self.own.is_visible(name) { self.own.table(name) } else { None }
    }
}

#[async_trait]
impl SchemaProvider for SearchPath {
    fn table_names(&self) -> Vec<String> {
        let current = self.current.iter().flat_map(|schema| schema.table_names());
        self.own.all().cloned().chain(current).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match (self.own(name), &self.current) {
            (Some(own), _) => Ok(Some(own)),
            (None, Some(current)) => current.table(name).await,
            (None, None) => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own(name).is_some() || self.current.as_ref().is_some_and(|schema| schema.table_exist(name))
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
