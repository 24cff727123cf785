//! A database in memory that answers every query with all its rows, and fails as a test wants.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::{
    Column, ColumnStatistics, DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource, DomainCatalog, Place,
    Port, PortRef, PortSource, SourceKind,
};

use crate::SourceOptions;
use crate::databases::DatabaseSources;
use crate::databases::database::{
    Database, DescribedColumn, DescribedTable, Origin, RunContext, TableName, TableStatistics,
};
use crate::error::{Error, ErrorKind, Result};
use crate::poison::lock;
use crate::source::Footprint;
use crate::source_options::DatabaseOptions;
use crate::sql::{ColumnUsage, SqlDialect, SqlQuery};
use crate::testing::TEST_SQL;

/// The reaction of the database to a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Works,
    /// It accepts no connection.
    Down,
    /// It dies after the first rows.
    Dies,
    /// It sends the first rows and no more.
    Hangs,
    /// Its driver panics.
    Panics,
    /// A column is gone.
    Altered,
    /// The password of the account has changed.
    Locked,
}

/// The content of the database, and what has happened to it.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) mood: Mutex<Mood>,
    /// The native types of columns that were altered.
    pub(super) altered: Mutex<BTreeMap<String, String>>,
    pub(super) views: Mutex<Vec<String>>,
    pub(super) has_statistics: Mutex<bool>,
    pub(super) connections: AtomicUsize,
    pub(super) queries: Mutex<Vec<String>>,
    /// The number of results that are being read.
    pub(super) running: AtomicUsize,
    pub(super) added: Mutex<Vec<RecordBatch>>,
}

impl Content {
    pub(super) fn set(&self, mood: Mood) {
        *lock(&self.mood) = mood;
    }

    /// Returns an opener over the database, with an account for the host `db`.
    pub(super) fn sources(self: &Arc<Self>, writers: &[&str]) -> DatabaseSources {
        let database = DatabaseOptions {
            host: Some("db".to_owned()),
            user: Some("reader".to_owned()),
            ..DatabaseOptions::default()
        };
        let writers = writers.iter().map(|name| (*name).to_owned()).collect();
        let options = SourceOptions { database, writers, ..SourceOptions::default() };
        let content = self.clone();
        DatabaseSources::new(HashMap::from([("shop".to_owned(), options)])).with_drivers(Arc::new(
            move |_, origin, _, _| {
                content.connections.fetch_add(1, Ordering::Relaxed);
                Ok(Some(Arc::new(FakeDatabase { origin, content: content.clone() })))
            },
        ))
    }
}

/// A result that is being read.
struct Running(Arc<Content>);

impl Running {
    fn new(content: &Arc<Content>) -> Self {
        content.running.fetch_add(1, Ordering::Relaxed);
        Self(content.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct FakeDatabase {
    origin: Origin,
    content: Arc<Content>,
}

impl FakeDatabase {
    fn up(&self) -> Result<()> {
        match *lock(&self.content.mood) {
            Mood::Down => Err(self.unavailable("does not respond")),
            _ => Ok(()),
        }
    }

    fn unavailable(&self, what: &str) -> Error {
        let Origin { shown, url } = &self.origin;
        Error::new(ErrorKind::SiteUnavailable, format!("{shown} {what}")).for_owner(format!("{url} {what}"))
    }
}

/// Returns the rows 1, 2 and 3 of the table, with the columns of a schema.
fn rows(schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |data_type: &DataType| -> ArrayRef {
        match data_type {
            DataType::Utf8 => Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
            _ => Arc::new(Int64Array::from(vec![1, 2, 3])),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.data_type())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::new(ErrorKind::InvalidData, e.to_string()))
}

#[async_trait]
impl Database for FakeDatabase {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn dialect(&self) -> &'static SqlDialect {
        &TEST_SQL
    }

    async fn describe(
        &self,
        relation: &DatabaseRelation,
        _: &BTreeMap<String, DataType>,
        _: Instant,
    ) -> Result<DescribedTable> {
        self.up()?;
        if matches!(relation, DatabaseRelation::Table { name, .. } if name == "gone") {
            let what = format!("{}: there is no table `gone`", self.origin.shown);
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        let altered = lock(&self.content.altered).clone();
        let column = |name: &str, data_type: DataType| DescribedColumn {
            name: name.to_owned(),
            native_type: altered.get(name).cloned().unwrap_or_else(|| "integer".to_owned()),
            data_type: if altered.contains_key(name) { Ok(DataType::Boolean) } else { Ok(data_type) },
            sql: format!("t.\"{name}\""),
            usage: ColumnUsage::All,
            nullable: name != "id",
            unique: name == "id",
            comment: None,
            enumeration: vec![],
        };
        let columns = vec![column("id", DataType::Int64), column("name", DataType::Utf8)];
        Ok(DescribedTable { columns, ..DescribedTable::default() })
    }

    async fn tables(&self, _: Option<&str>, _: Instant) -> Result<Vec<TableName>> {
        self.up()?;
        let views = lock(&self.content.views).clone();
        Ok(views.into_iter().map(|name| TableName { schema: None, name, is_view: true }).collect())
    }

    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        _: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        self.up()?;
        let shown = &self.origin.shown;
        match *lock(&self.content.mood) {
            Mood::Altered => return Err(Error::new(ErrorKind::NotFound, format!("{shown}: there is no column `id`"))),
            Mood::Locked => return Err(Error::new(ErrorKind::Unauthenticated, format!("{shown} refuses the account"))),
            _ => {}
        }
        lock(&self.content.queries).push(query.text);
        // A driver needs the runtime with its connections.
        tokio::time::sleep(std::time::Duration::ZERO).await;
        let running = Running::new(&self.content);
        let mood = *lock(&self.content.mood);
        let dies = self.unavailable("closed the connection");
        let rest = stream::once(async move {
            let _running = running;
            match mood {
                Mood::Dies => Err(dies),
                Mood::Hangs => futures::future::pending().await,
                Mood::Panics => panic!("the driver panics"),
                _ => Ok(None),
            }
        });
        let first = stream::iter([rows(&schema)]);
        Ok(first.chain(rest.try_filter_map(|rows| async move { Ok(rows) })).boxed())
    }

    async fn footprint(&self, _: &DatabaseRelation, _: Instant) -> Option<Footprint> {
        self.up().ok()?;
        Some(Footprint { bytes: 8192, version: format!("{} rows added", lock(&self.content.added).len()) })
    }

    async fn statistics(&self, _: &DatabaseRelation, _: &DescribedTable, _: Instant) -> Option<TableStatistics> {
        let name = ColumnStatistics { distinct: Some(2), nulls: Some(500), ..ColumnStatistics::default() };
        let columns = BTreeMap::from([("name".to_owned(), name)]);
        lock(&self.content.has_statistics).then_some(TableStatistics { rows: Some(1000), bytes: None, columns })
    }

    async fn append(
        &self,
        _: &DatabaseRelation,
        columns: &[String],
        rows: BoxStream<'static, Result<RecordBatch>>,
        _: RunContext,
    ) -> Result<u64> {
        self.up()?;
        assert_eq!(columns, ["id", "name"]);
        let rows: Vec<RecordBatch> = rows.try_collect().await?;
        let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        lock(&self.content.added).extend(rows);
        Ok(count)
    }
}

/// Returns a port over a table of the database `shop` at a host.
pub(super) fn port(name: &str, host: &str, relation: DatabaseRelation) -> Port {
    let columns = [("id", "integer"), ("name", "string")].map(|(name, logical)| {
        let mut column = Column::new(name);
        column.logical_type = Some(logical.to_owned());
        column
    });
    let mut port = Port::new(PortRef::new("sales", "orders", name)).with_columns(columns);
    let database = DatabaseSource {
        kind: DatabaseKind::Postgres,
        address: DatabaseAddress::Server { host: host.to_owned(), port: 5432, database: "shop".to_owned() },
        relation,
        names: BTreeMap::new(),
        types: BTreeMap::new(),
        physical_types: BTreeMap::new(),
    };
    port.source = Some(PortSource {
        server: "shop".to_owned(),
        kind: SourceKind::Database(database),
        declared_at: BTreeMap::new(),
        place: Place { file: "/srv/orders.yaml".into(), line: Some(4), field: String::new() },
    });
    port
}

/// Returns a port over a table of that name.
pub(super) fn table(name: &str) -> Port {
    port(name, "db", DatabaseRelation::Table { schema: Some("public".to_owned()), name: name.to_owned() })
}

/// Returns the catalog of a domain with these ports.
pub(super) fn domain(ports: impl IntoIterator<Item = Port>) -> DomainCatalog {
    DomainCatalog::new("sales", ports)
}
