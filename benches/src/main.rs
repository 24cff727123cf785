//! The benchmarks, and the chaos run. Without a subcommand, the program compares TPC-H over a mesh of four processes with
//! one process over the same files.
//!
//! The program starts its own nodes, from the same build: `portolan-bench serve …` does the same as `portolan serve`.

mod asked;
mod bytes;
mod chaos;
mod databases;
mod engine_process;
mod estimates;
mod explained;
mod governed;
mod machine;
mod measure;
mod metadata;
mod options;
mod planning;
mod proxy;
mod report;
mod server;
mod shared;
mod slow;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use portolan_cli::exit::exit_code;
use portolan_cli::log::start_log;
use portolan_cli::output::print;
use portolan_cli::serve::{ServeArgs, serve, stop_on_signals};
use portolan_node::{Error, NodeConfig, Result};
use portolan_testbed::mesh::{LocalMesh, Way};
use portolan_testbed::single::single_process;
use portolan_testbed::tpch::{QUERIES, Query};
use tokio_util::sync::CancellationToken;

use crate::chaos::ChaosArgs;
use crate::chaos::soak::{self, SoakArgs};
use crate::databases::DatabasesArgs;
use crate::governed::GovernedArgs;
use crate::options::{BenchArgs, Format, this_program};
use crate::proxy::{Link, Proxies};
use crate::server::ServerArgs;
use crate::server::bare::{self, BareArgs};
use crate::server::byte_proxy::{self, ByteProxyArgs};
use crate::shared::SharedArgs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// TPC-H over three domains, compared with one process over the same files
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    bench: BenchArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the bytes across edges: with the chosen plan, with gathering, and with the best of all placements
    Bytes {
        #[command(flatten)]
        bench: BenchArgs,
        /// The round trip between nodes in milliseconds, for the nodes' configs. Without it, the nodes measure it
        #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000), requires = "bandwidth")]
        round_trip: Option<u64>,
        /// The bandwidth in megabits per second, for the nodes' configs. Without it, the nodes measure it
        #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "round_trip")]
        bandwidth: Option<u32>,
        /// Search for the best placement only for queries that read at most this many ports
        #[arg(long, default_value_t = 5, value_name = "N")]
        relations: usize,
        /// The largest number of lists of strategies to try for a query and an order of joins
        #[arg(long, default_value_t = 625, value_name = "N")]
        lists: usize,
    },
    /// Measure times over slow links between all nodes: with the chosen plan and with gathering
    SlowLink {
        #[command(flatten)]
        bench: BenchArgs,
        /// The round trip between nodes, in milliseconds
        #[arg(long, default_value_t = 50, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=10_000))]
        round_trip: u64,
        /// The bandwidth in each direction, in megabits per second
        #[arg(long, default_value_t = 100, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        bandwidth: u32,
    },
    /// Measure the time of planning, by shape, number of relations and size of the catalog
    Planning {
        /// The numbers of ports in the catalog
        #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        ports: Vec<u32>,
        /// The numbers of joined relations
        #[arg(long, value_delimiter = ',', default_values_t = [4, 8, 12, 16], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(2..=30))]
        relations: Vec<u32>,
        /// The number of times to plan each query. The medians are reported
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// The output format
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
    /// Measure the time of browsing, by size of the catalog: Flight SQL's catalog commands over loopback
    Metadata {
        /// The numbers of ports in the catalog
        #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        ports: Vec<u32>,
        /// The number of times to send each command. The medians are reported
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// The output format
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
    /// Measure the rows per second of a large scan, the latency of a small query, the memory of idle sessions, and the
    /// fairness between principals
    Server(ServerArgs),
    /// Measure TPC-H with its domains in three databases of PostgreSQL, beside other engines over the same databases
    Databases(DatabasesArgs),
    /// Measure TPC-H with policies, decisions per second, what times tell of hidden rows, and the cost of audit records
    Governed(GovernedArgs),
    /// Measure queries that use a part of themselves several times, beside one process, `share = off` and DuckDB
    Shared(SharedArgs),
    /// Measure the errors of the planner's estimates, before and after keys are counted, and the times of queries with the
    /// chosen build sides and with the other ones
    Estimates(BenchArgs),
    /// Run queries with known answers on a mesh whose nodes, connections and disks fail, and check every answer
    Chaos(ChaosArgs),
    /// Run the same queries for hours without faults, and check that the nodes do not grow
    Soak(SoakArgs),
    /// Run a node: the benchmark starts itself with this command
    #[command(hide = true)]
    Serve(ServeArgs),
    /// Run a Flight service without SQL: the benchmark starts itself with this command
    #[command(hide = true)]
    Bare(BareArgs),
    /// Copy bytes between a client and a server: the benchmark starts itself with this command
    #[command(hide = true)]
    ByteProxy(ByteProxyArgs),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.owner_chain());
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed("cannot start threads").with_source(e))?;
    runtime.block_on(async {
        match arguments.command {
            Some(Command::Serve(args)) => serve_node(&args).await,
            Some(Command::Chaos(args)) => chaos::run(&args).await,
            Some(Command::Soak(args)) => soak::run(&args).await,
            Some(Command::Bare(args)) => bare::serve(&args).await,
            Some(Command::ByteProxy(args)) => byte_proxy::serve(&args).await,
            Some(Command::Server(args)) => server::measure(&args).await,
            Some(Command::Databases(args)) => databases::measure(&args).await,
            Some(Command::Governed(args)) => governed::measure(&args).await,
            Some(Command::Shared(args)) => shared::measure(&args).await,
            Some(Command::Planning { ports, relations, runs, format }) => {
                planning::measure(&ports, &relations, runs).await?.print(format)
            }
            Some(Command::Metadata { ports, runs, format }) => metadata::measure(&ports, runs).await?.print(format),
            Some(Command::Bytes { bench, round_trip, bandwidth, relations, lists }) => {
                let configured = round_trip.zip(bandwidth).map(|(round_trip, bandwidth)| link(round_trip, bandwidth));
                on_mesh(&bench, Kind::Bytes(configured, bytes::Bounds { relations, lists })).await
            }
            Some(Command::Estimates(bench)) => estimates::measure(&bench).await,
            Some(Command::SlowLink { bench, round_trip, bandwidth }) => {
                on_mesh(&bench, Kind::SlowLink(link(round_trip, bandwidth))).await
            }
            None => bench(&arguments.bench).await,
        }
    })
}

/// Runs a node. It has a log only if its config names a filter: a log takes time, which the benchmarks would measure.
async fn serve_node(args: &ServeArgs) -> Result<()> {
    let config = NodeConfig::load(&args.config)?;
    if let Some(filter) = &config.log {
        start_log(filter, config.log_format)?;
    }
    serve(config, args).await
}

fn link(milliseconds: u64, megabits: u32) -> Link {
    Link { round_trip: Duration::from_millis(milliseconds), bytes_per_second: f64::from(megabits) * 1e6 / 8.0 }
}

async fn bench(args: &BenchArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = args.run.data(&stop).await?;
    let program = this_program()?;
    let load = machine::load();
    let single = single_process(&data).await?;
    let mesh = tokio::select! {
        mesh = LocalMesh::start(&program, &data) => mesh?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    let outcome = tokio::select! {
        outcome = measure::measure(&mesh, &single, &args.queries, args.run.runs) => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    };
    mesh.stop().await;
    let report = report::Report { scale: args.run.scale, runs: args.run.runs, load, measurements: outcome? };
    match args.run.format {
        Format::Markdown => print(&report.to_markdown()),
        Format::Json => print(&format!("{}\n", report.to_json())),
    }
}

/// The benchmarks that run on a mesh alone.
#[derive(Clone, Copy)]
enum Kind {
    Bytes(Option<Link>, bytes::Bounds),
    SlowLink(Link),
}

async fn on_mesh(args: &BenchArgs, kind: Kind) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = args.run.data(&stop).await?;
    let program = this_program()?;
    // Dropped after the mesh has stopped.
    let mut proxies = None;
    let mesh = tokio::select! {
        mesh = start(&program, &data, kind, &mut proxies) => mesh?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    let measured = async {
        match kind {
            Kind::Bytes(_, bounds) => bytes::measure(&mesh, &args.queries, args.run.runs, bounds).await,
            Kind::SlowLink(link) => slow::measure(&mesh, link, &args.queries, args.run.runs).await,
        }
    };
    let outcome = tokio::select! {
        outcome = measured => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    };
    mesh.stop().await;
    let mut table = outcome?;
    let links = match kind {
        Kind::Bytes(Some(link), _) => format!(", with links of {link} in the nodes' configs"),
        _ => String::new(),
    };
    table.title = format!("TPC-H at scale {}, {}{links}", args.run.scale, table.title);
    table.print(args.run.format)
}

async fn start(program: &Path, data: &Path, kind: Kind, proxies: &mut Option<Proxies>) -> Result<LocalMesh> {
    let between = |way: Way<'_>| {
        let mut peer = way.direct();
        match kind {
            Kind::SlowLink(link) => {
                let address = proxies.get_or_insert_with(|| Proxies::new(link)).between(way)?;
                let owner = peer["url"].take();
                peer = Way { address: &address, ..way }.direct();
                // The owner's catalog is signed for the owner's URL, not for that of the proxy.
                peer["audience"] = owner;
            }
            Kind::Bytes(Some(link), _) => link.configure(&mut peer),
            _ => {}
        }
        Ok(peer)
    };
    LocalMesh::start_with_links(program, data, &mut { between }).await
}

/// Returns the queries with these numbers, or all queries if there are no numbers.
fn chosen(numbers: &[u32]) -> impl Iterator<Item = &'static Query> {
    QUERIES.iter().filter(move |q| numbers.is_empty() || numbers.contains(&(q.number as u32)))
}
