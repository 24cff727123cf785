//! Fragments: what a site is sent, and what comes back from it.

use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::principal::Principal;

/// The head of a query's fragments: everything beside the plan that a site must know. The engine keeps it with the query,
/// a request carries it, and `node/protocol.rs` gives it the form in which it travels.
#[derive(Clone, Debug)]
pub struct FragmentHead {
    /// The identity of the query, the same at every node that the query reaches.
    pub query_id: String,
    /// On whose behalf the query runs.
    pub principal: Principal,
    /// The nodes that the query went through, the first one first, as far as they are known. A sender does not name
    /// itself: its signature does.
    pub via: Vec<String>,
    /// The number of nodes that the query went through. It bounds cascades.
    pub hops: u32,
    /// When the whole query must be done.
    pub deadline: Instant,
    /// True if the sender wants a report of what each operator did.
    pub measured: bool,
}

impl FragmentHead {
    /// Returns the head of a query that starts here.
    pub fn new(query_id: impl Into<String>, principal: Principal, deadline: Instant) -> Self {
        Self { query_id: query_id.into(), principal, via: vec![], hops: 0, deadline, measured: false }
    }

    /// Returns the head of the fragments that this node sends for the query: one hop further.
    #[must_use]
    pub fn sent_on(&self) -> Self {
        let mut head = self.clone();
        head.hops += 1;
        // What an administrator may do holds at the node where it was granted, and does not travel.
        head.principal = head.principal.with_admin(false);
        // Of what owners pull from one another, they report numbers of rows and bytes alone.
        head.measured &= self.hops == 0;
        head
    }
}

/// The plan of a fragment as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedPlan {
    /// The plan, as the engine encodes it.
    pub plan: Bytes,
    /// The keys that the plan tests rows for, as the engine packs them, in the order of the plan's numbers.
    pub keys: Vec<Bytes>,
}

/// A fragment in the form in which it travels to its site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FragmentPlan {
    /// An encoded plan, for a node.
    Encoded(EncodedPlan),
    /// A query in SQL, for a database. Its columns are those of the fragment, in order, under names of their own. For a
    /// fragment without columns, the query has one.
    Sql(String),
}

impl FragmentPlan {
    /// Returns the bytes that it takes, those of its keys included.
    pub fn size(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.plan.len() + encoded.keys.iter().map(Bytes::len).sum::<usize>(),
            Self::Sql(sql) => sql.len(),
        }
    }

    /// Returns the encoded plan.
    ///
    /// # Errors
    /// `Internal` if it is SQL.
    pub fn encoded(&self) -> Result<&EncodedPlan> {
        match self {
            Self::Encoded(encoded) => Ok(encoded),
            Self::Sql(_) => Err(Error::new(ErrorKind::Internal, "a node runs encoded plans, and this fragment is SQL")),
        }
    }
}

/// A part of a plan on its way to a site.
#[derive(Clone, Debug)]
pub struct FragmentRequest {
    /// Its head.
    pub head: FragmentHead,
    /// Its plan.
    pub plan: FragmentPlan,
    /// The columns of its rows.
    pub schema: SchemaRef,
}

/// A part of a plan that another node sent, once the receiver has verified on whose behalf.
#[derive(Clone, Debug)]
pub struct SentFragment {
    /// Its head.
    pub head: FragmentHead,
    /// Its plan.
    pub encoded: EncodedPlan,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_travels_as_a_principal_like_others() {
        let ann = Principal::new("ann").with_groups(["analysts"]).with_attribute("region", ["eu"]);
        let head = FragmentHead::new("q", ann.clone().with_admin(true), Instant::now());
        assert_eq!(head.sent_on().principal, ann);
    }

    #[test]
    fn each_hop_counts_and_only_the_first_is_measured() {
        let via = vec!["a".to_owned()];
        let asked = FragmentHead {
            via: via.clone(),
            measured: true,
            ..FragmentHead::new("q", Principal::anonymous(), Instant::now())
        };
        let (first, second) = (asked.sent_on(), asked.sent_on().sent_on());
        assert_eq!((first.hops, first.measured, second.hops, second.measured), (1, true, 2, false));
        assert_eq!((&second.query_id, &second.via, second.deadline), (&asked.query_id, &via, asked.deadline));
    }
}
