//! A database for tests behind ports of this process: an engine that accepts SQL, and that fails as a test wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use portolan_catalog::{ColumnStatistics, Port, PortRef, PortStatistics};
use portolan_connectors::sql::{ColumnUsage, SqlColumn, SqlTable, quoted_name};
use portolan_connectors::testing::{TEST_SQL, catalog, columns, local_domain};
use portolan_connectors::{
    Capabilities, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream, FragmentSummary, LocalDomain,
    PortAtSite, PortWriter, Site, SiteId, lock,
};

use crate::{Engine, Error, ErrorKind, Principal, Result};

mod tests;

/// What the database does with a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Works,
    /// It does not respond.
    Down,
    /// It sends nothing.
    Hangs,
}

/// A database with the tables of the domain `lab`, whose ports are all of the product `p`.
#[derive(Debug)]
pub(crate) struct FakeDatabase {
    id: SiteId,
    rows: Mutex<Vec<(String, RecordBatch)>>,
    mood: Mutex<Mood>,
    queries: Mutex<Vec<String>>,
    /// The number of results that are being read.
    running: Arc<AtomicUsize>,
}

impl FakeDatabase {
    pub(crate) fn new(tables: &[(&str, RecordBatch)]) -> Arc<Self> {
        let rows = tables.iter().map(|(name, rows)| ((*name).to_owned(), rows.clone())).collect();
        Arc::new(Self {
            id: SiteId::new("sql://lab"),
            rows: Mutex::new(rows),
            mood: Mutex::default(),
            queries: Mutex::default(),
            running: Arc::default(),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        *lock(&self.mood) = mood;
    }

    /// Returns the queries since the last call.
    pub(crate) fn queries(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.queries))
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Returns the domain with its tables as ports behind the database, and with `others` beside them.
    pub(crate) fn domain(self: &Arc<Self>, others: impl IntoIterator<Item = Port>) -> LocalDomain {
        let mut domain = self.tables(others);
        for port in &mut domain.ports {
            let quoted = |name: &str| quoted_name(name, &TEST_SQL);
            let name = [port.name.domain.as_str(), port.name.product.as_str(), port.name.port.as_str()];
            let column = |name: &String| {
                let sql = format!("t.{}", quoted(name));
                SqlColumn { name: name.clone(), sql, usage: ColumnUsage::All }
            };
            let columns = port.schema.fields().iter().map(|field| column(field.name())).collect();
            let table = SqlTable { from: name.map(quoted).join("."), columns, has_ranges: false, is_stored: true };
            port.site = Some(PortAtSite { site: self.clone(), table: Arc::new(table) });
            let table = port.name.port.as_str().to_owned();
            port.writer = Some(Arc::new(Writer { database: self.clone(), table }));
        }
        domain
    }

    /// Returns the domain with its rows in memory.
    fn tables(&self, others: impl IntoIterator<Item = Port>) -> LocalDomain {
        let tables = lock(&self.rows).clone();
        let names: BTreeSet<String> = tables.iter().map(|(name, _)| name.clone()).collect();
        let described = names.into_iter().map(|name| {
            let of = || tables.iter().filter(|table| table.0 == name).map(|table| &table.1);
            let rows: u64 = of().map(|rows| rows.num_rows() as u64).sum();
            let columns = columns(&of().next().unwrap().schema());
            // Every value is another one.
            let distinct = ColumnStatistics { distinct: Some(rows), ..ColumnStatistics::default() };
            let known = columns.iter().map(|column| (column.name.clone(), distinct.clone()));
            let known = PortStatistics { rows: Some(rows), columns: known.collect(), ..PortStatistics::default() };
            let mut port = Port::new(PortRef::new("lab", "p", &name)).with_columns(columns);
            port.statistics = Arc::new(known);
            port
        });
        local_domain(catalog("lab", described.chain(others).collect::<Vec<_>>()), |name| {
            let of = tables.iter().filter(|(table, _)| table == name.port.as_str());
            of.map(|(_, rows)| rows.clone()).collect()
        })
    }

    async fn rows(&self, sql: &str, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let engine = Engine::builder().cpu_threads(1).local_domain(self.tables([])).build()?;
        let rows = engine.session(Principal::anonymous()).sql(sql).await?;
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        let typed = |batch: &RecordBatch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
        };
        Ok(batches.iter().map(typed).collect())
    }
}

/// A result that is being read.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Site for FakeDatabase {
    fn id(&self) -> &SiteId {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::database(&TEST_SQL)
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let FragmentPlan::Sql(sql) = &request.plan else { panic!("a database gets SQL") };
        lock(&self.queries).push(sql.text.clone());
        let mood = *lock(&self.mood);
        if mood == Mood::Down {
            return Err(Error::new(ErrorKind::SiteUnavailable, "PostgreSQL `lab` does not respond"));
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        let running = Running(self.running.clone());
        let batches = self.rows(&sql.text, &request.schema).await?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let batches = batches.into_iter().map(|batch| FragmentItem::Batch { wire_bytes: 1, batch });
        let end = FragmentItem::Finished(FragmentSummary { rows, ..FragmentSummary::default() });
        let items = batches.chain([end]).map(Ok);
        let begin = stream::once(async move {
            if mood == Mood::Hangs {
                futures::future::pending::<()>().await;
            }
        });
        let items = begin.filter_map(|()| async { None }).chain(stream::iter(items.collect::<Vec<_>>()));
        // The result is read until the stream is dropped.
        let items = items.inspect(move |_| {
            let _running = &running;
        });
        Ok(items.boxed())
    }
}

#[derive(Debug)]
struct Writer {
    database: Arc<FakeDatabase>,
    table: String,
}

#[async_trait]
impl PortWriter for Writer {
    fn takes_from(&self, name: &str, _: &BTreeSet<String>) -> bool {
        name == "ann"
    }

    async fn append(&self, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        let added: Vec<RecordBatch> = rows.try_collect().await?;
        let mut tables = lock(&self.database.rows);
        let schema = tables[0].1.schema();
        let count = added.iter().map(|batch| batch.num_rows() as u64).sum();
        let batches = added.into_iter().map(|batch| batch.with_schema(schema.clone()).unwrap());
        tables.extend(batches.map(|batch| (self.table.clone(), batch)));
        Ok(count)
    }
}
