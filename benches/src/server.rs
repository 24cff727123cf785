//! Measures the Flight SQL server: the rows per second of a scan, the latency of a small query, the memory of idle
//! sessions, and the fairness between principals.

pub mod bare;
pub mod byte_proxy;
mod fairness;
mod latency;
mod memory;
mod scan;
mod subprocess;

use std::path::Path;

use clap::{Args, ValueEnum};
use portolan_cli::serve::stop_on_signals;
use portolan_node::Result;
use portolan_testbed::mesh::LocalMesh;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) use self::memory::{HASH, PASSWORD};
use crate::options::{RunArgs, print_measured, this_program};
use crate::table::Table;

/// The options of the measurement and of the output.
#[derive(Args)]
pub struct ServerArgs {
    #[command(flatten)]
    run: RunArgs,
    /// The numbers of concurrent connections that send the small query
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: Vec<u32>,
    /// The smallest number of small queries in a run, over all connections. Each connection sends a few at least
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queries: u32,
    /// The number of idle sessions
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    sessions: u32,
    /// The number of connections of the principal that floods the node
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    flood: u32,
    /// The number of queries that a principal runs at once while another floods the node
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    share: u32,
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Rows per second of a scan
    Scan,
    /// Latency of a small query
    Latency,
    /// Memory of idle sessions
    Memory,
    /// Latency of a principal's queries while another floods the node
    Fairness,
}

/// Measures the selected parts, and prints a table for each.
///
/// # Errors
/// A node that does not start, a query that fails, output that cannot be written.
pub async fn measure(args: &ServerArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = args.run.data(&stop).await?;
    let program = this_program()?;
    for part in [Part::Scan, Part::Latency, Part::Memory, Part::Fairness] {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        // Each part has new processes, so that the memory of one part does not affect another.
        print_measured(part.measure(args, &program, &data), args.run.format, &stop).await?;
    }
    Ok(())
}

impl Part {
    async fn measure(self, args: &ServerArgs, program: &Path, data: &Path) -> Result<Table> {
        let mesh = LocalMesh::start_with(program, data, &self.config(args)).await?;
        let table = match self {
            Self::Scan => scan::measure(&mesh, program, args.run.runs).await,
            Self::Latency => latency::measure(&mesh, &args.connections, args.queries, args.run.runs).await,
            Self::Memory => memory::measure(&mesh, args.sessions).await,
            Self::Fairness => fairness::measure(&mesh, args.flood, args.share, args.run.runs).await,
        };
        mesh.stop().await;
        let table = table?;
        Ok(Table { title: format!("TPC-H at scale {}, {}", args.run.scale, table.title), ..table })
    }

    /// Returns the keys that the nodes' configs have in addition to the demo's.
    fn config(self, args: &ServerArgs) -> Map<String, Value> {
        let config = match self {
            // The tables of one principal may hold three sixteenths of the memory.
            Self::Scan => {
                json!({ "limits": { "session_tables": "6GiB", "query_memory": "6GiB", "memory": "16GiB" } })
            }
            Self::Latency => json!({}),
            // The nodes of the mesh do not log in.
            Self::Memory => json!({ "users": memory::users(), "anonymous": true }),
            Self::Fairness => fairness::config(args.share),
        };
        config.as_object().cloned().unwrap_or_default()
    }
}
