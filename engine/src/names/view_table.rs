//! A view of a session as a table. The planner puts the plan of the view in the place of the table.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::state::views::View;

/// A view of a session.
#[derive(Debug)]
pub(super) struct ViewTable {
    view: Arc<View>,
    /// The plan; `None` if the statement only lists the view.
    plan: Option<LogicalPlan>,
}

impl ViewTable {
    pub(super) fn new(view: Arc<View>, plan: Option<LogicalPlan>) -> Self {
        Self { view, plan }
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.view.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.view.text)
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.plan.as_ref().map(Cow::Borrowed)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a view was read without its plan")
    }
}
