//! The benchmarks. Without a subcommand: TPC-H over a mesh of four processes and in one process over the same files, side
//! by side.
//!
//! It brings its own nodes: started as `portolan-bench serve …`, it is what `portolan serve` is, from the same build.

mod asked;
mod bytes;
mod estimates;
mod explained;
mod machine;
mod measure;
mod metadata;
mod planning;
mod proxy;
mod report;
mod server;
mod slow;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use portolan_cli::demo::tpch_data;
use portolan_cli::exit::exit_code;
use portolan_cli::output::print;
use portolan_cli::serve::{ServeArgs, serve, stop_on_signals};
use portolan_node::{Error, NodeConfig, Result};
use portolan_testbed::mesh::{LocalMesh, Way};
use portolan_testbed::single::single_process;
use portolan_testbed::tpch::cache::cache_folder;
use portolan_testbed::tpch::{QUERIES, Query};
use tokio_util::sync::CancellationToken;

use crate::proxy::{Link, Proxies};
use crate::server::ServerArgs;
use crate::server::bare::{self, BareArgs};

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
    /// Bytes across edges: as chosen, gathered, and by the best of all placements
    Bytes {
        #[command(flatten)]
        bench: BenchArgs,
        /// Milliseconds from node to node and back, as the nodes are told; as they measure if absent
        #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000), requires = "bandwidth")]
        round_trip: Option<u64>,
        /// Megabits in a second, as the nodes are told; as they measure if absent
        #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "round_trip")]
        bandwidth: Option<u32>,
        /// The best placement is sought for queries that read at most so many ports
        #[arg(long, default_value_t = 5, value_name = "N")]
        relations: usize,
        /// At most how many lists of strategies are tried for a query, with one order of joins
        #[arg(long, default_value_t = 625, value_name = "N")]
        lists: usize,
    },
    /// Times over slow links between all nodes: as chosen and gathered
    SlowLink {
        #[command(flatten)]
        bench: BenchArgs,
        /// Milliseconds from node to node and back
        #[arg(long, default_value_t = 50, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=10_000))]
        round_trip: u64,
        /// Megabits in a second, each way
        #[arg(long, default_value_t = 100, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        bandwidth: u32,
    },
    /// How long planning takes, by shape, number of relations and size of the catalog
    Planning {
        /// How many ports the catalog has
        #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        ports: Vec<u32>,
        /// How many relations are joined
        #[arg(long, value_delimiter = ',', default_values_t = [4, 8, 12, 16], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(2..=30))]
        relations: Vec<u32>,
        /// How often each query is planned; medians are reported
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// How the result is printed
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
    /// How long browsing takes, by size of the catalog: Flight SQL's catalog commands over loopback
    Metadata {
        /// How many ports the catalog has
        #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        ports: Vec<u32>,
        /// How often each question is asked; medians are reported
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// How the result is printed
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
    /// Rows a second of a large scan, latency of a small query, and memory of idle sessions
    Server(ServerArgs),
    /// How far estimates are off
    Estimates(BenchArgs),
    /// Run a node: the benchmark starts itself with this
    #[command(hide = true)]
    Serve(ServeArgs),
    /// Run a Flight service that knows no SQL: the benchmark starts itself with this
    #[command(hide = true)]
    Bare(BareArgs),
}

/// What is measured, and how it is printed.
#[derive(Args)]
struct BenchArgs {
    /// How much data: 1 is about a gigabyte
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,
    /// How often each query is measured on each side; medians are reported
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only these queries, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=22))]
    queries: Vec<u32>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table for the book
    Markdown,
    /// One JSON object
    Json,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
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
            Some(Command::Serve(args)) => serve(NodeConfig::load(&args.config)?, &args).await,
            Some(Command::Bare(args)) => bare::serve(&args).await,
            Some(Command::Server(args)) => server::measure(&args).await,
            Some(Command::Planning { ports, relations, runs, format }) => {
                planning::measure(&ports, &relations, runs).await?.print(format)
            }
            Some(Command::Metadata { ports, runs, format }) => metadata::measure(&ports, runs).await?.print(format),
            Some(Command::Bytes { bench, round_trip, bandwidth, relations, lists }) => {
                let told = round_trip.zip(bandwidth).map(|(round_trip, bandwidth)| link(round_trip, bandwidth));
                on_mesh(&bench, Kind::Bytes(told, bytes::Bounds { relations, lists })).await
            }
            Some(Command::Estimates(bench)) => on_mesh(&bench, Kind::Estimates).await,
            Some(Command::SlowLink { bench, round_trip, bandwidth }) => {
                on_mesh(&bench, Kind::SlowLink(link(round_trip, bandwidth))).await
            }
            None => bench(&arguments.bench).await,
        }
    })
}

fn link(milliseconds: u64, megabits: u32) -> Link {
    Link { round_trip: Duration::from_millis(milliseconds), bytes_per_second: f64::from(megabits) * 1e6 / 8.0 }
}

async fn bench(args: &BenchArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = tpch_data(&cache_folder()?, args.scale, &stop).await?;
    let program = std::env::current_exe().map_err(|e| Error::failed("cannot find my own program").with_source(e))?;
    let load = machine::load();
    let single = single_process(&data).await?;
    let mesh = tokio::select! {
        mesh = LocalMesh::start(&program, &data) => mesh?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    let outcome = tokio::select! {
        outcome = measure::measure(&mesh, &single, &args.queries, args.runs) => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    };
    mesh.stop().await;
    let report = report::Report { scale: args.scale, runs: args.runs, load, measurements: outcome? };
    match args.format {
        Format::Markdown => print(&report.to_markdown()),
        Format::Json => print(&format!("{}\n", report.to_json())),
    }
}

/// What is measured on a mesh alone.
#[derive(Clone, Copy)]
enum Kind {
    Bytes(Option<Link>, bytes::Bounds),
    SlowLink(Link),
    Estimates,
}

async fn on_mesh(args: &BenchArgs, kind: Kind) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = tpch_data(&cache_folder()?, args.scale, &stop).await?;
    let program = std::env::current_exe().map_err(|e| Error::failed("cannot find my own program").with_source(e))?;
    // Dropped after the mesh has stopped.
    let mut proxies = None;
    let mesh = tokio::select! {
        mesh = start(&program, &data, kind, &mut proxies) => mesh?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    let measured = async {
        match kind {
            Kind::Bytes(_, bounds) => bytes::measure(&mesh, &args.queries, args.runs, bounds).await,
            Kind::SlowLink(link) => slow::measure(&mesh, link, &args.queries, args.runs).await,
            Kind::Estimates => estimates::measure(&mesh, &args.queries).await,
        }
    };
    let outcome = tokio::select! {
        outcome = measured => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    };
    mesh.stop().await;
    let mut table = outcome?;
    let told = match kind {
        Kind::Bytes(Some(link), _) => format!(", nodes being told of links of {link}"),
        _ => String::new(),
    };
    table.title = format!("TPC-H at scale {}, {}{told}", args.scale, table.title);
    table.print(args.format)
}

async fn start(program: &Path, data: &Path, kind: Kind, proxies: &mut Option<Proxies>) -> Result<LocalMesh> {
    let between = |way: Way<'_>| {
        let mut peer = way.direct();
        match kind {
            Kind::SlowLink(link) => {
                let address = proxies.get_or_insert_with(|| Proxies::new(link)).between(way)?;
                peer = Way { address: &address, ..way }.direct();
            }
            Kind::Bytes(Some(told), _) => told.tell(&mut peer),
            _ => {}
        }
        Ok(peer)
    };
    LocalMesh::start_over(program, data, &mut { between }).await
}

/// The queries with these numbers, or all where none is named.
fn chosen(numbers: &[u32]) -> impl Iterator<Item = &'static Query> {
    QUERIES.iter().filter(move |q| numbers.is_empty() || numbers.contains(&(q.number as u32)))
}
