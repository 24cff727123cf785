//! Runs queries on the gateway in sessions with settings, and keeps the results and the bytes that crossed edges.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_engine::Progress;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::compare::compare;
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::tpch::Query;

/// Settings of a session: pairs of a name without `portolan.` and a value.
pub type Settings = &'static [(&'static str, &'static str)];

/// The strategy of federated engines for any source. They push the filters and columns of each port down and gather the
/// rows. The gateway runs all joins and aggregates, in the order of the query's text.
pub const GATHERED: Settings = &[("pushdown", "scans"), ("strategy", "gather"), ("join_order", "off")];
/// The gateway runs the joins across sites and sends no keys. An owner runs everything that needs no other site.
pub const JOINS_GATHERED: Settings = &[("strategy", "gather")];
/// The gateway gathers all rows of each port, in the columns that the query reads.
pub const UNPLACED: Settings = &[("placement", "off")];

/// The answer to a query.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// The time from sending the text to decoding the last row.
    pub time: Duration,
    /// The rows and bytes that crossed edges.
    pub progress: Progress,
}

/// Opens a session on the gateway.
///
/// # Errors
/// The gateway does not answer, or does not know a setting.
pub async fn session(mesh: &LocalMesh, settings: Settings) -> Result<Client> {
    session_at(mesh.gateway().url(), settings).await
}

/// Opens a session on the node at a URL.
///
/// # Errors
/// The node does not answer, or does not know a setting.
pub async fn session_at(url: &str, settings: Settings) -> Result<Client> {
    let client = Client::connect(url, &ConnectOptions::default()).await?;
    for (name, value) in settings {
        set(&client, name, value).await?;
    }
    Ok(client)
}

/// Changes a setting of a session.
///
/// # Errors
/// The setting does not exist, or does not accept the value.
pub async fn set(client: &Client, name: &str, value: &str) -> Result<()> {
    client.query(&format!("SET portolan.{name} = '{value}'")).await?;
    Ok(())
}

impl Answer {
    /// Runs a query and reads the answer.
    ///
    /// # Errors
    /// The gateway's error.
    pub async fn of(client: &Client, sql: &str) -> Result<Self> {
        let started = Instant::now();
        let statement = client.prepare(sql).await?;
        let batches = client.rows(&statement).try_collect().await?;
        let time = started.elapsed();
        let progress = client.progress(&statement).await;
        let progress =
            progress.ok_or_else(|| Error::failed("the gateway no longer keeps the progress of the query"))?;
        Ok(Self { schema: statement.schema().clone(), batches, time, progress })
    }

    /// Returns the bytes over all edges between nodes: rows that the gateway fetched, rows that owners fetched from one
    /// another, and the keys that were sent for either. The bytes from the gateway to its client are not included.
    pub fn bytes(&self) -> u64 {
        self.progress.edges.iter().map(|edge| edge.bytes + edge.bytes_sent).sum()
    }

    /// True if an edge was stopped before its end. Its owner then did not report the bytes that it fetched from others.
    pub fn was_stopped(&self) -> bool {
        self.progress.edges.iter().any(|edge| !edge.finished)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Returns the columns and rows.
    pub fn result(&self) -> (&SchemaRef, &[RecordBatch]) {
        (&self.schema, &self.batches)
    }

    /// Checks that this answer equals another result of the same query.
    ///
    /// # Errors
    /// The difference.
    pub fn same_as(&self, expected: (&SchemaRef, &[RecordBatch]), query: &Query) -> Result<()> {
        compare(expected, self.result(), &query.order())
            .map_err(|difference| Error::failed(format!("query {}: {difference}", query.number)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use portolan_engine::EdgeProgress;

    use super::*;

    #[test]
    fn bytes_are_of_rows_and_of_keys_over_every_edge() {
        let edge = |bytes, bytes_sent| {
            let mut edge = EdgeProgress::default();
            (edge.bytes, edge.bytes_sent) = (bytes, bytes_sent);
            edge
        };
        let mut progress = Progress::default();
        progress.edges = vec![edge(100, 7), edge(20, 0)];
        let schema = Schema::empty().into();
        let answer = Answer { schema, batches: vec![], time: Duration::ZERO, progress };
        assert_eq!(answer.bytes(), 127);
    }
}
