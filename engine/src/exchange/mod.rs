//! The edge where rows come from another site: as an operator of the logical plan, and as the one that runs.

mod keys;
mod node;
mod planner;
mod remote_scan;
mod start;

#[expect(unused_imports, reason = "EXPLAIN ANALYZE is to tell it")]
pub(crate) use keys::KeyReport;
pub(crate) use node::Exchange;
pub(crate) use planner::{ExchangePlanner, RemoteScans};
pub(crate) use remote_scan::{QueryContext, RemoteScanExec};
