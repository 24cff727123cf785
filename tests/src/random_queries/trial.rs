//! Runs a query four ways, on the gateway of a mesh placed freely, placed in one forced way and unplaced, and in one
//! process that owns everything, and compares what comes. The mesh is real but for its processes: four engines, with
//! Flight over loopback in between.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
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
use portolan_engine::{Engine, EngineBuilder, Principal, Result as EngineResult, Session};
use portolan_flight_server::{Server, ServerOptions};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::crossed::strategies_in;
use crate::forced::{FORCED, Forced};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Rows = (SchemaRef, Vec<RecordBatch>);

/// Every row comes to the gateway.
const UNPLACED: &[(&str, &str)] = &[("portolan.placement", "off")];
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
        let mut servers = vec![];
        for domain in DOMAINS {
            servers.push((domain, Server::bind(ServerOptions::new("127.0.0.1:0")).await?));
        }
        let urls: Vec<_> = servers.iter().map(|(domain, server)| (*domain, server.url())).collect();
        let mut engines = vec![];
        for (domain, server) in servers {
            let folder = tempfile::tempdir()?;
            let products = descriptors::write(domain, data, folder.path())?;
            let catalog = load_domain(&DomainName::new(domain), &products).map_err(|e| e.to_string())?;
            let runtime = Arc::default();
            let local = open_domain(catalog, &FileSources::default(), &runtime).await.map_err(|e| e.to_string())?;
            let engine = Engine::builder().runtime_env(runtime).local_domain(local);
            let engine = with_peers(engine, urls.iter().filter(|(other, _)| *other != domain))?.build()?;
            engines.push(engine.clone());
            nodes.spawn(async move {
                // Serves until the task is aborted.
                let _ = server.serve(engine, std::future::pending()).await;
            });
        }
        // The nodes know one another before they are asked whom they know.
        for engine in &engines {
            engine.refresh().await;
        }
        let gateway = with_peers(Engine::builder(), urls.iter())?.build()?;
        gateway.refresh().await;
        if gateway.mesh().ports().count() != TABLES.len() {
            return Err(format!("the gateway knows {} ports", gateway.mesh().ports().count()).into());
        }
        Ok(Self { gateway, single: single_process(data).await?, _nodes: nodes })
    }

    /// Runs the query every way and compares. `forced` is the way that is forced.
    pub async fn run(&self, sql: &str, order: &Order, forced: &Forced) -> Outcome {
        let unplaced = self.rows_at_gateway(sql, UNPLACED).await;
        let single = rows(&self.single.session(Principal::anonymous()), sql).await;
        let mut outcome = match agree(&single, &unplaced, order) {
            Outcome::Different(how) => return Outcome::Different(format!("one process (-) and unplaced (+): {how}")),
            same => same,
        };
        for (name, settings) in [("placed", &[][..]), (forced.name, forced.settings)] {
            let placed = self.rows_at_gateway(sql, settings).await;
            match agree(&unplaced, &placed, order) {
                Outcome::Different(how) => {
                    return Outcome::Different(format!("unplaced (-) and {name} (+): {how}"));
                }
                Outcome::Refused(why) => outcome = Outcome::Refused(why),
                Outcome::Equal(_) => {}
            }
        }
        outcome
    }

    /// The strategies of the edges that the query has where this way is forced; none for a query that cannot be
    /// planned.
    pub async fn strategies(&self, sql: &str, forced: &Forced) -> Vec<String> {
        let explained = self.rows_at_gateway(&format!("EXPLAIN (FORMAT JSON) {sql}"), forced.settings).await;
        let document = explained.ok().and_then(|(_, batches)| document(&batches));
        document.map(|d| strategies_in(&d)).unwrap_or_default()
    }

    /// How the gateway runs the query, and what each way gives.
    ///
    /// # Errors
    /// A query that cannot be planned.
    pub async fn show(&self, sql: &str) -> Result<String> {
        let mut text = String::new();
        let single = rows(&self.single.session(Principal::anonymous()), sql).await;
        let mut ways = vec![("one process", single), ("unplaced", self.rows_at_gateway(sql, UNPLACED).await)];
        for Forced { name, settings } in [Forced { name: "placed", settings: &[] }].iter().chain(FORCED) {
            let (_, plan) = self.rows_at_gateway(&format!("EXPLAIN VERBOSE {sql}"), settings).await?;
            write!(text, "\n{name}:\n{}", pretty_format_batches(&plan)?)?;
            ways.push((name, self.rows_at_gateway(sql, settings).await));
        }
        for (way, result) in ways {
            match result {
                Ok((_, batches)) => write!(text, "\n{way}:\n{}", pretty_format_batches(&batches)?)?,
                Err(e) => write!(text, "\n{way}: {}", e.chain())?,
            }
        }
        Ok(text)
    }

    async fn rows_at_gateway(&self, sql: &str, settings: &[(&str, &str)]) -> EngineResult<Rows> {
        let session = self.gateway.session(Principal::anonymous());
        for (name, value) in settings {
            rows(&session, &format!("SET {name} = {value}")).await?;
        }
        rows(&session, sql).await
    }
}

fn with_peers<'a>(
    mut engine: EngineBuilder,
    peers: impl Iterator<Item = &'a (&'static str, String)>,
) -> Result<EngineBuilder> {
    for (_, url) in peers {
        engine = engine.peer(Arc::new(NodeSite::new(url, NodeOptions::default())?));
    }
    Ok(engine)
}

fn document(batches: &[RecordBatch]) -> Option<Value> {
    let batch = batches.iter().find(|b| b.num_rows() > 0)?;
    let text = cast(batch.column(1), &DataType::Utf8).ok()?;
    serde_json::from_str(text.as_string::<i32>().value(0)).ok()
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
