//! Runs each query on both sides, checks once that they return the same rows, and then measures the times.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_engine::{Engine, QueryStream};
use portolan_node::Result;
use portolan_node::client::Client;
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::tpch::{DOMAINS, Query};

use crate::asked::{Answer, session};
use crate::chosen;

/// The measurements of one query.
pub struct Measurement {
    /// The number of the query in the specification.
    pub query: usize,
    /// The number of rows of the result.
    pub rows: usize,
    /// The median time of one process.
    pub single: Duration,
    /// The median time of the mesh.
    pub mesh: Duration,
    /// The bytes that crossed the edge of each of [`DOMAINS`].
    pub bytes: [u64; DOMAINS.len()],
}

/// Returns the sides in the order in which they run. They take turns to go first, so that none has an advantage.
pub fn turns(runs: u32, sides: usize) -> impl Iterator<Item = usize> {
    (0..runs as usize).flat_map(move |run| (0..sides).map(move |turn| (run + turn) % sides))
}

/// Measures these queries, or all queries if there are no numbers. The first run of each query compares the results,
/// warms the caches of both sides, and is not counted.
///
/// # Errors
/// A query that fails, or whose results differ.
pub async fn measure(mesh: &LocalMesh, single: &Engine, queries: &[u32], runs: u32) -> Result<Vec<Measurement>> {
    let client = session(mesh, &[]).await?;
    let mut measurements = vec![];
    for query in chosen(queries) {
        eprintln!("query {}: one run to compare the rows, then {runs} measured runs", query.number);
        let (rows, bytes) = check(mesh, &client, single, query).await?;
        let (mut single_times, mut mesh_times) = (vec![], vec![]);
        for side in turns(runs, 2) {
            match side {
                0 => single_times.push(in_one_process(single.sql(query.sql)).await?.2),
                _ => mesh_times.push(Answer::of(&client, query.sql).await?.time),
            }
        }
        let (single, mesh) = (median(single_times), median(mesh_times));
        measurements.push(Measurement { query: query.number, rows, single, mesh, bytes });
    }
    Ok(measurements)
}

/// Compares the results of both sides. Returns the number of rows, and the bytes over each domain's edge.
async fn check(
    mesh: &LocalMesh,
    client: &Client,
    single: &Engine,
    query: &Query,
) -> Result<(usize, [u64; DOMAINS.len()])> {
    let (schema, batches, _) = in_one_process(single.sql(query.sql)).await?;
    let answer = Answer::of(client, query.sql).await?;
    answer.same_as((&schema, &batches), query)?;
    Ok((answer.rows(), mesh.bytes_by_domain(&answer.progress)))
}

/// Runs a query that the library has not started. Returns the result, and the time from the text to the last row.
///
/// # Errors
/// The error of the engine.
pub async fn in_one_process(
    query: impl Future<Output = portolan_engine::Result<QueryStream>>,
) -> Result<(SchemaRef, Vec<RecordBatch>, Duration)> {
    let started = Instant::now();
    let stream = query.await?;
    let schema = stream.schema();
    let batches = stream.try_collect().await?;
    Ok((schema, batches, started.elapsed()))
}

/// Returns the median: the time in the middle, or the mean of the two in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
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
