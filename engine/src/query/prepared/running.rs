//! The runs of a statement. All of them bind values, plan and start on the threads that drive plans.

use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;

use super::{Prepared, nullable};
use crate::execution::errors::planning_timed_out;
use crate::planner::analyse_statement;
use crate::planner::resolve::change::{Change, Target};
use crate::planner::resolve::{Assignment, Resolved};
use crate::query::parameters::with_values;
use crate::query::place::located;
use crate::query::reuse::Reuse;
use crate::query::settings::{reset, set, show};
use crate::query::{Entry, Query, QueryStream, session_state};
use crate::state::ActivityGuard;
use crate::{Error, Result, explain};

/// The time beyond its limit after which nobody waits for a statement that does not report its deadline.
const BACKSTOP: Duration = Duration::from_secs(5);

impl Prepared {
    /// Runs the statement with one value for each parameter.
    pub(super) async fn enter(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let (this, parameters) = (self.clone(), parameters.to_vec());
        let started =
            self.on_cpu(Box::pin(async move { Box::pin(this.current().await?.run(&parameters, entry)).await }));
        let started = self.in_time(started, planning_timed_out).await;
        let started = started.map(|stream| stream.of_statement(&self.sql, &self.casts));
        started.map_err(|e| self.casts.named(located(e, &self.sql), &self.sql))
    }

    /// Waits for a run of the statement, for a little longer than its limit. The run reports its deadline itself, with
    /// more detail, unless planning is busy, or all threads of the principal are.
    pub(in crate::query) async fn in_time<T>(
        &self,
        run: impl Future<Output = Result<T>>,
        late: fn() -> Error,
    ) -> Result<T> {
        if let Some(Change::Insert { into: Target::Port(_), .. }) = self.change() {
            // Storing the rows may take longer than the query.
            return run.await;
        }
        let limit = self.session.query_timeout() + BACKSTOP;
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| Err(late()))
    }

    /// Runs the statement. As everything that plans below, this happens on the threads that drive plans.
    pub(super) async fn run(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let settings = self.session.settings();
        match self.resolved.as_ref() {
            Resolved::Set(assignments) => {
                for Assignment { name, value } in assignments {
                    match value {
                        Some(value) => set(&self.session, name, value)?,
                        None => reset(&self.session, name)?,
                    }
                }
                Ok(QueryStream::fixed(self.schema.clone(), vec![]))
            }
            Resolved::Show { name } => show(&settings, name),
            Resolved::Query(plan, labels) => {
                let reuse = self.reuse(parameters, &settings);
                let plan = match reuse.as_ref().and_then(Reuse::analysed) {
                    Some(analysed) => analysed.clone(),
                    None => self.bind(plan.clone(), parameters)?,
                };
                let schema = labels.named(nullable(plan.schema().as_arrow()));
                let relay = self.relay.clone();
                let query = Query { entry, reuse, relay, ..Query::with_settings(self, settings, false) };
                Box::pin(query.start(&plan, schema)).await
            }
            Resolved::Change(change) => {
                let count = self.apply_once(change, parameters).await?;
                QueryStream::counted(self.schema.clone(), count)
            }
            Resolved::Explain { query: plan, options } => {
                let (plan, options) = (self.bind(plan.clone(), parameters)?, *options);
                if options.policy {
                    return Box::pin(self.explain_policies(&plan)).await;
                }
                let query = Query { entry, ..Query::of_session(self, options.analyze) };
                let rows = Box::pin(query.explain(&plan, options)).await?;
                Ok(QueryStream::fixed(explain::schema(), vec![explain::batch(rows)?]))
            }
        }
    }

    /// Runs an analysed plan of this statement.
    pub(in crate::query) async fn start(&self, plan: LogicalPlan) -> Result<QueryStream> {
        let schema = nullable(plan.schema().as_arrow());
        Box::pin(Query::of_session(self, false).start(&plan, schema)).await
    }

    /// As [`Prepared::start`], with the guard of the query, which lists the query also when its plan has ended.
    pub(in crate::query) async fn start_listed(&self, plan: LogicalPlan) -> Result<(QueryStream, Arc<ActivityGuard>)> {
        let schema = nullable(plan.schema().as_arrow());
        let query = Query::of_session(self, false);
        let listed = query.listed.clone();
        Ok((Box::pin(query.start(&plan, schema)).await?, listed))
    }

    pub(in crate::query) async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.session.engine.cpu.run(self.session.principal(), work).await
    }

    /// Returns the plan with values for its parameters, and analyses it.
    pub(in crate::query) fn bind(&self, plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let plan = with_values(plan, &self.parameters, values)?;
        // A plan without parameters is analysed already.
        if values.is_empty() { Ok(plan) } else { self.analyse(plan) }
    }

    /// Gives every expression of a plan its type.
    pub(in crate::query) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        analyse_statement(&session_state(&self.session.engine, &self.view, Some(self.names.clone())), plan)
    }
}
