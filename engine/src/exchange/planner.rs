//! Turns exchanges into remote scans when the plan of a query becomes physical.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::live::LiveEdges;
use super::remote_scan::RemoteScanExec;
use crate::plan::Exchange;

/// Plans exchanges. The scans are made for the live edges in the session's configuration, and count and report together
/// with them, as do those that the optimizer puts in their place.
pub(crate) struct ExchangePlanner;

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
