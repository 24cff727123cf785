//! The places where rows lie and where plans run: the traits that the engine knows them by, and one module and one
//! cargo feature for each kind.

#[cfg(any(feature = "files", feature = "node"))]
mod addresses;
pub mod capabilities;
mod closed;
pub mod error;
#[cfg(feature = "files")]
pub mod files;
pub mod fragment;
#[cfg(feature = "node")]
pub mod node;
mod open;
mod panics;
pub mod peer;
mod poison;
pub mod principal;
pub mod refusal;
pub mod site;
pub mod source;
mod sources;
pub mod sql;
pub mod statistics;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;

pub use capabilities::{Capabilities, KeyForm, SiteCosts, WireForm};
pub use closed::{closed as close_port, is_open, marked as mark_port};
pub use error::{Error, ErrorKind, Result};
pub use fragment::{
    EncodedPlan, FragmentEstimate, FragmentHead, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream,
    FragmentSummary, OperatorMetrics, PulledRows, ReceivedFragment,
};
pub use open::{OpenOptions, open_again, open_domain, open_domain_with, reopen_domain};
pub use peer::{CatalogAnswer, OwnerKey, Peer, PeerCatalog, Reach, ReportedPeer};
pub use poison::lock;
pub use principal::{AccountKey, Principal};
pub use refusal::Refusal;
pub use site::{Site, SiteId};
pub use source::{
    Footprint, LocalDomain, OpenError, OpenedPort, PortAtSite, PortWriter, SourceCounter, SourceCounters,
    SourceMetrics, SourceOpener,
};
pub use sources::Sources;
pub use statistics::{ChangedPorts, changed_ports, statistic_value};
pub use trace::TraceContext;
