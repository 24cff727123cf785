//! What a record says: a read that began or ended, a refusal, or an event of the store itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A read or an insert was permitted. This record is durable before the first row leaves or arrives.
    Began(Request),
    /// A read or an insert ended.
    Ended(End),
    /// A read or an insert was refused.
    Refused(Refusal),
    /// A process opened the store.
    Opened(Opening),
    /// A segment began while reads were open.
    Continued {
        /// The sequence numbers of the `began` records of these reads.
        open: BTreeSet<u64>,
    },
    /// A segment exceeded the bounds of the store and was removed.
    Removed(Removal),
    /// The store could not write for a while, or lost records of refusals.
    Interrupted(Interruption),
    /// A process closed the store after all of its records.
    Closed,
    /// A record of a newer version.
    #[serde(other)]
    Unknown,
}

/// The principal, the purpose and the ports of a read, and the decision about the read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The principal of the query.
    pub principal: String,
    /// The action on the ports.
    #[serde(skip_serializing_if = "Action::is_read")]
    pub action: Action,
    /// The nodes between the client and this node, the gateway first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// The declared purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The id of the query.
    pub query: String,
    /// The id of the fragment, if another node planned the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<String>,
    /// The ports, with the columns that are read.
    pub ports: Vec<PortRead>,
    /// The join keys that were pushed down, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeySet>,
    /// The decision of the policy.
    pub decision: Decision,
    /// The parts of the request that exceed the bounds of a record.
    #[serde(skip_serializing_if = "Omitted::is_empty")]
    pub omitted: Omitted,
}

/// An action on ports. Its rows leave the node, or arrive at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Rows are read.
    #[default]
    Read,
    /// Rows are added.
    Insert,
    /// An action of a newer version.
    #[serde(other)]
    Unknown,
}

impl Action {
    fn is_read(&self) -> bool {
        *self == Self::Read
    }
}

/// A port that a read covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortRead {
    /// The full name of the port.
    pub port: String,
    /// The columns that are read.
    pub columns: Vec<String>,
}

/// A set of pushed-down join keys, without their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySet {
    /// The column that the keys filter.
    pub column: String,
    /// The number of keys.
    pub count: u64,
    /// The encoding of the keys, such as `list`, `range` or `bloom`.
    pub form: String,
    /// A digest of the keys. The caller salts it, because a digest of few values names them.
    pub digest: String,
}

/// The decision of the policy about a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// The decision itself.
    pub verdict: Verdict,
    /// The names of the rules that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The version of the policy.
    pub version: String,
}

/// The verdict of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The policy permits the read.
    Permit,
    /// The policy denies the read, or the read was refused before the policy decided.
    #[default]
    Deny,
}

/// The number of items that a record leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Omitted {
    /// Nodes on the way.
    pub nodes: u64,
    /// Ports.
    pub ports: u64,
    /// Columns of the ports that the record names.
    pub columns: u64,
    /// Key sets.
    pub keys: u64,
    /// Rules.
    pub rules: u64,
}

impl Omitted {
    /// True if the record leaves out nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The end of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// The sequence number of the read's `began` record.
    pub read: u64,
    /// The number of rows that left this node.
    pub rows: u64,
    /// The number of bytes that left this node.
    pub bytes: u64,
    /// The time from `began` to the end.
    pub duration_us: u64,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// All rows left.
    Completed,
    /// The client or the gateway cancelled the read.
    Cancelled,
    /// The read failed.
    Failed {
        /// The name of the error's kind.
        error: String,
    },
    /// The caller dropped the read without an outcome.
    Dropped,
    /// The process ended before the read did. Rows, bytes and duration are not known, and are 0.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A read that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// What was refused, as far as it is known.
    #[serde(flatten)]
    pub request: Request,
    /// The name of the error's kind, such as `permission_denied`.
    pub reason: String,
    /// The rule or the check that refused. No values of rows.
    pub detail: String,
}

/// The start of a process with the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opening {
    /// True if the process before did not close the store.
    pub after_crash: bool,
    /// The number of reads of that process that have no end. Each gets an `ended` record with the outcome `unknown`.
    pub unfinished: u64,
    /// The number of bytes of an incomplete record that were cut off the end of the chain.
    pub cut_bytes: u64,
}

/// A segment that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// The sequence number of the segment's first record.
    pub first: u64,
    /// The sequence number of the segment's last record.
    pub last: u64,
    /// The hash of the segment's last record.
    pub last_hash: Digest,
    /// The size of the segment.
    pub bytes: u64,
    /// The bound that the segment exceeded: `bytes` or `age`.
    pub bound: String,
}

/// A time without records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interruption {
    /// The time of the first failed write, if a write failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The error of the last failed write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The number of reads that the store refused.
    pub reads_refused: u64,
    /// The number of refusals without a record.
    pub refusals_lost: u64,
}
