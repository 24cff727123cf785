//! Measures governance: TPC-H with policies beside the same filter and masks in the queries, decisions per second, what the
//! time of a query tells of hidden rows, and the cost of audit records.

mod decisions;
mod mesh;
mod sides;
mod timing;

use std::path::Path;

use clap::{Args, ValueEnum};
use portolan_cli::demo::tpch_data;
use portolan_cli::serve::stop_on_signals;
use portolan_node::{Error, Result};
use portolan_testbed::tpch::cache::cache_folder;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use self::mesh::Mesh;
use self::sides::{LINEITEM, Labels, POLICIES, Side, labels, written};
use crate::options::{BenchArgs, print_measured, this_program};
use crate::table::Table;

/// The scale of the data for the times of single queries. Each is sent thousands of times.
const SMALL: f64 = 0.01;

/// The options of the measurement and of the output.
#[derive(Args)]
pub struct GovernedArgs {
    #[command(flatten)]
    bench: BenchArgs,
    /// The numbers of policies to decide by
    #[arg(long, value_delimiter = ',', default_values_t = [16, 106, 1006], value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(3..=100_000))]
    policies: Vec<u32>,
    /// The number of times to send each query whose time may tell of hidden rows
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    rounds: u32,
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// TPC-H with policies, beside the same filter and masks in the queries
    Tpch,
    /// Decisions per second, by number of policies
    Decisions,
    /// Times of queries with and without a hidden match
    Timing,
    /// TPC-H and a query of one row, with audit records and without
    Audit,
}

/// Measures the selected parts, and prints a table for each.
///
/// # Errors
/// A node that does not start, a query that fails or returns other rows, output that cannot be written.
pub async fn measure(args: &GovernedArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let program = this_program()?;
    for part in [Part::Tpch, Part::Decisions, Part::Timing, Part::Audit] {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        print_measured(part.measure(args, &program, &stop), args.bench.run.format, &stop).await?;
    }
    Ok(())
}

impl Part {
    async fn measure(self, args: &GovernedArgs, program: &Path, stop: &CancellationToken) -> Result<Table> {
        match self {
            Self::Tpch => tpch(args, program, stop).await,
            Self::Decisions => decisions::measure(&args.policies, args.bench.run.runs),
            Self::Timing => {
                let data = tpch_data(&cache_folder()?, SMALL, stop).await?;
                let mesh = Mesh::start(program, &data, Some(POLICIES), &Map::new()).await?;
                let table = timing::measure(&mesh, &data, args.rounds).await;
                mesh.stop().await;
                Ok(Table { title: format!("TPC-H at scale {SMALL}, {}", timing::TITLE), ..table? })
            }
            Self::Audit => audit(args, program, stop).await,
        }
    }
}

const WITH_POLICIES: Labels = labels!("policies", "written");

async fn tpch(args: &GovernedArgs, program: &Path, stop: &CancellationToken) -> Result<Table> {
    let data = args.bench.run.data(stop).await?;
    let governed = Mesh::start(program, &data, Some(POLICIES), &Map::new()).await?;
    let open = Mesh::start(program, &data, None, &Map::new()).await?;
    let sides = [Side { mesh: &governed, text: str::to_owned }, Side { mesh: &open, text: written }];
    let table = sides::measure(&sides, &WITH_POLICIES, &args.bench.queries, args.bench.run.runs).await;
    governed.stop().await;
    open.stop().await;
    let what = format!("a row filter and two masks on {LINEITEM} as policies, and written into the queries");
    let title = format!("TPC-H at scale {}, {what}, medians of {} runs", args.bench.run.scale, args.bench.run.runs);
    Ok(Table { title, ..table? })
}

const WITH_AUDIT: Labels = labels!("audit on", "audit off");

/// Compares nodes that keep audit records with nodes that keep none: the key `audit` of the config.
async fn audit(args: &GovernedArgs, program: &Path, stop: &CancellationToken) -> Result<Table> {
    let data = args.bench.run.data(stop).await?;
    let with = |enabled: bool| Map::from_iter([("audit".to_owned(), json!({ "enabled": enabled }))]);
    let on = Mesh::start(program, &data, None, &with(true)).await?;
    let off = Mesh::start(program, &data, None, &with(false)).await?;
    let sides = [Side { mesh: &on, text: str::to_owned }, Side { mesh: &off, text: str::to_owned }];
    let measured = async {
        let mut table = sides::measure(&sides, &WITH_AUDIT, &args.bench.queries, args.bench.run.runs).await?;
        table.summary.extend(sides::points(&sides, &WITH_AUDIT, args.bench.run.runs).await?);
        Ok::<_, Error>(table)
    };
    let table = measured.await;
    on.stop().await;
    off.stop().await;
    let title = format!(
        "TPC-H at scale {}, with audit records and without, medians of {} runs",
        args.bench.run.scale, args.bench.run.runs
    );
    Ok(Table { title, ..table? })
}
