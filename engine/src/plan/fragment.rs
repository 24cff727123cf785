//! A fragment: a part of a plan that runs at a peer.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;
use portolan_connectors::{FragmentPlan, SiteId};

use super::Edge;

/// A part of a plan that runs at a peer.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    /// From 1, in the order of the plan's printed form.
    pub(crate) number: usize,
    pub(crate) site: SiteId,
    /// The domains whose ports it reads.
    pub(crate) domains: Vec<String>,
    pub(crate) plan: LogicalPlan,
    /// The plan as it travels.
    pub(crate) sent: FragmentPlan,
    pub(crate) schema: DFSchemaRef,
    /// How many rows it is likely to give, where anything is known.
    pub(crate) rows: Option<usize>,
    /// What was decided for its edge.
    pub(crate) edge: Edge,
}

impl Fragment {
    /// Returns the columns of its rows.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::clone(self.schema.as_arrow()))
    }

    /// Returns the names of the domains whose ports it reads.
    pub(crate) fn domain_names(&self) -> BTreeSet<DomainName> {
        self.domains.iter().map(|domain| DomainName::new(domain.clone())).collect()
    }
}
