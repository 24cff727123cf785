//! Asks the gateway a query in a session with some settings, and keeps what came and what crossed edges for it.

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

/// Settings of a session, by name and without `portolan.`.
pub type Settings = &'static [(&'static str, &'static str)];

/// What federated engines do with any source: filters and columns of each port are pushed, its rows are gathered, and
/// all joins and aggregates are done by who asked, in the order in which the query is written.
pub const GATHERED: Settings = &[("pushdown", "scans"), ("strategy", "gather"), ("join_order", "off")];
/// Joins across sites are done by who asked and no keys are sent, while an owner does all that it can do alone.
pub const JOINS_GATHERED: Settings = &[("strategy", "gather")];
/// Ports come whole, in the columns that are read.
pub const UNPLACED: Settings = &[("placement", "off")];

/// An answer.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// From the text to the last row decoded.
    pub time: Duration,
    /// What crossed edges.
    pub progress: Progress,
}

/// A session on the gateway.
///
/// # Errors
/// A gateway that does not answer, or knows no such setting.
pub async fn session(mesh: &LocalMesh, settings: Settings) -> Result<Client> {
    let client = Client::connect(mesh.gateway().url(), &ConnectOptions::default()).await?;
    for (name, value) in settings {
        set(&client, name, value).await?;
    }
    Ok(client)
}

/// Changes a setting of a session.
///
/// # Errors
/// There is no such setting, or it takes no such value.
pub async fn set(client: &Client, name: &str, value: &str) -> Result<()> {
    client.query(&format!("SET portolan.{name} = '{value}'")).await?;
    Ok(())
}

impl Answer {
    /// Asks for one.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn of(client: &Client, sql: &str) -> Result<Self> {
        let started = Instant::now();
        let statement = client.prepare(sql).await?;
        let batches = client.rows(&statement).try_collect().await?;
        let time = started.elapsed();
        let progress = client.progress(&statement).await;
        let progress = progress.ok_or_else(|| Error::failed("the gateway forgot how far a query was"))?;
        Ok(Self { schema: statement.schema().clone(), batches, time, progress })
    }

    /// Bytes over every edge between nodes: rows that came to the gateway, rows that owners pulled from one another, and
    /// the keys that were sent for either. Not those from the gateway to its client.
    pub fn bytes(&self) -> u64 {
        self.progress.edges.iter().map(|edge| edge.bytes + edge.bytes_sent).sum()
    }

    /// Whether an edge was stopped before its end: its owner did not tell then what it pulled from others.
    pub fn was_stopped(&self) -> bool {
        self.progress.edges.iter().any(|edge| !edge.finished)
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Its columns and rows.
    pub fn result(&self) -> (&SchemaRef, &[RecordBatch]) {
        (&self.schema, &self.batches)
    }

    /// Whether another result of the same query is the same.
    ///
    /// # Errors
    /// How they differ.
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
        let edge = |bytes, bytes_sent| EdgeProgress { bytes, bytes_sent, ..EdgeProgress::default() };
        let progress = Progress { edges: vec![edge(100, 7), edge(20, 0)], ..Progress::default() };
        let schema = Schema::empty().into();
        let answer = Answer { schema, batches: vec![], time: Duration::ZERO, progress };
        assert_eq!(answer.bytes(), 127);
    }
}
