//! A statement from its text to its rows.

mod adapt;
mod fragment;

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt};
use portolan_connectors::{FragmentSummary, PulledRows};

use crate::engine::Inner;
use crate::exchange::{Physical, QueryContext, RemoteScanExec};
use crate::execution::admission::Place;
use crate::execution::errors::from_datafusion;
use crate::execution::memory::QueryMemory;
use crate::execution::run::{Batches, Run};
use crate::explain::ExplainOptions;
use crate::mesh::MeshView;
use crate::names::MeshCatalogs;
use crate::planner::Planned;
use crate::planner::resolve::{Resolved, resolve};
use crate::progress::EdgeProgress;
use crate::{Error, ErrorKind, ProgressHandle, Result, Session, Settings, explain, planner};

pub(crate) use fragment::{estimate_fragment, run_fragment};

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// It gives rows: `SELECT`, `EXPLAIN`, `SHOW`.
    Query,
    /// It changes the session and gives no rows: `SET`.
    Setting,
}

/// A statement that was parsed and planned: it can run any number of times, and follows the mesh as that changes.
#[derive(Clone, Debug)]
pub struct Prepared {
    session: Session,
    sql: String,
    view: Arc<MeshView>,
    resolved: Resolved,
    schema: SchemaRef,
    parameters: SchemaRef,
}

impl Prepared {
    pub(crate) async fn new(session: &Session, sql: &str) -> Result<Self> {
        let session = session.clone();
        let sql = sql.to_owned();
        let cpu = session.engine.clone();
        cpu.cpu
            .run(async move {
                let view = session.engine.mesh.view();
                let state = session_state(&session.engine, &view)?;
                let resolved = resolve(&sql, &state, &view.snapshot).await?;
                let schema = promised(&resolved);
                let parameters = match &resolved {
                    Resolved::Query(plan) | Resolved::Explain { query: plan, .. } => parameters(plan)?,
                    _ => Arc::new(Schema::empty()),
                };
                Ok(Self { session, sql, view, resolved, schema, parameters })
            })
            .await
    }

    /// What it does.
    pub fn kind(&self) -> StatementKind {
        match self.resolved {
            Resolved::Set { .. } => StatementKind::Setting,
            _ => StatementKind::Query,
        }
    }

    /// The columns that it gives; without columns for a [`StatementKind::Setting`].
    ///
    /// A column whose type only a parameter tells has type `Null` until that parameter is bound: the stream that
    /// [`Prepared::execute`] gives has the final columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The columns that it gives with these values for its parameters.
    ///
    /// # Errors
    /// `InvalidQuery` where the values do not fit the parameters.
    pub fn schema_with(&self, parameters: &[ScalarValue]) -> Result<SchemaRef> {
        match &self.resolved {
            Resolved::Query(plan) if !parameters.is_empty() => {
                Ok(nullable(self.bind(plan.clone(), parameters)?.schema().as_arrow()))
            }
            _ => Ok(self.schema()),
        }
    }

    /// Its parameters in order, named `$1`, `$2`, …; type `Null` where nothing tells the type. All nullable.
    pub fn parameters(&self) -> SchemaRef {
        self.parameters.clone()
    }

    /// Runs it with one value for each parameter.
    ///
    /// # Errors
    /// `InvalidQuery` where the values do not fit the parameters; whatever planning and starting can give.
    pub async fn execute(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        let view = self.session.engine.mesh.view();
        if !Arc::ptr_eq(&view, &self.view) {
            // The mesh changed: names may mean something else now.
            return Box::pin(Self::new(&self.session, &self.sql)).await?.run(parameters).await;
        }
        self.run(parameters).await
    }

    async fn run(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        let settings = self.session.settings();
        match self.resolved.clone() {
            Resolved::Set { name, value } => {
                self.session.set(&name, &value)?;
                Ok(QueryStream::fixed(self.schema.clone(), vec![]))
            }
            Resolved::Show { name } => show(&settings, &name),
            Resolved::Query(plan) => {
                let plan = self.bind(plan, parameters)?;
                let query = Query::of_session(self, settings);
                self.on_cpu(async move { query.start(&plan).await }).await
            }
            Resolved::Explain { query: plan, options } => {
                let plan = self.bind(plan, parameters)?;
                let query = Query::of_session(self, settings);
                let rows = self.on_cpu(async move { query.explain(&plan, options).await }).await?;
                Ok(QueryStream::fixed(explain::schema(), vec![explain::batch(rows)?]))
            }
        }
    }

    async fn on_cpu<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.session.engine.cpu.run(work).await
    }

    fn bind(&self, plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let fields = self.parameters.fields();
        if values.len() != fields.len() {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                format!("the statement has {} parameters and {} values were given", fields.len(), values.len()),
            ));
        }
        if values.is_empty() {
            return Ok(plan);
        }
        let fit = |(value, field): (&ScalarValue, &Arc<Field>)| {
            if field.data_type().is_null() || *field.data_type() == value.data_type() {
                return Ok(value.clone());
            }
            let wrong = || {
                let what = format!("the value of {} is no {}", field.name(), field.data_type());
                Error::new(ErrorKind::InvalidQuery, what)
            };
            let cast = value.cast_to(field.data_type()).map_err(|e| wrong().with_source(e))?;
            // A cast cuts fractions off: what does not come back as it went in would be another value.
            let narrows = value.data_type().is_numeric() || value.data_type().is_temporal();
            match cast.cast_to(&value.data_type()) {
                Ok(back) if !narrows || back == *value => Ok(cast),
                _ => Err(wrong()),
            }
        };
        let values = values.iter().zip(fields).map(fit).collect::<Result<Vec<_>>>()?;
        plan.with_param_values(ParamValues::from(values)).map_err(|e| from_datafusion(&e))
    }
}

/// The columns that a statement promises: all nullable, since what is known of NULLs differs between a plan and its
/// execution, and clients compare.
fn promised(resolved: &Resolved) -> SchemaRef {
    match resolved {
        Resolved::Query(plan) => nullable(plan.schema().as_arrow()),
        Resolved::Explain { .. } => explain::schema(),
        Resolved::Set { .. } => Arc::new(Schema::empty()),
        Resolved::Show { .. } => show_schema(),
    }
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The parameters, `$1` first.
fn parameters(plan: &LogicalPlan) -> Result<SchemaRef> {
    let found = plan.get_parameter_types().map_err(|e| from_datafusion(&e))?;
    let mut numbered = vec![];
    for (name, data_type) in found {
        let number: usize = name.trim_start_matches('$').parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::new(ErrorKind::InvalidQuery, format!("a parameter is `$1`, `$2`, …, not `{name}`"))
        })?;
        numbered.push((number, data_type.unwrap_or(DataType::Null)));
    }
    numbered.sort_by_key(|(number, _)| *number);
    if let Some((i, (number, _))) = numbered.iter().enumerate().find(|(i, (number, _))| *number != i + 1) {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("the statement has a parameter ${number} and no ${}", i + 1),
        ));
    }
    let fields: Vec<_> = numbered.into_iter().map(|(n, t)| Field::new(format!("${n}"), t, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn show_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("value", DataType::Utf8, true)]))
}

fn show(settings: &Settings, name: &str) -> Result<QueryStream> {
    let all = settings.values();
    let shown: Vec<_> = all.iter().filter(|(n, _)| name == "portolan.all" || *n == name).collect();
    if shown.is_empty() {
        // The error of setting it names the nearest one.
        Settings::default().set(name, "")?;
    }
    let names: StringArray = shown.iter().map(|(n, _)| Some(*n)).collect();
    let values: StringArray = shown.iter().map(|(_, v)| Some(v.as_str())).collect();
    let batch = RecordBatch::try_new(show_schema(), vec![Arc::new(names), Arc::new(values)])
        .map_err(|e| Error::new(ErrorKind::Internal, "the settings have no form").with_source(e))?;
    Ok(QueryStream::fixed(show_schema(), vec![batch]))
}

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
    fn of_session(prepared: &Prepared, settings: Settings) -> Self {
        let engine = prepared.session.engine.clone();
        let limit = engine.limits.query_timeout;
        let timeout = settings.query_timeout.map_or(limit, |t| t.min(limit));
        Self {
            view: prepared.view.clone(),
            settings,
            context: Arc::new(QueryContext {
                query_id: uuid::Uuid::new_v4().to_string(),
                principal: prepared.session.principal.clone(),
                hops: 0,
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
        QueryStream { schema, query_id, progress, plan: Some(ready), rows: Rows::Running(run.start(&engine.cpu)) }
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
        let Some(ready) = stream.plan else { return Ok(vec![]) };
        // It may not be the plan that it began with.
        let ready = ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
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

/// The rows of a running statement. Dropping it stops the work, here and at every other site.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    query_id: String,
    progress: ProgressHandle,
    plan: Option<Final>,
    rows: Rows,
}

/// The plan that a query runs, or ran, by.
type Final = Arc<Mutex<Arc<Ready>>>;

#[derive(Debug)]
enum Rows {
    Running(Batches),
    Fixed(std::vec::IntoIter<RecordBatch>),
}

impl QueryStream {
    fn fixed(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            query_id: uuid::Uuid::new_v4().to_string(),
            progress: ProgressHandle::default(),
            plan: None,
            rows: Rows::Fixed(batches.into_iter()),
        }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The query's identity, the same at every node that it reaches.
    pub fn query_id(&self) -> &str {
        &self.query_id
    }

    /// Tells how far it is while somebody drives it.
    pub fn progress(&self) -> ProgressHandle {
        self.progress.clone()
    }

    /// What its operators did; complete once the stream has ended.
    pub fn summary(&self) -> FragmentSummary {
        FragmentSummary {
            rows: self.progress.now().rows,
            operators: self
                .plan
                .as_ref()
                .map(|plan| plan.lock().unwrap_or_else(PoisonError::into_inner).clone())
                .map(|ready| explain::local_operators(ready.physical.as_ref(), Some(&ready.planned.placed)))
                .unwrap_or_default(),
            pulled: self.progress.now().edges.into_iter().take(MOST_EDGES_TOLD).map(pulled).collect(),
            // Whoever sends the rows on knows that.
            producing_ms: None,
        }
    }
}

/// A caller is told of so many edges beyond its own.
const MOST_EDGES_TOLD: usize = 1000;

fn pulled(edge: EdgeProgress) -> PulledRows {
    let EdgeProgress { domains, site, rows, bytes, bytes_sent, .. } = edge;
    PulledRows { domains, site, rows, bytes, bytes_sent }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.rows {
            Rows::Running(batches) => batches.poll_next_unpin(cx),
            Rows::Fixed(batches) => {
                let next = batches.next();
                match &next {
                    Some(batch) => self.progress.add_rows(batch.num_rows()),
                    None => self.progress.finish(),
                }
                Poll::Ready(next.map(Ok))
            }
        }
    }
}
