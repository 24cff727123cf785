//! A fragment: a part of a plan that runs at another site.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;
use portolan_connectors::{FragmentPlan, SiteId};

use super::Edge;

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
}
