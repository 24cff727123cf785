//! The spans of traces: pieces of work that have ended, for the program that exports them.

use std::fmt::Debug;
use std::time::SystemTime;

use portolan_connectors::TraceContext;

/// A receiver of spans. It must not block: the engine calls it while queries run.
pub trait SpanSink: Debug + Send + Sync {
    /// Receives a span that has ended. The engine reports the spans of traces that are recorded, and no others.
    fn ended(&self, span: Span);
}

/// A piece of work that has ended. It contains no text of a statement and no value of a row.
#[derive(Clone, Debug)]
pub struct Span {
    /// The place of the work in its trace.
    pub trace: TraceContext,
    /// The kind of work.
    pub kind: SpanKind,
    /// The identifier of the query, which is the same at every node.
    pub query_id: String,
    /// The time when the work started.
    pub started: SystemTime,
    /// The time when the work ended.
    pub ended: SystemTime,
    /// The outcome: `ok`, or the kind of the error.
    pub outcome: &'static str,
}

/// The kind of work of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// A query of a session.
    Query,
    /// A fragment of another node's query.
    Fragment,
    /// An estimate for a fragment.
    Estimate,
    /// The rows of a fragment that another site runs.
    Edge {
        /// The domains whose rows came.
        domains: Vec<String>,
        /// The site.
        site: String,
        /// The number of rows.
        rows: u64,
        /// The bytes on the wire.
        bytes: u64,
    },
}

impl SpanKind {
    /// Returns the name of the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::Estimate => "estimate",
            Self::Edge { .. } => "edge",
        }
    }
}
