//! The Flight SQL server by itself: how fast it sends rows, how soon it answers, and what sessions that do nothing take.

pub mod bare;
mod latency;
mod memory;
mod scan;

use std::path::Path;

use clap::{Args, ValueEnum};
use portolan_cli::demo::tpch_data;
use portolan_cli::serve::stop_on_signals;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::tpch::cache::cache_folder;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::table::Table;
use crate::{Format, machine};

/// What is measured, and how it is printed.
#[derive(Args)]
pub struct ServerArgs {
    /// How much data: 1 is about a gigabyte
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,
    /// How often each side is measured; medians are reported
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Over how many connections the small query is asked at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: Vec<u32>,
    /// How often the small query is asked in a run, over all connections: at least so often, and a few times over each
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queries: u32,
    /// How many sessions are idle
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    sessions: u32,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// How the results are printed
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Rows a second
    Scan,
    /// From a question to its answer
    Latency,
    /// What idle sessions take
    Memory,
}

/// Measures the parts that are asked for, and prints a table for each.
///
/// # Errors
/// A node that does not start, a query that fails, output that cannot be written.
pub async fn measure(args: &ServerArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = tpch_data(&cache_folder()?, args.scale, &stop).await?;
    let program = std::env::current_exe().map_err(|e| Error::failed("cannot find my own program").with_source(e))?;
    for part in [Part::Scan, Part::Latency, Part::Memory] {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        let load = machine::load();
        // New processes for each part: what one leaves in memory is no other's.
        let mut table = tokio::select! {
            table = part.measure(args, &program, &data) => table?,
            () = stop.cancelled() => return Err(Error::interrupted()),
        };
        let load = load.map_or_else(String::new, |load| format!("; load before: {load:.1}"));
        table.title = format!("TPC-H at scale {}, {}{load}", args.scale, table.title);
        table.print(args.format)?;
    }
    Ok(())
}

impl Part {
    async fn measure(self, args: &ServerArgs, program: &Path, data: &Path) -> Result<Table> {
        let mesh = LocalMesh::start_with(program, data, &self.config()).await?;
        let table = match self {
            Self::Scan => scan::measure(&mesh, program, args.runs).await,
            Self::Latency => latency::measure(&mesh, &args.connections, args.queries, args.runs).await,
            Self::Memory => memory::measure(&mesh, args.sessions).await,
        };
        mesh.stop().await;
        table
    }

    /// What the nodes' configs say beside the demo's.
    fn config(self) -> Map<String, Value> {
        let config = match self {
            Self::Scan => json!({ "limits": { "session_tables": "6GiB", "query_memory": "6GiB" } }),
            Self::Latency => json!({}),
            // The nodes of the mesh do not log in.
            Self::Memory => json!({ "users": memory::users(), "anonymous": true }),
        };
        config.as_object().cloned().unwrap_or_default()
    }
}
