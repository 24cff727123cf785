//! Measures the latency of a query of one row at the gateway and at the owner, over several concurrent connections.

use std::time::{Duration, Instant};

use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::measure::median;
use crate::planning::millis;
use crate::table::{Table, percentile};

pub(super) const DOMAIN: &str = "geo";
pub(super) const QUERY: &str = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = 3";
/// The smallest number of queries of each connection in a run. The first query of a connection does not wait for
/// others.
const LEAST: u32 = 8;
/// The number of queries of each connection before the measurement starts.
const WARM_UP: u32 = 4;

/// The results of one run, or the medians of several.
struct Run {
    p50: Duration,
    p95: Duration,
    /// The answers per second.
    rate: f64,
}

/// Measures the query, and returns a table with one row for each number of connections.
///
/// # Errors
/// A node that does not answer.
pub async fn measure(mesh: &LocalMesh, connections: &[u32], queries: u32, runs: u32) -> Result<Table> {
    let missing = || Error::failed(format!("the mesh has no node of domain `{DOMAIN}`"));
    let owner = mesh.nodes().iter().find(|node| node.domain() == Some(DOMAIN)).ok_or_else(missing)?;
    let mut rows = vec![];
    for &number in connections {
        let each = queries.div_ceil(number).max(LEAST);
        eprintln!("{number} connections: {each} queries over each, {runs} times");
        let sides = [connect(owner.url(), number).await?, connect(mesh.gateway().url(), number).await?];
        for side in &sides {
            burst(side, WARM_UP).await?;
        }
        let mut taken = [vec![], vec![]];
        for run in 0..runs as usize {
            // The sides take turns to go first, so that neither has an advantage.
            for turn in 0..sides.len() {
                let side = (run + turn) % sides.len();
                taken[side].push(burst(&sides[side], each).await?);
            }
        }
        let [owner, gateway] = taken.map(Run::middle);
        let ratio = gateway.p50.as_secs_f64() / owner.p50.as_secs_f64();
        let mut row = vec![json!(number), json!(each)];
        row.extend(owner.cells().into_iter().chain(gateway.cells()));
        row.push(json!(ratio));
        rows.push(row);
    }
    Ok(Table {
        title: format!("a query of one row, medians of {runs} runs"),
        columns: vec![
            "connections",
            "queries per connection",
            "owner p50 ms",
            "owner p95 ms",
            "owner queries/s",
            "gateway p50 ms",
            "gateway p95 ms",
            "gateway queries/s",
            "gateway p50 / owner p50",
        ],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

/// Opens separate connections, each with its own session.
async fn connect(url: &str, number: u32) -> Result<Vec<Client>> {
    let mut clients = vec![];
    for _ in 0..number {
        clients.push(Client::connect(url, &ConnectOptions::default()).await?);
    }
    Ok(clients)
}

/// Sends `each` queries from each client. All clients run concurrently. Each waits for an answer before it sends the
/// next query.
async fn burst(clients: &[Client], each: u32) -> Result<Run> {
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for client in clients {
        let client = client.clone();
        asking.spawn(async move {
            let mut times = vec![];
            for _ in 0..each {
                let asked = Instant::now();
                let (_, batches) = client.query(QUERY).await?;
                times.push(asked.elapsed().as_secs_f64());
                if batches.iter().map(|b| b.num_rows()).sum::<usize>() != 1 {
                    return Err(Error::failed("expected one row, got another number of rows"));
                }
            }
            Ok(times)
        });
    }
    let mut times = vec![];
    while let Some(asked) = asking.join_next().await {
        times.extend(asked.map_err(|e| Error::failed("a client task failed").with_source(e))??);
    }
    let at = |share| Duration::from_secs_f64(percentile(&times, share).unwrap_or_default());
    Ok(Run { p50: at(0.5), p95: at(0.95), rate: times.len() as f64 / started.elapsed().as_secs_f64() })
}

impl Run {
    fn middle(runs: Vec<Self>) -> Self {
        let of = |time: fn(&Self) -> Duration| median(runs.iter().map(time).collect());
        let rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
        Self { p50: of(|run| run.p50), p95: of(|run| run.p95), rate: percentile(&rates, 0.5).unwrap_or_default() }
    }

    fn cells(&self) -> [Value; 3] {
        [json!(millis(self.p50)), json!(millis(self.p95)), json!(self.rate.round() as u64)]
    }
}
