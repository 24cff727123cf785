//! Pass 4, place: every operator gets a site, by one rule: an operator whose inputs are all at one site goes to that
//! site; the rest runs here. Each operator that stays here though an owner holds its input keeps the reason.
//!
//! Before: `Join(Filter(scan sales.a), scan supply.b)`.
//! After: `Join @here: combines sales at … with supply at … (Filter(scan sales.a) @sales, scan supply.b @supply)`.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, Volatility};
use portolan_catalog::DomainName;
use portolan_connectors::SiteId;

use super::decision::Decision;
use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::names::{PortSite, PortTable};
use crate::wire::admit;

/// Where an operator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SiteChoice {
    /// Wherever it is needed: it reads no port.
    Anywhere,
    /// In this process.
    Here,
    /// At another node.
    Peer(SiteId),
}

/// An operator with its site, its reason, and its inputs likewise.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The operator with everything below it, as it was before the cut.
    pub(crate) plan: LogicalPlan,
    pub(crate) site: SiteChoice,
    /// Why it runs here though an owner holds an input; `None` where nothing needs a reason.
    pub(crate) reason: Option<String>,
    pub(crate) inputs: Vec<Placed>,
    /// The subqueries in its expressions, in the order of `LogicalPlan::apply_subqueries`.
    pub(crate) subqueries: Vec<Placed>,
    /// The domains whose ports it reads, with everything below it.
    pub(crate) domains: BTreeSet<DomainName>,
    /// How many rows it is expected to give.
    pub(crate) rows: f64,
    /// What was decided where it combines sites.
    pub(crate) decision: Option<Decision>,
    /// The number of the fragment that it is the root of; set by the cut.
    pub(crate) fragment: Option<usize>,
}

/// Gives every operator a site.
pub(super) fn place(plan: &LogicalPlan, placement: bool) -> Result<Placed> {
    let mut placed = place_operator(plan, placement).map_err(|e| from_datafusion(&e))?;
    if !matches!(placed.site, SiteChoice::Peer(_)) {
        keep_order(&mut placed);
    }
    Ok(placed)
}

/// Where the root of a plan goes, by the same rule.
pub(super) fn site_of(plan: &LogicalPlan) -> DataFusionResult<SiteChoice> {
    place_operator(plan, true).map(|p| p.site)
}

fn place_operator(plan: &LogicalPlan, placement: bool) -> DataFusionResult<Placed> {
    let inputs =
        plan.inputs().into_iter().map(|i| place_operator(i, placement)).collect::<DataFusionResult<Vec<_>>>()?;
    let mut subqueries = vec![];
    // Only the subqueries of this operator's own expressions: their inputs come with the recursion.
    plan.apply_expressions(|expr| {
        expr.apply(|e| {
            let subquery = match e {
                Expr::ScalarSubquery(s) => s,
                Expr::InSubquery(s) => &s.subquery,
                Expr::Exists(s) => &s.subquery,
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            subqueries.push(place_operator(&LogicalPlan::Subquery(subquery.clone()), placement)?);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let mut domains: BTreeSet<DomainName> = inputs.iter().chain(&subqueries).flat_map(|i| i.domains.clone()).collect();
    let (site, reason) = match plan {
        LogicalPlan::TableScan(scan) => match port_of(scan) {
            Some((domain, site)) => {
                domains.insert(domain);
                (site, None)
            }
            None => (SiteChoice::Here, None),
        },
        _ => choose(plan, inputs.iter().chain(&subqueries), placement),
    };
    Ok(Placed {
        plan: plan.clone(),
        site,
        reason,
        inputs,
        subqueries,
        domains,
        rows: 0.0,
        decision: None,
        fragment: None,
    })
}

/// The domain and the site of a scanned port; `None` for a table of this node's own.
fn port_of(scan: &datafusion::logical_expr::TableScan) -> Option<(DomainName, SiteChoice)> {
    let provider = source_as_provider(&scan.source).ok()?;
    let port = provider.downcast_ref::<PortTable>()?;
    let site = match &port.site {
        PortSite::Here(_) => SiteChoice::Here,
        PortSite::Peer(site) => SiteChoice::Peer(site.clone()),
    };
    Some((port.name.domain.clone(), site))
}

/// The rule itself.
fn choose<'a>(
    plan: &LogicalPlan,
    inputs: impl Iterator<Item = &'a Placed> + Clone,
    placement: bool,
) -> (SiteChoice, Option<String>) {
    let mut sites = inputs.clone().map(|i| &i.site).filter(|s| **s != SiteChoice::Anywhere);
    let Some(first) = sites.next() else {
        return (SiteChoice::Anywhere, None);
    };
    if !sites.all(|s| s == first) {
        return (SiteChoice::Here, Some(combines(inputs)));
    }
    match first {
        SiteChoice::Peer(_) if !placement => (SiteChoice::Here, Some("portolan.placement is off".into())),
        SiteChoice::Peer(_) => match may_travel(plan) {
            Ok(()) => (first.clone(), None),
            Err(reason) => (SiteChoice::Here, Some(reason)),
        },
        _ => (SiteChoice::Here, None),
    }
}

/// "combines sales at grpc://a with supply at grpc://b".
fn combines<'a>(inputs: impl Iterator<Item = &'a Placed>) -> String {
    let mut sides: Vec<String> = vec![];
    for input in inputs.filter(|i| i.site != SiteChoice::Anywhere) {
        let domains: Vec<&str> = input.domains.iter().map(DomainName::as_str).collect();
        let side = match &input.site {
            SiteChoice::Peer(site) => format!("{} at {site}", domains.join(", ")),
            _ if domains.is_empty() => "tables of this node".into(),
            _ => format!("{} here", domains.join(", ")),
        };
        if !sides.contains(&side) {
            sides.push(side);
        }
    }
    format!("combines {}", sides.join(" with "))
}

/// Whether an operator means the same at another node; the reason where it may not.
fn may_travel(plan: &LogicalPlan) -> Result<(), String> {
    admit::operator(plan)?;
    let mut volatile = None;
    let walked = plan.apply_expressions(|expr| {
        expr.apply(|e| {
            if let Expr::ScalarFunction(f) = e
                && f.func.signature().volatility == Volatility::Volatile
            {
                volatile = Some(f.name().to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    match (walked, volatile) {
        (Err(e), _) => Err(e.strip_backtrace()),
        (_, Some(name)) => Err(format!("`{name}` is volatile: it is evaluated where the question was asked")),
        _ => Ok(()),
    }
}

/// Rows cross an edge in no promised order. Where a fragment's root hands an order upwards (a sort, or a limit or
/// projection over one), the operators down to the sort stay here; a sort with a limit runs on both sides.
fn keep_order(here: &mut Placed) {
    let hands_order_up = hands_order_up(&here.plan);
    for input in &mut here.inputs {
        if hands_order_up && matches!(input.site, SiteChoice::Peer(_)) && carries_order(&input.plan) {
            let reason = Some("its order must reach the result".into());
            match &input.plan {
                LogicalPlan::Sort(Sort { fetch: Some(_), .. }) => {
                    let below = input.clone();
                    *input = Placed { site: SiteChoice::Here, reason, inputs: vec![below], ..input.clone() };
                    continue;
                }
                _ => {
                    input.site = SiteChoice::Here;
                    input.reason = reason;
                }
            }
        }
        if !matches!(input.site, SiteChoice::Peer(_)) {
            keep_order(input);
        }
    }
    for subquery in &mut here.subqueries {
        if !matches!(subquery.site, SiteChoice::Peer(_)) {
            keep_order(subquery);
        }
    }
}

/// Whether the rows of an operator come in the order in which its input gives them.
fn hands_order_up(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) | LogicalPlan::Filter(_)
    )
}

fn carries_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        _ if hands_order_up(plan) => plan.inputs().first().is_some_and(|i| carries_order(i)),
        _ => false,
    }
}
