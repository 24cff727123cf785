//! The planner's decision for an edge. Execution follows it, and EXPLAIN shows it.

use std::time::Duration;

use portolan_connectors::KeyForm;

use crate::mesh::Link;

/// The way in which a fragment's rows are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All rows of the fragment.
    #[default]
    Gather,
    /// The rows whose keys another side of a join has.
    Keys,
    /// The site that sends the rows fetches what it joins from other owners.
    Delegate,
}

/// The source of keys from the local node's own tables.
pub(crate) const THIS_NODE: &str = "this node";

/// An exchange's plan for keys: it waits for the keys of the joins above it, and sends them if they pay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyPlan {
    /// The longest wait. After it, the fragment starts without keys.
    pub(crate) wait: Duration,
    /// The form, if a setting forces one.
    pub(crate) form: Option<KeyForm>,
    /// The expected number of keys.
    pub(crate) keys: f64,
    /// The number of distinct keys of the whole fragment; 0 if it is unknown.
    pub(crate) probe_distinct: f64,
    /// The sources of the keys, each once: domains, or [`THIS_NODE`].
    pub(crate) from: Vec<String>,
    /// The factor by which the number of keys must differ from the expected number to count as a deviation
    /// (`portolan.adapt_factor`).
    pub(crate) adapt_factor: f64,
}

/// The edge over which a fragment's rows come, with its estimates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edge {
    pub(crate) strategy: Strategy,
    pub(crate) keys: Option<KeyPlan>,
    pub(crate) link: Link,
    /// Rows of the whole fragment, before keys cut them.
    pub(crate) rows_whole: f64,
    /// Rows that are expected to cross.
    pub(crate) rows: f64,
    /// Bytes of a row.
    pub(crate) row_bytes: f64,
}
