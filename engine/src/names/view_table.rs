//! A view of a session as a table. The planner puts the plan of the view in the place of the table.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, TableReference, internal_err};
use datafusion::logical_expr::logical_plan::SubqueryAlias;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::state::views::View;

/// The catalog in the alias of the plan of a view, below the alias of its name. No domain has such a name.
const MARK: &str = "#view";

/// True for the alias of the plan of a view, in a plan that comes from the SQL planner.
pub(crate) fn is_view(alias: &SubqueryAlias) -> bool {
    matches!(&alias.alias, TableReference::Full { catalog, .. } if &**catalog == MARK)
}

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
        let marked =
            SubqueryAlias::try_new(Arc::new(self.plan.clone()?), TableReference::full(MARK, MARK, MARK)).ok()?;
        Some(Cow::Owned(LogicalPlan::SubqueryAlias(marked)))
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
