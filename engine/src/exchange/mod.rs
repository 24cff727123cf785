//! The edge where rows come from another site: as an operator of the logical plan, and as the one that runs.

mod node;
mod planner;
mod remote_scan;

pub(crate) use node::Exchange;
pub(crate) use planner::{ExchangePlanner, RemoteScans};
pub(crate) use remote_scan::{QueryContext, RemoteScanExec};
