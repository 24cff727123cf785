//! What one statement has opened while it was resolved: the plans of the views and the files that it reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use portolan_connectors::lock;

use crate::bounds::QueryDepth;

/// What one statement has opened. The statements of its views share it.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    views: Mutex<BTreeMap<String, (LogicalPlan, QueryDepth)>>,
    files: Mutex<BTreeMap<String, Arc<dyn TableProvider>>>,
}

impl Opened {
    /// True if the statement reads neither views nor files.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.views).is_empty() && lock(&self.files).is_empty()
    }

    /// Returns the plan of a view, if the statement reads the view.
    pub(crate) fn view(&self, name: &str) -> Option<LogicalPlan> {
        lock(&self.views).get(name).map(|(plan, _)| plan.clone())
    }

    /// Returns the depth of a view, if the statement reads the view.
    pub(crate) fn depth(&self, name: &str) -> Option<QueryDepth> {
        lock(&self.views).get(name).map(|(_, depth)| *depth)
    }

    /// Keeps the plan of a view.
    pub(crate) fn keep_view(&self, name: &str, plan: LogicalPlan, depth: QueryDepth) {
        lock(&self.views).insert(name.to_owned(), (plan, depth));
    }

    /// Returns the names of the views that have plans.
    pub(crate) fn view_names(&self) -> Vec<String> {
        lock(&self.views).keys().cloned().collect()
    }

    /// Returns the table of a file, if the statement reads the file.
    pub(crate) fn file(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        lock(&self.files).get(name).cloned()
    }

    /// Keeps the table of a file.
    pub(crate) fn keep_file(&self, name: &str, table: Arc<dyn TableProvider>) {
        lock(&self.files).insert(name.to_owned(), table);
    }
}
