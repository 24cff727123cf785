//! Turns exchanges into remote scans when the plan of a query becomes physical, and remembers them: what crossed each
//! edge is asked of them later.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::remote_scan::RemoteScanExec;
use crate::execution::errors::into_datafusion;
use crate::mesh::MeshView;
use crate::plan::Exchange;
use crate::state::QueryContext;
use crate::{Error, ErrorKind};

/// The remote scans of one query, in the order of planning. The optimizer puts others in their place, which count and
/// report together with them.
pub(crate) type RemoteScans = Arc<Mutex<Vec<Arc<RemoteScanExec>>>>;

/// Plans exchanges.
pub(crate) struct ExchangePlanner {
    pub(crate) view: Arc<MeshView>,
    pub(crate) query: Arc<QueryContext>,
    pub(crate) scans: RemoteScans,
    /// The scans of a plan that this one takes the place of.
    pub(crate) running: Vec<Arc<RemoteScanExec>>,
}

#[async_trait]
impl ExtensionPlanner for ExchangePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(exchange) = node.as_any().downcast_ref::<Exchange>() else {
            return Ok(None);
        };
        let fragment = exchange.fragment.clone();
        let number = exchange.running.map(|r| r.number);
        if let Some(running) = self.running.iter().find(|scan| Some(scan.fragment.number) == number) {
            let scan = Arc::new(running.renumbered(fragment));
            self.scans.lock().unwrap_or_else(PoisonError::into_inner).push(scan.clone());
            return Ok(Some(scan));
        }
        let site = self.view.peers.get(&fragment.site).cloned().ok_or_else(|| {
            into_datafusion(Error::new(ErrorKind::Internal, format!("there is no connection to {}", fragment.site)))
        })?;
        let meter = self.view.meter(&fragment.site);
        let scan = Arc::new(RemoteScanExec::new(fragment, site, self.query.clone(), self.view.clone(), meter));
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).push(scan.clone());
        Ok(Some(scan))
    }
}
