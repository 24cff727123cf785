//! The document of EXPLAIN, with all that it shows about a query. Programs read it as JSON, and all other formats are
//! created from it. The book describes it. Later versions may add fields.

use portolan_connectors::OperatorMetrics;
use serde::Serialize;

/// A query's plan and, if it ran, its measurements.
#[derive(Debug, Serialize)]
pub(super) struct PlanDocument {
    pub(super) sites: Vec<SiteEntry>,
    pub(super) fragments: Vec<FragmentEntry>,
    pub(super) plan: OperatorEntry,
    /// The reason why a part was planned again while the query ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) adapted: Option<String>,
    /// The errors of the estimates, only if the query ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) q_error: Option<Errors>,
}

/// An owner that the query sends fragments to.
#[derive(Debug, Serialize)]
pub(super) struct SiteEntry {
    pub(super) url: String,
    pub(super) domains: Vec<String>,
}

/// A part of the plan that runs at an owner, and the edge that its rows cross.
#[derive(Debug, Serialize)]
pub(super) struct FragmentEntry {
    pub(super) number: usize,
    pub(super) site: String,
    pub(super) domains: Vec<String>,
    pub(super) sql: String,
    pub(super) edge: EdgeEntry,
    /// The decision at the operator where its rows meet those of another site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<DecisionEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actual: Option<EdgeActual>,
}

/// The expected figures of an edge; `None` if a figure is unknown.
#[derive(Debug, Serialize)]
pub(super) struct EdgeEntry {
    /// `gather`, `keys` or `delegate`.
    pub(super) strategy: &'static str,
    pub(super) keys: Option<KeysEntry>,
    /// The domains whose rows the site fetches from their owners.
    pub(super) pulls_from: Vec<String>,
    /// The number of rows before join keys reduce them.
    pub(super) rows_whole: Option<u64>,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) latency_ms: f64,
    pub(super) bytes_per_second: f64,
}

/// The join keys that reduce a fragment's rows.
#[derive(Debug, Serialize)]
pub(super) struct KeysEntry {
    pub(super) from: String,
    pub(super) expected: u64,
    /// The encoding of the keys. `None`: the one that costs least when the keys have arrived.
    pub(super) form: Option<&'static str>,
    pub(super) wait_ms: f64,
}

/// The measurements of an edge.
#[derive(Debug, Serialize)]
pub(super) struct EdgeActual {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) first_batch_ms: Option<f64>,
    /// True if the owner sent all of its rows.
    pub(super) complete: bool,
    /// The q-error of the estimate; `None` if there was no estimate, or the owner was stopped.
    pub(super) q_error: Option<f64>,
    /// A description of the keys that were sent.
    pub(super) keys: Option<String>,
    /// The rows that the owner fetched from other owners, directly or through another owner.
    pub(super) pulled: Vec<Pulled>,
    /// The owner's operators.
    pub(super) operators: Vec<OperatorMetrics>,
}

/// The measurements of an edge between two owners.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pulled {
    pub(super) domains: Vec<String>,
    pub(super) site: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The bytes of join keys that were sent to the site.
    pub(super) key_bytes: u64,
}

/// An operator with its site and its inputs.
#[derive(Debug, Serialize)]
pub(super) struct OperatorEntry {
    /// The operator in its one-line format.
    pub(super) operator: String,
    /// `here`, or the URL of an owner; `None` if the operator reads nothing.
    pub(super) site: Option<String>,
    pub(super) domains: Vec<String>,
    /// The port of a scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<String>,
    /// The reason why the operator runs at the local node, although an owner has an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The fragment whose root is this operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fragment: Option<usize>,
    /// The shared part whose root is this operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shared: Option<SharedEntry>,
    /// The expected number of rows.
    pub(super) rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<DecisionEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actual: Option<OperatorActual>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subqueries: Vec<OperatorEntry>,
    pub(super) inputs: Vec<OperatorEntry>,
}

/// A part of the plan that runs once for several readers.
#[derive(Debug, Serialize)]
pub(super) struct SharedEntry {
    /// The number of the part.
    pub(super) part: usize,
    /// The number of readers. `None` for a reader whose operators the plan shows elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) readers: Option<usize>,
}

/// The measurements of an operator.
#[derive(Debug, Serialize)]
pub(super) struct OperatorActual {
    pub(super) rows: u64,
    /// The q-error; `None` if there was no estimate, or the operator was stopped before its end.
    pub(super) q_error: Option<f64>,
}

/// The decision at an operator that combines sites, with its alternatives.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DecisionEntry {
    pub(super) chosen: AlternativeEntry,
    /// The alternatives, the cheapest first.
    pub(super) runners_up: Vec<AlternativeEntry>,
}

/// An alternative.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AlternativeEntry {
    pub(super) what: String,
    pub(super) bytes: u64,
    pub(super) milliseconds: f64,
}

/// The errors of a plan's estimates.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Errors {
    /// The number of estimates that could be compared.
    pub(super) compared: usize,
    pub(super) median: f64,
    pub(super) max: f64,
    /// The operator or edge with the largest error.
    pub(super) worst: String,
}
