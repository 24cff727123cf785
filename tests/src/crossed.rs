//! The rows and bytes that crossed the edges of a query, from `EXPLAIN (ANALYZE, FORMAT JSON)`. They include those
//! between owners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use portolan_node::client::Client;
use serde_json::Value;

/// The rows and bytes that crossed edges.
#[derive(Clone, Debug, Default)]
pub struct Crossed {
    /// The rows over every edge.
    pub rows: u64,
    /// The bytes over the edges to the local node.
    pub bytes: u64,
    /// The rows that scans of files returned at their owners.
    pub rows_read: u64,
    /// A description of each edge to the local node.
    edges: Vec<String>,
}

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.edges.join("\n"))
    }
}

/// Runs a query, and returns what crossed its edges.
pub async fn crossed(client: &Client, sql: &str) -> Crossed {
    let document = explain(client, "ANALYZE, FORMAT JSON", sql).await;
    let mut crossed = Crossed::default();
    for fragment in document["fragments"].as_array().unwrap() {
        let actual = &fragment["actual"];
        crossed.rows += actual["rows"].as_u64().unwrap_or(0);
        crossed.bytes += actual["bytes"].as_u64().unwrap_or(0);
        for operator in actual["operators"].as_array().into_iter().flatten() {
            let rows = operator["rows"].as_u64().unwrap_or(0);
            match operator["operator"].as_str().unwrap() {
                name if name.starts_with("RemoteScanExec") => crossed.rows += rows,
                name if name.starts_with("DataSourceExec") => crossed.rows_read += rows,
                _ => {}
            }
        }
        crossed.edges.push(told(fragment));
    }
    crossed
}

/// Returns the strategies of a query's edges, without running the query.
pub async fn strategies(client: &Client, sql: &str) -> Vec<String> {
    strategies_in(&explain(client, "FORMAT JSON", sql).await)
}

/// Returns the strategies of the edges in a document of EXPLAIN.
pub fn strategies_in(document: &Value) -> Vec<String> {
    let fragments = document["fragments"].as_array().into_iter().flatten();
    fragments.filter_map(|f| f["edge"]["strategy"].as_str().map(str::to_owned)).collect()
}

/// Returns the document in the rows of `EXPLAIN (FORMAT JSON)`; `None` if there is none.
pub fn document(batches: &[RecordBatch]) -> Option<Value> {
    let batch = batches.iter().find(|b| b.num_rows() > 0)?;
    let text = cast(batch.column(1), &DataType::Utf8).ok()?;
    serde_json::from_str(text.as_string::<i32>().value(0)).ok()
}

/// Describes an edge and its fragment in a few lines.
fn told(fragment: &Value) -> String {
    let (edge, actual, decision) = (&fragment["edge"], &fragment["actual"], &fragment["decision"]);
    let sql = fragment["sql"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "{} of {}: expected {} of {} rows, came {} rows, {} bytes, keys {}\n  chosen {}\n  instead of {}\n  {sql}",
        edge["strategy"],
        fragment["domains"],
        edge["rows"],
        edge["rows_whole"],
        actual["rows"],
        actual["bytes"],
        actual["keys"],
        decision["chosen"],
        decision["runners_up"],
    )
}

async fn explain(client: &Client, options: &str, sql: &str) -> Value {
    let (_, batches) =
        client.query(&format!("EXPLAIN ({options}) {sql}")).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
    document(&batches).expect("EXPLAIN returns a document")
}
