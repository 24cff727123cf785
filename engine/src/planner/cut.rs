//! Pass 10, cut: each maximal part at one other site becomes a fragment, and an exchange replaces it in the plan.
//!
//! A fragment that cannot be encoded is not sent: its root stays here, with the reason, and the parts below it are cut
//! instead.
//! Before: `Join @here(Filter(scan sales.a) @sales, …)`.
//! After: `Join(Exchange #1, …)`, fragment 1 = `Filter(scan a)`.

use std::sync::Arc;

use datafusion::logical_expr::{Extension, LogicalPlan};
use portolan_connectors::{FragmentPlan, SiteId};

use super::cardinality::estimate;
use super::map_parts::map_parts;
use super::movement::Routes;
use super::row_order::keep_order;
use crate::Result;
use crate::encode::write;
use crate::execution::errors::from_datafusion;
use crate::names::Barrier;
use crate::plan::{Edge, Exchange, Fragment, Placed, Reason, SiteChoice};
use crate::upstream::functional_dependencies::without_dependencies;

/// Cuts out the fragments. Returns the plan that runs here, the placed plan with numbered fragments, and the fragments.
/// `running` is the placed plan that the new one replaces, if a running query is planned again. Its fragments run
/// already.
pub(super) fn cut(
    mut placed: Placed,
    routes: Routes<'_>,
    running: Option<&Placed>,
) -> Result<(LogicalPlan, Placed, Vec<Arc<Fragment>>)> {
    let mut cutter = Cutter { routes, running, fragments: vec![], is_hidden: false };
    let plan = cutter.operator(&mut placed).map_err(|e| from_datafusion(&e))?;
    Ok((plan, placed, cutter.fragments))
}

struct Cutter<'a> {
    routes: Routes<'a>,
    running: Option<&'a Placed>,
    fragments: Vec<Arc<Fragment>>,
    /// True below a barrier.
    is_hidden: bool,
}

impl Cutter<'_> {
    fn operator(&mut self, placed: &mut Placed) -> datafusion::error::Result<LogicalPlan> {
        if let Some(exchange) = Exchange::of(&placed.plan).cloned() {
            return Ok(self.running(placed, exchange));
        }
        if let SiteChoice::Site(site) = placed.site.clone() {
            // The wrapper around a subquery's plan is not an operator: the cut goes below it.
            if !matches!(placed.plan, LogicalPlan::Subquery(_)) {
                match write(&placed.plan, &site, self.routes.view) {
                    Ok(sent) => return self.exchange(placed, site, sent),
                    Err(error) => placed.reason = Some(Reason::Unwritable(error.context().to_owned())),
                }
            }
            placed.site = SiteChoice::Here;
            // The operators below become fragments of their own.
            keep_order(placed);
        }
        let is_hidden = self.is_hidden;
        self.is_hidden |= Barrier::of(&placed.plan).is_some();
        let plan = map_parts(placed.plan.clone(), placed, |_, part| self.operator(part));
        self.is_hidden = is_hidden;
        plan
    }

    /// Returns the edge of a fragment that the place pass did not see, such as a part of a fragment that could not be
    /// encoded.
    fn gather(&self, plan: &LogicalPlan, site: &SiteId) -> Edge {
        let expected = estimate(plan);
        Edge {
            link: self.routes.view.link(site),
            rows_whole: expected.rows,
            rows: expected.rows,
            row_bytes: expected.row_bytes(plan.schema()),
            ..Edge::default()
        }
    }

    /// Keeps a fragment that runs already as it was, under a number of this plan.
    fn running(&mut self, placed: &mut Placed, exchange: Exchange) -> LogicalPlan {
        let number = self.fragments.len() + 1;
        let before = self.running.and_then(|root| root.fragment_root(exchange.fragment.number));
        if let Some(before) = before {
            *placed = Placed { shared: None, ..before.clone() };
        }
        placed.fragment = Some(number);
        let fragment = Arc::new(Fragment { number, ..exchange.fragment.as_ref().clone() });
        self.fragments.push(fragment.clone());
        LogicalPlan::Extension(Extension { node: Arc::new(Exchange { fragment, ..exchange }) })
    }

    fn exchange(
        &mut self,
        placed: &mut Placed,
        site: SiteId,
        sent: FragmentPlan,
    ) -> datafusion::error::Result<LogicalPlan> {
        let number = self.fragments.len() + 1;
        placed.fragment = Some(number);
        let edge = placed.edge.clone().unwrap_or_else(|| self.gather(&placed.plan, &site));
        let fragment = Arc::new(Fragment {
            number,
            site,
            domains: placed.domains.clone(),
            plan: placed.plan.clone(),
            sent,
            schema: without_dependencies(placed.plan.schema())?,
            rows: estimated_rows(&placed.plan),
            edge,
            is_hidden: self.is_hidden,
        });
        self.fragments.push(fragment.clone());
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(Exchange { fragment, running: None }) }))
    }
}

/// Returns the estimated number of rows; `None` if the size of a port below is unknown.
fn estimated_rows(plan: &LogicalPlan) -> Option<usize> {
    let expected = estimate(plan);
    expected.known.then(|| expected.rows.round() as usize)
}
