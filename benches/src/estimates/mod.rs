//! Measures the errors of the planner's estimates, from `EXPLAIN ANALYZE`: of joins with filtered dimensions and of
//! TPC-H, before and after keys are counted. Also measures the time of the chosen build sides beside the other sides.

mod mesh;
mod queries;

use std::time::Duration;

use portolan_cli::serve::stop_on_signals;
use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::compare::{Order, compare};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::mesh::Mesh;
use self::queries::FILTERED;
use crate::asked::{Answer, Settings, UNPLACED};
use crate::explained::Explained;
use crate::measure::{median, turns};
use crate::options::this_program;
use crate::planning::millis;
use crate::table::{Table, geometric_mean, percentile};
use crate::{BenchArgs, chosen};

/// No keys are counted, so each query runs as it was planned first.
const NOT_COUNTED: Settings = &[("adapt_factor", "off")];
/// The other side of each join across sites is the build side. The plan is that of before counting.
const OTHER_SIDES: Settings = &[("strategy", "keys_from_right")];

/// The plans of a query, with the rows that their operators returned.
struct Plans {
    name: Value,
    /// The plan without counting.
    before: Explained,
    /// The plan after counting.
    after: Explained,
}

/// Measures the queries, and prints a table for each kind of measurement.
///
/// # Errors
/// A node that does not start, a query that fails or returns other rows, output that cannot be written.
pub async fn measure(args: &BenchArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    let data = args.run.data(&stop).await?;
    let program = this_program()?;
    let measured = async {
        let mesh = Mesh::start(&program, &data).await?;
        let tables = tables(&mesh, args).await;
        mesh.stop().await;
        tables
    };
    let tables = tokio::select! {
        tables = measured => tables?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    for mut table in tables {
        table.title = format!("TPC-H at scale {}, {}", args.run.scale, table.title);
        table.print(args.run.format)?;
    }
    Ok(())
}

/// Returns the tables. The one with times is last, because printing it fails if rows differ.
async fn tables(mesh: &Mesh, args: &BenchArgs) -> Result<Vec<Table>> {
    let (before, after) = (mesh.client(NOT_COUNTED).await?, mesh.client(&[]).await?);
    let (mut filtered, mut tpch) = (vec![], vec![]);
    for query in FILTERED {
        filtered.push(Plans::of(json!(query.name), query.sql, &before, &after).await?);
    }
    for query in chosen(&args.queries) {
        tpch.push(Plans::of(json!(query.number), query.sql, &before, &after).await?);
    }
    Ok(vec![
        joins("q-errors of joins with filtered dimensions", &filtered),
        joins("q-errors of joins in TPC-H's plans", &tpch),
        operators(&tpch),
        times(mesh, args.run.runs).await?,
    ])
}

impl Plans {
    async fn of(name: Value, sql: &str, before: &Client, after: &Client) -> Result<Self> {
        eprintln!("estimates: {name}");
        let before = Explained::of(before, sql, true).await?;
        Ok(Self { name, before, after: Explained::of(after, sql, true).await? })
    }
}

/// Returns a table with one row for each query: the errors of its joins, at the gateway and at owners.
fn joins(title: &str, plans: &[Plans]) -> Table {
    let (mut rows, mut all_before, mut all_after, mut adapted) = (vec![], vec![], vec![], 0);
    for Plans { name, before, after } in plans {
        let is_adapted = after.is_adapted();
        adapted += usize::from(is_adapted);
        let (before, after) = (before.join_errors(), after.join_errors());
        let again = json!(if is_adapted { "yes" } else { "no" });
        rows.push([vec![name.clone(), json!(after.len())], spread(&before), spread(&after), vec![again]].concat());
        all_before.extend(before);
        all_after.extend(after);
    }
    Table {
        title: title.into(),
        columns: vec![
            "query",
            "joins",
            "median before",
            "90th percentile before",
            "worst before",
            "median after",
            "90th percentile after",
            "worst after",
            "planned again",
        ],
        rows,
        summary: vec![
            ("joins compared before counting", json!(all_before.len())),
            ("median before", json!(percentile(&all_before, 0.5))),
            ("90th percentile before", json!(percentile(&all_before, 0.9))),
            ("worst before", json!(percentile(&all_before, 1.0))),
            ("joins compared after counting", json!(all_after.len())),
            ("median after", json!(percentile(&all_after, 0.5))),
            ("90th percentile after", json!(percentile(&all_after, 0.9))),
            ("worst after", json!(percentile(&all_after, 1.0))),
            ("queries that were planned again", json!(adapted)),
        ],
        faults: vec![],
    }
}

/// Returns the median, the 90th percentile and the largest of some errors.
fn spread(errors: &[f64]) -> Vec<Value> {
    [0.5, 0.9, 1.0].map(|share| json!(percentile(errors, share))).to_vec()
}

/// Returns a table with one row for each query: the errors of all estimates after counting, and not only of joins.
fn operators(plans: &[Plans]) -> Table {
    let (mut rows, mut all) = (vec![], vec![]);
    for Plans { name, after, .. } in plans {
        let errors = after.q_errors();
        rows.push(vec![
            name.clone(),
            json!(errors.len()),
            json!(percentile(&errors, 0.5)),
            json!(percentile(&errors, 0.95)),
            json!(percentile(&errors, 1.0)),
        ]);
        all.extend(errors);
    }
    Table {
        title: "q-errors of the estimates in TPC-H's plans".into(),
        columns: vec!["query", "estimates", "median", "95th percentile", "largest"],
        rows,
        summary: vec![
            ("estimates compared", json!(all.len())),
            ("median", json!(percentile(&all, 0.5))),
            ("95th percentile", json!(percentile(&all, 0.95))),
            ("largest", json!(percentile(&all, 1.0))),
        ],
        faults: vec![],
    }
}

/// Measures the times of the queries with filtered dimensions: with the chosen plan, without counting, and with the other
/// build sides. Compares the rows with those of gathering all ports.
async fn times(mesh: &Mesh, runs: u32) -> Result<Table> {
    let sides = [mesh.client(&[]).await?, mesh.client(NOT_COUNTED).await?, mesh.client(OTHER_SIDES).await?];
    let unplaced = mesh.client(UNPLACED).await?;
    let (mut rows, mut faults, mut sums, mut ratios) = (vec![], vec![], [Duration::ZERO; 3], vec![]);
    for query in FILTERED {
        eprintln!("times: {}: one run to compare the rows, then {runs} measured runs", query.name);
        let expected = Answer::of(&unplaced, query.sql).await?;
        for side in &sides {
            let answer = Answer::of(side, query.sql).await?;
            if let Err(difference) = compare(expected.result(), answer.result(), &Order::Any) {
                faults.push(format!("{}: {difference}", query.name));
            }
        }
        let mut times = [const { vec![] }; 3];
        for side in turns(runs, sides.len()) {
            times[side].push(Answer::of(&sides[side], query.sql).await?.time);
        }
        let times = times.map(median);
        for (sum, time) in sums.iter_mut().zip(times) {
            *sum += time;
        }
        ratios.push(ratio(times));
        let row = vec![json!(query.name), json!(expected.rows())];
        rows.push([row, times.map(|time| json!(millis(time))).to_vec(), vec![json!(ratio(times))]].concat());
    }
    let [counted, not_counted, other] = sums.map(|time| json!(millis(time)));
    Ok(Table {
        title: format!("times of queries with filtered dimensions, medians of {runs} runs"),
        columns: vec!["query", "rows", "chosen ms", "not counted ms", "other build sides ms", "other / chosen"],
        rows,
        summary: vec![
            ("chosen ms, sum", counted),
            ("not counted ms, sum", not_counted),
            ("other build sides ms, sum", other),
            ("other / chosen, sum", json!(ratio(sums))),
            ("other / chosen, geometric mean", json!(geometric_mean(&ratios))),
        ],
        faults,
    })
}

/// Returns the time with the other build sides, as a multiple of the time with the chosen ones.
fn ratio([chosen, _, other]: [Duration; 3]) -> f64 {
    other.as_secs_f64() / chosen.as_secs_f64().max(1e-9)
}
