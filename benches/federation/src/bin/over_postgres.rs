//! DataFusion with `datafusion-federation` and the PostgreSQL tables of `datafusion-table-providers`, as a program that
//! another benchmark starts. It reads JSON objects from its input, one on each line, and answers each with another:
//!
//! ```text
//! -> {"databases": [{"name": "sales", "host": "127.0.0.1", "port": 5432, "database": "sales", "user": "u", "password": "p"}, …]}
//! <- {"ready": "datafusion-federation … with datafusion-table-providers …"}       or {"error": "…"}, and the program ends
//! -> {"sql": "SELECT …", "timeout": 300}
//! <- {"rows": 10, "seconds": 0.25}                                                or {"error": "…"}
//! ```
//!
//! A table is known as `sales.public.lineitem`. The program ends with its input.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::TableReference;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::prelude::SessionContext;
use datafusion_federation::{FederatedQueryPlanner, FederationOptimizerRule, default_optimizer_rules};
use datafusion_table_providers::postgres::{DynPostgresConnectionPool, PostgresTableFactory};
use datafusion_table_providers::sql::db_connection_pool::dbconnection::get_tables;
use datafusion_table_providers::sql::db_connection_pool::postgrespool::PostgresConnectionPool;
use datafusion_table_providers::util::secrets::to_secret_map;
use futures::TryStreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The allocator of Portolan and of DataFusion's own command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The schema of each database that the session knows.
const SCHEMA: &str = "public";

/// TPC-H through datafusion-federation over PostgreSQL, for the benchmark `databases`
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The place of datafusion-federation's rule among DataFusion's rules
    #[arg(long, value_enum, default_value_t = RulePlace::Default)]
    rule: RulePlace,
    /// The memory limit for the operators of a query, in MiB
    #[arg(long, default_value_t = 8192, value_name = "MIB")]
    memory: usize,
}

/// The place of the rule that separates each database's part, among DataFusion's rules.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RulePlace {
    /// The default of `datafusion-federation`: before filters and columns are pushed down
    Default,
    /// After all of DataFusion's rules
    Last,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut lines = std::io::stdin().lock().lines();
    let Some(first) = lines.next() else { return Ok(()) };
    let engine = match start(&arguments, &first?).await {
        Ok(engine) => engine,
        Err(error) => return answer(&failure(&error)),
    };
    let place = if arguments.rule == RulePlace::Last { ", its rule after DataFusion's rules" } else { "" };
    let [federation, providers] = ["datafusion-federation", "datafusion-table-providers"].map(version);
    answer(&json!({ "ready": format!("{federation} with {providers}{place}") }))?;
    for line in lines {
        answer(&engine.run(&line?).await.unwrap_or_else(|error| failure(&error)))?;
    }
    Ok(())
}

/// A session over the databases.
struct Engine {
    session: SessionContext,
    /// The parameters of a connection to each database.
    databases: Vec<HashMap<String, String>>,
}

/// Connects to the databases of the first line, and returns a session that knows each of their tables.
async fn start(arguments: &Arguments, line: &str) -> Result<Engine> {
    let first: Value = serde_json::from_str(line)?;
    let rules = match arguments.rule {
        RulePlace::Default => default_optimizer_rules(),
        RulePlace::Last => {
            let mut rules = Optimizer::new().rules;
            rules.push(Arc::new(FederationOptimizerRule::new()));
            rules
        }
    };
    // This is `datafusion_federation::default_session_state` with a memory limit.
    let state = SessionStateBuilder::new()
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(FederatedQueryPlanner::new()))
        .with_runtime_env(RuntimeEnvBuilder::new().with_memory_limit(arguments.memory << 20, 1.0).build_arc()?)
        .with_default_features()
        .build();
    let session = SessionContext::new_with_state(state);
    let mut databases = vec![];
    for database in first["databases"].as_array().context("expected the key `databases` on the first line")? {
        let text = |key: &str| database[key].as_str().map(str::to_owned).with_context(|| format!("expected `{key}`"));
        let parameters = HashMap::from([
            ("host".to_owned(), text("host")?),
            ("port".to_owned(), database["port"].to_string()),
            ("db".to_owned(), text("database")?),
            ("user".to_owned(), text("user")?),
            ("pass".to_owned(), text("password")?),
            ("sslmode".to_owned(), "disable".to_owned()),
            ("application_name".to_owned(), application_name()),
        ]);
        let pool = Arc::new(PostgresConnectionPool::new(to_secret_map(parameters.clone())).await?);
        let factory = PostgresTableFactory::new(pool.clone());
        let schema = Arc::new(MemorySchemaProvider::new());
        let connections: Arc<DynPostgresConnectionPool> = pool;
        for name in get_tables(connections.connect().await.map_err(Error::from_boxed)?, SCHEMA).await? {
            // All tables of a database have the same compute context, because their pool is the same.
            let table = factory.table_provider(TableReference::partial(SCHEMA, name.as_str())).await;
            schema.register_table(name, table.map_err(Error::from_boxed)?)?;
        }
        let catalog = Arc::new(MemoryCatalogProvider::new());
        catalog.register_schema(SCHEMA, schema)?;
        session.register_catalog(text("name")?, catalog);
        databases.push(parameters);
    }
    Ok(Engine { session, databases })
}

impl Engine {
    /// Runs the query on this line to its last batch, and returns the answer.
    async fn run(&self, line: &str) -> Result<Value> {
        let query: Value = serde_json::from_str(line)?;
        let sql = query["sql"].as_str().context("expected the key `sql`")?.to_owned();
        let limit = Duration::try_from_secs_f64(query["timeout"].as_f64().context("expected the key `timeout`")?)?;
        let started = Instant::now();
        // A panic of the crates is the answer to its query.
        let mut task = JoinSet::new();
        task.spawn(count(self.session.clone(), sql));
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(rows)) => Ok(json!({ "rows": rows??, "seconds": started.elapsed().as_secs_f64() })),
            Ok(None) => bail!("the query has no task"),
            Err(_) => {
                task.shutdown().await;
                self.end_statements().await?;
                Err(anyhow!("the query took longer than {} s and was cancelled", limit.as_secs_f64()))
            }
        }
    }

    /// Ends the statements of a query that was dropped. Without this, the databases would run them to their end, and the
    /// pools would reuse connections that are still receiving rows.
    async fn end_statements(&self) -> Result<()> {
        for parameters in &self.databases {
            let pool = PostgresConnectionPool::new(to_secret_map(parameters.clone())).await?;
            let end = format!(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '{}' \
                 AND datname = current_database() AND pid <> pg_backend_pid()",
                application_name()
            );
            pool.connect_direct().await?.conn.batch_execute(&end).await?;
        }
        Ok(())
    }
}

/// Returns the number of rows of a query.
async fn count(session: SessionContext, sql: String) -> Result<usize> {
    let stream = session.sql(&sql).await?.execute_stream().await?;
    Ok(stream.try_fold(0, async |rows, batch| Ok(rows + batch.num_rows())).await?)
}

/// Returns the name of this process's connections in `pg_stat_activity`.
fn application_name() -> String {
    format!("over_postgres-{}", std::process::id())
}

/// Returns the name of a package, and the version that this program was built with.
fn version(package: &str) -> String {
    let entry = include_str!("../../Cargo.lock").split(&format!("name = \"{package}\"")).nth(1);
    format!("{package} {}", entry.and_then(|entry| entry.split('"').nth(1)).unwrap_or("of unknown version"))
}

/// Returns the answer with this error, on one line.
fn failure(error: &Error) -> Value {
    json!({ "error": format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ") })
}

fn answer(answer: &Value) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{answer}")?;
    Ok(stdout.flush()?)
}
