//! What one statement has opened while it was resolved: the plans of the views that it reads.

use std::collections::BTreeMap;
use std::sync::Mutex;

use datafusion::logical_expr::LogicalPlan;
use portolan_connectors::lock;

/// What one statement has opened. The statements of its views share it.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    views: Mutex<BTreeMap<String, LogicalPlan>>,
}

impl Opened {
    /// Returns the plan of a view, if the statement reads the view.
    pub(crate) fn view(&self, name: &str) -> Option<LogicalPlan> {
        lock(&self.views).get(name).cloned()
    }

    /// Keeps the plan of a view.
    pub(crate) fn keep_view(&self, name: &str, plan: LogicalPlan) {
        lock(&self.views).insert(name.to_owned(), plan);
    }

    /// Returns the names of the views that have plans.
    pub(crate) fn view_names(&self) -> Vec<String> {
        lock(&self.views).keys().cloned().collect()
    }
}
