//! The messages between Portolan nodes over Flight, in addition to Flight SQL: the version handshake, the catalog
//! exchange, fragments, and progress. The server and the client side share these types.
//!
//! The answer to a fragment is a Flight stream: the schema, batches, dictionaries if it has any, and at the end one
//! message without header and body. The `app_metadata` of every message begins with a
//! [checksum](super::checksum::StreamChecksum) of the stream up to there. In the first message, a
//! [`ResultLabel`](crate::ResultLabel) in JSON may follow. In the last message, a
//! [`FragmentSummary`](crate::FragmentSummary) in JSON follows, such as
//! `{"rows": 42, "operators": [{"depth": 0, "operator": "…", "metrics": "…"}]}`. A stream that ends without a summary
//! was cut short. Batches are not compressed. A receiver that relays the rows to a client can request plain columns, which
//! every driver reads.

use std::fmt;
use std::time::{Duration, Instant};

use arrow_flight::sql::Any;
use bytes::Bytes;
use datafusion::DATAFUSION_VERSION;
use prost::Message;

use super::checksum::Checksum;
use crate::decisions::{DecisionRequest, PortDecision};
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{EncodedPlan, FragmentHead, FragmentRequest, ReceivedFragment, RelayedColumns};
use crate::principal::Principal;
use crate::trace::TraceContext;

/// The version of this protocol. Nodes with different versions do not exchange fragments.
pub const PROTOCOL_VERSION: u32 = 6;

/// `DoAction`: the version handshake. Body and answer are a [`NodeHello`].
pub const ACTION_HELLO: &str = "portolan.hello";
/// `DoAction`: the catalog exchange. The body is a [`CatalogRequest`](super::signed_catalog::CatalogRequest), and the
/// answer a [`SignedCatalog`](super::signed_catalog::SignedCatalog).
pub const ACTION_CATALOG: &str = "portolan.catalog";
/// `DoAction`: the decisions of the node's policies about its ports, for the principal of a query. The body is the ticket
/// of a fragment whose plan is a [`decision_request`], so that the sender signs the request in the same way. The answer
/// is a list of [`PortDecision`] in JSON. Older nodes do not support the action.
pub const ACTION_DECISIONS: &str = "portolan.decisions";
/// `DoAction`: the progress of a query. The body is a [`ProgressRequest`], the answer a JSON `Progress` of the engine.
pub const ACTION_PROGRESS: &str = "portolan.progress";
/// The `type_url` of a fragment, which is an `Any` around a [`FragmentTicket`]. It is the ticket of a `DoGet`, which
/// runs the fragment, or the command of a `GetFlightInfo`. The answer of `GetFlightInfo` has the site's estimates in
/// `total_records` and `total_bytes` (-1 if the site has no estimate).
pub const FRAGMENT_TYPE_URL: &str = "type.googleapis.com/portolan.v1.FragmentTicket";

/// The largest number of characters of a query's id.
const MAX_QUERY_ID: usize = 128;
/// The header that carries the query's id from node to node.
pub const QUERY_ID_KEY: &str = "portolan-query-id";
/// The headers of W3C Trace Context, which clients send with a statement and nodes with a fragment.
pub const TRACEPARENT_KEY: &str = "traceparent";
/// See [`TRACEPARENT_KEY`].
pub const TRACESTATE_KEY: &str = "tracestate";
/// The remaining time of a query whose sender names a time that the clock cannot represent.
const MOST_REMAINING: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The size of the largest message between nodes, in bytes. The sender rejects a single row that is larger.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The size of the messages that rows are split into, in bytes, approximately. Every client accepts it (gRPC's default
/// limit is 4 MiB).
pub const TARGET_MESSAGE_BYTES: usize = 2 << 20;
/// The metadata of a column in the schema of a fragment's rows: the identity of the hash by which the owner's policies mask
/// the column. A column without it is not hashed.
pub const HASHED_BY: &str = "portolan.hashed_by";
/// The largest length of a hash's identity, in bytes.
pub(super) const MAX_HASH_IDENTITY: usize = 200;
/// The advice that ends the errors about damaged messages.
pub(super) const AGAINST_DAMAGE: &str =
    "connect the nodes over TLS (`grpc+tls://`), and look for the fault in the network between them";

/// A node's part of the version handshake: the versions that must match before a plan can be sent. `Debug` does not
/// show the proof.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct NodeHello {
    /// The [`PROTOCOL_VERSION`] of the sender.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The DataFusion version of the sender. The major versions must match.
    #[prost(string, tag = "2")]
    pub datafusion: String,
    /// The Portolan version of the sender, for people.
    #[prost(string, tag = "3")]
    pub portolan: String,
    /// In an answer: true if the sender accepts fragments from the node that it answers.
    #[prost(bool, optional, tag = "4")]
    pub takes_fragments: Option<bool>,
    /// In a request: the sender's [login token](super::token::LOGIN_TYPE), if the sender signs its fragments.
    #[prost(string, optional, tag = "5")]
    pub proof: Option<String>,
}

impl NodeHello {
    /// Returns the versions of this process.
    pub fn current() -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            datafusion: DATAFUSION_VERSION.to_owned(),
            portolan: env!("CARGO_PKG_VERSION").to_owned(),
            takes_fragments: None,
            proof: None,
        }
    }

    /// Checks that `self` and `other` can exchange plans.
    ///
    /// # Errors
    /// `Unsupported`, with both versions, if they cannot.
    pub fn check(&self, other: &Self) -> Result<()> {
        if self.protocol != other.protocol {
            return Err(unsupported(format!(
                "nodes can exchange plans only with the same version of the protocol: the local node has {}, the other \
                 node {}",
                self.protocol, other.protocol
            )));
        }
        if major(&self.datafusion) != major(&other.datafusion) {
            return Err(unsupported(format!(
                "nodes can exchange plans only with the same major version of DataFusion: the local node has {}, the \
                 other node {}",
                self.datafusion, other.datafusion
            )));
        }
        Ok(())
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn unsupported(context: String) -> Error {
    Error::new(ErrorKind::Unsupported, context)
}

/// A request for the progress of a query.
#[derive(Clone, PartialEq, Message)]
pub struct ProgressRequest {
    /// The statement handle that `GetFlightInfo` returned.
    #[prost(bytes = "bytes", tag = "1")]
    pub handle: Bytes,
}

/// A fragment as the ticket of a `DoGet` between nodes. It is self-contained, so that one round trip starts the rows.
/// `Debug` does not show the principal.
///
/// The ticket is the wire format of a [`FragmentHead`] and an [`EncodedPlan`], in both directions. It has the remaining
/// time instead of the deadline. Only the identity token contains the principal and the nodes before the sender.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct FragmentTicket {
    /// The [`PROTOCOL_VERSION`] of the sender.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The sender's DataFusion version.
    #[prost(string, tag = "2")]
    pub datafusion: String,
    /// The query that the fragment is part of.
    #[prost(string, tag = "3")]
    pub query_id: String,
    /// The number of nodes that the query has passed through.
    #[prost(uint32, tag = "4")]
    pub hops: u32,
    /// The remaining time of the query, in milliseconds.
    #[prost(uint64, tag = "5")]
    pub remaining_ms: u64,
    /// The plan.
    #[prost(bytes = "bytes", tag = "6")]
    pub plan: Bytes,
    /// The pushed-down keys of other sides of joins, by which the plan filters rows, in the order of the plan's
    /// numbers.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub keys: Vec<Bytes>,
    /// The principal of the query: an [identity token](super::token::IDENTITY_TYPE) that the sender signed. No other
    /// field names the principal.
    #[prost(string, optional, tag = "9")]
    pub identity: Option<String>,
    /// True if the sender requests the metrics of each operator. For a small fragment, reporting them takes longer than
    /// the fragment itself.
    #[prost(bool, tag = "10")]
    pub measured: bool,
    /// The checksum of the other fields, as [`FragmentTicket::sealed`] sets it.
    #[prost(fixed64, tag = "11")]
    pub checksum: u64,
    /// True if the rows come in [plain columns](RelayedColumns::Plain), because the sender relays them to a client.
    #[prost(bool, tag = "12")]
    pub plain_columns: bool,
}

impl FragmentTicket {
    /// Encodes a request as the bytes of a ticket, or of a command.
    ///
    /// # Errors
    /// `Internal` if the request's plan is not an encoded plan.
    pub fn bytes(request: &FragmentRequest, identity: Option<String>) -> Result<Bytes> {
        let NodeHello { protocol, datafusion, .. } = NodeHello::current();
        let FragmentRequest { head, plan, schema: _ } = request;
        let EncodedPlan { plan, keys } = plan.encoded()?;
        let FragmentHead { query_id, principal: _, purpose: _, via: _, hops, deadline, measured, relayed, trace: _ } =
            head;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let ticket = Self {
            protocol,
            datafusion,
            query_id: query_id.clone(),
            hops: *hops,
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            plan: plan.clone(),
            keys: keys.clone(),
            identity,
            measured: *measured,
            checksum: 0,
            plain_columns: *relayed == Some(RelayedColumns::Plain),
        };
        let ticket = ticket.sealed();
        let ticket = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: Bytes::from(ticket.encode_to_vec()) };
        Ok(Bytes::from(ticket.encode_to_vec()))
    }

    /// Returns the ticket with the checksum of its fields.
    #[must_use]
    pub fn sealed(self) -> Self {
        Self { checksum: self.expected_checksum(), ..self }
    }

    /// Checks that the ticket arrived as it was sent. A token signs only some of the fields, and an unsigned fragment has
    /// no token.
    ///
    /// # Errors
    /// `SiteUnavailable` if the checksum is missing or wrong.
    pub fn check(&self) -> Result<()> {
        if self.checksum == self.expected_checksum() {
            return Ok(());
        }
        let what = "the fragment was damaged on the way: its checksum is missing or wrong";
        Err(Error::new(ErrorKind::SiteUnavailable, format!("{what}; {AGAINST_DAMAGE}")))
    }

    fn expected_checksum(&self) -> u64 {
        // Every field is named, so that a new one cannot be forgotten.
        let Self {
            protocol,
            datafusion,
            query_id,
            hops,
            remaining_ms,
            plan,
            keys,
            identity,
            measured,
            checksum: _,
            plain_columns,
        } = self;
        let mut checksum = Checksum::default();
        let flags = [u64::from(*measured), u64::from(*plain_columns)];
        let numbers = [u64::from(*protocol), u64::from(*hops), *remaining_ms].into_iter().chain(flags);
        numbers.for_each(|number| checksum.number(number));
        checksum.part(datafusion.as_bytes());
        checksum.part(query_id.as_bytes());
        checksum.part(plan);
        checksum.number(keys.len() as u64);
        keys.iter().for_each(|keys| checksum.part(keys));
        checksum.number(u64::from(identity.is_some()));
        checksum.part(identity.as_deref().unwrap_or_default().as_bytes());
        checksum.value()
    }

    /// Returns the fragment of a ticket. `principal`, `purpose` and `via` are those that the receiver has verified, and
    /// `trace` is the span in the headers. Nothing in a ticket makes a principal an administrator.
    pub fn into_fragment(
        self,
        principal: Principal,
        purpose: Option<String>,
        via: Vec<String>,
        trace: TraceContext,
    ) -> ReceivedFragment {
        let Self {
            protocol: _,
            datafusion: _,
            query_id,
            hops,
            remaining_ms,
            plan,
            keys,
            identity: _,
            measured,
            checksum: _,
            plain_columns,
        } = self;
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_millis(remaining_ms)).unwrap_or(now + MOST_REMAINING);
        let principal = principal.with_admin(false);
        let relayed = plain_columns.then_some(RelayedColumns::Plain);
        let head = FragmentHead { query_id, principal, purpose, via, hops, deadline, measured, relayed, trace };
        ReceivedFragment::new(head, EncodedPlan { plan, keys })
    }
}

/// The first bytes of a request for decisions, which no plan begins with.
const DECISION_REQUEST: &[u8] = b"portolan decisions\0";

/// Returns a request for decisions in the place of a fragment's plan.
///
/// # Errors
/// `Internal` if the request cannot be encoded.
pub fn decision_request(asked: &DecisionRequest) -> Result<Bytes> {
    let mut bytes = DECISION_REQUEST.to_vec();
    serde_json::to_writer(&mut bytes, asked)
        .map_err(|e| Error::new(ErrorKind::Internal, "a request for decisions cannot be encoded").with_source(e))?;
    Ok(bytes.into())
}

/// Returns the request for decisions in the place of a fragment's plan.
///
/// # Errors
/// `InvalidQuery` if it is no such request.
pub fn read_decision_request(plan: &[u8]) -> Result<DecisionRequest> {
    let invalid = || Error::new(ErrorKind::InvalidQuery, "the request for decisions is malformed");
    let json = plan.strip_prefix(DECISION_REQUEST).ok_or_else(invalid)?;
    serde_json::from_slice(json).map_err(|e| invalid().with_source(e))
}

/// Returns the decisions in the answer to a request.
///
/// # Errors
/// `SiteUnavailable` if the answer is malformed.
pub fn read_decisions(answer: &[u8]) -> Result<Vec<PortDecision>> {
    serde_json::from_slice(answer)
        .map_err(|e| Error::new(ErrorKind::SiteUnavailable, "its decisions are malformed").with_source(e))
}

/// True if a text is a valid id of a query. Logs and tables show the ids that other nodes send, so they are restricted.
pub fn is_query_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !text.is_empty() && text.len() <= MAX_QUERY_ID && text.chars().all(fits)
}

impl fmt::Debug for NodeHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeHello")
            .field("protocol", &self.protocol)
            .field("datafusion", &self.datafusion)
            .field("portolan", &self.portolan)
            .field("takes_fragments", &self.takes_fragments)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FragmentTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FragmentTicket")
            .field("query_id", &self.query_id)
            .field("hops", &self.hops)
            .field("remaining_ms", &self.remaining_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
