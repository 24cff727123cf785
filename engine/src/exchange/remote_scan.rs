//! The operator that reads the rows of a fragment from its site. It describes the fragment and its edge. At execution,
//! it finds the state of the running fragment (`live.rs`). Dropping the stream stops the work at the site. A stream
//! that ends before the site reports the end is an error.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, apply_expression_roots};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

use super::live::{LiveEdges, ScanRun};
use crate::plan::Fragment;

/// The assumed bytes of a value of variable width.
const ASSUMED_TEXT_BYTES: usize = 24;

/// An operator that reads the rows of a fragment from its site.
#[derive(Clone, Debug)]
pub(crate) struct RemoteScanExec {
    pub(crate) fragment: Arc<Fragment>,
    /// The filters of joins above, which the joins fill with restrictions on the rows that can match.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RemoteScanExec {
    /// Returns the scan of all rows of a fragment, with its metrics in `metrics`.
    pub(super) fn new(fragment: Arc<Fragment>, metrics: ExecutionPlanMetricsSet) -> Self {
        let schema = fragment.arrow_schema();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { fragment, filters: vec![], schema, properties: Arc::new(properties), metrics }
    }

    /// Returns the same scan without filters, which reads all rows.
    pub(super) fn without_filters(&self) -> Self {
        self.clone().with_filters(vec![])
    }

    /// Returns the same scan, which waits for these filters of joins above.
    pub(super) fn with_filters(self, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { filters, ..self }
    }

    /// Returns the filters of joins above that the scan waits for.
    pub(super) fn filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RemoteScanExec: fragment={}, site={}", self.fragment.number, self.fragment.site)?;
        match self.fragment.rows {
            Some(rows) => write!(f, ", estimated_rows={rows}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        // A join that finds its filter here fills it.
        apply_expression_roots(self.filters.iter(), f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a remote scan has no inputs here") }
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()))
    }

    /// Keeps the filters that joins fill while they run. The joins still check all rows: the scan may return rows that
    /// the filters would drop.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let dynamic: Vec<_> = child_pushdown_result
            .parent_filters
            .iter()
            .map(|f| f.filter.clone())
            .filter(|f| f.is::<DynamicFilterPhysicalExpr>())
            .collect();
        let result = FilterPushdownPropagation::all_unsupported(child_pushdown_result);
        if phase != FilterPushdownPhase::Post || self.fragment.edge.keys.is_none() || dynamic.is_empty() {
            return Ok(result);
        }
        let mut scan = self.clone();
        scan.filters.extend(dynamic);
        Ok(result.with_updated_node(Arc::new(scan)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a remote scan has one partition, not {partition}");
        }
        let (schema, filters, metrics) = (self.schema.clone(), self.filters.clone(), self.metrics.clone());
        let run = ScanRun { schema, filters, metrics, relayed: None };
        LiveEdges::of(context.session_config())?.rows(&self.fragment, run)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.fragment.rows {
            let widths =
                self.schema.fields().iter().map(|f| f.data_type().primitive_width().unwrap_or(ASSUMED_TEXT_BYTES));
            statistics.num_rows = Precision::Inexact(rows);
            statistics.total_byte_size = Precision::Inexact(rows.saturating_mul(widths.sum()));
        }
        Ok(Arc::new(statistics))
    }
}
