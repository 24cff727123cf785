//! What a site can run, the forms in which fragments and join keys travel to it, and what work costs there.

use std::time::Duration;

use datafusion::logical_expr::{JoinType, LogicalPlan};

use crate::refusal::Refusal;
use crate::sql::{self, SqlDialect};

/// The form in which a fragment travels to a site.
#[derive(Clone, Copy, Debug)]
pub enum WireForm {
    /// A plan as the engine encodes it, for nodes.
    Plan,
    /// A query in SQL, for databases.
    Sql(&'static SqlDialect),
}

/// A form in which join keys travel with a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Literals in the fragment.
    Literals,
    /// A batch beside the fragment.
    Batch,
    /// A Bloom filter. Some rows without a match come as well.
    Bloom,
    /// The least and the greatest key.
    Range,
}

impl KeyForm {
    /// Every form, in the order of the variants: an encoded edge contains the number of a form.
    pub const ALL: [Self; 4] = [Self::Literals, Self::Batch, Self::Bloom, Self::Range];

    /// Returns the name of the form in settings and in EXPLAIN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Literals => "literals",
            Self::Batch => "batch",
            Self::Bloom => "bloom",
            Self::Range => "range",
        }
    }
}

/// What work costs at a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteCosts {
    /// The time of an operator at the site, as a multiple of its time at a node.
    pub work: f64,
    /// The time of a round trip to the site; `None` if it is measured.
    pub latency: Option<Duration>,
    /// Bytes a second from the site; `None` if this is measured.
    pub bandwidth: Option<f64>,
}

impl Default for SiteCosts {
    /// Returns the costs of a node.
    fn default() -> Self {
        Self { work: 1.0, latency: None, bandwidth: None }
    }
}

/// What a site can run, and how fragments travel to it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// The form in which a fragment travels. It decides which operators the site runs.
    pub wire_form: WireForm,
    /// The forms in which join keys may travel with a fragment.
    pub key_forms: &'static [KeyForm],
    /// What work costs there.
    pub costs: SiteCosts,
}

impl Capabilities {
    /// Returns the capabilities of a node: it runs every operator that travels, and takes keys in every form.
    pub fn node() -> Self {
        Self { wire_form: WireForm::Plan, key_forms: &KeyForm::ALL, costs: SiteCosts::default() }
    }

    /// Returns the capabilities of a database: it runs what can be written in its SQL. Keys are literals in the query.
    pub fn database(dialect: &'static SqlDialect) -> Self {
        Self {
            wire_form: WireForm::Sql(dialect),
            key_forms: &[KeyForm::Literals, KeyForm::Range],
            costs: SiteCosts::default(),
        }
    }

    /// Replaces the costs.
    #[must_use]
    pub fn with_costs(mut self, costs: SiteCosts) -> Self {
        self.costs = costs;
        self
    }

    /// Returns true if the site runs every operator that travels.
    pub fn runs_everything(&self) -> bool {
        matches!(self.wire_form, WireForm::Plan)
    }

    /// Checks that the site runs this one operator, whatever its inputs are.
    ///
    /// # Errors
    /// The reason why the site does not run it.
    pub fn admits(&self, operator: &LogicalPlan) -> Result<(), Refusal> {
        self.sql_bytes(operator).map(drop)
    }

    /// Returns the bytes that this one operator takes in a query, without its inputs; 0 for a node.
    ///
    /// # Errors
    /// The reason why the site does not run it.
    pub fn sql_bytes(&self, operator: &LogicalPlan) -> Result<usize, Refusal> {
        match self.wire_form {
            WireForm::Plan => Ok(0),
            WireForm::Sql(dialect) => sql::admits(operator, dialect),
        }
    }

    /// Returns true if the site runs joins of this type, under some conditions.
    pub fn joins(&self, join_type: JoinType) -> bool {
        match self.wire_form {
            WireForm::Plan => true,
            WireForm::Sql(dialect) => dialect.joins(join_type),
        }
    }
}
