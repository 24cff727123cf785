//! The rows of `EXPLAIN VERBOSE` about planning: the plan after each pass.

use crate::names::Barrier;
use crate::planner::Draft;

/// The text of a pass that changed nothing.
const SAME: &str = "same as above";

/// The plan after each pass, as rows of EXPLAIN. The row names are DataFusion's.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassRows {
    rows: Vec<(String, String)>,
    /// The plan of the last row, and its operators with their sites.
    plan: String,
    sites: Option<String>,
}

impl PassRows {
    /// Returns an observer of planning that adds to `rows`, if there are any.
    pub(crate) fn observer(rows: &mut Option<Self>) -> impl FnMut(&'static str, &Draft) {
        move |pass, draft| {
            if let Some(rows) = rows.as_mut() {
                rows.add(pass, draft);
            }
        }
    }

    /// Adds the plan after a pass.
    fn add(&mut self, pass: &str, draft: &Draft) {
        let plan = Barrier::without_policies(&draft.plan);
        let sites = draft.placed.as_ref().map(ToString::to_string);
        let text = match &sites {
            _ if plan != self.plan => plan.clone(),
            // A pass that only assigns sites changes nothing in a plan that reads no port.
            Some(sites) if *sites != plan && self.sites.as_ref() != Some(sites) => sites.clone(),
            _ => SAME.to_owned(),
        };
        self.rows.push((format!("logical_plan after {pass}"), text));
        (self.plan, self.sites) = (plan, sites);
    }

    /// Returns the rows, in the order of the passes.
    pub(crate) fn into_rows(self) -> Vec<(String, String)> {
        self.rows
    }
}
