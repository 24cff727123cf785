//! Runs one query in every way of the planner: in one process that owns everything, and at the gateway of a mesh
//! unplaced, placed, and placed with each strategy that can be forced. Only the processes of the mesh are not real:
//! each domain has one engine in this process, and the engines use Flight over loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use portolan_catalog::{DomainName, load_domain};
use portolan_connectors::files::FileSources;
use portolan_connectors::node::{NodeOptions, NodeSite};
use portolan_connectors::open_domain;
use portolan_engine::{Engine, EngineBuilder, Error, ErrorKind, Principal, Result as EngineResult, Session};
use portolan_flight_server::{Server, ServerOptions};
use portolan_node::Node;
use portolan_testbed::mesh::free_addresses;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::database_ports::open_node;
use crate::forced::{FORCED, Forced};
use crate::products::{PortFile, write_domain};
use crate::sql_site::SqlSite;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
/// The columns and the rows of a query.
pub type Rows = (SchemaRef, Vec<RecordBatch>);

/// The settings with which the gateway gathers every row.
pub const UNPLACED: &[(&str, &str)] = &[("portolan.placement", "off")];
/// The time limit of a query.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A mesh, and one process that owns the same domains.
pub struct Ways {
    gateway: Engine,
    pub(crate) single: Engine,
    /// The databases behind the nodes, if there are some.
    databases: Vec<Arc<SqlSite>>,
    /// The engine of each domain's node.
    engines: BTreeMap<String, Engine>,
    // Dropping the set stops the nodes.
    _nodes: JoinSet<()>,
    /// The nodes that were built from configs.
    _built: Vec<Node>,
    _folder: Option<TempDir>,
}

/// A domain whose node has a config.
#[derive(Clone, Debug)]
pub struct ConfiguredDomain {
    /// The name of the domain.
    pub domain: String,
    /// The folder with the descriptors over files, for the single process.
    pub files: PathBuf,
    /// The folder of the node, with its descriptors in `products`.
    pub home: PathBuf,
    /// The key `sources` of the node's config.
    pub sources: Value,
}

impl Ways {
    /// Starts a mesh of these domains. Each has its descriptors in a folder.
    ///
    /// # Errors
    /// If descriptors or data cannot be opened, or nodes do not start or do not learn of one another.
    pub async fn start(domains: &[(&str, PathBuf)]) -> Result<Self> {
        Self::start_nodes(domains, false).await
    }

    /// Starts a mesh as [`Ways::start`] does. The ports of each domain are tables of a database of its own.
    ///
    /// # Errors
    /// As [`Ways::start`].
    pub async fn start_behind_databases(domains: &[(&str, PathBuf)]) -> Result<Self> {
        Self::start_nodes(domains, true).await
    }

    async fn start_nodes(domains: &[(&str, PathBuf)], behind_databases: bool) -> Result<Self> {
        let mut nodes = JoinSet::new();
        let mut servers = vec![];
        for (domain, products) in domains {
            servers.push((*domain, products, Server::bind(ServerOptions::new("127.0.0.1:0")).await?));
        }
        let urls: Vec<_> = servers.iter().map(|(domain, _, server)| (*domain, server.url())).collect();
        let mut engines = BTreeMap::new();
        let mut databases = vec![];
        let shared = Arc::default();
        let mut single = Engine::builder().runtime_env(Arc::clone(&shared));
        for (domain, products, server) in servers {
            let open = async |runtime| {
                let catalog = load_domain(&DomainName::new(domain), products).map_err(|e| e.to_string())?;
                open_domain(catalog, &FileSources::default(), &runtime).await.map_err(|e| e.to_string())
            };
            let runtime: Arc<_> = Arc::default();
            let mut local = open(Arc::clone(&runtime)).await?;
            if behind_databases {
                let database =
                    Engine::builder().local_domain(local.clone()).runtime_env(Arc::clone(&runtime)).build()?;
                let site = SqlSite::new(&format!("sql://{domain}"), database);
                local = site.before(local);
                databases.push(site);
            }
            let engine = Engine::builder().local_domain(local).runtime_env(Arc::clone(&runtime));
            single = single.local_domain(open(Arc::clone(&shared)).await?);
            let engine = with_peers(engine, urls.iter().filter(|(other, _)| *other != domain))?.build()?;
            engines.insert((*domain).to_owned(), engine.clone());
            nodes.spawn(async move {
                // Serves until the task is aborted.
                let _ = server.serve(engine, std::future::pending()).await;
            });
        }
        // The nodes must know one another before the gateway requests their catalogs.
        for engine in engines.values() {
            engine.refresh().await;
        }
        let gateway = with_peers(Engine::builder(), urls.iter())?.build()?;
        gateway.refresh().await;
        let single = single.build()?;
        let (known, all) = (gateway.mesh().ports().count(), single.mesh().ports().count());
        if known != all {
            return Err(format!("the gateway knows {known} of {all} ports").into());
        }
        Ok(Self { gateway, single, databases, engines, _nodes: nodes, _built: vec![], _folder: None })
    }

    /// Starts a mesh whose nodes have configs, such as those of databases. The single process reads the same rows from
    /// files.
    ///
    /// # Errors
    /// As [`Ways::start`].
    pub async fn start_configured(domains: &[ConfiguredDomain]) -> Result<Self> {
        let addresses = free_addresses(domains.len()).map_err(|e| e.owner_chain())?;
        let (mut nodes, mut built, mut engines) = (JoinSet::new(), vec![], BTreeMap::new());
        let shared: Arc<_> = Arc::default();
        let mut single = Engine::builder().runtime_env(Arc::clone(&shared));
        let peers = |own: &str| -> Vec<_> {
            addresses.iter().filter(|a| *a != own).map(|a| json!({ "url": format!("grpc://{a}") })).collect()
        };
        for (ConfiguredDomain { domain, files, home, sources }, address) in domains.iter().zip(&addresses) {
            let config = json!({ "domain": domain, "listen": address, "peers": peers(address), "sources": sources });
            let node = open_node(home, &config).await.map_err(|e| format!("domain {domain}: {}", e.owner_chain()))?;
            let bound = node.bind().await.map_err(|e| e.owner_chain())?;
            nodes.spawn(async move {
                // Serves until the task is aborted.
                let _ = bound.serve(std::future::pending()).await;
            });
            engines.insert(domain.clone(), node.engine().clone());
            built.push(node);
            let catalog = load_domain(&DomainName::new(domain), files).map_err(|e| e.to_string())?;
            let opened = open_domain(catalog, &FileSources::default(), &shared).await.map_err(|e| e.to_string())?;
            single = single.local_domain(opened);
        }
        for engine in engines.values() {
            engine.refresh().await;
        }
        let folder = tempfile::Builder::new().prefix("portolan-ways-").tempdir()?;
        let gateway = open_node(folder.path(), &json!({ "peers": peers("") })).await.map_err(|e| e.owner_chain())?;
        gateway.engine().refresh().await;
        let single = single.build()?;
        let (known, all) = (gateway.engine().mesh().ports().count(), single.mesh().ports().count());
        if known != all {
            return Err(format!("the gateway knows {known} of {all} ports").into());
        }
        let engine = gateway.engine().clone();
        built.push(gateway);
        Ok(Self {
            gateway: engine,
            single,
            databases: vec![],
            engines,
            _nodes: nodes,
            _built: built,
            _folder: Some(folder),
        })
    }

    /// Starts a mesh over generated tables: the port `<domain>.samples.<name>` for each domain, name and rows.
    pub async fn of_tables(tables: &[(&'static str, &'static str, RecordBatch)]) -> Self {
        Self::with_tables(tables, false).await
    }

    /// Starts a mesh as [`Ways::of_tables`] does. The ports of each domain are tables of a database of its own.
    pub async fn of_tables_behind_databases(tables: &[(&'static str, &'static str, RecordBatch)]) -> Self {
        Self::with_tables(tables, true).await
    }

    async fn with_tables(tables: &[(&'static str, &'static str, RecordBatch)], behind_databases: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-ways-").tempdir().unwrap();
        let mut ports: BTreeMap<&str, Vec<PortFile>> = BTreeMap::new();
        for (domain, name, rows) in tables {
            let file = folder.path().join(format!("{domain}.{name}.parquet"));
            write_parquet(&file, rows);
            ports.entry(domain).or_default().push(port_of(name, &file, "parquet", rows));
        }
        let homes = ports.into_iter().map(|(domain, ports)| {
            let home = folder.path().join(domain);
            write_domain(domain, &home, &ports);
            (domain, home.join("products"))
        });
        let homes: Vec<_> = homes.collect();
        let mut ways = Self::start_nodes(&homes, behind_databases).await.unwrap();
        ways._folder = Some(folder);
        ways
    }

    /// Returns the databases behind the nodes, in the order of the domains.
    pub fn databases(&self) -> &[Arc<SqlSite>] {
        &self.databases
    }

    /// Returns the engine of a domain's node.
    pub fn node(&self, domain: &str) -> &Engine {
        &self.engines[domain]
    }

    /// Returns the gateway of the mesh.
    pub fn gateway(&self) -> &Engine {
        &self.gateway
    }

    /// Runs a query in the one process that owns everything.
    ///
    /// # Errors
    /// The error of the query.
    pub async fn in_one_process(&self, sql: &str) -> EngineResult<Rows> {
        rows(&self.single.session(Principal::anonymous()), sql).await
    }

    /// Runs a query at the gateway, with these settings.
    ///
    /// # Errors
    /// The error of the query.
    pub async fn at_gateway(&self, sql: &str, settings: &[(&str, &str)]) -> EngineResult<Rows> {
        run(&self.gateway, sql, settings).await
    }

    /// Returns the result of the query in each way, with the name of the way.
    async fn all(&self, sql: &str) -> Vec<(&'static str, EngineResult<Rows>)> {
        let mut all = vec![("one process", self.in_one_process(sql).await)];
        let ways = [Forced { name: "unplaced", settings: UNPLACED }, Forced { name: "placed", settings: &[] }];
        for Forced { name, settings } in ways.iter().chain(FORCED) {
            all.push((name, self.at_gateway(sql, settings).await));
        }
        all
    }

    /// Asserts that a query returns these rows in every way. A row consists of its values as SQL prints them, separated
    /// by `|`. The order of the rows does not matter, unless the query ends with an `ORDER BY`.
    pub async fn gives(&self, sql: &str, expected: &[&str]) {
        for (way, outcome) in self.all(sql).await {
            let (_, batches) = outcome.unwrap_or_else(|e| panic!("{way}: {}\n{sql}", e.chain()));
            assert_lines(way, sql, &batches, expected);
        }
    }

    /// Asserts that every way refuses a query with this kind of error, and a message that has all of these parts.
    pub async fn refuses(&self, sql: &str, kind: ErrorKind, says: &[&str]) {
        for (way, outcome) in self.all(sql).await {
            let error = match outcome {
                Ok((_, batches)) => panic!("{way}: {:?} came from\n{sql}", lines(&batches)),
                Err(error) => error,
            };
            let said = error.chain();
            assert_eq!(error.kind(), kind, "{way}: {said}\n{sql}");
            for part in says {
                assert!(said.contains(part), "{way}: expected `{part}`, got: {said}\n{sql}");
            }
        }
    }
}

/// Asserts that the result of a query has these rows, as [`Ways::gives`] does. `way` is the way in which the query ran.
#[track_caller]
pub fn assert_lines(way: &str, sql: &str, batches: &[RecordBatch], expected: &[impl AsRef<str>]) {
    let mut expected: Vec<String> = expected.iter().map(|row| row.as_ref().to_owned()).collect();
    let mut came = lines(batches);
    if !is_ordered(sql) {
        expected.sort();
        came.sort();
    }
    assert_eq!(came, expected, "{way}\n{sql}");
}

/// True if the query as a whole has an `ORDER BY`, and not only a part of it in brackets.
pub fn is_ordered(sql: &str) -> bool {
    let mut depth = 0_usize;
    let outside = sql.chars().filter(|c| {
        depth += usize::from(*c == '(');
        let is_outside = depth == 0;
        depth = depth.saturating_sub(usize::from(*c == ')'));
        is_outside
    });
    outside.collect::<String>().contains("ORDER BY")
}

/// Returns the rows as strings: the values as SQL prints them, separated by `|`, and NULL as `NULL`.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = vec![];
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(values.join("|"));
        }
    }
    lines
}

/// Returns a batch of these columns, all of which may be NULL.
pub fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Writes rows as one Parquet file.
pub fn write_parquet(file: &Path, rows: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// Returns the port over a file of a format with such rows.
pub(crate) fn port_of(name: &'static str, file: &Path, format: &str, rows: &RecordBatch) -> PortFile {
    let mut port = PortFile::local(name, file, format, &[]);
    let columns = rows.schema();
    // Descriptors keep their names while the program runs. The names are few and short.
    let leak = |name: &String| -> &'static str { Box::leak(name.clone().into_boxed_str()) };
    port.columns = columns.fields().iter().map(|f| (leak(f.name()), logical_type(f.data_type()), false)).collect();
    port
}

/// Returns the contract's name of a type.
pub(crate) fn logical_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Struct(_) | DataType::Map(..) => "object",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "array",
        DataType::Dictionary(_, value) => logical_type(value),
        other if other.is_integer() => "integer",
        other if other.is_numeric() => "number",
        _ => "string",
    }
}

fn with_peers<'a>(
    mut engine: EngineBuilder,
    peers: impl Iterator<Item = &'a (&'a str, String)>,
) -> Result<EngineBuilder> {
    for (_, url) in peers {
        engine = engine.peer(Arc::new(NodeSite::new(url, NodeOptions::default())?));
    }
    Ok(engine)
}

/// Runs a query at an engine, with these settings.
///
/// # Errors
/// The error of the query.
pub async fn run(engine: &Engine, sql: &str, settings: &[(&str, &str)]) -> EngineResult<Rows> {
    let session = engine.session(Principal::anonymous());
    for (name, value) in settings {
        rows(&session, &format!("SET {name} = {value}")).await?;
    }
    rows(&session, sql).await
}

/// Runs a query in a session, within a time limit.
///
/// # Errors
/// The error of the query, or a timeout.
pub async fn rows(session: &Session, sql: &str) -> EngineResult<Rows> {
    let work = async {
        let stream = session.sql(sql).await?;
        let schema = stream.schema();
        Ok((schema, stream.try_collect().await?))
    };
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(rows) => rows,
        Err(_) => Err(Error::new(ErrorKind::ResourceExhausted, format!("the query took over {} s", TIMEOUT.as_secs()))),
    }
}
