//! A parsed and planned statement.

mod kept;
mod running;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;

use super::casts::Casts;
use super::parameter_names::{Numbered, by_name, numbered, require_numbers, with_names};
use super::parameters::parameters;
use super::place::located;
use super::policy_table;
use super::settings::show_schema;
#[cfg(feature = "files")]
use super::visible_ports::view_without_asking;
use super::visible_ports::{known_view, view_of};
use super::{Entry, QueryStream, Relay, session_state};
use crate::bounds::{check_plan, check_types};
use crate::execution::errors::planning_timed_out;
use crate::mesh::MeshView;
use crate::metrics::WorkKind;
use crate::names::SessionNames;
use crate::planner::analyse_statement;
#[cfg(feature = "files")]
use crate::planner::resolve::Labels;
use crate::planner::resolve::change::Change;
use crate::planner::resolve::{Resolved, resolve};
use crate::state::SessionHandle;
use crate::{Result, TraceContext, explain};

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
    /// The number of the statement among the kept plans; `None` if its plans are not kept.
    number: Option<u64>,
    /// The deadline of all runs together, if a caller has set one.
    pub(super) deadline: Option<Instant>,
    /// The permission to relay the rows of the runs.
    relay: Option<Relay>,
}

impl Prepared {
    pub(crate) async fn new(session: &SessionHandle, sql: &str) -> Result<Self> {
        session.require_open()?;
        if let Some(known) = Self::known(session, sql) {
            return Ok(known);
        }
        let session = session.clone();
        let text = sql;
        let sql = sql.to_owned();
        let (engine, principal, limit) = (session.engine.clone(), session.principal().clone(), session.query_timeout());
        let planning = engine.cpu.run(&principal, async move {
            let view = view_of(&session).await;
            let names = Arc::new(SessionNames::of(&session));
            // Owners have told only now which ports the principal may see.
            if let Some(known) = Self::known_in(&session, &sql, &view, &names) {
                return Ok(known);
            }
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
            let (number, deadline, relay, resolved) = (None, None, None, Arc::new(resolved));
            let statement =
                Self { session, sql, view, names, resolved, schema, parameters, casts, number, deadline, relay };
            Ok(statement.kept())
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
        let view = view_without_asking(session);
        let names = Arc::new(SessionNames::of(session));
        let state = session_state(&session.engine, &view, Some(names.clone()));
        let resolved = analysed(Resolved::Query(plan, Labels::default()), &state)?;
        let (schema, parameters) = (promised(&resolved), Arc::new(Schema::empty()));
        let (session, resolved, casts) = (session.clone(), Arc::new(resolved), Casts::default());
        let (sql, number, deadline, relay) = (what, None, None, None);
        Ok(Self { session, sql, view, names, resolved, schema, parameters, casts, number, deadline, relay })
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
        if let Some(known) = self.known_schema(parameters) {
            return Ok(known);
        }
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

    /// Returns the statement with the permission to relay the rows of its runs.
    #[must_use]
    pub(crate) fn relaying(self, relay: Relay) -> Self {
        Self { relay: Some(relay), ..self }
    }

    /// True if the names of the statement have the same meaning as when it was planned.
    pub(crate) fn is_current(&self) -> bool {
        let is_same_view = known_view(&self.session).is_some_and(|view| Arc::ptr_eq(&view, &self.view));
        is_same_view && self.names.same(&SessionNames::of(&self.session))
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
        Ok(Cow::Owned(Self { deadline: self.deadline, relay: self.relay.clone(), ..again }))
    }

    /// Returns the change that the statement makes.
    pub(super) fn change(&self) -> Option<&Change> {
        match self.resolved.as_ref() {
            Resolved::Change(change) => Some(change),
            _ => None,
        }
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
        Resolved::Explain { options, .. } if options.policy => policy_table::schema(),
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
