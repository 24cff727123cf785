//! Measures the latency of a query of one row at the gateway and at the owner, over several concurrent connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::HandshakeRequest;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use futures::{TryStreamExt, stream};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::{LocalMesh, NodeProcess};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::memory::client;
use crate::measure::{median, turns};
use crate::planning::millis;
use crate::table::{Table, percentile};

pub(super) const DOMAIN: &str = "geo";
pub(super) const QUERY: &str = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = 3";
const QUERY_WITH_VALUE: &str = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = $1";
/// The number of nations, with the keys from 0.
const NATIONS: i64 = 25;
/// The smallest number of queries of each connection in a run. The first query of a connection does not wait for
/// others.
const LEAST: u32 = 8;
/// The number of queries of each connection before the measurement starts.
const WARM_UP: u32 = 4;

/// The results of one run, or the medians of several.
struct Run {
    p50: Duration,
    p95: Duration,
    /// The answers per second.
    rate: f64,
}

/// The forms in which clients send the query.
const FORMS: [QueryForm; 3] = [QueryForm::Text, QueryForm::Prepared, QueryForm::WithValue];

/// A form in which a client sends the query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QueryForm {
    /// The text, again each time.
    Text,
    /// A statement that was prepared once.
    Prepared,
    /// A statement that was prepared once, with another value each time.
    WithValue,
}

impl QueryForm {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Prepared => "prepared",
            Self::WithValue => "prepared, with a value",
        }
    }
}

/// Measures the query, and returns a table with one row for each form and number of connections.
///
/// # Errors
/// A node that does not answer.
pub async fn measure(mesh: &LocalMesh, connections: &[u32], queries: u32, runs: u32) -> Result<Table> {
    let missing = || Error::failed(format!("the mesh has no node of domain `{DOMAIN}`"));
    let owner = mesh.nodes().iter().find(|node| node.domain() == Some(DOMAIN)).ok_or_else(missing)?;
    let mut rows = vec![];
    for (form, &number) in FORMS.iter().flat_map(|form| connections.iter().map(move |number| (*form, number))) {
        let each = queries.div_ceil(number).max(LEAST);
        eprintln!("{}, {number} connections: {each} queries over each, {runs} times", form.name());
        let mut sides = [connect(owner, form, number).await?, connect(mesh.gateway(), form, number).await?];
        for side in &mut sides {
            burst(side, WARM_UP).await?;
        }
        let mut taken = [vec![], vec![]];
        for side in turns(runs, sides.len()) {
            taken[side].push(burst(&mut sides[side], each).await?);
        }
        let [owner, gateway] = taken.map(Run::middle);
        let ratio = gateway.p50.as_secs_f64() / owner.p50.as_secs_f64();
        let mut row = vec![json!(form.name()), json!(number), json!(each)];
        row.extend(owner.cells().into_iter().chain(gateway.cells()));
        row.push(json!(ratio));
        rows.push(row);
    }
    Ok(Table {
        title: format!("a query of one row, medians of {runs} runs"),
        columns: vec![
            "query",
            "connections",
            "queries per connection",
            "owner p50 ms",
            "owner p95 ms",
            "owner queries/s",
            "gateway p50 ms",
            "gateway p95 ms",
            "gateway queries/s",
            "gateway p50 / owner p50",
        ],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

/// A connection with a session of its own.
struct Connection {
    client: FlightSqlServiceClient<Channel>,
    prepared: Option<PreparedStatement<Channel>>,
    form: QueryForm,
    /// The value of the next query.
    next: i64,
}

impl Connection {
    async fn open(node: &NodeProcess, form: QueryForm) -> Result<Self> {
        let mut client = client(node).await?;
        let failed = |e| Error::failed("a session cannot be opened").with_source(e);
        log_in(&mut client).await.map_err(failed)?;
        let sql = match form {
            QueryForm::Text => return Ok(Self { client, prepared: None, form, next: 0 }),
            QueryForm::Prepared => QUERY,
            QueryForm::WithValue => QUERY_WITH_VALUE,
        };
        let prepared = client.prepare(sql.to_owned(), None).await;
        let prepared = prepared.map_err(|e| Error::failed("a statement cannot be prepared").with_source(e))?;
        Ok(Self { client, prepared: Some(prepared), form, next: 0 })
    }

    /// Runs the query once, and returns the number of its rows.
    async fn ask(&mut self) -> std::result::Result<usize, FlightError> {
        let info = match &mut self.prepared {
            None => self.client.execute(QUERY.to_owned(), None).await?,
            Some(prepared) => {
                if self.form == QueryForm::WithValue {
                    self.next = (self.next + 1) % NATIONS;
                    let value: ArrayRef = Arc::new(Int64Array::from(vec![self.next]));
                    prepared.set_parameters(RecordBatch::try_from_iter([("$1", value)])?)?;
                }
                prepared.execute().await?
            }
        };
        let mut rows = 0;
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let batches: Vec<RecordBatch> = self.client.do_get(ticket).await?.try_collect().await?;
            rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        Ok(rows)
    }
}

/// Opens an anonymous session.
async fn log_in(client: &mut FlightSqlServiceClient<Channel>) -> std::result::Result<(), FlightError> {
    let handshake = client.inner_mut().handshake(stream::iter([HandshakeRequest::default()])).await?;
    let token = handshake.metadata().get("authorization").and_then(|token| token.to_str().ok()).map(str::to_owned);
    if let Some(token) = token {
        client.set_token(token.trim_start_matches("Bearer ").to_owned());
    }
    handshake.into_inner().try_collect::<Vec<_>>().await?;
    Ok(())
}

async fn connect(node: &NodeProcess, form: QueryForm, number: u32) -> Result<Vec<Connection>> {
    let mut connections = vec![];
    for _ in 0..number {
        connections.push(Connection::open(node, form).await?);
    }
    Ok(connections)
}

/// Sends `each` queries over each connection. All connections run concurrently. Each waits for an answer before it sends
/// the next query.
async fn burst(connections: &mut Vec<Connection>, each: u32) -> Result<Run> {
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for mut connection in connections.drain(..) {
        asking.spawn(async move {
            let mut times = vec![];
            for _ in 0..each {
                let asked = Instant::now();
                let rows = connection.ask().await.map_err(|e| Error::failed("a query failed").with_source(e))?;
                times.push(asked.elapsed().as_secs_f64());
                if rows != 1 {
                    return Err(Error::failed(format!("expected one row, got {rows} rows")));
                }
            }
            Ok((connection, times))
        });
    }
    let mut times = vec![];
    while let Some(asked) = asking.join_next().await {
        let (connection, taken) = asked.map_err(|e| Error::failed("a client task failed").with_source(e))??;
        connections.push(connection);
        times.extend(taken);
    }
    let at = |share| Duration::from_secs_f64(percentile(&times, share).unwrap_or_default());
    Ok(Run { p50: at(0.5), p95: at(0.95), rate: times.len() as f64 / started.elapsed().as_secs_f64() })
}

impl Run {
    fn middle(runs: Vec<Self>) -> Self {
        let of = |time: fn(&Self) -> Duration| median(runs.iter().map(time).collect());
        let rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
        Self { p50: of(|run| run.p50), p95: of(|run| run.p95), rate: percentile(&rates, 0.5).unwrap_or_default() }
    }

    fn cells(&self) -> [Value; 3] {
        [json!(millis(self.p50)), json!(millis(self.p95)), json!(self.rate.round() as u64)]
    }
}
