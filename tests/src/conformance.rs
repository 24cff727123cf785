//! The conformance suite: the sources and the sites that it runs over, and what a test does with one of them.
//!
//! Every fixture holds the same tables, as the ports `lab.samples.<table>`. A new source or site is one more fixture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cases;
pub mod faulty_site;
mod files;
pub mod placement;
pub mod probes;
pub mod tables;
pub mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use portolan_catalog::{DatabaseKind, Diagnostic, Diagnostics, Place};
use portolan_connectors::node::{NodeOptions, NodeSite};
use portolan_connectors::{Capabilities, Site, SiteId};
use portolan_engine::{Engine, Principal, Result as EngineResult};
use portolan_flight_server::{Server, ServerOptions};
use portolan_node::Node;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::faulty_site::{FaultSwitch, FaultySite};
use self::files::{ARROW, CSV, Data, Format, JSON, OpenDomain, PARQUET};
use self::placement::{PlacedOperator, placed_operators};
use self::tables::{NOTHING, Table};
use crate::crossed::document;
use crate::database_ports::{DatabasePort, config, open_node, write_ports};
use crate::forced::Forced;
use crate::products::DOMAIN;
use crate::servers::{self, TestDatabase};
use crate::sql_site::SqlSite;
use crate::ways::{self, Rows, UNPLACED, assert_lines};

/// The ways in which a query runs over a source.
const IN_PROCESS: &[Forced] = &[Forced { name: "in one process", settings: &[] }];
/// The ways in which a query runs over a site.
const OVER_SITE: &[Forced] =
    &[Forced { name: "placed", settings: &[] }, Forced { name: "unplaced", settings: UNPLACED }];

/// The sources and the sites, each with what it does not hold.
pub const FIXTURES: &[Fixture] = &[
    Fixture {
        name: "Parquet",
        lacks: &[],
        server: None,
        open: |tables, data| files(PARQUET, tables, data).boxed_local(),
    },
    Fixture {
        name: "CSV",
        lacks: &[
            ("int_c", "the `integer` of a contract is BIGINT"),
            ("decimal_15_2", "the `number` of a contract is DOUBLE"),
            ("decimal_38_10", "the `number` of a contract is DOUBLE"),
            ("blank_c", "an empty value is NULL"),
        ],
        server: None,
        open: |tables, data| files(CSV, tables, data).boxed_local(),
    },
    Fixture {
        name: "JSON lines",
        lacks: &[
            ("int_c", "the `integer` of a contract is BIGINT"),
            ("decimal_15_2", "the `number` of a contract is DOUBLE"),
            ("decimal_38_10", "the `number` of a contract is DOUBLE"),
            ("special_c", "JSON has no NaN and no infinity"),
            (NOTHING, "a file without records has no columns"),
        ],
        server: None,
        open: |tables, data| files(JSON, tables, data).boxed_local(),
    },
    Fixture {
        name: "Arrow IPC",
        lacks: &[],
        server: None,
        open: |tables, data| files(ARROW, tables, data).boxed_local(),
    },
    Fixture { name: "a node", lacks: &[], server: None, open: |tables, data| node(tables, data).boxed_local() },
    Fixture { name: "a database", lacks: &[], server: None, open: |tables, data| database(tables, data).boxed_local() },
    Fixture {
        name: "PostgreSQL",
        lacks: &[],
        server: Some(DatabaseKind::Postgres),
        open: |tables, data| in_database(DatabaseKind::Postgres, tables, data).boxed_local(),
    },
    Fixture {
        name: "MariaDB",
        lacks: &[("special_c", "MariaDB has no NaN and no infinity")],
        server: Some(DatabaseKind::MariaDb),
        open: |tables, data| in_database(DatabaseKind::MariaDb, tables, data).boxed_local(),
    },
    Fixture {
        name: "SQLite",
        lacks: &[
            ("int_c", "SQLite has one width of integers"),
            ("special_c", "SQLite stores NaN as NULL, and -0.0 as 0.0"),
        ],
        server: Some(DatabaseKind::Sqlite),
        open: |tables, data| in_database(DatabaseKind::Sqlite, tables, data).boxed_local(),
    },
];

/// Returns the fixtures whose servers this machine has.
pub async fn fixtures() -> Vec<&'static Fixture> {
    let mut found = vec![];
    for fixture in FIXTURES {
        let is_there = match fixture.server {
            Some(kind) => servers::is_available(kind).await,
            None => true,
        };
        if is_there {
            found.push(fixture);
        }
    }
    found
}

/// Opens tables through a source or a site.
type Open = fn(Vec<Table>, Data) -> LocalBoxFuture<'static, Result<Opened, Diagnostics>>;

/// A source or a site under test.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    /// The name in messages.
    pub name: &'static str,
    /// The columns of the table `types` and the tables that it does not hold, each with the reason.
    pub lacks: &'static [(&'static str, &'static str)],
    /// The server that the fixture needs.
    server: Option<DatabaseKind>,
    open: Open,
}

impl Fixture {
    /// True if the fixture holds a column of the table `types`, or a table.
    pub fn holds(&self, name: &str) -> bool {
        !self.lacks.iter().any(|(lacking, _)| *lacking == name)
    }

    /// Opens the tables, without the columns that the fixture does not hold.
    pub async fn start(&self, tables: Vec<Table>) -> Subject {
        match self.open(tables, Data::Present).await {
            Ok(opened) => Subject { name: self.name, opened },
            Err(diagnostics) => panic!("{}: {diagnostics}", self.name),
        }
    }

    /// Returns the error of opening the tables while their data is missing.
    pub async fn start_without_data(&self, tables: Vec<Table>) -> Diagnostics {
        match self.open(tables, Data::Missing).await {
            Ok(_) => panic!("{}: the tables were opened without data", self.name),
            Err(diagnostics) => diagnostics,
        }
    }

    async fn open(&self, tables: Vec<Table>, data: Data) -> Result<Opened, Diagnostics> {
        let held = tables.iter().map(|table| table.with_columns(|column| self.holds(column))).collect();
        (self.open)(held, data).await
    }
}

/// A source or a site that holds tables.
pub struct Subject {
    name: &'static str,
    opened: Opened,
}

/// The engine that queries the tables, and what keeps the tables there.
struct Opened {
    engine: Engine,
    site: Option<SiteUnderTest>,
    // Dropping the set stops the node.
    _serving: JoinSet<()>,
    _folder: TempDir,
    _node: Option<Node>,
}

/// The site between the engine and the tables.
pub struct SiteUnderTest {
    /// The identity.
    pub id: SiteId,
    /// The capabilities.
    pub capabilities: Capabilities,
    /// The fault, at first none, and the SQL that the site got.
    pub fault: FaultSwitch,
    /// True if the site is a database, which gets SQL.
    pub takes_sql: bool,
}

impl Subject {
    /// Returns the name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the site; `None` for a source.
    pub fn site(&self) -> Option<&SiteUnderTest> {
        self.opened.site.as_ref()
    }

    /// Asserts that a query returns these rows, over a site both placed and unplaced; see
    /// [`Ways::gives`](crate::ways::Ways::gives). `@` stands for `lab.samples.`.
    pub async fn gives(&self, sql: &str, expected: &[&str]) {
        for (way, (_, batches)) in self.rows(sql).await {
            assert_lines(&way, sql, &batches, expected);
        }
    }

    /// Returns the columns and the rows of a query in each way, with the name of the way.
    pub async fn rows(&self, sql: &str) -> Vec<(String, Rows)> {
        let outcomes = self.outcomes(sql).await.into_iter();
        let rows = outcomes.map(|(way, outcome)| {
            let rows = outcome.unwrap_or_else(|e| panic!("{way}: {}\n{sql}", e.chain()));
            (way, rows)
        });
        rows.collect()
    }

    /// Returns the outcome of a query in each way, with the name of the way.
    pub async fn outcomes(&self, sql: &str) -> Vec<(String, EngineResult<Rows>)> {
        let ways = if self.opened.site.is_some() { OVER_SITE } else { IN_PROCESS };
        let mut all = vec![];
        for way in ways {
            all.push((format!("{}, {}", self.name, way.name), self.run(sql, way).await));
        }
        all
    }

    /// Runs a query, placed freely.
    pub async fn run_placed(&self, sql: &str) -> Rows {
        let outcome = self.run(sql, &OVER_SITE[0]).await;
        outcome.unwrap_or_else(|e| panic!("{}: {}\n{sql}", self.name, e.chain()))
    }

    /// Returns the operators of a query's plan with their sites.
    pub async fn placement(&self, sql: &str) -> Vec<PlacedOperator> {
        let (_, batches) = self.run_placed(&format!("EXPLAIN (FORMAT JSON) {sql}")).await;
        placed_operators(&document(&batches).expect("EXPLAIN returns a document"))
    }

    async fn run(&self, sql: &str, way: &Forced) -> EngineResult<Rows> {
        let session = self.opened.engine.session(Principal::anonymous());
        for statement in way.statements() {
            ways::rows(&session, &statement).await?;
        }
        ways::rows(&session, &sql.replace('@', "lab.samples.")).await
    }
}

/// Opens the tables as files that the engine itself reads.
async fn files(format: Format, tables: Vec<Table>, data: Data) -> Result<Opened, Diagnostics> {
    let OpenDomain { local, runtime, folder } = OpenDomain::over_files(format, &tables, data).await?;
    let engine = Engine::builder().local_domain(local).runtime_env(runtime).build().unwrap();
    Ok(Opened { engine, site: None, _serving: JoinSet::new(), _folder: folder, _node: None })
}

/// Opens the tables at a node, for a gateway that has the node as its peer.
async fn node(tables: Vec<Table>, data: Data) -> Result<Opened, Diagnostics> {
    let OpenDomain { local, runtime, folder } = OpenDomain::over_files(PARQUET, &tables, data).await?;
    let owner = Engine::builder().local_domain(local).runtime_env(runtime).build().unwrap();
    let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await.unwrap();
    let node = NodeSite::new(&server.url(), NodeOptions::default()).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        // Serves until the task is aborted.
        let _ = server.serve(owner, std::future::pending()).await;
    });
    let fault = FaultSwitch::default();
    let peer = FaultySite::in_front_of(Arc::new(node), fault.clone());
    let engine = Engine::builder().peer(peer.clone()).build().unwrap();
    engine.refresh().await;
    assert_eq!(engine.mesh().ports().count(), tables.len(), "the gateway does not know every port of the node");
    let site = SiteUnderTest { id: peer.id().clone(), capabilities: peer.capabilities(), fault, takes_sql: false };
    Ok(Opened { engine, site: Some(site), _serving: serving, _folder: folder, _node: None })
}

/// Opens the tables in a database, for the node that owns the domain.
async fn database(tables: Vec<Table>, data: Data) -> Result<Opened, Diagnostics> {
    let OpenDomain { local, runtime, folder } = OpenDomain::over_files(PARQUET, &tables, data).await?;
    let inside = Engine::builder().local_domain(local.clone()).runtime_env(runtime.clone()).build().unwrap();
    let database = SqlSite::new("sql://lab", inside);
    let fault = FaultSwitch::default();
    let site = FaultySite::in_front_of(database.clone(), fault.clone());
    let mut local = database.before(local);
    for at in local.ports.iter_mut().filter_map(|port| port.site.as_mut()) {
        at.site = site.clone();
    }
    let engine = Engine::builder().local_domain(local).runtime_env(runtime).build().unwrap();
    let (id, capabilities) = (site.id().clone(), site.capabilities());
    let site = SiteUnderTest { id, capabilities, fault, takes_sql: true };
    Ok(Opened { engine, site: Some(site), _serving: JoinSet::new(), _folder: folder, _node: None })
}

/// Opens the tables in a real database, for the node that owns the domain. The columns of the tables have the reverse order
/// of the contract.
async fn in_database(kind: DatabaseKind, tables: Vec<Table>, data: Data) -> Result<Opened, Diagnostics> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let folder = TempDir::new().unwrap();
    let name = format!("conformance_{}_{}", kind.type_name(), NEXT.fetch_add(1, Ordering::Relaxed));
    let database = TestDatabase::create(kind, &name, folder.path()).await.expect("the fixture is available");
    let mut ports = vec![];
    for Table { name, rows } in &tables {
        if data == Data::Present {
            let reversed: Vec<usize> = (0..rows.num_columns()).rev().collect();
            database.create_table(name, &rows.project(&reversed).unwrap(), &[]).await;
        }
        ports.push(DatabasePort::table(name, &rows.schema()));
    }
    write_ports(DOMAIN, folder.path(), &database.server(), &ports);
    let node = open_node(folder.path(), &config(DOMAIN, &database, &json!({}))).await.map_err(|e| {
        // One fault a line.
        let faults = e.to_string();
        Diagnostics(faults.lines().map(|line| Diagnostic::new(Place::default(), line)).collect())
    })?;
    let mut local = node.local_domain().expect("the node has a domain");
    let fault = FaultSwitch::default();
    let mut found = None;
    for at in local.ports.iter_mut().filter_map(|port| port.site.as_mut()) {
        let site = found.get_or_insert_with(|| FaultySite::in_front_of(at.site.clone(), fault.clone()));
        assert_eq!(site.id(), at.site.id(), "the tables of one database are at one site");
        at.site = site.clone();
    }
    let site = found.expect("the ports are at a site");
    let engine = Engine::builder().local_domain(local).runtime_env(node.runtime_env()).build().unwrap();
    let (id, capabilities) = (site.id().clone(), site.capabilities());
    let site = SiteUnderTest { id, capabilities, fault, takes_sql: true };
    Ok(Opened { engine, site: Some(site), _serving: JoinSet::new(), _folder: folder, _node: Some(node) })
}
