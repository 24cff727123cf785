//! `EXPLAIN (POLICY)`: what the policies of the ports that a statement reads decide for the principal, and which rules
//! decided. The statement does not run, and may be one that the policies refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use futures::future::join_all;
use portolan_catalog::PortRef;
use portolan_connectors::{DecidedAction, DecisionRequest, FragmentHead, MOST_DECIDED_PORTS, PortDecision, SiteId};

use super::port_decisions::{of_owner, of_reading};
use super::visible_ports::head_of;
use super::{Prepared, QueryStream};
use crate::names::{Barrier, PortSite, PortTable};
use crate::state::caller_of;
use crate::{Error, ErrorKind, Result};

/// The owner of a port of this node.
const HERE: &str = "this node";

/// Returns the columns of `EXPLAIN (POLICY)`.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("port"),
        text("owner"),
        text("subject"),
        text("decision"),
        text("decided_by"),
        text("policy_version"),
        Field::new("valid_until", time, true),
    ]))
}

impl Prepared {
    /// Returns the decisions about the ports that a plan reads, in the order of the ports' names.
    pub(super) async fn explain_policies(&self, plan: &LogicalPlan) -> Result<QueryStream> {
        let head = head_of(&self.session);
        let (engine, caller) = (&self.session.engine, caller_of(&head));
        let mut of_owners: BTreeMap<SiteId, Vec<PortRef>> = BTreeMap::new();
        let mut decided = BTreeMap::new();
        for (port, owner) in ports_of(plan) {
            match owner {
                Some(site) => of_owners.entry(site).or_default().push(port),
                None => {
                    let decision = of_reading(engine, &self.view, &caller, &port);
                    decided.insert(port, (HERE.to_owned(), decision));
                }
            }
        }
        let asked: Vec<_> = of_owners.iter().map(|(site, ports)| self.of_owner(site, ports, &head)).collect();
        for (site, decisions) in of_owners.keys().zip(join_all(asked).await) {
            decided.extend(decisions.into_iter().map(|d| (d.port.clone(), (site.to_string(), d))));
        }
        Ok(QueryStream::fixed(schema(), vec![batch(decided.into_values())?]))
    }

    /// Returns the decisions of an owner: one for each port.
    async fn of_owner(&self, site: &SiteId, ports: &[PortRef], head: &FragmentHead) -> Vec<PortDecision> {
        let mut all = vec![];
        for some in ports.chunks(MOST_DECIDED_PORTS) {
            let asked = DecisionRequest { action: DecidedAction::Read, ports: some.to_vec() };
            let (mut decisions, missing) = match of_owner(&self.view, site, head, &asked).await {
                Ok(decisions) => (decisions, "the owner did not decide about the port".to_owned()),
                Err(error) => (vec![], unanswered(&error)),
            };
            for port in some {
                let found = decisions.iter().position(|decision| decision.port == *port);
                all.push(match found {
                    Some(found) => decisions.swap_remove(found),
                    None => PortDecision::of_rows(port.clone(), false, format!("unknown: {missing}")),
                });
            }
        }
        all
    }
}

/// Returns why the decisions of an owner are unknown.
fn unanswered(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Unsupported => format!("the owner does not explain its decisions ({})", error.chain()),
        _ => error.chain(),
    }
}

/// Returns the ports that a plan reads, each with the site of its owner, `None` for this node. The query of a derived port
/// reads its inputs on behalf of the owner, so they are not in the list.
fn ports_of(plan: &LogicalPlan) -> BTreeMap<PortRef, Option<SiteId>> {
    let mut ports = BTreeMap::new();
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let Some(barrier) = Barrier::of(node) {
            ports.insert(barrier.port.clone(), None);
            return Ok(TreeNodeRecursion::Jump);
        }
        if let LogicalPlan::TableScan(scan) = node {
            let scanned = PortTable::with_scanned(scan, |port| {
                let site = match &port.site {
                    PortSite::Site { site, table: None } => Some(site.clone()),
                    PortSite::Site { .. } | PortSite::Here(_) => None,
                };
                (port.name.clone(), site)
            });
            ports.extend(scanned);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    ports
}

/// Returns a row for each part of each decision.
fn batch(decided: impl Iterator<Item = (String, PortDecision)>) -> Result<RecordBatch> {
    let mut texts: [Vec<Option<String>>; 6] = Default::default();
    let mut times = vec![];
    for (owner, decision) in decided {
        for part in decision.parts {
            let rules = (!part.decided_by.is_empty()).then(|| part.decided_by.join(", "));
            let row = [
                Some(decision.port.to_string()),
                Some(owner.clone()),
                Some(part.column.unwrap_or_else(|| "rows".to_owned())),
                Some(part.decision),
                rules,
                decision.policy_version.clone(),
            ];
            texts.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
            times.push(decision.valid_until.and_then(|time| time.checked_mul(1_000)));
        }
    }
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let texts = texts.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    RecordBatch::try_new(schema(), texts.chain([times]).collect())
        .map_err(|e| Error::new(ErrorKind::Internal, "the decisions do not form a batch").with_source(e))
}

#[cfg(test)]
mod tests;
