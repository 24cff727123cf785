//! Measures TPC-H over slow links between all nodes, with the planner's choice and with gathering.

use std::time::Duration;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use serde_json::{Value, json};

use crate::asked::{Answer, GATHERED, JOINS_GATHERED, session, set};
use crate::chosen;
use crate::measure::{median, turns};
use crate::proxy::Link;
use crate::table::Table;

/// Queries that each node runs once on the other nodes, so that all links are measured before the first query. They
/// read strings of one port.
const MEASURED_BY: [(&str, &str); 2] = [
    ("sales", "SELECT max(o_comment) FROM sales.orders.orders"),
    ("supply", "SELECT max(ps_comment) FROM supply.parts.partsupp"),
];
/// The time for nodes to report the speed of their links to one another: a few of the mesh's refresh intervals.
const EXCHANGE_TIME: Duration = Duration::from_secs(4);

/// Measures the queries, and returns a table with one row for each query.
///
/// # Errors
/// A query that fails, or whose results differ.
pub async fn measure(mesh: &LocalMesh, link: Link, queries: &[u32], runs: u32) -> Result<Table> {
    eprintln!("the nodes measure their links");
    measure_links(mesh).await?;
    let sides = [session(mesh, &[]).await?, session(mesh, GATHERED).await?, session(mesh, JOINS_GATHERED).await?];
    let (mut rows, mut sums) = (vec![], [Duration::ZERO; 3]);
    for query in chosen(queries) {
        eprintln!("query {}: one run to compare the rows, then {runs} measured runs", query.number);
        let expected = Answer::of(&sides[0], query.sql).await?;
        for side in &sides[1..] {
            Answer::of(side, query.sql).await?.same_as(expected.result(), query)?;
        }
        let mut times = [const { vec![] }; 3];
        for side in turns(runs, sides.len()) {
            times[side].push(Answer::of(&sides[side], query.sql).await?.time);
        }
        let [chosen, gathered, joins_gathered] = times.map(median);
        for (sum, time) in sums.iter_mut().zip([chosen, gathered, joins_gathered]) {
            *sum += time;
        }
        let row = vec![json!(query.number), millis(chosen), millis(gathered), ratio(gathered, chosen)];
        rows.push([row, vec![millis(joins_gathered), ratio(joins_gathered, chosen)]].concat());
    }
    let [chosen, gathered, joins_gathered] = sums;
    Ok(Table {
        title: format!("links of {link}, medians of {runs} runs"),
        columns: vec![
            "query",
            "chosen ms",
            "gathered ms",
            "gathered / chosen",
            "joins gathered ms",
            "joins gathered / chosen",
        ],
        rows,
        summary: vec![
            ("chosen ms, sum", millis(chosen)),
            ("gathered ms, sum", millis(gathered)),
            ("gathered / chosen, sum", ratio(gathered, chosen)),
            ("joins gathered ms, sum", millis(joins_gathered)),
            ("joins gathered / chosen, sum", ratio(joins_gathered, chosen)),
            ("links as the gateway has measured them at the end", json!(links(&sides[0]).await?)),
        ],
        faults: vec![],
    })
}

/// Makes every node read rows of every other node, which measures the links.
async fn measure_links(mesh: &LocalMesh) -> Result<()> {
    for node in mesh.nodes().iter().chain([mesh.gateway()]) {
        let client = Client::connect(node.url(), &ConnectOptions::default()).await?;
        set(&client, "placement", "off").await?;
        for (_, sql) in MEASURED_BY.iter().filter(|(domain, _)| node.domain() != Some(domain)) {
            client.query(sql).await?;
        }
    }
    tokio::time::sleep(EXCHANGE_TIME).await;
    Ok(())
}

/// Returns the latency and the bandwidth to each node, as text.
async fn links(gateway: &Client) -> Result<String> {
    let sql = "SELECT concat(round(latency_ms, 1), ' ms and ', round(bandwidth_mb_s, 1), ' MB/s') \
               FROM mesh.nodes WHERE latency_ms IS NOT NULL";
    let (_, batches) = gateway.query(sql).await?;
    let mut links = vec![];
    for batch in batches {
        let unreadable = |e| Error::failed("the gateway's links cannot be read").with_source(e);
        let options = FormatOptions::default();
        let column = ArrayFormatter::try_new(batch.column(0), &options).map_err(unreadable)?;
        links.extend((0..batch.num_rows()).map(|row| column.value(row).to_string()));
    }
    Ok(links.join("; "))
}

fn millis(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e3).round() as u64)
}

fn ratio(slower: Duration, faster: Duration) -> Value {
    json!(slower.as_secs_f64() / faster.as_secs_f64().max(1e-9))
}
