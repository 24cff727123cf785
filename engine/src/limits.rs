//! The limits of an engine's queries, with defaults that work.

mod shares;

use std::time::Duration;

pub(crate) use shares::{Allowance, three_quarters};
pub use shares::{Share, Shares};

/// The limits of an engine's queries. Set the fields of the default limits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest memory of one query's operators, in bytes. Operators that can spill do so beyond it. A program
    /// [collects](crate::QueryStream::collect) at most as many bytes of rows. Default: 2 GiB.
    pub query_memory: usize,
    /// The largest memory of all queries together, in bytes. Default: 8 GiB.
    pub memory: usize,
    /// The memory that the host allows the process to hold, in bytes. Near it, the engine starts fewer queries, lets
    /// operators spill earlier, and ends the largest query. Only Linux reports what a process holds. Default: none,
    /// because the memory of an embedding program is not that of its queries.
    pub host_memory: Option<u64>,
    /// The timeout of a query, planning and every node included. Default: 10 minutes.
    pub query_timeout: Duration,
    /// The number of queries that run at once. Further queries wait. Default: 64.
    pub concurrent_queries: usize,
    /// The number of queries that may wait. Further queries are refused. Default: 256.
    pub queued_queries: usize,
    /// The largest number of nodes on the path of a query. Default: 4.
    pub max_hops: u32,
    /// The largest disk space for spilled data of all queries, in bytes. Default: 50 GiB.
    pub spill_bytes: u64,
    /// The largest size of the join keys of a received or sent fragment, in bytes. Default: 8 MiB.
    pub key_bytes: usize,
    /// The largest memory of one session's tables, in bytes. In addition, the tables of all sessions together may hold
    /// a quarter of `memory`. Rows count from the time at which the engine reads them. Default: 256 MiB.
    pub session_tables: usize,
    /// The shares of principals.
    pub shares: Shares,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_memory: 2 << 30,
            memory: 8 << 30,
            host_memory: None,
            query_timeout: Duration::from_secs(600),
            concurrent_queries: 64,
            queued_queries: 256,
            max_hops: 4,
            spill_bytes: 50 << 30,
            key_bytes: 8 << 20,
            session_tables: 256 << 20,
            shares: Shares::default(),
        }
    }
}
