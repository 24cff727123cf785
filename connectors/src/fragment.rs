//! Fragments: the requests that a site gets, and the streams that it returns.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::label::ResultLabel;
use crate::principal::Principal;
use crate::sql::SqlQuery;
use crate::trace::TraceContext;

/// The head of a query's fragments: all that a site must know besides the plan. The engine keeps the head with the
/// query, each request has it, and `node/protocol.rs` defines its wire form.
#[derive(Clone, Debug)]
pub struct FragmentHead {
    /// The identity of the query, the same at every node that the query reaches.
    pub query_id: String,
    /// The principal on whose behalf the query runs.
    pub principal: Principal,
    /// The purpose that the principal's session declares, if it declares one. Policies may require one.
    pub purpose: Option<String>,
    /// The nodes that the query has gone through, in order, as far as they are known. A sender does not name itself:
    /// its signature does.
    pub via: Vec<String>,
    /// The number of nodes that the query has gone through. It limits cascades.
    pub hops: u32,
    /// The time by which the whole query must be done.
    pub deadline: Instant,
    /// True if the sender wants a report about each operator.
    pub measured: bool,
    /// The columns of the rows, if the sender relays them to a client: a site that [relays](crate::Site::relays) then
    /// returns messages in place of batches.
    pub relayed: Option<RelayedColumns>,
    /// The span that the fragments are a part of.
    pub trace: TraceContext,
}

impl FragmentHead {
    /// Returns the head of a query that starts here.
    pub fn new(query_id: impl Into<String>, principal: Principal, deadline: Instant) -> Self {
        let trace = TraceContext::start();
        Self {
            query_id: query_id.into(),
            principal,
            purpose: None,
            via: vec![],
            hops: 0,
            deadline,
            measured: false,
            relayed: None,
            trace,
        }
    }

    /// Returns the head of the fragments that this node sends for the query: one hop further.
    #[must_use]
    pub fn sent_on(&self) -> Self {
        let mut head = self.clone();
        head.hops += 1;
        // The rights of an administrator hold at the node that granted them, and do not travel.
        head.principal = head.principal.with_admin(false);
        // For rows that owners fetch from one another, they report only the numbers of rows and bytes.
        head.measured &= self.hops == 0;
        // Only the node that the client queries relays rows.
        head.relayed = None;
        head
    }
}

/// The columns of a fragment's rows that the sender relays to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayedColumns {
    /// The columns of the plan: the client gets these types.
    Unchanged,
    /// The columns of the plan in the types that every driver reads, as a node sends them to its own clients.
    Plain,
}

/// The plan of a fragment in its wire form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedPlan {
    /// The plan, as the engine encodes it.
    pub plan: Bytes,
    /// The keys that the plan tests rows for, as the engine packs them, in the order of their numbers in the plan.
    pub keys: Vec<Bytes>,
}

/// A fragment in the wire form of its site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FragmentPlan {
    /// An encoded plan, for a node.
    Encoded(EncodedPlan),
    /// A query in SQL, for a database. Its columns are those of the fragment, in order, with names of their own. For a
    /// fragment without columns, the query has one column.
    Sql(SqlQuery),
}

impl FragmentPlan {
    /// Returns the size of the plan and its keys, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.plan.len() + encoded.keys.iter().map(Bytes::len).sum::<usize>(),
            Self::Sql(sql) => sql.text.len(),
        }
    }

    /// Returns the encoded plan.
    ///
    /// # Errors
    /// `Internal` if the plan is SQL.
    pub fn encoded(&self) -> Result<&EncodedPlan> {
        match self {
            Self::Encoded(encoded) => Ok(encoded),
            Self::Sql(_) => Err(Error::new(ErrorKind::Internal, "a node runs encoded plans, and this fragment is SQL")),
        }
    }
}

/// A request to a site to run a part of a plan.
#[derive(Clone, Debug)]
pub struct FragmentRequest {
    /// The head of the query's fragments.
    pub head: FragmentHead,
    /// The plan of the fragment.
    pub plan: FragmentPlan,
    /// The columns of the fragment's rows.
    pub schema: SchemaRef,
}

/// A part of a plan that another node sent, after the receiver has verified on whose behalf.
#[derive(Clone, Debug)]
pub struct ReceivedFragment {
    /// The head of the query's fragments.
    pub head: FragmentHead,
    /// The plan of the fragment.
    pub encoded: EncodedPlan,
    /// The public keys of the nodes in `head.via` that the receiver's config trusts, by the name of the node. An owner of
    /// domains has the same text for its key.
    pub node_keys: BTreeMap<String, Vec<String>>,
}

impl ReceivedFragment {
    /// Returns a fragment that came through no trusted nodes.
    pub fn new(head: FragmentHead, encoded: EncodedPlan) -> Self {
        Self { head, encoded, node_keys: BTreeMap::new() }
    }
}

/// The stream that a site returns: a label if the site has one, hashes if a column is hashed, batches, and a summary at the
/// very end.
pub type FragmentStream = BoxStream<'static, Result<FragmentItem>>;

/// One item of a [`FragmentStream`].
#[derive(Debug)]
pub enum FragmentItem {
    /// The label of the rows as the site knows it at their start. It comes first, or not at all.
    Label(ResultLabel),
    /// The identity of the hash of each column, by position; `None` for a column of a port that no policy hashes. At most
    /// once, before all batches. Without this item, no column is hashed. Two columns of hashes have equal values only if
    /// their identities are equal. Computed values have an identity of their own.
    Hashes(Vec<Option<String>>),
    /// Rows, and the bytes that they took on the wire.
    Batch {
        /// The rows.
        batch: RecordBatch,
        /// Bytes on the wire, including encoding and dictionaries.
        wire_bytes: usize,
    },
    /// Rows that are not decoded, and the bytes that they took on the wire. Only a fragment whose rows are
    /// [relayed](FragmentHead::relayed) has them.
    Relayed {
        /// The rows.
        message: RelayedMessage,
        /// Bytes on the wire.
        wire_bytes: usize,
    },
    /// The end: nothing follows. A stream that stops without this item is truncated, which is an error.
    Finished(FragmentSummary),
}

/// A record batch as a message of Arrow's stream format, without compression. Its metadata has been checked against the
/// requested columns. Of its body, only offsets and views have been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedMessage {
    /// The metadata of the message.
    pub header: Bytes,
    /// The buffers of the columns.
    pub body: Bytes,
    /// The number of rows in the metadata.
    pub rows: usize,
}

/// The summary of a fragment, as the site that ran it reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FragmentSummary {
    /// The number of rows that the site sent.
    pub rows: u64,
    /// The site's operators, in the order of the plan's printed form.
    pub operators: Vec<OperatorMetrics>,
    /// The rows that the site fetched from other sites for the fragment, and that these fetched in turn.
    #[serde(default)]
    pub pulled: Vec<PulledRows>,
    /// Milliseconds that the sender waited for the rows after the first ones, if it reports them. They distinguish a
    /// slow plan from a slow link.
    #[serde(default)]
    pub producing_ms: Option<u64>,
    /// The label of the rows, with those of the rows that the site fetched from other sites; `None` if the site reports
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<ResultLabel>,
}

/// The rows that crossed an edge between two other sites.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PulledRows {
    /// The domains whose ports were read.
    pub domains: Vec<String>,
    /// The site that the rows came from.
    pub site: String,
    /// The number of rows.
    pub rows: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes of keys that were sent for them.
    pub bytes_sent: u64,
}

/// A site's estimate of a fragment before it runs; `None` if the site has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentEstimate {
    /// The number of rows.
    pub rows: Option<u64>,
    /// Bytes of these rows as Arrow stores them.
    pub bytes: Option<u64>,
}

/// The metrics of one operator of a remote plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorMetrics {
    /// The depth of the operator in the plan. The root is at 0.
    pub depth: usize,
    /// The operator in its printed form.
    pub operator: String,
    /// The operator's metrics in their printed form.
    pub metrics: String,
    /// The number of rows that the operator returned, if it counts them.
    #[serde(default)]
    pub rows: Option<u64>,
    /// The number of rows that the site's planner expected, if the operator does the work of one in the planner's plan.
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
            relayed: Some(RelayedColumns::Plain),
            ..FragmentHead::new("q", Principal::anonymous(), Instant::now())
        };
        let (first, second) = (asked.sent_on(), asked.sent_on().sent_on());
        assert_eq!((first.hops, first.measured, second.hops, second.measured), (1, true, 2, false));
        assert_eq!(first.relayed, None, "a node that runs a fragment decodes the rows of others");
        assert_eq!((&second.query_id, &second.via, second.deadline), (&asked.query_id, &via, asked.deadline));
    }
}
