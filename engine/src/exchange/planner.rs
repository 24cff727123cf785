//! The query planner of the engine's sessions. It makes the local part's plan physical, with a remote scan for each
//! exchange. What is below a barrier is planned apart, so that each of its errors is known to come from there. A shared part
//! is planned apart too, once for all of its readers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use portolan_connectors::lock;

use super::ambiguous::without_ambiguous_filters;
use super::live::LiveEdges;
use super::remote_scan::RemoteScanExec;
use crate::execution::barrier::{BarrierExec, without_details};
use crate::execution::shared::{SharedExec, SharedPart, count_readers};
use crate::execution::yielding::with_yielding_joins;
use crate::functions::{WorkMeter, metered, with_paced_inputs};
use crate::names::{Barrier, SealedBarrier, sealed};
use crate::plan::{Exchange, Shared};
use crate::upstream::executable;

/// A planner that makes a logical plan physical as DataFusion does, and turns exchanges into remote scans. A plan with
/// exchanges needs its live edges in the session's configuration.
#[derive(Debug)]
pub(crate) struct MeshPlanner;

#[async_trait]
impl QueryPlanner for MeshPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        // A query that is one fragment leaves nothing to optimize here. The optimizer would only add the same operator.
        if let Some(exchange) = Exchange::of(plan) {
            return Ok(Arc::new(CooperativeExec::new(remote_scan(exchange, session)?)));
        }
        let meter = session.config().get_extension::<WorkMeter>();
        let runnable = |plan: &LogicalPlan| {
            let plan = executable(plan)?;
            match &meter {
                Some(meter) => metered(plan, meter),
                None => Ok(plan),
            }
        };
        let plan = sealed(plan, |barrier| runnable(&barrier.input).map_err(|e| without_details(&barrier.port, &e)))?;
        let plan = physical(&runnable(&plan)?, session, &SharedParts::default()).await?;
        count_readers(plan.as_ref());
        Ok(plan)
    }
}

/// The shared parts of one plan that are planned already, by their numbers.
type SharedParts = Arc<Mutex<HashMap<usize, Arc<SharedPart>>>>;

async fn physical(plan: &LogicalPlan, session: &dyn Session, parts: &SharedParts) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = Shared::sealed(plan)?;
    DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(MeshNodePlanner { parts: parts.clone() })])
        .create_physical_plan(&plan, session)
        .await
        .and_then(without_ambiguous_filters)
        .and_then(with_yielding_joins)
        .and_then(with_paced_inputs)
}

/// Returns the scan of an exchange's fragment.
fn remote_scan(exchange: &Exchange, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let edge = LiveEdges::of(session.config())?.edge(&exchange.fragment)?;
    Ok(Arc::new(RemoteScanExec::new(exchange.fragment.clone(), edge.metrics.clone())))
}

/// Plans a barrier with what is below it.
async fn planned_apart(
    barrier: &Barrier,
    session: &dyn Session,
    parts: &SharedParts,
) -> Result<Arc<dyn ExecutionPlan>> {
    let root = LogicalPlan::Extension(Extension { node: Arc::new(barrier.clone()) });
    let planned = physical(&root, session, parts).await.map_err(|e| without_details(&barrier.port, &e))?;
    Ok(BarrierExec::sealed(&barrier.port, planned))
}

/// Returns a reader of a shared part. The first reader plans the part.
async fn reader(shared: &Shared, session: &dyn Session, parts: &SharedParts) -> Result<Arc<dyn ExecutionPlan>> {
    let known = lock(parts).get(&shared.number).cloned();
    let part = match known {
        Some(part) => part,
        None => {
            let part = SharedPart::new(shared.number, physical(&shared.input, session, parts).await?);
            // DataFusion may plan several readers at the same time.
            lock(parts).entry(shared.number).or_insert(part).clone()
        }
    };
    Ok(Arc::new(SharedExec::new(part)))
}

/// A planner for exchanges, barriers and shared parts. The scans share counters and reports with the live edges. So do the
/// scans that the optimizer puts in their place.
struct MeshNodePlanner {
    parts: SharedParts,
}

#[async_trait]
impl ExtensionPlanner for MeshNodePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(sealed) = node.as_any().downcast_ref::<SealedBarrier>() {
            return planned_apart(&sealed.0, session, &self.parts).await.map(Some);
        }
        if let Some(shared) = node.as_any().downcast_ref::<Shared>() {
            return reader(shared, session, &self.parts).await.map(Some);
        }
        if let (Some(barrier), [input]) = (node.as_any().downcast_ref::<Barrier>(), inputs) {
            return Ok(Some(Arc::new(BarrierExec::new(
                barrier.port.clone(),
                input.clone(),
                session.config().target_partitions(),
            ))));
        }
        let Some(exchange) = node.as_any().downcast_ref::<Exchange>() else {
            return Ok(None);
        };
        remote_scan(exchange, session).map(Some)
    }
}
