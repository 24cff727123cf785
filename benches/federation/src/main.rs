//! TPC-H over three domains, through `datafusion-federation` and through a Portolan gateway: two gateways over the same
//! owners and the same files, in one run.

mod federation;
mod flight;
#[path = "../../src/machine.rs"]
mod machine;
mod measure;
mod mesh;
mod proxy;
mod report;
mod tpch;

/// The comparison of results, from the same source file as in the demo.
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

/// TPC-H through datafusion-federation, compared with a Portolan gateway over the same owners
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The program `portolan`, built for release
    #[arg(long, value_name = "FILE")]
    portolan: PathBuf,
    /// The scale factor of the demo's data, which `portolan demo --scale FACTOR` generates
    #[arg(long, default_value_t = 0.1, value_name = "FACTOR")]
    scale: f64,
    /// The number of times to measure each query on each side. The medians are reported
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Measure only these queries, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=22))]
    queries: Vec<u32>,
    /// The time limit of a query, in seconds. A query that takes longer counts as failed
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// The memory limit for the operators of one query in datafusion-federation's gateway, in MiB
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: usize,
    /// The place of datafusion-federation's rule among DataFusion's rules
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
