//! A statement from its text to its rows.

mod adapt;
mod audit;
mod bulk;
mod casts;
mod change;
#[cfg(feature = "files")]
mod files;
mod fragment;
mod held_rows;
mod ingest;
mod parameter_names;
mod parameters;
mod place;
mod plan_end;
mod policy_table;
mod port_decisions;
mod prepared;
mod relay;
mod reuse;
pub(crate) mod settings;
mod stream;
pub(crate) mod visible_ports;

use std::collections::HashMap;
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures::StreamExt;
use portolan_connectors::{FragmentHead, ResultLabel, TraceContext, lock};

use self::plan_end::{CurrentPlan, EndedOperators, KeptPart, PlanEnd};
use self::prepared::nullable;
use self::reuse::Reuse;
use crate::exchange::{LiveEdges, Physical};
use crate::execution::accounts::Account;
use crate::execution::admission::{Admitted, Slot};
use crate::execution::errors::{from_datafusion, planning_timed_out};
use crate::execution::memory::QueryMemory;
use crate::execution::recording::Recording;
use crate::execution::run::{Driven, Run};
use crate::execution::spill::SpillFiles;
use crate::execution::stop::Stop;
use crate::explain::PassRows;
use crate::functions::WorkMeter;
use crate::mesh::MeshView;
use crate::metrics::{Work, WorkKind};
use crate::names::{SessionNames, reads_only_views, set_names};
use crate::plan::Planned;
use crate::planner::govern::PortRules;
use crate::planner::resolve::ExplainOptions;
use crate::state::{ActivityGuard, Decided, EngineState, QueryContext, RowAccess, RunningMemory, RunningQuery};
use crate::{Error, ErrorKind, ProgressHandle, Result, Settings, explain};

pub(crate) use audit::record_unaccepted;
pub use change::rows_of;
#[cfg(feature = "files")]
pub(crate) use files::rows_of_files;
pub use fragment::EstimatedFragment;
pub(crate) use fragment::{estimate_fragment, run_fragment};
pub(crate) use ingest::ingest;
pub use ingest::{IngestMode, IngestTarget};
pub(crate) use port_decisions::decide_ports;
pub use prepared::{Prepared, StatementKind};
pub use relay::{Relay, RowParts};
pub use stream::{CancelHandle, QueryStream};

/// One run of a query.
struct Query {
    engine: Arc<EngineState>,
    view: Arc<MeshView>,
    settings: Settings,
    context: Arc<QueryContext>,
    /// The names that the session adds to the mesh; `None` for a fragment of another node.
    names: Option<Arc<SessionNames>>,
    listed: Arc<ActivityGuard>,
    /// The account of the query's principal.
    account: Arc<Account>,
    entry: Entry,
    /// The place of the query's plan among the kept plans; `None` if the plan is for this run alone.
    reuse: Option<Reuse>,
    /// True if the query is a fragment that reads a derived port: its sender sees no part of the port's query.
    hides_queries: bool,
    /// False for EXPLAIN without ANALYZE, which has no audit record because it reads no rows.
    reads_rows: bool,
    /// The permission to relay the rows; `None` if they are decoded here.
    relay: Option<Relay>,
    /// The audit record of the read, from the end of planning until the plan runs.
    recording: Mutex<Option<Recording>>,
}

/// The way in which a query gets its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The query waits in the queue.
    InLine,
    /// No client has requested the query's rows yet. The query takes a free slot, or fails.
    Speculative,
}

/// A query whose plan is ready to run.
#[derive(Debug)]
struct Ready {
    state: Arc<SessionState>,
    memory: Arc<RuntimeEnv>,
    meter: Arc<WorkMeter>,
    planned: Arc<Planned>,
    /// The decisions about the ports of this node.
    decided: Decided,
    physical: Arc<dyn ExecutionPlan>,
    edges: Arc<LiveEdges>,
    /// The plan after each pass, if EXPLAIN shows it.
    passes: Option<PassRows>,
    /// The label of the ports of this node.
    label: ResultLabel,
}

impl Query {
    /// Returns a run of a statement. `measured` is true if owners return the metrics of each operator.
    fn of_session(statement: &Prepared, measured: bool) -> Self {
        Self::with_settings(statement, statement.session.settings(), measured)
    }

    /// As [`Query::of_session`], with settings that the session had before.
    fn with_settings(statement: &Prepared, settings: Settings, measured: bool) -> Self {
        let Prepared { session, sql, view, names, .. } = statement;
        let engine = session.engine.clone();
        let query_id = uuid::Uuid::new_v4().to_string();
        let deadline = Instant::now() + session.query_timeout();
        let deadline = statement.deadline.map_or(deadline, |all| all.min(deadline));
        let trace = session.trace.as_ref().map_or_else(TraceContext::start, TraceContext::child);
        let head = FragmentHead::new(query_id.clone(), session.principal().clone(), deadline);
        let head = FragmentHead { measured, trace, purpose: settings.purpose.clone(), ..head };
        let (client, stop) = (session.shared.client(), Stop::below(&session.shared.closed));
        let work = Work::start(&engine.metrics, WorkKind::Query, &head);
        let listed = RunningQuery::new(query_id, client, Some(sql.clone()), stop, work);
        let listed = Arc::new(engine.activity.started(listed));
        Self {
            view: view.clone(),
            settings,
            context: Arc::new(QueryContext::new(head, engine.limits().key_bytes, engine.metrics.clone())),
            engine,
            names: Some(names.clone()),
            listed,
            account: session.shared.account.clone(),
            entry: Entry::InLine,
            reuse: None,
            hides_queries: false,
            reads_rows: true,
            relay: None,
            recording: Mutex::default(),
        }
    }

    /// True if this is a fragment of another node's query.
    fn is_fragment(&self) -> bool {
        self.names.is_none()
    }

    /// Returns the kind of the query, which decides which slots it takes.
    fn kind(&self, plan: &LogicalPlan) -> Admitted {
        match self.is_fragment() {
            true => Admitted::Fragment,
            false if reads_only_views(plan) => Admitted::SystemQuery,
            false => Admitted::Query,
        }
    }

    /// Returns the state in which the query is planned.
    fn state(&self) -> SessionState {
        session_state(&self.engine, &self.view, self.names.clone())
    }

    async fn ready(&self, plan: &LogicalPlan, mut state: SessionState, mut passes: Option<PassRows>) -> Result<Ready> {
        let hides_operators = Arc::new(AtomicBool::new(self.hides_queries));
        let memory = query_memory(&self.engine, &self.account, hides_operators.clone())?;
        // This is the only place that sets the memory.
        let running = RunningMemory { pool: memory.memory_pool.clone(), kind: self.kind(plan), since: Instant::now() };
        let _ = self.listed.query.memory.set(running);
        let (deadline, stop) = (self.context.head.deadline, self.listed.query.stop.signal().clone());
        let meter = Arc::new(WorkMeter::new(memory.memory_pool.clone(), deadline, stop));
        state.config_mut().set_extension(meter.clone());
        let rules = PortRules::of(&self.engine, &self.context.head, &self.view);
        let (planned, label) = self.planned(&state, plan, &rules, &mut passes)?;
        if planned.has_barrier() {
            hides_operators.store(true, Ordering::Relaxed);
        }
        // The record is written while the rest is planned and run.
        self.record(plan, &rules);
        let edges = LiveEdges::new(self.view.clone(), self.context.clone());
        let Physical { state, plan: physical, edges } = Physical::of(&planned.plan, state, edges).await?;
        if !planned.fragments.is_empty() {
            // Keys of this node's rows leave with a fragment, before the first row of the result.
            self.recorded().await?;
        }
        let decided = rules.decided();
        Ok(Ready { state, memory, meter, planned, decided, physical, edges, passes, label })
    }

    /// Plans with a timeout, because planning lists files and reads their footers, and a store may hang.
    async fn ready_in_time(&self, plan: &LogicalPlan, state: SessionState, passes: Option<PassRows>) -> Result<Ready> {
        let ready = tokio::time::timeout_at(self.context.head.deadline.into(), self.ready(plan, state, passes));
        let stop = &self.listed.query.stop;
        let ready = tokio::select! {
            biased;
            () = stop.stopped() => Err(stop.error()),
            ready = ready => ready.unwrap_or_else(|_| Err(planning_timed_out())),
        };
        ready.map_err(|e| stop.instead_of(e)).inspect_err(|e| self.record_failure(e))
    }

    /// Waits for a slot to run the plan.
    async fn admit(&self, plan: &LogicalPlan) -> Result<Slot> {
        let _queued = self.listed.query.work.queued();
        let (admission, principal) = (&self.engine.admission, &self.listed.query.client.principal);
        let allowance = self.engine.limits().allowance(principal);
        let (kind, query, deadline) = (self.kind(plan), &self.context.head.query_id, self.context.head.deadline);
        let slot = async {
            match self.entry {
                Entry::InLine => admission.enter(kind, query, principal, &allowance, deadline).await,
                Entry::Speculative => admission.enter_speculatively(kind, query, principal, &allowance),
            }
        };
        let stop = &self.listed.query.stop;
        tokio::select! {
            biased;
            () = stop.stopped() => Err(stop.error()),
            slot = slot => slot,
        }
    }

    /// Starts a plan whose rows are converted to `schema`.
    async fn start(self, plan: &LogicalPlan, schema: SchemaRef) -> Result<QueryStream> {
        let state = self.state();
        self.start_in(state, plan, schema).await
    }

    /// As [`Query::start`], with a state that already exists.
    async fn start_in(self, mut state: SessionState, plan: &LogicalPlan, schema: SchemaRef) -> Result<QueryStream> {
        let started = async {
            let slot = self.admit(plan).await?;
            // This sets the time of `now()`, at every place in the query.
            state.mark_start_execution();
            Ok::<_, Error>((self.ready_in_time(plan, state, None).await?, slot))
        };
        let (ready, slot) = started.await.inspect_err(|e| self.not_started(e))?;
        let kept = match self.is_fragment() && self.context.head.measured {
            true if self.hides_queries => KeptPart::OperatorNames,
            true => KeptPart::Operators,
            false => KeptPart::Nothing,
        };
        Ok(self.drive(ready, slot, schema, kept))
    }

    /// Counts a query that did not start. A speculative run that lacked a resource is no failure: the query runs again
    /// when the client fetches its rows.
    fn not_started(&self, error: &Error) {
        let kind = match (self.entry, error.kind()) {
            (Entry::Speculative, ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded) => ErrorKind::Cancelled,
            (_, kind) => kind,
        };
        self.listed.query.work.end(Some(kind));
    }

    /// Drives the plan. The stream has the `kept` part of it when the plan has ended.
    fn drive(self, ready: Ready, slot: Slot, schema: SchemaRef, kept: KeptPart) -> QueryStream {
        let progress = ProgressHandle::new(ready.edges.counters(), ready.label.clone());
        let (head, engine) = (&self.context.head, self.engine.clone());
        let (query_id, principal, deadline) = (head.query_id.clone(), head.principal.clone(), head.deadline);
        let access = RowAccess::new(&engine, ready.decided.clone(), &self.view, progress.clone());
        let hashed = ready.edges.hashed();
        let first = Arc::new(ready);
        let plan: CurrentPlan = Arc::new(Mutex::new(Some(first.clone())));
        let operators = EndedOperators::default();
        // This is the only place that sets the progress.
        let _ = self.listed.query.progress.set(progress.clone());
        let (stop, recording) = (self.listed.query.stop.clone(), lock(&self.recording).take());
        let messages = self.relay.as_ref().and_then(|relay| relay.messages(&first, &schema));
        let run = Run {
            stop: stop.clone(),
            guard: Arc::new(PlanEnd {
                kept,
                plan: plan.clone(),
                operators: operators.clone(),
                metrics: engine.metrics.clone(),
                listed: self.listed.clone(),
            }),
            work: self.listed.query.work.clone(),
            plan: match messages {
                Some(messages) => Box::pin(future::ready(Ok::<_, Error>(Driven::Messages(messages)))),
                None => Box::pin(self.adapted(first, plan.clone(), progress.clone())),
            },
            query: query_id.clone(),
            principal,
            schema: schema.clone(),
            deadline,
            progress: progress.clone(),
            slot,
            recording,
        };
        let watched = access.clone();
        let lost = Box::pin(async move { watched.ended().await });
        let rows = QueryStream::running(schema, query_id, progress, plan, operators, run.start(&engine.cpu, lost));
        rows.of_engine(engine, stop).with_hashed(hashed).while_allowed(access)
    }

    async fn explain(mut self, plan: &LogicalPlan, options: ExplainOptions) -> Result<Vec<(String, String)>> {
        self.reads_rows = options.analyze;
        let work = self.listed.query.work.clone();
        let outcome = self.explained(plan, options).await;
        work.end(outcome.as_ref().err().map(Error::kind));
        outcome
    }

    async fn explained(self, plan: &LogicalPlan, options: ExplainOptions) -> Result<Vec<(String, String)>> {
        let slot = self.admit(plan).await?;
        let passes = options.verbose.then(PassRows::default);
        let ready = self.ready_in_time(plan, self.state(), passes).await?;
        if !options.analyze {
            return ready.explained(options, false);
        }
        let mut stream = self.drive(ready, slot, nullable(plan.schema().as_arrow()), KeptPart::Plan);
        while let Some(batch) = stream.next().await {
            batch?;
        }
        // The query may have changed its plan.
        let Some(ready) = stream.ready() else { return Ok(vec![]) };
        ready.explained(options, true)
    }
}

impl Ready {
    /// Returns the rows of EXPLAIN, with measurements if the query `ran`.
    fn explained(&self, options: ExplainOptions, ran: bool) -> Result<Vec<(String, String)>> {
        let mut rows = self.passes.clone().map(PassRows::into_rows).unwrap_or_default();
        let edges = ran.then(|| self.edges.all());
        rows.extend(explain::rows(&self.planned, &self.physical, options, edges.as_deref())?);
        Ok(rows)
    }

    /// Returns the context in which the operators run, with the query's own memory.
    fn task_context(&self) -> Arc<TaskContext> {
        let memory = self.memory.clone();
        if lists_functions(self.physical.as_ref()) {
            return Arc::new(TaskContext::from(self.state.as_ref()).with_runtime(memory));
        }
        // All other plans have resolved their functions. Copying the tables of function names would take longer than a
        // small query.
        let (session, config) = (self.state.session_id().to_owned(), self.state.config().clone());
        Arc::new(TaskContext::new(None, session, config, none(), none(), none(), none(), memory))
    }
}

fn none<T>() -> HashMap<String, T> {
    HashMap::new()
}

/// True if the plan may read `information_schema`, which lists the functions in the context. `mesh.audit` looks the same.
fn lists_functions(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<StreamingTableExec>() || plan.children().into_iter().any(|input| lists_functions(input.as_ref()))
}

/// Returns the state in which one query is planned: its view of the mesh, and the names that its session adds.
///
/// The state is a copy of the engine's state, changed in place. A builder would register every function again, which
/// takes longer than planning a small query. [`query_memory`] makes the change that needs a builder.
fn session_state(engine: &EngineState, view: &Arc<MeshView>, names: Option<Arc<SessionNames>>) -> SessionState {
    let mut state = engine.base.clone();
    set_names(&mut state, view, names);
    // This sets the time of `now()`, at every place in the query.
    state.mark_start_execution();
    state
}

/// Returns the engine's runtime with the memory of one query, and with files that count for the query's principal.
fn query_memory(engine: &EngineState, account: &Account, hides_operators: Arc<AtomicBool>) -> Result<Arc<RuntimeEnv>> {
    let runtime = engine.base.runtime_env();
    let (limit, pressure) = (engine.limits().query_memory, engine.pressure.clone());
    let memory = QueryMemory::new(limit, account.memory.clone(), pressure, hides_operators);
    let disk = &runtime.disk_manager;
    let files = SpillFiles::new(disk.clone(), account.spill.clone());
    let disk = DiskManagerBuilder::default()
        .with_temp_file_factory(Arc::new(files))
        .with_max_spill_merge_fan_in(disk.max_spill_merge_fan_in());
    RuntimeEnvBuilder::from_runtime_env(runtime)
        .with_memory_pool(Arc::new(memory))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|e| from_datafusion(&e))
}
