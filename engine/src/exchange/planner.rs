//! The query planner of the engine's sessions. It makes the local part's plan physical, with a remote scan for each
//! exchange.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::ambiguous::without_ambiguous_filters;
use super::live::LiveEdges;
use super::remote_scan::RemoteScanExec;
use crate::execution::yielding::with_yielding_joins;
use crate::functions::{WorkMeter, metered, with_paced_inputs};
use crate::plan::Exchange;
use crate::upstream::executable;

/// A planner that makes a logical plan physical as DataFusion does, and turns exchanges into remote scans. A plan with
/// exchanges needs its live edges in the session's configuration.
#[derive(Debug)]
pub(crate) struct MeshPlanner;

#[async_trait]
impl QueryPlanner for MeshPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = executable(plan)?;
        let plan = match session.config().get_extension::<WorkMeter>() {
            Some(meter) => metered(plan, &meter)?,
            None => plan,
        };
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(ExchangePlanner)])
            .create_physical_plan(&plan, session)
            .await
            .and_then(without_ambiguous_filters)
            .and_then(with_yielding_joins)
            .and_then(with_paced_inputs)
    }
}

/// A planner for exchanges. The scans share counters and reports with the live edges. So do the scans that the
/// optimizer puts in their place.
struct ExchangePlanner;

#[async_trait]
impl ExtensionPlanner for ExchangePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(exchange) = node.as_any().downcast_ref::<Exchange>() else {
            return Ok(None);
        };
        let edge = LiveEdges::of(session.config())?.edge(&exchange.fragment)?;
        Ok(Some(Arc::new(RemoteScanExec::new(exchange.fragment.clone(), edge.metrics.clone()))))
    }
}
