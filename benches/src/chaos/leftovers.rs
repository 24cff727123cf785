//! The resources that a node must give back after the faults, when its clients have left.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Field;
use super::clients::Caller;
use super::mesh::{ADMINISTRATOR, Node};

/// The time for nodes to give everything back. Idle threads end after ten seconds.
const SETTLE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);
/// The time for the response with the metrics.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Metrics that are zero at an idle node.
const ZERO: [&str; 4] =
    ["portolan_queries_running", "portolan_queries_queued", "portolan_memory_bytes", "portolan_spill_bytes"];
/// Metrics that return to their values before the faults, and by how much they may be above. Pools of threads stay once
/// they were started.
const BOUNDED: [(&str, f64); 2] = [("process_open_fds", 32.0), ("process_threads", 24.0)];
/// The number of queries at a node, except for this one.
const QUERIES: &str =
    "SELECT count(*) FROM mesh.queries WHERE statement IS NULL OR statement NOT LIKE '%FROM mesh.queries%'";

impl Field {
    /// Returns the metrics of each node as text, or the error of a node that does not report them.
    pub async fn metrics(&self) -> Result<Vec<String>, String> {
        join_all(self.mesh.nodes.iter().map(metrics)).await.into_iter().collect()
    }

    /// Waits until no node holds more than it should, and returns what is left when the wait is over. `before` are the
    /// metrics of the nodes before the faults.
    pub async fn leftovers(&self, before: &[String]) -> Vec<String> {
        let (started, limit) = (Instant::now(), SETTLE * self.judge.patience);
        loop {
            let nodes = self.mesh.nodes.iter().zip(before);
            let left = join_all(nodes.map(|(node, before)| left_at(node, before))).await.concat();
            if left.is_empty() || started.elapsed() > limit {
                return left;
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Returns what a node holds and should not.
async fn left_at(node: &Node, before: &str) -> Vec<String> {
    let mut left = vec![];
    match queries(node).await {
        Ok(0) => {}
        Ok(number) => left.push(format!("mesh.queries lists {number} queries")),
        Err(e) => left.push(e),
    }
    match metrics(node).await {
        Ok(now) => {
            let zero = ZERO.map(|name| (name, 0.0, sum(&now, name)));
            let bounded = BOUNDED.map(|(name, more)| (name, sum(before, name) + more, sum(&now, name)));
            let above = zero.into_iter().chain(bounded).filter(|(_, most, value)| value > most);
            left.extend(above.map(|(name, most, value)| format!("{name} is {value}, and at most {most} is expected")));
        }
        Err(e) => left.push(e),
    }
    // The folder of the process itself has an empty lock.
    let spill = node.home.join("spill");
    let (folders, bytes) = (fs::read_dir(&spill).into_iter().flatten().count(), bytes_below(&spill));
    if (folders, bytes) != (1, 0) {
        left.push(format!("the spill folder has {folders} folders and {bytes} bytes"));
    }
    left.into_iter().map(|what| format!("{}: {what}", node.name)).collect()
}

/// Returns the number of queries that run at a node.
async fn queries(node: &Node) -> Result<i64, String> {
    let (_, batches) = Caller::new(node, Some(ADMINISTRATOR), None).send(QUERIES).await.map_err(|e| e.chain())?;
    let columns = batches.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    Ok(columns.flat_map(|column| column.iter().flatten()).sum())
}

/// Returns the bytes of the files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    bytes.sum()
}

/// Returns the metrics of a node as text for Prometheus.
async fn metrics(node: &Node) -> Result<String, String> {
    let address = node.process.lock().await.admin().unwrap_or_default().replace("http://", "");
    let response = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.map(|_| response)
    };
    match timeout(TIMEOUT, response).await {
        Ok(Ok(response)) if response.starts_with("HTTP/1.1 200") => Ok(response),
        Ok(Ok(response)) => Err(format!("no metrics: {}", response.lines().next().unwrap_or_default())),
        Ok(Err(e)) => Err(format!("no metrics: {e}")),
        Err(_) => Err(format!("no metrics within {} s", TIMEOUT.as_secs())),
    }
}

/// Returns the sum of the values of all series of a metric.
pub fn sum(metrics: &str, name: &str) -> f64 {
    let series = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
