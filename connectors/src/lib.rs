//! The places where rows lie and where plans run: the traits that the engine knows them by, and one module and one
//! cargo feature for each kind.

pub mod error;
#[cfg(feature = "files")]
pub mod files;
pub mod fragment;
#[cfg(feature = "node")]
pub mod node;
mod open;
mod panics;
mod poison;
pub mod principal;
pub mod site;
pub mod source;
mod sources;
pub mod statistics;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};
pub use fragment::{
    EncodedPlan, FragmentEstimate, FragmentHead, FragmentItem, FragmentRequest, FragmentStream, FragmentSummary,
    OperatorMetrics, PulledRows, SentFragment,
};
pub use open::open_domain;
pub use poison::lock;
pub use principal::Principal;
pub use site::{CatalogAnswer, Peer, Reach, Site, SiteId};
pub use source::{Footprint, LocalDomain, OpenedPort, PortWriter, SourceOpener};
pub use sources::Sources;
pub use statistics::{changed_statistics, statistic_value};
