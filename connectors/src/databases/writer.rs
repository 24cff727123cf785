//! Adds rows to a port over a table of a database. All rows of a statement are added in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_catalog::{DatabaseRelation, Port, PortRef};

use super::client::DatabaseClient;
use super::database::RunContext;
use super::fit::Fit;
use crate::error::{Error, ErrorKind, Result};
use crate::source::PortWriter;
use crate::writers::{RequiredColumns, Writers};

/// The time limit for adding rows. The statement has its own, and then stops.
const WRITE_TIME: Duration = Duration::from_secs(3600);

/// Adds rows to a port over a table.
#[derive(Debug)]
pub(super) struct DatabaseWriter {
    port: PortRef,
    client: Arc<DatabaseClient>,
    relation: DatabaseRelation,
    /// The names of the columns in the database.
    columns: Vec<String>,
    schema: SchemaRef,
    required: RequiredColumns,
    writers: Writers,
}

impl DatabaseWriter {
    /// Returns the writer of `port` for these writers: names of principals, `group:` and the name of a group, or `*` for
    /// every principal.
    ///
    /// # Errors
    /// `Unsupported` for a relation that is no table, as the fault of the config; otherwise the error of the database.
    pub(super) async fn new(
        port: &Port,
        client: &Arc<DatabaseClient>,
        relation: &DatabaseRelation,
        fit: &Fit,
        writers: &[String],
    ) -> Result<Self> {
        let cannot = |why: &str| {
            let what = format!("port {} cannot have writers: {why}", port.name);
            Err(Error::new(ErrorKind::Unsupported, what))
        };
        match relation {
            DatabaseRelation::Query(_) => return cannot("its rows are the result of a query"),
            DatabaseRelation::Table { schema, name } => {
                let tables = client.tables(schema.as_deref()).await?;
                if tables.iter().any(|table| table.name == *name && table.is_view) {
                    return cannot("it is over a view");
                }
            }
        }
        Ok(Self {
            port: port.name.clone(),
            client: client.clone(),
            relation: relation.clone(),
            columns: fit.names.clone(),
            schema: fit.schema.clone(),
            required: RequiredColumns::of(port),
            writers: Writers::new(writers),
        })
    }
}

#[async_trait]
impl PortWriter for DatabaseWriter {
    fn takes_from(&self, name: &str, groups: &BTreeSet<String>) -> bool {
        self.writers.include(name, groups)
    }

    async fn append(&self, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        let (port, required, schema) = (self.port.clone(), self.required.clone(), self.schema.clone());
        let fails = Arc::new(AtomicBool::new(false));
        let rows_fail = fails.clone();
        let rows = rows.map(move |batch| {
            let checked = batch.and_then(|batch| {
                required.check(&batch)?;
                with_types(&port, &batch, &schema)
            });
            checked.inspect_err(|_| rows_fail.store(true, Ordering::Relaxed))
        });
        let context = RunContext { query_id: None, deadline: Instant::now() + WRITE_TIME };
        let added = self.client.append(&self.relation, &self.columns, rows.boxed(), context).await;
        // An error of the rows is one of their query, or names the port.
        added.map_err(|error| match fails.load(Ordering::Relaxed) {
            true => error,
            false => error.within(format!("port {}", self.port)),
        })
    }
}

/// Returns rows with the types of the port's columns.
fn with_types(port: &PortRef, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast_with_options(column, field.data_type(), &strict));
    columns
        .collect::<std::result::Result<Vec<_>, _>>()
        .and_then(|columns| {
            let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let schema = Schema::new(nullable.collect::<Vec<_>>());
            RecordBatch::try_new(Arc::new(schema), columns)
        })
        .map_err(|e| {
            Error::new(ErrorKind::InvalidQuery, format!("port {port}: a value does not fit its column")).with_source(e)
        })
}
