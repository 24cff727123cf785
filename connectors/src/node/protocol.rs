//! What Portolan nodes say to one another over Flight, beside Flight SQL: the version handshake, the catalog
//! exchange, fragments, progress. Serving and asking side share these types.
//!
//! A fragment's answer is a Flight stream: the schema, batches, dictionaries where it has some, and at its very end one
//! message without header and body, whose `app_metadata` is a JSON [`FragmentSummary`](crate::FragmentSummary):
//! `{"rows": 42, "operators": [{"depth": 0, "operator": "…", "metrics": "…"}]}`. A stream that ends without it was cut
//! short. Batches are not compressed.

use std::fmt;
use std::time::{Duration, Instant};

use arrow_flight::sql::Any;
use bytes::Bytes;
use datafusion::DATAFUSION_VERSION;
use prost::Message;

use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{EncodedPlan, FragmentHead, FragmentRequest, SentFragment};
use crate::principal::Principal;

/// The version of this protocol. Nodes with different versions do not exchange fragments.
pub const PROTOCOL_VERSION: u32 = 3;

/// `DoAction`: the version handshake. Body and answer: [`NodeHello`].
pub const ACTION_HELLO: &str = "portolan.hello";
/// `DoAction`: the catalog exchange. Body: [`CatalogRequest`]; answer: a JSON `CatalogAnswer`.
pub const ACTION_CATALOG: &str = "portolan.catalog";
/// `DoAction`: how far a query is. Body: [`ProgressRequest`]; answer: a JSON `Progress` of the engine.
pub const ACTION_PROGRESS: &str = "portolan.progress";
/// The `type_url` of a fragment, an `Any` around a [`FragmentTicket`]: the ticket of a `DoGet`, which runs it, or the
/// command of a `GetFlightInfo`, whose `total_records` and `total_bytes` are what its site expects (-1: it cannot tell).
pub const FRAGMENT_TYPE_URL: &str = "type.googleapis.com/portolan.v1.FragmentTicket";

/// The header that carries the query's identity from node to node.
pub const QUERY_ID_KEY: &str = "portolan-query-id";
/// The time that a query has left, if its sender names a time beyond what the clock can show.
const MOST_REMAINING: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// No message between nodes is larger: a single row beyond it is refused by its sender.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Rows are split into messages of about this size, which every client takes (gRPC's default bound is 4 MiB).
pub const TARGET_MESSAGE_BYTES: usize = 2 << 20;

/// Who is speaking: what must agree before a plan can travel. Its `Debug` form does not show the proof.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct NodeHello {
    /// [`PROTOCOL_VERSION`] of the speaker.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The speaker's DataFusion version; its major version must agree.
    #[prost(string, tag = "2")]
    pub datafusion: String,
    /// The speaker's own version, for people.
    #[prost(string, tag = "3")]
    pub portolan: String,
    /// In an answer: whether the speaker takes fragments from whom it answers.
    #[prost(bool, optional, tag = "4")]
    pub takes_fragments: Option<bool>,
    /// In a question: the speaker's [login token](super::token::LOGIN_TYPE), where it signs its fragments.
    #[prost(string, optional, tag = "5")]
    pub proof: Option<String>,
}

impl NodeHello {
    /// This process.
    pub fn current() -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            datafusion: DATAFUSION_VERSION.to_owned(),
            portolan: env!("CARGO_PKG_VERSION").to_owned(),
            takes_fragments: None,
            proof: None,
        }
    }

    /// Whether plans can travel between `self` and `other`.
    ///
    /// # Errors
    /// `Unsupported`, with both versions, where they cannot.
    pub fn check(&self, other: &Self) -> Result<()> {
        if self.protocol != other.protocol {
            return Err(unsupported(format!(
                "nodes exchange plans in one version of the protocol only: version {} here, {} there",
                self.protocol, other.protocol
            )));
        }
        if major(&self.datafusion) != major(&other.datafusion) {
            return Err(unsupported(format!(
                "nodes exchange plans within one major version of DataFusion only: {} here, {} there",
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

/// Asks for a node's catalog.
#[derive(Clone, PartialEq, Message)]
pub struct CatalogRequest {
    /// The version that the last answer carried.
    #[prost(string, optional, tag = "1")]
    pub known: Option<String>,
}

/// Asks how far a query is.
#[derive(Clone, PartialEq, Message)]
pub struct ProgressRequest {
    /// The statement handle that `GetFlightInfo` gave.
    #[prost(bytes = "bytes", tag = "1")]
    pub handle: Bytes,
}

/// A fragment: the ticket of a `DoGet` between nodes. Whole in itself, so that one round trip starts the rows. Its
/// `Debug` form does not show who asks.
///
/// The ticket is the wire form of a [`FragmentHead`] and an [`EncodedPlan`], in both directions. The deadline travels as
/// the time that is left. The principal and the nodes before the sender travel in the identity token alone.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct FragmentTicket {
    /// [`PROTOCOL_VERSION`] of the sender.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The sender's DataFusion version.
    #[prost(string, tag = "2")]
    pub datafusion: String,
    /// The query that the fragment is part of.
    #[prost(string, tag = "3")]
    pub query_id: String,
    /// How many nodes the query went through.
    #[prost(uint32, tag = "4")]
    pub hops: u32,
    /// How many milliseconds the query has left.
    #[prost(uint64, tag = "5")]
    pub remaining_ms: u64,
    /// The plan.
    #[prost(bytes = "bytes", tag = "6")]
    pub plan: Bytes,
    /// The keys of other sides of joins that the plan tests rows for, in the order of the plan's numbers.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub keys: Vec<Bytes>,
    /// On whose behalf the query runs: an [identity token](super::token::IDENTITY_TYPE) that the sender signed. Nothing
    /// beside it says so.
    #[prost(string, optional, tag = "9")]
    pub identity: Option<String>,
    /// Whether the sender wants to know what each operator did: it takes longer to tell than a small fragment to run.
    #[prost(bool, tag = "10")]
    pub measured: bool,
}

impl FragmentTicket {
    /// A request as it travels: the bytes of a ticket, or of a command.
    pub fn bytes(request: &FragmentRequest, identity: Option<String>) -> Bytes {
        let NodeHello { protocol, datafusion, .. } = NodeHello::current();
        let FragmentRequest { head, encoded: EncodedPlan { plan, keys }, schema: _ } = request;
        let FragmentHead { query_id, principal: _, via: _, hops, deadline, measured } = head;
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
        };
        let ticket = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: Bytes::from(ticket.encode_to_vec()) };
        Bytes::from(ticket.encode_to_vec())
    }

    /// Returns the fragment of a ticket. `principal` and `via` are what the receiver has verified: nothing in a ticket
    /// makes an administrator.
    pub fn into_fragment(self, principal: Principal, via: Vec<String>) -> SentFragment {
        let Self { protocol: _, datafusion: _, query_id, hops, remaining_ms, plan, keys, identity: _, measured } = self;
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_millis(remaining_ms)).unwrap_or(now + MOST_REMAINING);
        let head = FragmentHead { query_id, principal: principal.with_admin(false), via, hops, deadline, measured };
        SentFragment { head, encoded: EncodedPlan { plan, keys } }
    }
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
