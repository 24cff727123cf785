//! The rows per second of a scan of `lineitem`, beside `psql` that throws the rows away.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use portolan_engine::Engine;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Node, NodeConfig, Result};
use portolan_testbed::descriptors;
use portolan_testbed::mesh::{DomainDatabase, free_addresses};
use serde_json::json;
use tokio::process::Command;

use crate::measure::{median, turns};
use crate::planning::millis;
use crate::table::Table;

const COPY: &str = "COPY lineitem TO STDOUT (FORMAT binary)";
const SCAN: &str = "SELECT * FROM sales.orders.lineitem";

/// Measures the scan through the library and through a node, and returns a table with one row for each.
///
/// # Errors
/// A program that fails, or other rows from one side than from another.
pub async fn measure(psql: &Path, sales: &DomainDatabase, runs: u32) -> Result<Table> {
    let folder = tempfile::tempdir().map_err(|e| Error::output("the temporary folder", e))?;
    let products = descriptors::write_over_database(sales.domain, &sales.server, folder.path())?;
    let address = free_addresses(1)?.remove(0);
    let config = json!({
        "domain": sales.domain, "listen": address, "products": products.display().to_string(), "sources": sales.sources,
    });
    let file = folder.path().join("node.yaml");
    // JSON is YAML, too.
    std::fs::write(&file, config.to_string()).map_err(|e| Error::output(file.display(), e))?;
    let node = Node::builder().config(NodeConfig::load(&file)?).require_sources().build().await?;
    let bound = node.bind().await?;
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let client = Client::connect(&format!("grpc://{address}"), &ConnectOptions::default()).await?;
    let names = ["`psql`, `COPY` to the null device", "the library", "a node, through Flight SQL"];
    let mut times = [const { vec![] }; 3];
    let mut rows = [None; 2];
    for (turn, side) in turns(runs + 1, names.len()).enumerate() {
        eprintln!("scan of lineitem by {}, run {} of {runs}", names[side], turn / names.len());
        let started = Instant::now();
        match side {
            0 => copy(psql, sales).await?,
            1 => rows[0] = Some(scan(node.engine()).await?),
            _ => rows[1] = Some(fetch(&client).await?),
        }
        // The first run warms the caches.
        if turn >= names.len() {
            times[side].push(started.elapsed());
        }
    }
    serving.abort();
    if rows[0] != rows[1] {
        return Err(Error::failed(format!("the library read {:?} rows, and the node sent {:?}", rows[0], rows[1])));
    }
    let count = rows[0].unwrap_or_default();
    let times: Vec<Duration> = times.into_iter().map(median).collect();
    let rows = names.iter().zip(&times).map(|(name, time)| {
        vec![
            json!(name),
            json!(count),
            json!(millis(*time)),
            json!(count as f64 / time.as_secs_f64() / 1e6),
            json!(times[0].as_secs_f64() / time.as_secs_f64()),
        ]
    });
    Ok(Table {
        title: format!("all rows of `lineitem`, medians of {runs} runs"),
        columns: vec!["by", "rows", "ms", "million rows/s", "ratio to psql"],
        rows: rows.collect(),
        summary: vec![],
        faults: vec![],
    })
}

/// Runs `psql` and throws its output away.
async fn copy(psql: &Path, sales: &DomainDatabase) -> Result<()> {
    let account = &sales.sources["warehouse"]["database"];
    let text = |key: &str| account[key].as_str().unwrap_or_default();
    let mut command = Command::new(psql);
    command.args(["--no-psqlrc", "--host=127.0.0.1", "--command", COPY]).env("PGPASSWORD", text("password"));
    command.arg(format!("--port={}", sales.server["port"])).arg(format!("--username={}", text("user")));
    command.arg(format!("--dbname={}", sales.domain)).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().await;
    let status = status.map_err(|e| Error::failed(format!("cannot start {}", psql.display())).with_source(e))?;
    if status.success() { Ok(()) } else { Err(Error::failed(format!("psql ended with {status}"))) }
}

async fn scan(engine: &Engine) -> Result<usize> {
    let mut batches = engine.sql(SCAN).await?;
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

async fn fetch(client: &Client) -> Result<usize> {
    let statement = client.prepare(SCAN).await?;
    let mut batches = std::pin::pin!(client.rows(&statement));
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
    }
    Ok(rows)
}
