//! Runs a query three ways, placed and unplaced on the gateway of a mesh and in one process that owns everything, and
//! compares what comes. The mesh is real but for its processes: four engines, with Flight over loopback in between.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use portolan_catalog::{DomainName, load_domain};
use portolan_cli::compare::{Order, compare};
use portolan_cli::demo::descriptors;
use portolan_cli::demo::single::single_process;
use portolan_cli::tpch::{DOMAINS, TABLES};
use portolan_connectors::files::FileSources;
use portolan_connectors::node::{NodeOptions, NodeSite};
use portolan_connectors::open_domain;
use portolan_engine::{Engine, Principal, Result as EngineResult, Session};
use portolan_flight_server::{Server, ServerOptions};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Rows = (SchemaRef, Vec<RecordBatch>);

/// No query may take longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The mesh, and the process that it is compared with.
pub struct Trial {
    gateway: Engine,
    single: Engine,
    // Dropped with the trial, and the nodes with them.
    _nodes: JoinSet<()>,
}

/// How a query went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every way gave the same rows; so many.
    Equal(usize),
    /// Every way failed in the same manner.
    Refused(String),
    /// The ways differ: how.
    Different(String),
}

impl Trial {
    /// Starts the mesh over the tables in `data`.
    ///
    /// # Errors
    /// Data that is not there; nodes that do not start or do not learn of one another.
    pub async fn start(data: &Path) -> Result<Self> {
        let mut nodes = JoinSet::new();
        let mut gateway = Engine::builder();
        for domain in DOMAINS {
            let folder = tempfile::tempdir()?;
            let products = descriptors::write(domain, data, folder.path())?;
            let catalog = load_domain(&DomainName::new(domain), &products).map_err(|e| e.to_string())?;
            let runtime = Arc::default();
            let local = open_domain(catalog, &FileSources::default(), &runtime).await.map_err(|e| e.to_string())?;
            let engine = Engine::builder().runtime_env(runtime).local_domain(local).build()?;
            let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await?;
            let peer = NodeSite::new(&server.url(), NodeOptions::default())?;
            gateway = gateway.peer(Arc::new(peer));
            nodes.spawn(async move {
                // Serves until the task is aborted.
                let _ = server.serve(engine, std::future::pending()).await;
            });
        }
        let gateway = gateway.build()?;
        gateway.refresh().await;
        if gateway.mesh().ports().count() != TABLES.len() {
            return Err(format!("the gateway knows {} ports", gateway.mesh().ports().count()).into());
        }
        Ok(Self { gateway, single: single_process(data).await?, _nodes: nodes })
    }

    /// Runs the query every way and compares.
    pub async fn run(&self, sql: &str, order: &Order) -> Outcome {
        let placed = self.rows_at_gateway(sql, "on").await;
        let unplaced = self.rows_at_gateway(sql, "off").await;
        let single = rows(&self.single.session(Principal::anonymous()), sql).await;
        match agree(&unplaced, &placed, order) {
            Outcome::Different(how) => Outcome::Different(format!("unplaced (-) and placed (+): {how}")),
            same => match agree(&single, &unplaced, order) {
                Outcome::Different(how) => Outcome::Different(format!("one process (-) and unplaced (+): {how}")),
                _ => same,
            },
        }
    }

    /// How the gateway runs the query, and what each way gives.
    ///
    /// # Errors
    /// A query that cannot be planned.
    pub async fn show(&self, sql: &str) -> Result<String> {
        let (_, plan) = self.rows_at_gateway(&format!("EXPLAIN VERBOSE {sql}"), "on").await?;
        let mut text = pretty_format_batches(&plan)?.to_string();
        let single = rows(&self.single.session(Principal::anonymous()), sql).await;
        let ways = [
            ("placed", self.rows_at_gateway(sql, "on").await),
            ("unplaced", self.rows_at_gateway(sql, "off").await),
            ("one process", single),
        ];
        for (way, result) in ways {
            match result {
                Ok((_, batches)) => write!(text, "\n{way}:\n{}", pretty_format_batches(&batches)?)?,
                Err(e) => write!(text, "\n{way}: {}", e.chain())?,
            }
        }
        Ok(text)
    }

    async fn rows_at_gateway(&self, sql: &str, placement: &str) -> EngineResult<Rows> {
        let session = self.gateway.session(Principal::anonymous());
        rows(&session, &format!("SET portolan.placement = {placement}")).await?;
        rows(&session, sql).await
    }
}

async fn rows(session: &Session, sql: &str) -> EngineResult<Rows> {
    let work = async {
        let stream = session.sql(sql).await?;
        let schema = stream.schema();
        Ok((schema, stream.try_collect().await?))
    };
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(rows) => rows,
        Err(_) => Err(portolan_engine::Error::new(
            portolan_engine::ErrorKind::ResourceExhausted,
            format!("it took more than {} s", TIMEOUT.as_secs()),
        )),
    }
}

fn agree(expected: &EngineResult<Rows>, actual: &EngineResult<Rows>, order: &Order) -> Outcome {
    if let Some(error) = [expected, actual].into_iter().filter_map(|r| r.as_ref().err()).find(|e| is_planner_gap(e)) {
        return Outcome::Refused(error.chain());
    }
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => match compare((&expected.0, &expected.1), (&actual.0, &actual.1), order) {
            Ok(()) => Outcome::Equal(actual.1.iter().map(RecordBatch::num_rows).sum()),
            Err(difference) => Outcome::Different(difference.to_string()),
        },
        (Err(a), Err(b)) if a.kind() == b.kind() => Outcome::Refused(a.chain()),
        (Err(a), Err(b)) => Outcome::Different(format!("the errors differ\n  - {}\n  + {}", a.chain(), b.chain())),
        (Ok(_), Err(e)) => Outcome::Different(format!("rows against an error\n  + {}", e.chain())),
        (Err(e), Ok(_)) => Outcome::Different(format!("an error against rows\n  - {}", e.chain())),
    }
}

/// DataFusion 55.2 loses a sort where a filter fixes an expression below a join, and notices: whether a query meets
/// that hangs on the sizes that it sees. An error, and never a wrong row.
fn is_planner_gap(error: &portolan_engine::Error) -> bool {
    error.chain().contains("SanityCheckPlan")
}
