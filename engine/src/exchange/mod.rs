//! The edge where rows come from another site: as an operator of the logical plan, and as the one that runs.

mod ahead;
mod ambiguous;
mod keys;
mod node;
mod physical;
mod planner;
mod reading;
mod remote_scan;
mod start;

pub(crate) use ahead::{COUNTED_BYTES, Counted};
pub(crate) use node::{Exchange, Running};
pub(crate) use physical::Physical;
pub(crate) use remote_scan::{QueryContext, RemoteScanExec};

#[cfg(test)]
mod tests;
