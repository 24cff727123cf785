//! The edge over which rows come from another site: the operator that runs in the place of an exchange, and the state
//! of a running scan.

mod ambiguous;
mod codec;
mod counted_keys;
mod edge_state;
mod hashed;
mod keys;
mod live;
mod physical;
mod planner;
mod prefetch;
mod reading;
mod remote_scan;
mod start;
mod trace;

pub use codec::RemoteScanCodec;
pub use hashed::HashedColumns;
pub(crate) use live::{LiveEdge, LiveEdges};
pub(crate) use physical::Physical;
pub(crate) use planner::MeshPlanner;
pub(crate) use prefetch::COUNTED_BYTES;
pub(crate) use remote_scan::RemoteScanExec;

#[cfg(test)]
mod tests;
