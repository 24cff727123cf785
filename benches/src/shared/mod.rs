//! Measures queries that use a part of themselves several times: over a mesh, with and without shared parts, in one process
//! without shared parts, and in DuckDB over the same files.

mod queries;
mod sides;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use portolan_cli::serve::stop_on_signals;
use portolan_node::Result;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::queries::REPORTS;
use self::sides::{Side, Sides};
use crate::measure::{median, turns};
use crate::options::{RunArgs, print_measured};
use crate::planning::millis;
use crate::table::Table;

/// The largest ratio of the sums of the mesh and of one process that the target allows.
const SUM_TARGET: f64 = 0.6;
/// The largest ratio of a query that the target allows.
const QUERY_TARGET: f64 = 1.1;

const COLUMNS: [&str; 11] = [
    "query",
    "rows",
    "one process ms",
    "share off ms",
    "mesh ms",
    "DuckDB ms",
    "mesh / one process",
    "off / on",
    "mesh / DuckDB",
    "bytes, off",
    "bytes, on",
];

/// The options of the measurement and of the output.
#[derive(Args)]
pub struct SharedArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Measure only these queries, by name
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = PossibleValuesParser::new(REPORTS.map(|report| report.name)))]
    queries: Vec<String>,
    /// The Python program that has the package `duckdb`
    #[arg(long, default_value = "python3", value_name = "FILE")]
    python: PathBuf,
}

/// The median times of a query, in the order of [`Side::ALL`].
type Times = [Duration; Side::ALL.len()];

/// Measures the queries, and prints a table.
///
/// # Errors
/// A side that does not start, a query that fails or returns other rows on one side, output that cannot be written.
pub async fn measure(args: &SharedArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    print_measured(on_all_sides(args, &stop), args.run.format, &stop).await
}

async fn on_all_sides(args: &SharedArgs, stop: &CancellationToken) -> Result<Table> {
    let data = args.run.data(stop).await?;
    let mut sides = Sides::start(&args.python, &data).await?;
    let table = table(&mut sides, args).await;
    sides.stop().await;
    table
}

/// Measures the queries. The first run of each compares the rows, warms the caches, and is not counted. The sides take turns
/// to go first.
async fn table(sides: &mut Sides, args: &SharedArgs) -> Result<Table> {
    let runs = args.run.runs;
    let (mut rows, mut measured, mut all_bytes) = (vec![], vec![], [0_u64; 2]);
    for report in REPORTS.iter().filter(|r| args.queries.is_empty() || args.queries.iter().any(|name| name == r.name)) {
        eprintln!("{}: one run to compare the rows, then {runs} measured runs", report.name);
        let checked = sides.check(report).await?;
        let mut times = [const { vec![] }; Side::ALL.len()];
        for side in turns(runs, times.len()) {
            times[side].push(sides.time(Side::ALL[side], report).await?);
        }
        let times = times.map(median);
        rows.push(row(report.name, json!(checked.rows), &times, checked.bytes));
        measured.push((report.name, times));
        for (sum, bytes) in all_bytes.iter_mut().zip(checked.bytes) {
            *sum += bytes;
        }
    }
    rows.push(row("all", Value::Null, &sums(&measured), all_bytes));
    Ok(Table {
        title: format!(
            "reports over TPC-H at scale {} that use a part several times, medians of {runs} runs, {}",
            args.run.scale,
            sides.version()
        ),
        columns: COLUMNS.into(),
        rows,
        summary: summary(&measured),
        faults: vec![],
    })
}

/// Returns the cells of [`COLUMNS`].
fn row(name: &str, rows: Value, times: &Times, [off_bytes, on_bytes]: [u64; 2]) -> Vec<Value> {
    let [one_process, off, on, duckdb] = times;
    let mut cells = vec![json!(name), rows];
    cells.extend(times.iter().map(|time| json!(millis(*time))));
    cells.extend([(on, one_process), (off, on), (on, duckdb)].map(|(time, other)| json!(ratio(*time, *other))));
    cells.extend([json!(off_bytes), json!(on_bytes)]);
    cells
}

/// Returns the targets, and whether the measurements meet them.
fn summary(measured: &[(&str, Times)]) -> Vec<(&'static str, Value)> {
    let of_one_process = |[one_process, _, on, _]: Times| ratio(on, one_process);
    let sum = of_one_process(sums(measured));
    let slow: Vec<_> = measured.iter().filter(|m| of_one_process(m.1) > QUERY_TARGET).map(|m| m.0).collect();
    let met = |met: bool| if met { "met" } else { "missed" };
    let queries = if slow.is_empty() { String::new() } else { format!(" by {}", slow.join(", ")) };
    vec![
        ("mesh / one process, sums", json!(sum)),
        ("target of the sums", json!(format!("at most {SUM_TARGET:.2}: {}", met(sum <= SUM_TARGET)))),
        (
            "largest mesh / one process of a query",
            json!(measured.iter().map(|m| of_one_process(m.1)).fold(0.0, f64::max)),
        ),
        ("target of each query", json!(format!("at most {QUERY_TARGET:.2}: {}{queries}", met(slow.is_empty())))),
    ]
}

fn sums(measured: &[(&str, Times)]) -> Times {
    std::array::from_fn(|side| measured.iter().map(|m| m.1[side]).sum())
}

fn ratio(time: Duration, other: Duration) -> f64 {
    time.as_secs_f64() / other.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_of_the_sums_and_of_each_query() {
        let times = |one_process, on| [one_process, 900, on, 50].map(Duration::from_millis);
        let shown = |measured: &[(&str, Times)]| {
            let texts = summary(measured).into_iter().filter_map(|(_, value)| value.as_str().map(str::to_owned));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&[("a", times(100, 110)), ("b", times(900, 490))]),
            ["at most 0.60: met", "at most 1.10: met"]
        );
        assert_eq!(
            shown(&[("a", times(100, 111)), ("b", times(900, 490))]),
            ["at most 0.60: missed", "at most 1.10: missed by a"]
        );
    }
}
