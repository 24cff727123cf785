//! The labels of the rows that a plan reads: of the ports of this node as the principal may see them, and of the ports
//! that a fragment reads. They depend on no row.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use portolan_catalog::PortRef;
use portolan_connectors::{LabelledPort, ResultLabel};

use super::port::GovernedPort;
use super::rules::PortRules;
use crate::mesh::MeshView;
use crate::names::{Barrier, PortTable};
use crate::planner::Draft;

/// The label of the ports of this node that a query reads. It observes the passes: govern knows the masks, and normalise
/// finds the columns that are read.
pub(crate) struct Labelling<'a> {
    rules: &'a PortRules,
    pub(crate) label: ResultLabel,
}

impl<'a> Labelling<'a> {
    /// Returns the label of a query that has not been planned.
    pub(crate) fn new(rules: &'a PortRules) -> Self {
        Self { rules, label: ResultLabel::default() }
    }

    /// Adds what the plan after a pass reads.
    pub(crate) fn observe(&mut self, pass: &str, draft: &Draft) {
        match pass {
            "analyse" => self.add_derived(&draft.plan),
            "normalise" => {
                let own = |port: &PortTable| port.is_own() && !port.is_of_query;
                add_scans(&mut self.label, &draft.plan, &self.rules.view, own);
            }
            _ => {}
        }
    }

    /// Adds the derived ports of which the principal sees everything: the optimizer mixes their queries with the
    /// statement, so all of their columns count.
    fn add_derived(&mut self, plan: &LogicalPlan) {
        // The visit itself never fails.
        let _ = plan.apply_with_subqueries(|node| {
            if let Some(barrier) = Barrier::of(node)
                && let Ok(None) = self.rules.decide(&barrier.port)
            {
                let columns = barrier.input.schema().fields().iter().map(|field| field.name().clone());
                add(&mut self.label, &self.rules.view, &barrier.port, &columns.collect());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
}

/// Returns the label of a fragment as far as this node knows it: without the policies of other owners, and without their
/// masks.
pub(crate) fn label_of_fragment(plan: &LogicalPlan, view: &MeshView) -> ResultLabel {
    let mut label = ResultLabel::default();
    add_scans(&mut label, plan, view, |port| !port.is_of_query);
    label
}

/// Adds the governed ports that a plan scans, and those of the others that are wanted.
fn add_scans(label: &mut ResultLabel, plan: &LogicalPlan, view: &MeshView, wanted: impl Fn(&PortTable) -> bool) {
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let found = GovernedPort::with_scanned(scan, |port| {
                let mut columns = columns(scan);
                columns.retain(|column| !port.decision.columns.contains_key(column));
                (port.name.clone(), columns)
            });
            let found = found.or_else(|| {
                PortTable::with_scanned(scan, |port| wanted(port).then(|| (port.name.clone(), columns(scan)))).flatten()
            });
            if let Some((port, columns)) = found {
                add(label, view, &port, &columns);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
}

/// Returns the columns that a scan reads, for its rows or for its own filters.
fn columns(scan: &TableScan) -> BTreeSet<String> {
    let of_rows = scan.projected_schema.fields().iter().map(|field| field.name().clone());
    let of_filters = scan.filters.iter().flat_map(|filter| filter.column_refs()).map(|column| column.name.clone());
    of_rows.chain(of_filters).collect()
}

/// Adds a port, of which these columns are read as they are.
fn add(label: &mut ResultLabel, view: &MeshView, name: &PortRef, columns: &BTreeSet<String>) {
    let port = view.snapshot.port(name);
    let policies = view.policies.get(&name.domain).filter(|policies| policies.is_governed(name));
    let labelled = LabelledPort {
        name: name.to_string(),
        version: port.and_then(|port| port.version.clone()),
        policies: policies.map(|policies| policies.version().to_owned()),
    };
    let read = port.into_iter().flat_map(|port| &port.columns).filter(|column| columns.contains(&column.name));
    label.add(labelled, read.filter_map(|column| column.classification.as_deref()));
}
