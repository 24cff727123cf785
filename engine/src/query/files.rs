//! The rows of files that a program registers. They are read as a query, on the threads and within the limits of
//! queries.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;

use super::{Prepared, QueryStream};
use crate::Result;
use crate::execution::errors::{from_datafusion, planning_timed_out};
use crate::state::SessionHandle;

/// Returns the rows of a table of files. The query is called `what` in `mesh.queries`.
pub(crate) async fn rows_of_files(
    session: &SessionHandle,
    what: String,
    files: Arc<dyn TableProvider>,
) -> Result<QueryStream> {
    let plan = LogicalPlanBuilder::scan("files", provider_as_source(files), None);
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(|e| from_datafusion(&e))?;
    let statement = Prepared::of_plan(session, what, plan)?;
    let running = statement.clone();
    let started = statement.on_cpu(async move { Box::pin(running.start_planned()).await });
    statement.in_time(started, planning_timed_out).await
}
