//! Measures fairness: the time of one principal's queries while it is alone, and while another principal floods the
//! node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portolan_engine::ErrorKind;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::memory::{HASH, PASSWORD};
use crate::measure::turns;
use crate::planning::millis;
use crate::table::{Table, percentile};

const DOMAIN: &str = "sales";
const FLOOD: &str = "flood";
const QUIET: &str = "quiet";
/// The query of the flood, which reads all rows.
const LARGE: &str = "SELECT l_returnflag, l_linestatus, sum(l_quantity), avg(l_extendedprice), count(*) \
                     FROM sales.orders.lineitem GROUP BY l_returnflag, l_linestatus";
/// The queries of the other principal.
const ASKED: [(&str, &str); 2] =
    [("one row", "SELECT c_name FROM sales.customers.customer WHERE c_custkey = 3"), ("all rows", LARGE)];
/// The number of queries in a run.
const EACH: u32 = 20;
/// The number of queries before the measurement starts.
const WARM_UP: u32 = 3;
/// The time from the start of the flood to the first query of the other principal.
const RISE: Duration = Duration::from_secs(1);
/// The wait of a refused query if the node sends no time.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Returns the keys for the nodes' configs: the users, and the number of queries that one principal runs at once.
pub fn config(share: u32) -> Value {
    let user = |name: &str| json!({ "name": name, "password_hash": HASH });
    // The nodes of the mesh do not log in.
    json!({
        "users": [user(FLOOD), user(QUIET)], "anonymous": true,
        "shares": { "default": { "concurrent_queries": share } },
    })
}

/// Measures the queries at an owner, and returns a table with one row for each query.
///
/// # Errors
/// A node that does not answer.
pub async fn measure(mesh: &LocalMesh, connections: u32, share: u32, runs: u32) -> Result<Table> {
    let missing = || Error::failed(format!("the mesh has no node of domain `{DOMAIN}`"));
    let node = mesh.nodes().iter().find(|node| node.domain() == Some(DOMAIN)).ok_or_else(missing)?;
    let quiet = log_in(node.url(), QUIET).await?;
    let mut flood = vec![];
    for _ in 0..connections {
        flood.push(log_in(node.url(), FLOOD).await?);
    }
    let mut rows = vec![];
    for (name, sql) in ASKED {
        eprintln!("{name}: {EACH} queries alone and during a flood, {runs} times");
        ask(&quiet, sql, WARM_UP).await?;
        let (mut alone, mut flooded, mut answered, mut time) = (vec![], vec![], 0, Duration::ZERO);
        for side in turns(runs, 2) {
            if side == 0 {
                alone.extend(ask(&quiet, sql, EACH).await?);
            } else {
                let (flood, started) = (Flood::start(&flood).await, Instant::now());
                flooded.extend(ask(&quiet, sql, EACH).await?);
                time += RISE + started.elapsed();
                answered += flood.stop().await?;
            }
        }
        rows.push(row(name, &alone, &flooded, answered as f64 / time.as_secs_f64()));
    }
    Ok(Table {
        title: format!(
            "queries of one principal while another sends queries over {connections} connections, {runs} runs; a \
             principal runs at most {share} queries at once"
        ),
        columns: vec![
            "query",
            "alone p50 ms",
            "alone p95 ms",
            "during the flood p50 ms",
            "during the flood p95 ms",
            "p95 during the flood / alone",
            "flood queries/s",
        ],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

fn row(name: &str, alone: &[f64], flooded: &[f64], rate: f64) -> Vec<Value> {
    let at = |times: &[f64], share| Duration::from_secs_f64(percentile(times, share).unwrap_or_default());
    let ratio = at(flooded, 0.95).as_secs_f64() / at(alone, 0.95).as_secs_f64();
    let times = [at(alone, 0.5), at(alone, 0.95), at(flooded, 0.5), at(flooded, 0.95)];
    let times = times.into_iter().map(|time| json!(millis(time)));
    std::iter::once(json!(name)).chain(times).chain([json!(ratio), json!(rate)]).collect()
}

async fn log_in(url: &str, user: &str) -> Result<Client> {
    let options = ConnectOptions { credentials: Some((user.to_owned(), PASSWORD.to_owned())), ca: None };
    Ok(Client::connect(url, &options).await?)
}

/// Sends a query `times` times, one after another. Returns the times in seconds.
async fn ask(client: &Client, sql: &str, times: u32) -> Result<Vec<f64>> {
    let mut taken = vec![];
    for _ in 0..times {
        let started = Instant::now();
        client.query(sql).await?;
        taken.push(started.elapsed().as_secs_f64());
    }
    Ok(taken)
}

/// Clients that send one query after another until they are stopped.
struct Flood {
    clients: JoinSet<Error>,
    answered: Arc<AtomicU64>,
}

impl Flood {
    async fn start(clients: &[Client]) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let mut flood = Self { clients: JoinSet::new(), answered: answered.clone() };
        for client in clients {
            let (client, answered) = (client.clone(), answered.clone());
            flood.clients.spawn(async move {
                loop {
                    match client.query(LARGE).await {
                        Ok(_) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(e) if e.kind() == ErrorKind::ResourceExhausted => {
                            tokio::time::sleep(e.retry_after().unwrap_or(RETRY_AFTER)).await;
                        }
                        Err(e) => return Error::from(e),
                    }
                }
            });
        }
        tokio::time::sleep(RISE).await;
        flood
    }

    /// Stops the clients, and returns the number of answered queries.
    async fn stop(mut self) -> Result<u64> {
        if let Some(ended) = self.clients.try_join_next() {
            return Err(ended.unwrap_or_else(|e| Error::failed("a client task failed").with_source(e)));
        }
        self.clients.shutdown().await;
        Ok(self.answered.load(Ordering::Relaxed))
    }
}
