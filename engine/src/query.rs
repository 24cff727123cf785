//! A statement from its text to its rows.

mod adapt;
mod fragment;
mod prepared;
mod stream;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;

use self::prepared::nullable;
use crate::engine::Inner;
use crate::exchange::{Physical, QueryContext, RemoteScanExec};
use crate::execution::admission::Place;
use crate::execution::errors::from_datafusion;
use crate::execution::memory::QueryMemory;
use crate::execution::run::Run;
use crate::explain::ExplainOptions;
use crate::mesh::MeshView;
use crate::names::MeshCatalogs;
use crate::planner::Planned;
use crate::{Error, ErrorKind, ProgressHandle, Result, Session, Settings, explain, planner};

pub(crate) use fragment::{estimate_fragment, run_fragment};
pub use prepared::{Prepared, StatementKind};
pub use stream::QueryStream;

/// One run of a query.
struct Query {
    engine: Arc<Inner>,
    view: Arc<MeshView>,
    settings: Settings,
    context: Arc<QueryContext>,
    fragment: bool,
}

/// A query whose plan is ready.
#[derive(Debug)]
struct Ready {
    state: SessionState,
    planned: Arc<Planned>,
    physical: Arc<dyn ExecutionPlan>,
    scans: Vec<Arc<RemoteScanExec>>,
}

impl Query {
    fn of_session(session: &Session, view: Arc<MeshView>, settings: Settings) -> Self {
        let engine = session.engine.clone();
        let limit = engine.limits.query_timeout;
        let timeout = settings.query_timeout.map_or(limit, |t| t.min(limit));
        Self {
            view,
            settings,
            context: Arc::new(QueryContext {
                query_id: uuid::Uuid::new_v4().to_string(),
                principal: session.principal.clone(),
                hops: 0,
                via: vec![],
                deadline: Instant::now() + timeout,
                key_bytes: engine.limits.key_bytes,
                waiting_since: OnceLock::new(),
            }),
            engine,
            fragment: false,
        }
    }

    async fn ready(&self, plan: &LogicalPlan) -> Result<Ready> {
        let state = session_state(&self.engine, &self.view)?;
        let planned = planner::plan(&state, plan, &self.settings, &self.view, self.fragment)?;
        let Physical { state, plan: physical, scans } =
            Physical::of(&planned.plan, state, self.view.clone(), self.context.clone(), &[]).await?;
        Ok(Ready { state, planned: Arc::new(planned), physical, scans })
    }

    /// Planning lists files and reads their ends, and a store may hang.
    async fn ready_in_time(&self, plan: &LogicalPlan) -> Result<Ready> {
        tokio::time::timeout_at(self.context.deadline.into(), self.ready(plan)).await.map_err(|_| {
            Error::new(
                ErrorKind::DeadlineExceeded,
                "planning took longer than the query may; raise `portolan.query_timeout`",
            )
        })?
    }

    async fn admit(&self) -> Result<Place> {
        if self.fragment {
            self.engine.admission.fragment(self.context.deadline).await
        } else {
            self.engine.admission.query(self.context.deadline).await
        }
    }

    async fn start(self, plan: &LogicalPlan) -> Result<QueryStream> {
        let place = self.admit().await?;
        let ready = self.ready_in_time(plan).await?;
        Ok(self.drive(ready, place, nullable(plan.schema().as_arrow())))
    }

    fn drive(self, ready: Ready, place: Place, schema: SchemaRef) -> QueryStream {
        let progress = ProgressHandle::new(ready.scans.iter().map(|s| s.counters.clone()).collect());
        let (query_id, deadline, engine) = (self.context.query_id.clone(), self.context.deadline, self.engine.clone());
        let ready = Arc::new(Mutex::new(Arc::new(ready)));
        let run = Run {
            plan: Box::pin(self.adapted(ready.clone(), progress.clone())),
            schema: schema.clone(),
            deadline,
            progress: progress.clone(),
            place,
        };
        QueryStream::running(schema, query_id, progress, ready, run.start(&engine.cpu))
    }

    async fn explain(self, plan: &LogicalPlan, options: ExplainOptions) -> Result<Vec<(String, String)>> {
        let place = self.admit().await?;
        let ready = self.ready_in_time(plan).await?;
        if !options.analyze {
            return explain::rows(&ready.planned, &ready.physical, options, None);
        }
        let mut stream = self.drive(ready, place, nullable(plan.schema().as_arrow()));
        while let Some(batch) = stream.next().await {
            batch?;
        }
        // It may not be the plan that it began with.
        let Some(ready) = stream.ready() else { return Ok(vec![]) };
        explain::rows(&ready.planned, &ready.physical, options, Some(&ready.scans))
    }
}

/// What planning and execution of one query see: its view of the mesh, and memory of its own.
fn session_state(engine: &Inner, view: &Arc<MeshView>) -> Result<SessionState> {
    let memory = QueryMemory::new(engine.limits.query_memory, engine.memory.clone());
    let runtime = RuntimeEnvBuilder::from_runtime_env(engine.base.runtime_env())
        .with_memory_pool(Arc::new(memory))
        .build_arc()
        .map_err(|e| from_datafusion(&e))?;
    let mut state = SessionStateBuilder::new_from_existing(engine.base.clone())
        .with_catalog_list(Arc::new(MeshCatalogs::new(view.clone())))
        .with_runtime_env(runtime)
        .build();
    // The moment that `now()` means, wherever in the query it stands.
    state.mark_start_execution();
    Ok(state)
}
