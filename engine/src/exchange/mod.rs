//! The edge where rows come from another site: the operator that runs in the place of an exchange, and what lives while
//! it runs.

mod ahead;
mod ambiguous;
mod codec;
mod keys;
mod live;
mod physical;
mod planner;
mod reading;
mod remote_scan;
mod start;

pub(crate) use ahead::COUNTED_BYTES;
pub use codec::RemoteScanCodec;
pub(crate) use live::{LiveEdge, LiveEdges};
pub(crate) use physical::Physical;
pub(crate) use planner::MeshPlanner;
pub(crate) use remote_scan::RemoteScanExec;

#[cfg(test)]
mod tests;
