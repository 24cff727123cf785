//! A parsed and planned statement, and its runs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;

use super::casts::Casts;
use super::parameter_names::{Numbered, by_name, numbered, require_numbers, with_names};
use super::parameters::{parameters, with_values};
use super::place::located;
use super::settings::{reset, set, show, show_schema};
use super::{Entry, Query, QueryStream, session_state};
use crate::bounds::{check_plan, check_types};
use crate::execution::errors::planning_timed_out;
use crate::mesh::MeshView;
use crate::metrics::WorkKind;
use crate::names::SessionNames;
use crate::planner::analyse_statement;
#[cfg(feature = "files")]
use crate::planner::resolve::Labels;
use crate::planner::resolve::change::{Change, Target};
use crate::planner::resolve::{Assignment, Resolved, resolve};
use crate::state::{ActivityGuard, SessionHandle};
use crate::{Error, Result, TraceContext, explain};

/// The time beyond its limit after which nobody waits for a statement that does not report its deadline.
const BACKSTOP: Duration = Duration::from_secs(5);

/// The kind of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementKind {
    /// A statement that returns rows: `SELECT`, `EXPLAIN`, `SHOW`.
    Query,
    /// A statement that changes a setting of the session and returns no rows: `SET`.
    Setting,
    /// A statement that changes tables or views or stops something, and returns a number of rows: `CREATE TABLE`,
    /// `CREATE VIEW`, `DROP TABLE`, `DROP VIEW`, `INSERT`, `UPDATE`, `DELETE`, `CALL`.
    Change,
}

/// A parsed and planned statement. It can run any number of times, and is planned again if the mesh changes.
///
/// # Examples
/// ```
/// use portolan_engine::{Engine, Principal, ScalarValue};
///
/// # #[tokio::main]
/// # async fn main() -> portolan_engine::Result<()> {
/// let session = Engine::builder().build()?.session(Principal::new("ann"));
/// let numbered = session.prepare("SELECT value FROM range(10) WHERE value < $1").await?;
/// let rows = numbered.execute(&[ScalarValue::from(3_i64)]).await?.collect().await?;
/// assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
///
/// let named = session.prepare("SELECT value FROM range(10) WHERE value BETWEEN $least AND $greatest").await?;
/// let values = [("least", ScalarValue::from(4_i64)), ("greatest", ScalarValue::from(5_i64))];
/// let rows = named.execute_named(&values).await?.collect().await?;
/// assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) session: SessionHandle,
    pub(super) sql: String,
    pub(super) view: Arc<MeshView>,
    pub(super) names: Arc<SessionNames>,
    /// The plan may be deep, so it is copied only on threads with a large stack.
    resolved: Arc<Resolved>,
    schema: SchemaRef,
    parameters: SchemaRef,
    casts: Casts,
    /// The deadline of all runs together, if a caller has set one.
    pub(super) deadline: Option<Instant>,
}

impl Prepared {
    pub(crate) async fn new(session: &SessionHandle, sql: &str) -> Result<Self> {
        session.require_open()?;
        let session = session.clone();
        let text = sql;
        let sql = sql.to_owned();
        let (engine, principal, limit) = (session.engine.clone(), session.principal().clone(), session.query_timeout());
        let planning = engine.cpu.run(&principal, async move {
            let view = session.engine.mesh.view();
            let names = Arc::new(SessionNames::of(&session));
            let state = session_state(&session.engine, &view, Some(names.clone()));
            let (resolved, parameter_names) = {
                let Numbered { text, names: parameter_names } = numbered(&sql)?;
                // The future is large, and would be moved on the caller's stack.
                (Box::pin(resolve(&text, &state, &view.snapshot, &names)).await?, parameter_names)
            };
            let plan = plan_of(&resolved);
            if let Some(plan) = plan {
                check_plan(plan)?;
            }
            if let Resolved::Change(Change::Create { content, .. }) = &resolved {
                check_types(content.columns())?;
            }
            let parameters = plan.map_or_else(|| Ok(Arc::new(Schema::empty())), parameters)?;
            let parameters = with_names(parameters, &parameter_names);
            // The types of a plan are unknown until its parameters have values, and the plan is analysed then.
            let resolved = match parameters.fields().is_empty() {
                true => analysed(resolved, &state)?,
                false => resolved,
            };
            let schema = promised(&resolved);
            let casts = plan_of(&resolved).map(Casts::of).unwrap_or_default();
            let resolved = Arc::new(resolved);
            Ok(Self { session, sql, view, names, resolved, schema, parameters, casts, deadline: None })
        });
        // Planning does not yield, so its caller watches the time.
        let prepared = tokio::time::timeout(limit, planning).await;
        let prepared = prepared.unwrap_or_else(|_| Err(planning_timed_out())).map_err(|e| located(e, text));
        prepared.inspect_err(|e| engine.metrics.refused(WorkKind::Query, e.kind()))
    }

    /// Returns a query without a text of its own. `what` describes it.
    #[cfg(feature = "files")]
    pub(super) fn of_plan(session: &SessionHandle, what: String, plan: LogicalPlan) -> Result<Self> {
        session.require_open()?;
        let view = session.engine.mesh.view();
        let names = Arc::new(SessionNames::of(session));
        let state = session_state(&session.engine, &view, Some(names.clone()));
        let resolved = analysed(Resolved::Query(plan, Labels::default()), &state)?;
        let (schema, parameters) = (promised(&resolved), Arc::new(Schema::empty()));
        let (session, resolved, casts) = (session.clone(), Arc::new(resolved), Casts::default());
        Ok(Self { session, sql: what, view, names, resolved, schema, parameters, casts, deadline: None })
    }

    /// Runs the query as it was planned, also if the meaning of names has changed since.
    #[cfg(feature = "files")]
    pub(super) async fn start_planned(&self) -> Result<QueryStream> {
        self.run(&[], Entry::InLine).await
    }

    /// Returns the same statement, whose runs are a part of this span of a client.
    #[must_use]
    pub(crate) fn traced(mut self, trace: Option<TraceContext>) -> Self {
        self.session.trace = trace;
        self
    }

    /// Returns the text of the statement.
    pub fn text(&self) -> &str {
        &self.sql
    }

    /// Returns the kind of the statement.
    pub fn kind(&self) -> StatementKind {
        match *self.resolved {
            Resolved::Set(_) => StatementKind::Setting,
            Resolved::Change(_) => StatementKind::Change,
            _ => StatementKind::Query,
        }
    }

    /// True if the statement changes the session, so that it has no effect in a session that ends with it.
    pub(crate) fn changes_session(&self) -> bool {
        match self.resolved.as_ref() {
            Resolved::Set(_) => true,
            Resolved::Change(change) => change.is_of_session(),
            _ => false,
        }
    }

    /// True if the statement orders its rows.
    pub(crate) fn is_ordered(&self) -> bool {
        let mut plan = match self.resolved.as_ref() {
            Resolved::Query(plan, _) => plan,
            _ => return true,
        };
        loop {
            plan = match plan {
                LogicalPlan::Sort(_) => return true,
                LogicalPlan::Projection(p) => &p.input,
                LogicalPlan::Limit(l) => &l.input,
                LogicalPlan::SubqueryAlias(a) => &a.input,
                _ => return false,
            }
        }
    }

    /// Returns the columns of the rows. A [`StatementKind::Setting`] has no columns, and a [`StatementKind::Change`]
    /// has the column `count`.
    ///
    /// A column whose type depends on a parameter has type `Null` until that parameter is bound. The stream of
    /// [`Prepared::execute`] has the final columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Returns the columns of the rows for these values of the parameters.
    ///
    /// # Errors
    /// `InvalidQuery` if the values do not fit the parameters.
    pub async fn schema_with(&self, parameters: &[ScalarValue]) -> Result<SchemaRef> {
        if parameters.is_empty() {
            return Ok(self.schema());
        }
        require_numbers(&self.parameters)?;
        let (this, parameters) = (self.clone(), parameters.to_vec());
        self.on_cpu(async move {
            match this.resolved.as_ref() {
                Resolved::Query(plan, labels) => {
                    Ok(labels.named(nullable(this.bind(plan.clone(), &parameters)?.schema().as_arrow())))
                }
                _ => Ok(this.schema()),
            }
        })
        .await
    }

    /// Returns the parameters: `$1`, `$2`, … in this order, or those with names (`$region`) in the order in which the
    /// statement first has them. The type of a parameter is `Null` if the statement does not determine it. All
    /// parameters are nullable.
    pub fn parameters(&self) -> SchemaRef {
        self.parameters.clone()
    }

    /// Runs the statement with one value for each parameter, `$1` first.
    ///
    /// # Errors
    /// `InvalidQuery` if the values do not fit the parameters, or the parameters have names; any error of planning and
    /// starting.
    pub async fn execute(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        require_numbers(&self.parameters)?;
        self.enter(parameters, Entry::InLine).await
    }

    /// Runs the statement with one value for each parameter, which is found by its name: `("region", …)` for `$region`,
    /// and `("1", …)` for `$1`.
    ///
    /// # Errors
    /// `InvalidQuery` if the values do not fit the parameters; any error of planning and starting.
    pub async fn execute_named(&self, parameters: &[(&str, ScalarValue)]) -> Result<QueryStream> {
        self.enter(&by_name(&self.parameters, parameters)?, Entry::InLine).await
    }

    /// As [`Prepared::execute`], for rows that no client has requested yet. The query does not wait for a slot, and
    /// leaves about half of the slots to other queries.
    ///
    /// # Errors
    /// As [`Prepared::execute`]; `ResourceExhausted` if there is no free slot.
    pub(crate) async fn execute_speculatively(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        require_numbers(&self.parameters)?;
        self.enter(parameters, Entry::Speculative).await
    }

    /// Returns the statement with one deadline for all of its runs, which counts from now. Without it, each run has a
    /// deadline of its own.
    #[must_use]
    pub(crate) fn with_one_deadline(&self) -> Self {
        let timeout = self.session.query_timeout();
        Self { deadline: Some(self.deadline.unwrap_or_else(|| Instant::now() + timeout)), ..self.clone() }
    }

    async fn enter(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let (this, parameters) = (self.clone(), parameters.to_vec());
        let started =
            self.on_cpu(Box::pin(async move { Box::pin(this.current().await?.run(&parameters, entry)).await }));
        let started = self.in_time(started, planning_timed_out).await;
        let started = started.map(|stream| stream.of_statement(&self.sql, &self.casts));
        started.map_err(|e| self.casts.named(located(e, &self.sql), &self.sql))
    }

    /// Waits for a run of the statement, for a little longer than its limit. The run reports its deadline itself, with
    /// more detail, unless planning is busy, or all threads of the principal are.
    pub(super) async fn in_time<T>(&self, run: impl Future<Output = Result<T>>, late: fn() -> Error) -> Result<T> {
        if let Some(Change::Insert { into: Target::Port(_), .. }) = self.change() {
            // Storing the rows may take longer than the query.
            return run.await;
        }
        let limit = self.session.query_timeout() + BACKSTOP;
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| Err(late()))
    }

    /// True if the names of the statement have the same meaning as when it was planned.
    pub(crate) fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.session.engine.mesh.view(), &self.view) && self.names.same(&SessionNames::of(&self.session))
    }

    /// Returns the statement with the current meaning of its names. It is planned again if the mesh or the session's
    /// tables have changed.
    ///
    /// # Errors
    /// As [`Session::prepare`](crate::Session::prepare).
    pub(crate) async fn refreshed(&self) -> Result<Self> {
        Ok(self.current().await?.into_owned())
    }

    /// Returns the statement itself, or plans it again if the meaning of its names may have changed.
    pub(super) async fn current(&self) -> Result<Cow<'_, Self>> {
        self.session.require_open()?;
        if self.is_current() {
            return Ok(Cow::Borrowed(self));
        }
        let again = Box::pin(Self::new(&self.session, &self.sql)).await?;
        Ok(Cow::Owned(Self { deadline: self.deadline, ..again }))
    }

    /// Returns the change that the statement makes.
    pub(super) fn change(&self) -> Option<&Change> {
        match self.resolved.as_ref() {
            Resolved::Change(change) => Some(change),
            _ => None,
        }
    }

    /// Runs the statement. As everything that plans below, this happens on the threads that drive plans.
    async fn run(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let settings = self.session.settings();
        match self.resolved.as_ref().clone() {
            Resolved::Set(assignments) => {
                for Assignment { name, value } in &assignments {
                    match value {
                        Some(value) => set(&self.session, name, value)?,
                        None => reset(&self.session, name)?,
                    }
                }
                Ok(QueryStream::fixed(self.schema.clone(), vec![]))
            }
            Resolved::Show { name } => show(&settings, &name),
            Resolved::Query(plan, labels) => {
                let plan = self.bind(plan, parameters)?;
                let schema = labels.named(nullable(plan.schema().as_arrow()));
                self.start_as(plan, schema, entry).await
            }
            Resolved::Change(change) => {
                let count = self.apply_once(&change, parameters).await?;
                QueryStream::counted(self.schema.clone(), count)
            }
            Resolved::Explain { query: plan, options } => {
                let plan = self.bind(plan, parameters)?;
                let query = Query { entry, ..self.query(options.analyze) };
                let rows = Box::pin(query.explain(&plan, options)).await?;
                Ok(QueryStream::fixed(explain::schema(), vec![explain::batch(rows)?]))
            }
        }
    }

    /// Returns a run of the statement. `measured` is true if owners return the metrics of each operator.
    fn query(&self, measured: bool) -> Query {
        Query::of_session(self, measured)
    }

    /// Runs an analysed plan of this statement.
    pub(super) async fn start(&self, plan: LogicalPlan) -> Result<QueryStream> {
        let schema = nullable(plan.schema().as_arrow());
        self.start_as(plan, schema, Entry::InLine).await
    }

    /// As [`Prepared::start`], with the guard of the query, which lists the query also when its plan has ended.
    pub(super) async fn start_listed(&self, plan: LogicalPlan) -> Result<(QueryStream, Arc<ActivityGuard>)> {
        let schema = nullable(plan.schema().as_arrow());
        let query = self.query(false);
        let listed = query.listed.clone();
        Ok((Box::pin(query.start(&plan, schema)).await?, listed))
    }

    /// As [`Prepared::start`], for rows with these columns.
    async fn start_as(&self, plan: LogicalPlan, schema: SchemaRef, entry: Entry) -> Result<QueryStream> {
        let query = Query { entry, ..self.query(false) };
        Box::pin(query.start(&plan, schema)).await
    }

    pub(super) async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.session.engine.cpu.run(self.session.principal(), work).await
    }

    /// Returns the plan with values for its parameters, and analyses it.
    pub(super) fn bind(&self, plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let plan = with_values(plan, &self.parameters, values)?;
        // A plan without parameters is analysed already.
        if values.is_empty() { Ok(plan) } else { self.analyse(plan) }
    }

    /// Gives every expression of a plan its type.
    pub(super) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        analyse_statement(&session_state(&self.session.engine, &self.view, Some(self.names.clone())), plan)
    }
}

/// Returns the statement with an analysed plan.
fn analysed(resolved: Resolved, state: &SessionState) -> Result<Resolved> {
    Ok(match resolved {
        Resolved::Query(plan, labels) => Resolved::Query(analyse_statement(state, plan)?, labels),
        Resolved::Explain { query, options } => Resolved::Explain { query: analyse_statement(state, query)?, options },
        Resolved::Change(change) => Resolved::Change(change.map_rows(|plan| analyse_statement(state, plan))?),
        other => other,
    })
}

/// Returns the plan of the rows that a statement reads.
fn plan_of(resolved: &Resolved) -> Option<&LogicalPlan> {
    match resolved {
        Resolved::Query(plan, _) | Resolved::Explain { query: plan, .. } => Some(plan),
        Resolved::Change(change) => change.rows(),
        Resolved::Set(_) | Resolved::Show { .. } => None,
    }
}

/// Returns the columns that a statement promises. All are nullable, because what is known about NULLs differs between a
/// plan and its execution, and clients compare the columns.
fn promised(resolved: &Resolved) -> SchemaRef {
    match resolved {
        Resolved::Query(plan, labels) => labels.named(nullable(plan.schema().as_arrow())),
        Resolved::Explain { .. } => explain::schema(),
        Resolved::Set(_) => Arc::new(Schema::empty()),
        Resolved::Change(_) => Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, true)])),
        Resolved::Show { .. } => show_schema(),
    }
}

pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}
