//! Fragments: what a site is sent, and what comes back from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The plan of a fragment as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedPlan {
    /// The plan, as the engine encodes it.
    pub plan: Bytes,
    /// The keys that the plan tests rows for, as the engine packs them, in the order of the plan's numbers.
    pub keys: Vec<Bytes>,
}

/// A part of a plan on its way to a site.
#[derive(Clone, Debug)]
pub struct FragmentRequest {
    /// The query that it is part of; the same at every site that the query reaches.
    pub query_id: String,
    /// On whose behalf the query runs.
    pub delegation: Delegation,
    /// Its plan.
    pub encoded: EncodedPlan,
    /// What comes back, column by column.
    pub schema: SchemaRef,
    /// How many nodes the query went through on its way, to bound cascades.
    pub hops: u32,
    /// When the whole query must be done.
    pub deadline: Instant,
    /// Whether it is to tell what each of its operators did.
    pub measured: bool,
}

/// On whose behalf a query runs, and through whom it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegation {
    /// The principal.
    pub principal: String,
    /// The groups that it is in.
    pub groups: BTreeSet<String>,
    /// What else is known of it: names with one value or several.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The nodes that the query went through before it came here, the first one first.
    pub via: Vec<String>,
}

impl Delegation {
    /// On behalf of a principal of whom the name is known, who asked here.
    pub fn of(principal: impl Into<String>) -> Self {
        Self { principal: principal.into(), ..Self::default() }
    }
}

/// What comes back from a site: batches, and at the very end how it went.
pub type FragmentStream = BoxStream<'static, Result<FragmentItem>>;

/// One item of a [`FragmentStream`].
#[derive(Debug)]
pub enum FragmentItem {
    /// Rows, and how many bytes they took on the wire.
    Batch {
        /// The rows.
        batch: RecordBatch,
        /// Bytes on the wire, encoding and dictionaries included.
        wire_bytes: usize,
    },
    /// The end: nothing follows. A stream that stops without it was cut short and is an error.
    Finished(FragmentSummary),
}

/// How a fragment went, as the site that ran it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FragmentSummary {
    /// How many rows it sent.
    pub rows: u64,
    /// Its operators, in the order of the plan's printed form.
    pub operators: Vec<OperatorMetrics>,
    /// What it pulled from other sites for the fragment, and they from others in turn.
    #[serde(default)]
    pub pulled: Vec<PulledRows>,
    /// Milliseconds that its sender waited for the rows after the first ones, where it says so: tells a slow plan from a
    /// slow link.
    #[serde(default)]
    pub producing_ms: Option<u64>,
}

/// What crossed an edge between two other sites.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PulledRows {
    /// The domains whose ports were read.
    pub domains: Vec<String>,
    /// The site that the rows came from.
    pub site: String,
    /// Rows.
    pub rows: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes of keys that were sent for them.
    pub bytes_sent: u64,
}

/// What a site expects of a fragment before it runs; `None` where it cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentEstimate {
    /// Rows.
    pub rows: Option<u64>,
    /// Bytes of these rows in Arrow's form.
    pub bytes: Option<u64>,
}

/// What one operator of a remote plan did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorMetrics {
    /// How deep it stands in the plan, the root at 0.
    pub depth: usize,
    /// The operator, as it prints itself.
    pub operator: String,
    /// Its metrics, as they print themselves.
    pub metrics: String,
    /// How many rows it gave, where it counts them.
    #[serde(default)]
    pub rows: Option<u64>,
    /// How many rows the planner of that site expected, where the operator does the work of one in its plan.
    #[serde(default)]
    pub estimated_rows: Option<f64>,
}
