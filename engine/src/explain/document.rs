//! The form of all that EXPLAIN knows of a query: as JSON it is what programs read, and every other form is drawn from
//! it. It is told in the book; fields may be added to it.

use portolan_connectors::OperatorMetrics;
use serde::Serialize;

/// A query's plan, and what it did where it ran.
#[derive(Debug, Serialize)]
pub(super) struct PlanDocument {
    pub(super) sites: Vec<SiteEntry>,
    pub(super) fragments: Vec<FragmentEntry>,
    pub(super) plan: OperatorEntry,
    /// Why a part was planned again while the query ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) adapted: Option<String>,
    /// How far the estimates were off; only where the query ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) q_error: Option<Errors>,
}

/// An owner that is asked.
#[derive(Debug, Serialize)]
pub(super) struct SiteEntry {
    pub(super) url: String,
    pub(super) domains: Vec<String>,
}

/// A part of the plan that runs at an owner, and the edge over which its rows come.
#[derive(Debug, Serialize)]
pub(super) struct FragmentEntry {
    pub(super) number: usize,
    pub(super) site: String,
    pub(super) domains: Vec<String>,
    pub(super) sql: String,
    pub(super) edge: EdgeEntry,
    /// What was decided where its rows meet those of another site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<DecisionEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actual: Option<EdgeActual>,
}

/// What is expected of an edge; `None` is what is not known.
#[derive(Debug, Serialize)]
pub(super) struct EdgeEntry {
    /// `gather`, `keys` or `delegate`.
    pub(super) strategy: &'static str,
    pub(super) keys: Option<KeysEntry>,
    /// The domains whose rows the site pulls from their owners.
    pub(super) pulls_from: Vec<String>,
    /// Rows before keys cut them.
    pub(super) rows_whole: Option<u64>,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) latency_ms: f64,
    pub(super) bytes_per_second: f64,
}

/// The keys that cut a fragment's rows.
#[derive(Debug, Serialize)]
pub(super) struct KeysEntry {
    pub(super) from: String,
    pub(super) expected: u64,
    /// `None`: whatever costs least once the keys are there.
    pub(super) form: Option<&'static str>,
    pub(super) wait_ms: f64,
}

/// What crossed an edge.
#[derive(Debug, Serialize)]
pub(super) struct EdgeActual {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) first_batch_ms: Option<f64>,
    /// Whether the owner sent all that it had.
    pub(super) complete: bool,
    /// How far the estimate was off; `None` where there was none, or the owner was stopped.
    pub(super) q_error: Option<f64>,
    /// What became of keys, in words.
    pub(super) keys: Option<String>,
    /// What the owner pulled from others, be it by way of another.
    pub(super) pulled: Vec<Pulled>,
    /// The owner's operators.
    pub(super) operators: Vec<OperatorMetrics>,
}

/// What crossed an edge between two owners.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pulled {
    pub(super) domains: Vec<String>,
    pub(super) site: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Bytes of keys that were sent to the site.
    pub(super) key_bytes: u64,
}

/// An operator with its site, and its inputs likewise.
#[derive(Debug, Serialize)]
pub(super) struct OperatorEntry {
    /// As it prints itself in a line.
    pub(super) operator: String,
    /// `here`, or the URL of an owner; `None` for what reads nothing.
    pub(super) site: Option<String>,
    pub(super) domains: Vec<String>,
    /// The port, of a scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<String>,
    /// Why it runs here though an owner holds an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The fragment that it is the root of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fragment: Option<usize>,
    /// How many rows it is expected to give.
    pub(super) rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<DecisionEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actual: Option<OperatorActual>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subqueries: Vec<OperatorEntry>,
    pub(super) inputs: Vec<OperatorEntry>,
}

/// What an operator did.
#[derive(Debug, Serialize)]
pub(super) struct OperatorActual {
    pub(super) rows: u64,
    /// `None` where there was no estimate, or where the operator was stopped before its end.
    pub(super) q_error: Option<f64>,
}

/// What was done where sites are combined, and what it was weighed against.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DecisionEntry {
    pub(super) chosen: AlternativeEntry,
    /// The cheapest first.
    pub(super) runners_up: Vec<AlternativeEntry>,
}

/// One way to do it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AlternativeEntry {
    pub(super) what: String,
    pub(super) bytes: u64,
    pub(super) milliseconds: f64,
}

/// How far the estimates of a plan were off.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Errors {
    /// How many estimates could be compared.
    pub(super) compared: usize,
    pub(super) median: f64,
    pub(super) max: f64,
    /// What the largest is of.
    pub(super) worst: String,
}
