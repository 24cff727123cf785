//! Measures the rows per second of a scan of `lineitem`: through the server, through a proxy of bytes, and from a bare
//! Flight service with the same batches.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use futures::{Stream, TryStreamExt};
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::LocalMesh;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use super::subprocess::Subprocess;
use crate::measure::{median, turns};
use crate::planning::millis;
use crate::table::Table;

const DOMAIN: &str = "sales";
const PORT: &str = "SELECT * FROM sales.orders.lineitem";
const KEEP: &str = "CREATE TABLE kept AS SELECT * FROM sales.orders.lineitem";
const KEPT: &str = "SELECT * FROM kept";
/// The places of the bare service and of the owner of the Parquet files among the sources.
const BARE: usize = 0;
const OWNER: usize = 2;
/// Larger than any message that either side sends.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A source of the rows.
enum Side {
    Node { name: &'static str, client: Client, sql: &'static str },
    Bare(FlightServiceClient<Channel>),
}

/// The size of a result, and its time.
struct Read {
    rows: usize,
    batches: usize,
    bytes: usize,
    time: Duration,
}

/// Measures the scan, and returns a table with one row for each source of the rows.
///
/// # Errors
/// A node that does not answer, or other rows from one side than from another.
pub async fn measure(mesh: &LocalMesh, program: &Path, runs: u32) -> Result<Table> {
    let (_serving, sides) = sides(mesh, program).await?;
    let mut first = vec![];
    for side in &sides {
        eprintln!("{}: one run to warm up, then {runs} runs", side.name());
        first.push(side.read().await?);
    }
    if let Some(other) = first.iter().find(|read| read.rows != first[0].rows) {
        return Err(Error::failed(format!(
            "{} rows came from one side and {} from another",
            first[0].rows, other.rows
        )));
    }
    let mut times = vec![vec![]; sides.len()];
    for side in turns(runs, sides.len()) {
        times[side].push(sides[side].read().await?.time);
    }
    let times: Vec<Duration> = times.into_iter().map(median).collect();
    let ratio = |to: usize, time: &Duration| times[to].as_secs_f64() / time.as_secs_f64();
    let rows = sides.iter().zip(&first).zip(&times).map(|((side, first), time)| {
        vec![
            json!(side.name()),
            json!(first.rows),
            json!(first.batches),
            json!(first.bytes as f64 / 1e6),
            json!(millis(*time)),
            json!(first.rows as f64 / time.as_secs_f64() / 1e6),
            json!(ratio(BARE, time)),
            json!(ratio(OWNER, time)),
        ]
    });
    Ok(Table {
        title: format!("all rows of `lineitem`, medians of {runs} runs"),
        columns: vec![
            "from",
            "rows",
            "batches",
            "MB",
            "ms",
            "million rows/s",
            "ratio to the bare service",
            "ratio to the owner of the files",
        ],
        rows: rows.collect(),
        summary: vec![],
        faults: vec![],
    })
}

/// Returns the sources of the rows: [`BARE`] is the bare service, and [`OWNER`] the owner of the files.
async fn sides(mesh: &LocalMesh, program: &Path) -> Result<([Subprocess; 2], Vec<Side>)> {
    let missing = || Error::failed(format!("the mesh has no node of domain `{DOMAIN}`"));
    let owner = mesh.nodes().iter().find(|node| node.domain() == Some(DOMAIN)).ok_or_else(missing)?;
    let bare = ["bare", "--url", owner.url(), "--sql", PORT];
    let bare = Subprocess::start(program, "the bare Flight service", &bare).await?;
    let authority = owner.url().trim_start_matches("grpc://");
    let proxy = Subprocess::start(program, "the proxy", &["byte-proxy", "--to", authority]).await?;
    let unreachable = |e: tonic::transport::Error| Error::failed("cannot reach the bare service").with_source(e);
    let endpoint = Endpoint::from_shared(format!("http://{}", bare.address)).map_err(unreachable)?;
    let channel = endpoint.tcp_nodelay(true).connect().await.map_err(unreachable)?;
    let client = Client::connect(owner.url(), &ConnectOptions::default()).await?;
    client.query(KEEP).await?;
    let proxied = Client::connect(&format!("grpc://{}", proxy.address), &ConnectOptions::default()).await?;
    let gateway = Client::connect(mesh.gateway().url(), &ConnectOptions::default()).await?;
    let sides = vec![
        Side::Bare(FlightServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES)),
        Side::Node { name: "the owner, rows of a session's table", client: client.clone(), sql: KEPT },
        Side::Node { name: "the owner, rows of Parquet", client, sql: PORT },
        Side::Node { name: "the owner behind a proxy of bytes, rows of Parquet", client: proxied, sql: PORT },
        Side::Node { name: "the gateway, rows of Parquet at the owner", client: gateway, sql: PORT },
    ];
    Ok(([bare, proxy], sides))
}

impl Side {
    fn name(&self) -> &'static str {
        match self {
            Self::Node { name, .. } => name,
            Self::Bare(_) => "the bare service, rows in memory",
        }
    }

    /// Reads all rows. The time is from the query to the last decoded row.
    async fn read(&self) -> Result<Read> {
        let started = Instant::now();
        match self {
            Self::Node { client, sql, .. } => {
                let statement = client.prepare(sql).await?;
                drain(started, client.rows(&statement)).await.map_err(Error::from)
            }
            Self::Bare(client) => {
                let broken = |e: FlightError| Error::failed("the bare service failed").with_source(e);
                let answer = client.clone().do_get(Ticket::default()).await.map_err(|e| broken(e.into()))?;
                let messages = answer.into_inner().map_err(FlightError::from);
                drain(started, FlightRecordBatchStream::new_from_flight_data(messages)).await.map_err(broken)
            }
        }
    }
}

async fn drain<E>(started: Instant, rows: impl Stream<Item = Result<RecordBatch, E>>) -> Result<Read, E> {
    let mut read = Read { rows: 0, batches: 0, bytes: 0, time: Duration::ZERO };
    tokio::pin!(rows);
    while let Some(batch) = rows.try_next().await? {
        read.rows += batch.num_rows();
        read.batches += 1;
        let sizes = batch.columns().iter().filter_map(|column| column.to_data().get_slice_memory_size().ok());
        read.bytes += sizes.sum::<usize>();
    }
    read.time = started.elapsed();
    Ok(read)
}
