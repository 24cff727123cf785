//! The limits in a config, and their defaults, which follow from the memory of the host.

use portolan_engine::Limits;
use serde::Deserialize;

use super::NodeConfig;
use crate::units::{Length, Size, SizeOrZero};

/// By default, all queries together may hold the memory of the host divided by this number. The rest is for session
/// tables, for rows and plans that no operator accounts for, and for the process itself.
const HOST_MEMORY_DIVISOR: u64 = 2;
/// By default, one query may hold the memory of all queries divided by this number.
const QUERY_MEMORY_DIVISOR: usize = 4;

/// The limits of the node's queries and connections. [`Limits`] and
/// [`ServerLimits`](portolan_flight_server::ServerLimits) have their meanings, and the defaults of all but the memory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Memory of one query. Default: a quarter of `memory`.
    pub query_memory: Option<Size>,
    /// Memory of all queries together. Default: half of the memory that the host allows the process to use.
    pub memory: Option<Size>,
    /// Memory that the host allows the process to use. Default: what the node finds. 0: the node does not compare the
    /// memory of the process with it.
    pub host_memory: Option<SizeOrZero>,
    /// Time of one query.
    pub query_timeout: Option<Length>,
    /// Queries at once.
    pub concurrent_queries: Option<usize>,
    /// Queries that wait for admission.
    pub queued_queries: Option<usize>,
    /// Nodes that a query may go through.
    pub max_hops: Option<u32>,
    /// Disk for spilling.
    pub spill: Option<Size>,
    /// Keys that are sent with a fragment.
    pub keys: Option<Size>,
    /// The tables of one session.
    pub session_tables: Option<Size>,
    /// Connections at once.
    pub connections: Option<usize>,
    /// Connections at once from one address.
    pub connections_per_address: Option<usize>,
    /// Time of a connection without a login.
    pub login_timeout: Option<Length>,
}

impl NodeConfig {
    /// Returns the memory that the host allows the process to use, in bytes. `found` is what the system reports.
    pub(crate) fn host_memory(&self, found: Option<u64>) -> Option<u64> {
        self.limits.host_memory.map(|SizeOrZero(bytes)| bytes).filter(|bytes| *bytes > 0).or(found)
    }

    /// Returns the limits, with defaults filled in. `found` is the memory that the host allows the process to use, in
    /// bytes, if the system reports it.
    pub fn limits(&self, found: Option<u64>) -> Limits {
        let (given, mut limits) = (&self.limits, Limits::default());
        let host = self.host_memory(found);
        limits.host_memory = host.filter(|_| given.host_memory != Some(SizeOrZero(0)));
        if let Some(bytes) = given.memory.map(|size| size.0).or(host.map(|bytes| bytes / HOST_MEMORY_DIVISOR)) {
            limits.memory = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        limits.query_memory = match given.query_memory {
            Some(Size(bytes)) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => limits.memory / QUERY_MEMORY_DIVISOR,
        };
        if let Some(Length(time)) = given.query_timeout {
            limits.query_timeout = time;
        }
        if let Some(Size(bytes)) = given.spill {
            limits.spill_bytes = bytes;
        }
        if let Some(Size(bytes)) = given.keys {
            limits.key_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(Size(bytes)) = given.session_tables {
            limits.session_tables = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        limits.concurrent_queries = given.concurrent_queries.unwrap_or(limits.concurrent_queries);
        limits.queued_queries = given.queued_queries.unwrap_or(limits.queued_queries);
        limits.max_hops = given.max_hops.unwrap_or(limits.max_hops);
        limits.shares = self.shares.shares();
        limits
    }
}
