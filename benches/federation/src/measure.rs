//! Runs each query on both gateways: once through proxies, to compare rows and count bytes, and then directly, for
//! times.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::federation::{self, RulePlace};
use crate::flight::FlightClient;
use crate::mesh::{Counting, Mesh};
use crate::testbed::compare::compare;
use crate::tpch::Query;

/// The configuration of the two gateways.
pub struct Gateways<'a> {
    /// The program that runs Portolan's nodes.
    pub portolan: &'a Path,
    /// The folder with the tables.
    pub data: &'a Path,
    /// The place of the rule of `datafusion-federation`.
    pub rule: RulePlace,
    /// The limits of a query.
    pub bounds: Bounds,
}

/// The limits of a query. A query that exceeds them counts as failed.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The time, on either side.
    pub timeout: Duration,
    /// The memory of the operators in the gateway of `datafusion-federation`, in bytes.
    pub memory: usize,
}

/// The outcome of the checked run of one query.
pub struct Checked {
    rows: usize,
    mesh: Vec<u64>,
    federation: Vec<u64>,
    verdict: Verdict,
}

/// The outcome of a query in `datafusion-federation`.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same rows as the mesh
    Same,
    /// Other rows than the mesh, with the difference
    Differs(String),
    /// An error, with the reason
    Fails(String),
}

/// All measurements of one query.
pub struct Measurement {
    /// The number of the query in the specification.
    pub query: usize,
    /// The number of rows of the mesh's result.
    pub rows: usize,
    /// The outcome in `datafusion-federation`.
    pub verdict: Verdict,
    /// The median time of `datafusion-federation`. `None` if it fails.
    pub federation: Option<Duration>,
    /// The median time of the mesh.
    pub mesh: Duration,
    /// The bytes that each owner sent for `datafusion-federation`.
    pub federation_bytes: Vec<u64>,
    /// The bytes that each owner sent for the mesh, to the gateway or to another owner.
    pub mesh_bytes: Vec<u64>,
}

type Rows = (SchemaRef, Vec<RecordBatch>);

impl Gateways<'_> {
    /// Runs each query once on both sides, through proxies.
    pub async fn check(&self, queries: &[Query], explain: bool) -> Result<Vec<Checked>> {
        let (mesh, client, context) = self.start(Counting::On).await?;
        let mut checked = vec![];
        for query in queries {
            eprintln!("query {}: compared", query.number);
            if explain {
                eprintln!("{}", self.explain(&context, &query.sql).await);
            }
            let before = mesh.settled().await;
            let (expected, _) = self.ask_mesh(&client, query).await?;
            let between = mesh.settled().await;
            let actual = self.ask_federation(&context, &query.sql).await;
            let federation = difference(&between, &mesh.settled().await);
            let verdict = match actual {
                Err(error) => Verdict::Fails(reason(&error)),
                Ok((actual, _)) => match compare((&expected.0, &expected.1), (&actual.0, &actual.1), &query.order()) {
                    Ok(()) => Verdict::Same,
                    Err(difference) => Verdict::Differs(difference.to_string()),
                },
            };
            match &verdict {
                Verdict::Same => {}
                Verdict::Differs(why) => eprintln!("query {} differs: {why}", query.number),
                Verdict::Fails(why) => eprintln!("query {} fails: {why}", query.number),
            }
            let rows = expected.1.iter().map(RecordBatch::num_rows).sum();
            checked.push(Checked { rows, mesh: difference(&before, &between), federation, verdict });
        }
        mesh.stop().await;
        Ok(checked)
    }

    /// Measures each query on both sides, without proxies. Queries that failed before do not run again.
    pub async fn time(&self, queries: &[Query], checked: Vec<Checked>, runs: u32) -> Result<Vec<Measurement>> {
        let (mesh, client, context) = self.start(Counting::Off).await?;
        let mut measurements = vec![];
        for (query, mut checked) in queries.iter().zip(checked) {
            eprintln!("query {}: measured {runs} times", query.number);
            let (mut federation, mut in_mesh) = (vec![], vec![]);
            for run in 0..=runs {
                // The sides take turns to go first, so that neither has an advantage.
                if run % 2 == 1 {
                    in_mesh.push(self.ask_mesh(&client, query).await?.1);
                }
                if !matches!(checked.verdict, Verdict::Fails(_)) {
                    match self.ask_federation(&context, &query.sql).await {
                        Ok((_, time)) => federation.push(time),
                        Err(error) => checked.verdict = Verdict::Fails(reason(&error)),
                    }
                }
                if run % 2 == 0 {
                    in_mesh.push(self.ask_mesh(&client, query).await?.1);
                }
            }
            measurements.push(Measurement {
                query: query.number,
                rows: checked.rows,
                verdict: checked.verdict,
                federation: warm_median(&federation),
                mesh: warm_median(&in_mesh).unwrap_or_default(),
                federation_bytes: checked.federation,
                mesh_bytes: checked.mesh,
            });
        }
        mesh.stop().await;
        Ok(measurements)
    }

    async fn start(&self, counting: Counting) -> Result<(Mesh, FlightClient, SessionContext)> {
        let mesh = Mesh::start(self.portolan, self.data, counting).await?;
        let client = FlightClient::connect(&mesh.gateway()).await?;
        let context = federation::gateway(&mesh.owners(), self.rule, self.bounds.memory).await?;
        Ok((mesh, client, context))
    }

    /// Runs a query through Portolan's gateway. The time is from the text to the last decoded row.
    async fn ask_mesh(&self, client: &FlightClient, query: &Query) -> Result<(Rows, Duration)> {
        let started = Instant::now();
        let rows = tokio::time::timeout(self.bounds.timeout, client.query(&query.sql)).await;
        let rows = rows.map_err(anyhow::Error::from).flatten();
        Ok((rows.with_context(|| format!("the mesh does not answer query {}", query.number))?, started.elapsed()))
    }

    /// Runs a query through `datafusion-federation`, in this process. The time is from the text to the last row.
    async fn ask_federation(&self, context: &SessionContext, sql: &str) -> Result<(Rows, Duration)> {
        let started = Instant::now();
        let answer = async {
            let stream = context.sql(sql).await?.execute_stream().await?;
            let schema = stream.schema();
            anyhow::Ok((schema, stream.try_collect().await?))
        };
        let seconds = self.bounds.timeout.as_secs();
        let rows = tokio::time::timeout(self.bounds.timeout, answer).await;
        Ok((rows.map_err(|_| anyhow!("no answer within {seconds} s"))??, started.elapsed()))
    }

    async fn explain(&self, context: &SessionContext, sql: &str) -> String {
        let plan = async { context.sql(sql).await?.create_physical_plan().await };
        match plan.await {
            Ok(plan) => datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string(),
            Err(error) => format!("cannot be planned: {error}"),
        }
    }
}

fn difference(before: &[u64], after: &[u64]) -> Vec<u64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// Returns the message of the owner if an owner failed, or else the whole chain of errors.
fn reason(error: &anyhow::Error) -> String {
    let status = error.chain().find_map(|cause| {
        let boxed = cause.downcast_ref::<Box<tonic::Status>>().map(AsRef::as_ref);
        boxed.or_else(|| cause.downcast_ref::<tonic::Status>())
    });
    status.map_or_else(|| format!("{error:#}"), |status| status.message().to_owned())
}

/// Returns the median of all times except the first, which warms the caches.
fn warm_median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.get(1..)?.to_vec();
    times.sort();
    match times.as_slice() {
        [] => None,
        times if times.len() % 2 == 1 => Some(times[times.len() / 2]),
        times => Some((times[times.len() / 2 - 1] + times[times.len() / 2]) / 2),
    }
}
