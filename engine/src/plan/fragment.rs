//! A fragment: a part of a plan that runs at another site.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;
use portolan_connectors::{FragmentPlan, SiteId};

use super::Edge;
use crate::names::PortTable;

/// The largest number of ports that an error names.
const SHOWN_PORTS: usize = 4;

/// A part of a plan that runs at another site.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    /// The number of the fragment, from 1, in the order of the plan's printed form.
    pub(crate) number: usize,
    pub(crate) site: SiteId,
    /// The domains whose ports the fragment reads.
    pub(crate) domains: BTreeSet<DomainName>,
    pub(crate) plan: LogicalPlan,
    /// The plan in its wire form.
    pub(crate) sent: FragmentPlan,
    pub(crate) schema: DFSchemaRef,
    /// The estimated number of rows, if it is known.
    pub(crate) rows: Option<usize>,
    /// The planner's decision for the fragment's edge.
    pub(crate) edge: Edge,
    /// True if the fragment is below a barrier: nobody sees how many rows it returns.
    pub(crate) is_hidden: bool,
}

impl Fragment {
    /// Returns the columns of the fragment's rows.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::clone(self.schema.as_arrow()))
    }

    /// Returns the domains as a list in one line.
    pub(crate) fn domain_list(&self) -> String {
        self.domains.iter().map(DomainName::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Returns the ports that the fragment reads as a list in one line: the first ones, if there are many.
    pub(crate) fn port_list(&self) -> String {
        let mut ports = BTreeSet::new();
        // The visitor does not fail.
        let _ = self.plan.apply_with_subqueries(|operator| {
            if let LogicalPlan::TableScan(scan) = operator {
                ports.extend(PortTable::with_scanned(scan, |table| table.name.to_string()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let word = if ports.len() == 1 { "port" } else { "ports" };
        let shown: Vec<&str> = ports.iter().take(SHOWN_PORTS).map(String::as_str).collect();
        let more = if ports.len() > SHOWN_PORTS { " and others" } else { "" };
        format!("{word} {}{more}", shown.join(", "))
    }
}
