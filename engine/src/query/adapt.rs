//! Runs the first part of a plan while the rest may still change. It reads and counts the fragments that supply join
//! keys. If a count is far from its estimate, or if the keys change a join, the rest is planned again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use futures::future::try_join_all;
use portolan_connectors::lock;

use super::plan_end::CurrentPlan;
use super::{Query, Ready};
use crate::exchange::{COUNTED_BYTES, LiveEdge, Physical};
use crate::execution::errors::from_datafusion;
use crate::execution::run::Driven;
use crate::explain::PassRows;
use crate::plan::Counted;
use crate::{ProgressHandle, Result, planner};

impl Query {
    /// Returns the final plan of the query, once it is known. Until then, the current plan is `first`.
    pub(super) async fn adapted(
        self,
        first: Arc<Ready>,
        current: CurrentPlan,
        progress: ProgressHandle,
    ) -> Result<Driven> {
        let last = match self.again(&first).await? {
            None => first,
            Some(again) => {
                let again = Arc::new(again);
                progress.replace_edges(again.edges.counters());
                *lock(&current) = Some(again.clone());
                again
            }
        };
        last.meter.start();
        Ok(Driven::Plan(last.physical.clone(), last.task_context()))
    }

    /// Plans the rest again; `None` if there is no reason to.
    async fn again(&self, ready: &Ready) -> Result<Option<Ready>> {
        let awaited = self.awaited(ready)?;
        if awaited.is_empty() {
            return Ok(None);
        }
        let (context, edges) = (ready.task_context(), ready.edges.all());
        // Edges that wait for no keys start now, as they would without this step.
        for edge in edges.iter().filter(|e| e.fragment().edge.keys.is_none()) {
            ready.edges.prefetch(edge).map_err(|e| from_datafusion(&e))?;
        }
        let _ = self.context.waiting_since.set(Instant::now());
        let wait = edges.iter().filter_map(|e| Some(e.fragment().edge.keys.as_ref()?.wait)).max().unwrap_or_default();
        let counted = try_join_all(awaited.iter().map(|(edge, keys)| count(edge, keys, &context, wait))).await?;
        let counted: BTreeMap<usize, Counted> = counted.into_iter().collect();
        let mut passes = ready.passes.clone();
        let (before, settings, is_fragment) = (&ready.planned, &self.settings, self.is_fragment());
        let adapted = planner::adapt(
            &ready.state,
            before,
            &counted,
            settings,
            &self.view,
            is_fragment,
            &mut PassRows::observer(&mut passes),
        );
        let planned = match adapted {
            Ok(Some(planned)) => planned,
            Ok(None) => return Ok(None),
            Err(e) => {
                // The original plan is as correct as another.
                tracing::warn!(
                    query = self.context.head.query_id,
                    trace = %self.context.head.trace,
                    "the query could not be planned again: {}",
                    e.owner_chain()
                );
                return Ok(None);
            }
        };
        let edges = ready.edges.replaced_by(&planned.plan).map_err(|e| from_datafusion(&e))?;
        let state = SessionState::clone(&ready.state);
        let Physical { state, plan: physical, edges } = Physical::of(&planned.plan, state, edges).await?;
        let (memory, meter) = (ready.memory.clone(), ready.meter.clone());
        let (decided, label) = (ready.decided.clone(), ready.label.clone());
        Ok(Some(Ready { state, memory, meter, planned: Arc::new(planned), decided, physical, edges, passes, label }))
    }

    /// Returns the edges to count first: those that supply join keys, if their rows are expected to fit in memory. Each
    /// has the positions of the columns that joins compare. None are counted if a setting forces the plan or keeps it.
    fn awaited(&self, ready: &Ready) -> Result<Vec<(Arc<LiveEdge>, BTreeSet<usize>)>> {
        if !self.settings.strategy.is_empty() || !self.settings.placement || !self.settings.adapts() {
            return Ok(vec![]);
        }
        let mut keys = planner::awaited(&ready.planned).map_err(|e| from_datafusion(&e))?;
        let edges = ready.edges.all().into_iter();
        let awaited: Vec<_> = edges.filter_map(|e| keys.remove(&e.fragment().number).map(|keys| (e, keys))).collect();
        let bytes: f64 = awaited.iter().map(|(e, _)| e.fragment().edge.rows * e.fragment().edge.row_bytes).sum();
        Ok(if bytes <= COUNTED_BYTES as f64 { awaited } else { vec![] })
    }
}

async fn count(
    edge: &LiveEdge,
    keys: &BTreeSet<usize>,
    context: &TaskContext,
    wait: Duration,
) -> Result<(usize, Counted)> {
    let counted = edge.count_prefetched(keys, context, wait).await.map_err(|e| from_datafusion(&e))?;
    Ok((edge.fragment().number, counted))
}

#[cfg(test)]
mod tests;
