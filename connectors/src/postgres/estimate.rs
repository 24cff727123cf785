//! The database's own estimates of queries.

use std::sync::Arc;

use serde_json::Value;

use super::Shared;
use super::errors::Work;
use super::session::{Access, Session};
use crate::databases::RunContext;
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::FragmentEstimate;

/// Returns the number and the size of the rows that the database expects of a query.
pub(super) async fn estimate(shared: &Arc<Shared>, sql: &str, context: &RunContext) -> Result<FragmentEstimate> {
    let mut session = Session::open(shared, Access::Read, Work::Read, context).await?;
    session.begin().await?;
    let plan = session.texts(&format!("EXPLAIN (FORMAT JSON) {sql}")).await?;
    session.commit().await?;
    let text = plan.first().and_then(|row| row.first()?.as_deref()).unwrap_or_default();
    let plan: Value = serde_json::from_str(text).map_err(|e| {
        let what = format!("{} sent a plan that cannot be read", shared.origin.shown);
        Error::new(ErrorKind::SiteUnavailable, what).with_source(e)
    })?;
    Ok(of_plan(&plan))
}

/// Returns the estimates in a plan.
fn of_plan(plan: &Value) -> FragmentEstimate {
    let number = |name| plan.pointer("/0/Plan").and_then(|plan| plan.get(name)?.as_u64());
    let (rows, width) = (number("Plan Rows"), number("Plan Width"));
    let bytes = rows.zip(width).map(|(rows, width)| rows.saturating_mul(width));
    FragmentEstimate { rows, bytes }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_estimate_is_that_of_the_topmost_operator() {
        let plan =
            json!([{"Plan": {"Node Type": "Sort", "Plan Rows": 12, "Plan Width": 8, "Plans": [{"Plan Rows": 99}]}}]);
        assert_eq!(of_plan(&plan), FragmentEstimate { rows: Some(12), bytes: Some(96) });
        assert_eq!(of_plan(&json!([])), FragmentEstimate::default());
    }
}
