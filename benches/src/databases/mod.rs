//! Measures TPC-H with its three domains in databases of PostgreSQL: through Portolan, and through other engines over the
//! same databases. A part of its own measures a scan of the largest table.

mod rows;
mod scan;
mod sides;
mod times;
mod traffic;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use portolan_cli::serve::stop_on_signals;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::DomainDatabase;
use portolan_testbed::postgres::PostgresServer;
use portolan_testbed::tpch::DOMAINS;
use tokio_util::sync::CancellationToken;

use self::traffic::Traffic;
use crate::machine;
use crate::options::BenchArgs;

/// The settings of the server. The databases are in memory, and the server counts the rows of each statement.
const SETTINGS: [&str; 2] = ["shared_buffers=3GB", "shared_preload_libraries=pg_stat_statements"];

/// The options of the measurement and of the output.
#[derive(Args)]
// Other engines may take minutes for a query.
#[command(mut_arg("runs", |runs| runs.default_value("3")))]
pub struct DatabasesArgs {
    #[command(flatten)]
    bench: BenchArgs,
    /// The other engines. Without a value, only Portolan
    #[arg(
        long, value_enum, value_delimiter = ',', num_args = 0.., default_values_t = [Rival::PostgresFdw],
        value_name = "ENGINES"
    )]
    rivals: Vec<Rival>,
    /// The Python program that has the package `duckdb`. Trino's client needs no package
    #[arg(long, default_value = "python3", value_name = "FILE")]
    python: PathBuf,
    /// The folder of Trino
    #[arg(long, value_name = "FOLDER", required_if_eq("rivals", "trino"))]
    trino_home: Option<PathBuf>,
    /// The folder of the Java that runs Trino
    #[arg(long, value_name = "FOLDER", required_if_eq("rivals", "trino"))]
    java_home: Option<PathBuf>,
    /// The program `over_postgres` of the workspace `benches/federation`
    #[arg(long, value_name = "FILE", required_if_eq("rivals", "federation"))]
    federation: Option<PathBuf>,
    /// The time limit of a query of another engine, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Times of TPC-H
    Times,
    /// Rows and bytes that the databases send for TPC-H
    Rows,
    /// Rows per second of a scan, beside `psql`
    Scan,
}

/// Another engine over the same databases.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// A fourth database of PostgreSQL with foreign tables
    PostgresFdw,
    /// DuckDB with its extension for PostgreSQL
    Duckdb,
    /// Trino with its connector for PostgreSQL
    Trino,
    /// DataFusion with `datafusion-federation` and `datafusion-table-providers`
    Federation,
}

/// Measures the selected parts, and prints a table for each.
///
/// # Errors
/// Programs that are missing, an engine that does not start, output that cannot be written.
pub async fn measure(args: &DatabasesArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let programs = PostgresServer::programs()
        .ok_or_else(|| Error::failed("PostgreSQL is not installed: there is no `initdb` on the path"))?;
    let data = args.bench.run.data(&stop).await?;
    tokio::select! {
        outcome = measure_parts(args, &programs, &data) => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    }
}

async fn measure_parts(args: &DatabasesArgs, programs: &Path, data: &Path) -> Result<()> {
    let server = PostgresServer::start_with(programs, &SETTINGS).await?;
    let mut databases = vec![];
    for domain in DOMAINS {
        eprintln!("{domain}: loading its tables into PostgreSQL");
        databases.push(server.load_domain(domain, data).await?);
        // Without this, the first queries would write to the tables that they read.
        server.connect(domain).await?.batch_execute("VACUUM (FREEZE, ANALYZE)").await.map_err(sides::failed)?;
    }
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let load = machine::load().map_or_else(String::new, |load| format!("; load before: {load:.1}"));
    let mut tables = vec![];
    if wanted(Part::Times) {
        let mut sides = sides::start(args, &server, &databases, data).await?;
        tables.push(times::measure(&mut sides, &args.bench.queries, args.bench.run.runs).await);
        sides::stop(sides).await;
    }
    if wanted(Part::Rows) {
        let traffic = Traffic::watch(&server, &databases).await?;
        let mut sides = sides::start(args, &server, traffic.databases(), data).await?;
        tables.push(rows::measure(&mut sides, &traffic, &args.bench.queries).await);
        sides::stop(sides).await;
    }
    if wanted(Part::Scan) {
        let sales = databases.iter().find(|database| database.domain == DOMAINS[0]);
        let sales: &DomainDatabase = sales.ok_or_else(|| Error::failed("there is no database of sales"))?;
        tables.push(scan::measure(&programs.join("psql"), sales, args.bench.run.runs).await);
    }
    for table in tables {
        let mut table = table?;
        table.title =
            format!("TPC-H at scale {} in three databases of PostgreSQL, {}{load}", args.bench.run.scale, table.title);
        table.print(args.bench.run.format)?;
    }
    Ok(())
}
