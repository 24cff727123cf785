//! Runs each query on both sides, checks once that they give the same rows, and then takes times.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_cli::client::{Client, ConnectOptions};
use portolan_cli::compare::compare;
use portolan_cli::demo::mesh::LocalMesh;
use portolan_cli::tpch::{DOMAINS, QUERIES, Query};
use portolan_cli::{Error, Result};
use portolan_engine::{Engine, Progress};

/// How one query went.
pub struct Measurement {
    /// Its number in the specification.
    pub query: usize,
    /// Rows of its result.
    pub rows: usize,
    /// Median time of one process.
    pub single: Duration,
    /// Median time of the mesh.
    pub mesh: Duration,
    /// Bytes that crossed the edge of each of [`DOMAINS`].
    pub bytes: [u64; DOMAINS.len()],
}

/// A result and how long it took.
struct Timed {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    time: Duration,
}

/// Measures these queries, or all where none is named. A first run of each is compared and not counted: it also
/// warms the caches of both sides.
///
/// # Errors
/// A query that fails, or whose results differ.
pub async fn measure(mesh: &LocalMesh, single: &Engine, queries: &[u32], runs: u32) -> Result<Vec<Measurement>> {
    let client = Client::connect(mesh.gateway().url(), &ConnectOptions::default()).await?;
    let chosen = QUERIES.iter().filter(|q| queries.is_empty() || queries.contains(&(q.number as u32)));
    let mut measurements = vec![];
    for query in chosen {
        eprintln!("query {}: checked, then measured {runs} times", query.number);
        let (rows, bytes) = check(&client, single, query).await?;
        let (mut single_times, mut mesh_times) = (vec![], vec![]);
        for run in 0..runs {
            // Who goes first changes, so that neither side has it better.
            if run % 2 == 0 {
                single_times.push(in_one_process(single, query.sql).await?.time);
                mesh_times.push(in_mesh(&client, query.sql).await?.0.time);
            } else {
                mesh_times.push(in_mesh(&client, query.sql).await?.0.time);
                single_times.push(in_one_process(single, query.sql).await?.time);
            }
        }
        let (single, mesh) = (median(single_times), median(mesh_times));
        measurements.push(Measurement { query: query.number, rows, single, mesh, bytes });
    }
    Ok(measurements)
}

/// The number of rows, and the bytes over each domain's edge.
async fn check(client: &Client, single: &Engine, query: &Query) -> Result<(usize, [u64; DOMAINS.len()])> {
    let expected = in_one_process(single, query.sql).await?;
    let (actual, progress) = in_mesh(client, query.sql).await?;
    compare((&expected.schema, &expected.batches), (&actual.schema, &actual.batches), &query.order())
        .map_err(|difference| Error::failed(format!("query {}: {difference}", query.number)))?;
    let progress = progress.ok_or_else(|| Error::failed("the gateway forgot how far a query was"))?;
    Ok((actual.batches.iter().map(RecordBatch::num_rows).sum(), bytes_by_domain(&progress)))
}

/// From the text to the last row, through the library.
async fn in_one_process(engine: &Engine, sql: &str) -> Result<Timed> {
    let started = Instant::now();
    let stream = engine.sql(sql).await?;
    let schema = stream.schema();
    let batches = stream.try_collect().await?;
    Ok(Timed { schema, batches, time: started.elapsed() })
}

/// From the text to the last row decoded, through a Flight SQL client of the gateway.
async fn in_mesh(client: &Client, sql: &str) -> Result<(Timed, Option<Progress>)> {
    let started = Instant::now();
    let statement = client.prepare(sql).await?;
    let batches = client.rows(&statement).try_collect().await?;
    let time = started.elapsed();
    let progress = client.progress(&statement).await;
    Ok((Timed { schema: statement.schema().clone(), batches, time }, progress))
}

fn bytes_by_domain(progress: &Progress) -> [u64; DOMAINS.len()] {
    DOMAINS.map(|domain| {
        let edges = progress.edges.iter().filter(|edge| edge.domains.first().is_some_and(|first| first == domain));
        edges.map(|edge| edge.bytes).sum()
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    match times.as_slice() {
        [] => Duration::ZERO,
        times if times.len() % 2 == 1 => times[times.len() / 2],
        times => (times[times.len() / 2 - 1] + times[times.len() / 2]) / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let millis = |times: &[u64]| median(times.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(millis(&[]), Duration::ZERO);
        assert_eq!(millis(&[9, 1, 2]), Duration::from_millis(2));
        assert_eq!(millis(&[8, 1, 2, 4]), Duration::from_millis(3));
    }
}
