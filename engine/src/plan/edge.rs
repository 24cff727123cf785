//! What the planner decided for an edge, in the form in which execution follows it and EXPLAIN shows it.

use std::time::Duration;

use portolan_connectors::KeyForm;

use crate::mesh::Link;

/// How the rows of a fragment come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All of them.
    #[default]
    Gather,
    /// Those whose keys another side of a join has.
    Keys,
    /// The site that gives them pulls what it joins from other owners.
    Delegate,
}

/// The source of keys from tables of this node's own.
pub(crate) const THIS_NODE: &str = "this node";

/// What an exchange does about keys: it waits for those of the joins above it, and sends them where they pay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyPlan {
    /// The longest wait; then the fragment starts without keys.
    pub(crate) wait: Duration,
    /// The form, where a setting forces one.
    pub(crate) form: Option<KeyForm>,
    /// How many keys are expected.
    pub(crate) keys: f64,
    /// How many different keys the whole fragment has; 0 where nothing is known.
    pub(crate) probe_distinct: f64,
    /// The sources of the keys, each once: domains, or [`THIS_NODE`].
    pub(crate) from: Vec<String>,
    /// How often the expected number of keys must be off before that counts as a surprise (`portolan.adapt_factor`).
    pub(crate) adapt_factor: f64,
}

/// What is expected of the edge over which a fragment's rows come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edge {
    pub(crate) strategy: Strategy,
    pub(crate) keys: Option<KeyPlan>,
    pub(crate) link: Link,
    /// Rows of the fragment as it stands, before keys cut them.
    pub(crate) rows_whole: f64,
    /// Rows that are expected to cross.
    pub(crate) rows: f64,
    /// Bytes of a row.
    pub(crate) row_bytes: f64,
}
