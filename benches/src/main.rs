//! The benchmark: TPC-H over a mesh of four processes and in one process over the same files, side by side.
//!
//! It brings its own nodes: started as `portolan-bench serve …`, it is what `portolan serve` is, from the same build.

mod machine;
mod measure;
mod report;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use portolan_cli::config::NodeConfig;
use portolan_cli::demo::mesh::LocalMesh;
use portolan_cli::demo::single::single_process;
use portolan_cli::demo::{cache_folder, tpch_data};
use portolan_cli::output::print;
use portolan_cli::serve::{ServeArgs, serve, stop_on_signals};
use portolan_cli::{Error, Result};
use tokio_util::sync::CancellationToken;

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
    /// Run a node: the benchmark starts itself with this
    #[command(hide = true)]
    Serve(ServeArgs),
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
            ExitCode::from(error.exit_code())
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
            None => bench(&arguments.bench).await,
        }
    })
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
