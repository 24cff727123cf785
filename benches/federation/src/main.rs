//! TPC-H over three domains, asked through `datafusion-federation` and through a gateway of Portolan's: two gateways
//! over the same owners and the same files, within one run.

mod federation;
mod flight;
#[path = "../../src/machine.rs"]
mod machine;
mod measure;
mod mesh;
mod proxy;
mod report;
mod tpch;

/// Results are compared as the demo compares them.
#[path = "../../../testbed/src"]
mod testbed {
    #[allow(dead_code)]
    pub mod compare;
}

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use crate::federation::RulePlace;
use crate::measure::Bounds;

/// TPC-H through datafusion-federation, compared with a gateway of Portolan's over the same owners
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The program `portolan`, built for release
    #[arg(long, value_name = "FILE")]
    portolan: PathBuf,
    /// How much data: the demo's, which `portolan demo --scale FACTOR` generates
    #[arg(long, default_value_t = 0.1, value_name = "FACTOR")]
    scale: f64,
    /// How often each query is measured on each side; medians are reported
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only these queries, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=22))]
    queries: Vec<u32>,
    /// How long a query may take before it counts as failed, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// What the operators of one query may hold in datafusion-federation's gateway, in MiB
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: usize,
    /// Where datafusion-federation's rule stands among DataFusion's
    #[arg(long, value_enum, default_value_t = RulePlace::Default)]
    rule: RulePlace,
    /// Print the plans of datafusion-federation to standard error
    #[arg(long)]
    explain: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let portolan = arguments.portolan.canonicalize().with_context(|| {
        format!("there is no program {}; build it with `cargo build --release`", arguments.portolan.display())
    })?;
    let data = tpch::data_folder(arguments.scale)?;
    let queries = tpch::queries(&arguments.queries)?;
    let load = machine::load();
    let bounds = Bounds { timeout: Duration::from_secs(arguments.timeout), memory: arguments.memory << 20 };
    let gateways = measure::Gateways { portolan: &portolan, data: &data, rule: arguments.rule, bounds };
    let checked = gateways.check(&queries, arguments.explain).await?;
    let measurements = gateways.time(&queries, checked, arguments.runs).await?;
    let report = report::Report {
        version: mesh::version(&portolan).await?,
        scale: arguments.scale,
        runs: arguments.runs,
        rule: arguments.rule,
        load,
        measurements,
    };
    print!("{}", report.to_markdown());
    Ok(())
}
