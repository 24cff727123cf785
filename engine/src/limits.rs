//! What bounds an engine's queries, with defaults that work.

use std::time::Duration;

/// What bounds an engine's queries.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of memory that one query's operators may hold; what can spill, spills beyond it. Default: 2 GiB.
    pub query_memory: usize,
    /// Bytes of memory that all queries together may hold. Default: 8 GiB.
    pub memory: usize,
    /// How long a query may take, planning and every node included. Default: 10 minutes.
    pub query_timeout: Duration,
    /// How many queries run at once; more wait in line. Default: 64.
    pub concurrent_queries: usize,
    /// How many queries may wait in line; more are refused. Default: 256.
    pub queued_queries: usize,
    /// How many nodes a query may go through before it is refused. Default: 4.
    pub max_hops: u32,
    /// Bytes of disk that spilling may take, over all queries. Default: 50 GiB.
    pub spill_bytes: u64,
    /// Bytes of keys that may come with a fragment, and that are sent with one. Default: 8 MiB.
    pub key_bytes: usize,
    /// Bytes of memory that the tables of one session may hold; those of all
    /// sessions, a quarter of `memory`, beside it. Default: 256 MiB.
    pub session_tables: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_memory: 2 << 30,
            memory: 8 << 30,
            query_timeout: Duration::from_secs(600),
            concurrent_queries: 64,
            queued_queries: 256,
            max_hops: 4,
            spill_bytes: 50 << 30,
            key_bytes: 8 << 20,
            session_tables: 256 << 20,
        }
    }
}
