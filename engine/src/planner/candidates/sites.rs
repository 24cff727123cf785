//! The sites of the ports that a plan reads, and the operators that may run at another node.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use portolan_catalog::DomainName;
use portolan_connectors::{Capabilities, Refusal, SiteId};

use crate::encode::admit;
use crate::mesh::MeshView;
use crate::names::{PortSite, PortTable};
use crate::plan::SiteChoice;

/// Returns the only site that owns every port of a plan, and the domains of these ports. The site is `Here` too if
/// several sites own them, or if their site does not run the plan.
pub(in crate::planner) fn site_and_domains(
    plan: &LogicalPlan,
    view: &MeshView,
) -> DataFusionResult<(SiteChoice, BTreeSet<DomainName>)> {
    let mut site = SiteChoice::Anywhere;
    let mut domains = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        let own = match node {
            LogicalPlan::TableScan(scan) => match port_of(scan) {
                Some((domain, own)) => {
                    domains.insert(domain);
                    own
                }
                None => SiteChoice::Here,
            },
            // The rows of a running fragment come here, and so do the inputs of an operator that does not travel.
            other if admit::operator(other).is_err() => SiteChoice::Here,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        site = if site == SiteChoice::Anywhere || site == own { own } else { SiteChoice::Here };
        Ok(TreeNodeRecursion::Continue)
    })?;
    let refused = match &site {
        SiteChoice::Site(id) => refuses_part(plan, &view.capabilities(id))?,
        SiteChoice::Here | SiteChoice::Anywhere => false,
    };
    Ok((if refused { SiteChoice::Here } else { site }, domains))
}

/// Returns true if a site does not run an operator of a plan.
fn refuses_part(plan: &LogicalPlan, capabilities: &Capabilities) -> DataFusionResult<bool> {
    let mut refused = false;
    if !capabilities.runs_everything() {
        plan.apply_with_subqueries(|node| {
            refused = admit::at_site(node, capabilities).is_err();
            Ok(if refused { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
    }
    Ok(refused)
}

/// Returns the site that [`site_and_domains`] returns, without the domains.
pub(in crate::planner) fn site_of(plan: &LogicalPlan, view: &MeshView) -> DataFusionResult<SiteChoice> {
    site_and_domains(plan, view).map(|(site, _)| site)
}

/// Returns the other sites whose ports a plan reads.
pub(in crate::planner) fn other_sites(plan: &LogicalPlan) -> DataFusionResult<Vec<SiteId>> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some((_, SiteChoice::Site(site))) = port_of(scan)
        {
            found.insert(site);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found.into_iter().collect())
}

/// Returns the domain and the site of a scanned port; `None` for a table of this node.
pub(super) fn port_of(scan: &TableScan) -> Option<(DomainName, SiteChoice)> {
    PortTable::with_scanned(scan, |port| (port.name.domain.clone(), site_of_port(port)))
}

fn site_of_port(port: &PortTable) -> SiteChoice {
    match &port.site {
        PortSite::Here(_) => SiteChoice::Here,
        PortSite::Site { site, .. } => SiteChoice::Site(site.clone()),
    }
}

/// Returns why a site does not run an operator, if the operator is a scan for the query of a derived port: such a query
/// stays with its owner, and the ports that it reads are read where they are.
pub(super) fn of_query(plan: &LogicalPlan, id: &SiteId) -> Option<Refusal> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    let refusal = |port: &PortTable| {
        let is_refused = port.is_of_query && site_of_port(port) != SiteChoice::Site(id.clone());
        is_refused.then(|| Refusal::OfQuery(port.name.to_string()))
    };
    PortTable::with_scanned(scan, refusal).flatten()
}
