//! The engines that run the queries over the databases.

use std::path::Path;
use std::time::{Duration, Instant};

use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::{DomainDatabase, GatewayOptions, LocalMesh};
use portolan_testbed::postgres::PostgresServer;
use portolan_testbed::tpch::{Query, TABLES};
use serde_json::json;
use tokio::process::Command;

use super::{DatabasesArgs, Rival};
use crate::asked::{Answer, session};
use crate::engine_process::{EngineProcess, Ran, rivals, work_folder};
use crate::options::this_program;

/// The database that has the foreign tables.
const FEDERATED: &str = "federated";

/// An engine, ready to run queries.
pub enum Side {
    /// Nodes of Portolan, and a session on their gateway.
    Mesh(Box<LocalMesh>, Client),
    /// A session on the database with the foreign tables.
    Foreign(tokio_postgres::Client, Duration),
    /// Another engine in a process of its own.
    Process(&'static Labels, Box<EngineProcess>),
}

/// The names of an engine in the report.
pub struct Labels {
    pub engine: &'static str,
    pub time: &'static str,
    pub ratio: &'static str,
    pub sum: &'static str,
    pub ratio_of_sums: &'static str,
    pub unanswered: &'static str,
    pub rows: &'static str,
    pub megabytes: &'static str,
}

macro_rules! labels {
    ($engine:literal) => {
        &Labels {
            engine: $engine,
            time: concat!($engine, " ms"),
            ratio: concat!($engine, " / Portolan"),
            sum: concat!($engine, " ms, sum"),
            ratio_of_sums: concat!($engine, " / Portolan, sums of the queries that both answered"),
            unanswered: concat!("queries without an answer of ", $engine),
            rows: concat!("rows to ", $engine),
            megabytes: concat!("megabytes to ", $engine),
        }
    };
}

#[cfg(test)]
pub(super) use labels;

/// Starts Portolan, and then the other engines.
///
/// # Errors
/// An engine that does not start.
pub async fn start(
    args: &DatabasesArgs,
    server: &PostgresServer,
    databases: &[DomainDatabase],
    data: &Path,
) -> Result<Vec<Side>> {
    let mesh = LocalMesh::start_with_gateway(&this_program()?, data, &GatewayOptions::default(), databases).await?;
    let client = session(&mesh, &[]).await?;
    let mut sides = vec![Side::Mesh(Box::new(mesh), client)];
    let timeout = Duration::from_secs(args.timeout);
    for rival in &args.rivals {
        let labels = match rival {
            Rival::PostgresFdw => {
                sides.push(Side::Foreign(foreign_tables(server, databases, timeout).await?, timeout));
                continue;
            }
            Rival::Duckdb => labels!("DuckDB"),
            Rival::Trino => labels!("Trino"),
            Rival::Federation => labels!("datafusion-federation"),
        };
        let process = other_engine(args, *rival, labels, databases).await?;
        sides.push(Side::Process(labels, Box::new(process)));
    }
    Ok(sides)
}

/// Stops the engines.
pub async fn stop(sides: Vec<Side>) {
    for side in sides {
        match side {
            Side::Mesh(mesh, client) => {
                drop(client);
                mesh.stop().await;
            }
            Side::Foreign(..) => {}
            Side::Process(_, process) => process.stop().await,
        }
    }
}

impl Side {
    /// Returns the names of the engine in the report.
    pub fn labels(&self) -> &'static Labels {
        match self {
            Self::Mesh(..) => labels!("Portolan"),
            Self::Foreign(..) => labels!("postgres_fdw"),
            Self::Process(labels, _) => labels,
        }
    }

    /// Returns the engine and its version, if it is another program.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Mesh(..) | Self::Foreign(..) => None,
            Self::Process(_, process) => Some(process.version()),
        }
    }

    /// Runs a query to its last row.
    ///
    /// # Errors
    /// The error of the engine.
    pub async fn run(&mut self, query: &Query) -> Result<Ran> {
        match self {
            Self::Mesh(_, client) => {
                let answer = Answer::of(client, query.sql).await?;
                Ok(Ran { rows: answer.rows(), time: answer.time })
            }
            Self::Foreign(client, timeout) => {
                let started = Instant::now();
                let sql = renamed(query.sql, |table| format!("{}.{}", table.domain, table.name));
                let rows = client.query(&sql, &[]);
                // The server has the same limit. This one is for a server that is stuck.
                let rows = tokio::time::timeout(*timeout * 2, rows).await;
                let rows = rows.map_err(|e| Error::failed("PostgreSQL does not answer").with_source(e))?;
                Ok(Ran { rows: rows.map_err(failed)?.len(), time: started.elapsed() })
            }
            Self::Process(_, process) => {
                let sql = renamed(query.sql, |table| format!("{}.public.{}", table.domain, table.name));
                process.run(&sql).await
            }
        }
    }
}

/// Returns a query with other names of the tables.
fn renamed(sql: &str, name: impl Fn(&portolan_testbed::tpch::Table) -> String) -> String {
    TABLES.iter().fold(sql.to_owned(), |sql, table| {
        sql.replace(&format!("{}.{}.{}", table.domain, table.product, table.name), &name(table))
    })
}

/// Creates a database with the tables of the three databases as foreign tables, each in a schema named after its domain.
async fn foreign_tables(
    server: &PostgresServer,
    databases: &[DomainDatabase],
    timeout: Duration,
) -> Result<tokio_postgres::Client> {
    let owner = server.connect("postgres").await?;
    owner.batch_execute(&format!("DROP DATABASE IF EXISTS {FEDERATED}")).await.map_err(failed)?;
    owner.batch_execute(&format!("CREATE DATABASE {FEDERATED}")).await.map_err(failed)?;
    let client = server.connect(FEDERATED).await?;
    client.batch_execute("CREATE EXTENSION postgres_fdw").await.map_err(failed)?;
    for database in databases {
        let Address { name, port, user, password } = Address::of(database)?;
        // With estimates of the remote server and large fetches, the extension is at its best.
        let sql = format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', \
             dbname '{name}', use_remote_estimate 'true', fetch_size '50000', async_capable 'true'); \
             CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user '{user}', password '{password}'); \
             CREATE SCHEMA {name}; IMPORT FOREIGN SCHEMA public FROM SERVER {name} INTO {name}"
        );
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    eprintln!("postgres_fdw: collecting the statistics of the foreign tables");
    client.batch_execute("ANALYZE").await.map_err(failed)?;
    client.batch_execute(&format!("SET statement_timeout = {}", timeout.as_millis())).await.map_err(failed)?;
    Ok(client)
}

/// The database of a domain, and an account that may read it.
struct Address<'a> {
    name: &'a str,
    port: u64,
    user: &'a str,
    password: &'a str,
}

impl<'a> Address<'a> {
    fn of(database: &'a DomainDatabase) -> Result<Self> {
        let account = &database.sources["warehouse"]["database"];
        let text = |key: &str| account[key].as_str();
        let port = database.server["port"].as_u64();
        let (Some(port), Some(user), Some(password)) = (port, text("user"), text("password")) else {
            return Err(Error::failed(format!("the database of {} has no account", database.domain)));
        };
        Ok(Self { name: database.domain, port, user, password })
    }
}

/// Starts another engine in a process of its own.
async fn other_engine(
    args: &DatabasesArgs,
    rival: Rival,
    labels: &'static Labels,
    databases: &[DomainDatabase],
) -> Result<EngineProcess> {
    let folder = work_folder()?;
    let mut command = match (rival, &args.federation) {
        (Rival::Federation, Some(program)) => Command::new(program),
        (Rival::Trino, _) => rivals(&args.python, "trino", folder.path())?,
        _ => rivals(&args.python, "duckdb", folder.path())?,
    };
    if rival == Rival::Trino {
        for (option, value) in [("--trino-home", &args.trino_home), ("--java-home", &args.java_home)] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
    }
    let databases: Vec<_> = databases
        .iter()
        .map(|database| {
            let Address { name, port, user, password } = Address::of(database)?;
            let host = "127.0.0.1";
            Ok(json!({ "name": name, "host": host, "port": port, "database": name, "user": user, "password": password }))
        })
        .collect::<Result<_>>()?;
    EngineProcess::start(labels.engine, command, folder, &json!({ "databases": databases }), args.timeout).await
}

/// Returns the error of the server of the benchmark.
pub fn failed(error: tokio_postgres::Error) -> Error {
    Error::failed("PostgreSQL").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ports_become_names_of_tables() {
        let sql =
            "SELECT * FROM sales.orders.lineitem, sales.orders.orders o, supply.parts.part, supply.parts.partsupp";
        let expected = "SELECT * FROM sales.lineitem, sales.orders o, supply.part, supply.partsupp";
        assert_eq!(renamed(sql, |table| format!("{}.{}", table.domain, table.name)), expected);
    }
}
