//! The nasty tables in a database beside the same rows in files: one query returns the same rows with the work at the
//! database, with all work at the node, over the files, and in DuckDB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use arrow::record_batch::RecordBatch;
use portolan_catalog::DatabaseKind;
use portolan_engine::{Principal, Result as EngineResult};
use portolan_node::Node;
use portolan_testbed::compare::{Order, compare};
use serde_json::json;
use tempfile::TempDir;

use crate::conformance::placement::{PlacedOperator, placed_operators};
use crate::crossed::document;
use crate::database_ports::{DatabasePort, config, open_node, write_ports};
use crate::duckdb::{DuckDb, PortFiles, compare_with_duckdb};
use crate::nasty::{self, NastyTable};
use crate::products::{DOMAIN, write_domain};
use crate::python::python;
use crate::random_queries::{duckdb_settings, for_duckdb};
use crate::servers::TestDatabase;
use crate::ways::{self, Rows, UNPLACED, is_ordered, port_of, write_parquet};

/// The operators that a database need not run for a query to be one that goes there: each query reads.
const READS: [&str; 2] = ["TableScan", "SubqueryAlias"];

/// The nasty tables in a database and in files. The ports are `lab.samples.<table>` in both.
pub struct BesideFiles {
    database: TestDatabase,
    tables: Vec<NastyTable>,
    over_database: Node,
    over_files: Node,
    duckdb: Option<DuckDb>,
    _folder: TempDir,
}

/// The outcome of a query that returned the same rows everywhere.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The number of rows.
    pub rows: usize,
    /// The operators that the database ran, beside the scans.
    pub at_database: Vec<String>,
    /// True if DuckDB returned the same rows. False if there is no DuckDB, or it does not know a function.
    pub in_duckdb: bool,
}

impl BesideFiles {
    /// Creates the tables in a database with this name. Returns `None` without the programs of the database.
    pub async fn start(kind: DatabaseKind, name: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("node");
        let database = TestDatabase::create(kind, name, &home).await?;
        let tables = nasty::create(&database).await;
        let ports: Vec<_> = tables.iter().map(|table| DatabasePort::table(table.name, &table.rows.schema())).collect();
        write_ports(DOMAIN, &home, &database.server(), &ports);
        let over_database = open_node(&home, &config(DOMAIN, &database, &json!({}))).await;
        let over_database = over_database.unwrap_or_else(|e| panic!("{kind:?}: {}", e.owner_chain()));

        let home = folder.path().join("files");
        std::fs::create_dir_all(&home).unwrap();
        let file = |name: &str| home.join(format!("{name}.parquet"));
        for NastyTable { name, rows, .. } in &tables {
            write_parquet(&file(name), rows);
        }
        let ports = tables.iter().map(|table| port_of(table.name, &file(table.name), "parquet", &table.rows));
        write_domain(DOMAIN, &home, &ports.collect::<Vec<_>>());
        let over_files = open_node(&home, &json!({ "domain": DOMAIN })).await;
        let over_files = over_files.unwrap_or_else(|e| panic!("{}", e.owner_chain()));
        let duckdb = duckdb(&tables, &file).await;
        Some(Self { database, tables, over_database, over_files, duckdb, _folder: folder })
    }

    /// Returns the database.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Returns the tables.
    pub fn tables(&self) -> &[NastyTable] {
        &self.tables
    }

    /// Returns the node over the database.
    pub fn node(&self) -> &Node {
        &self.over_database
    }

    /// Runs a query over the database, with these settings. `@` stands for `lab.samples.`.
    ///
    /// # Errors
    /// The error of the query.
    pub async fn run(&self, sql: &str, settings: &[(&str, &str)]) -> EngineResult<Rows> {
        run(&self.over_database, sql, settings).await
    }

    /// Compares the rows of a query.
    ///
    /// # Errors
    /// The difference, with the way that has other rows than the files; a query that fails.
    pub async fn compare(&self, sql: &str) -> Result<Compared, String> {
        let order = if is_ordered(sql) { Order::Exact } else { Order::Any };
        let expected = run(&self.over_files, sql, &[]).await.map_err(|e| format!("over files: {}", e.chain()))?;
        let mut rows = 0;
        for (way, settings) in [("with pushdown", &[][..]), ("without pushdown", UNPLACED)] {
            let came = self.run(sql, settings).await.map_err(|e| format!("{way}: {}", e.owner_chain()))?;
            compare((&expected.0, &expected.1), (&came.0, &came.1), &order)
                .map_err(|difference| format!("files (-) and {way} (+): {difference}"))?;
            rows = came.1.iter().map(RecordBatch::num_rows).sum();
        }
        let mut in_duckdb = false;
        if let Some(duckdb) = &self.duckdb
            && let Ok(theirs) = duckdb.query(&for_duckdb(&qualified(sql))).await
        {
            compare_with_duckdb(&theirs, &expected, &order)
                .map_err(|difference| format!("DuckDB (-) and files (+): {difference}"))?;
            in_duckdb = true;
        }
        Ok(Compared { rows, at_database: self.at_database(sql).await, in_duckdb })
    }

    /// True if there is a DuckDB to compare with.
    pub fn has_duckdb(&self) -> bool {
        self.duckdb.is_some()
    }

    /// Returns the operators that the database runs for a query, beside the scans.
    pub async fn at_database(&self, sql: &str) -> Vec<String> {
        let operators = self.placement(sql).await.into_iter().filter(|operator| {
            !operator.is_here() && operator.site.is_some() && !READS.iter().any(|kind| operator.is(kind))
        });
        operators.map(|operator| operator.operator).collect()
    }

    /// Returns the operators of a query's plan with their sites.
    pub async fn placement(&self, sql: &str) -> Vec<PlacedOperator> {
        let explained = self.run(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[]).await;
        let (_, batches) = explained.unwrap_or_else(|e| panic!("{}\n{sql}", e.owner_chain()));
        placed_operators(&document(&batches).expect("EXPLAIN returns a document"))
    }
}

async fn run(node: &Node, sql: &str, settings: &[(&str, &str)]) -> EngineResult<Rows> {
    let session = node.engine().session(Principal::anonymous());
    for (name, value) in settings {
        ways::rows(&session, &format!("SET {name} = {value}")).await?;
    }
    ways::rows(&session, &qualified(sql)).await
}

fn qualified(sql: &str) -> String {
    sql.replace('@', "lab.samples.")
}

async fn duckdb(tables: &[NastyTable], file: &impl Fn(&str) -> std::path::PathBuf) -> Option<DuckDb> {
    let python = tokio::task::spawn_blocking(python).await.unwrap()?;
    let ports = tables
        .iter()
        .map(|table| PortFiles { name: format!("{DOMAIN}.samples.{}", table.name), files: vec![file(table.name)] });
    let ports: Vec<_> = ports.collect();
    Some(DuckDb::start(Path::new(&python), &duckdb_settings(), &ports).await.unwrap())
}
