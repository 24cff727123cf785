//! The places where rows lie and where plans run: the traits that the engine knows them by, and one module and one
//! cargo feature for each kind.

#[cfg(any(feature = "files", feature = "node"))]
mod addresses;
mod capabilities;
mod closed;
mod crypto;
mod data_fault;
#[cfg(feature = "databases")]
pub mod databases;
mod decisions;
mod error;
#[cfg(any(feature = "files", feature = "databases"))]
mod fence;
#[cfg(any(feature = "files", feature = "databases"))]
mod file_calls;
#[cfg(feature = "files")]
pub mod files;
mod fragment;
mod label;
mod local_file;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "node")]
pub mod node;
mod open;
mod panics;
mod peer;
mod poison;
#[cfg(feature = "postgres")]
mod postgres;
mod principal;
mod refusal;
mod secret;
mod site;
mod source;
mod source_options;
mod sources;
pub mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statistics;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trace;
#[cfg(any(feature = "files", feature = "databases"))]
mod writers;

pub use capabilities::{Capabilities, KeyForm, SiteCosts, WireForm};
pub use closed::{closed as close_port, is_open, marked as mark_port};
pub use crypto::install_crypto_provider;
pub use data_fault::{CheckLimits, DataFault, DataReport};
pub use decisions::{DecidedAction, DecidedPart, DecisionRequest, MOST_DECIDED_PORTS, PortDecision};
pub use error::{Error, ErrorKind, Position, Result, Subject, with_causes};
pub use fragment::{
    EncodedPlan, FragmentEstimate, FragmentHead, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream,
    FragmentSummary, OperatorMetrics, PulledRows, ReceivedFragment, RelayedColumns, RelayedMessage,
};
pub use label::{LabelledPort, MAX_LABEL_PORTS, ResultLabel};
pub use local_file::{FileReference, LocalFileOpener};
pub use open::{
    OpenOptions, RetriedPort, open_again, open_domain, open_domain_in_part, open_domain_with, ports_with_errors,
    reopen_domain,
};
pub use peer::{CatalogAnswer, OwnerKey, Peer, PeerCatalog, Reach, ReportedPeer};
pub use poison::lock;
pub use principal::{AccountKey, Principal};
pub use refusal::Refusal;
#[cfg(any(feature = "files", feature = "databases"))]
pub use secret::Secret;
pub use site::{Site, SiteId};
pub use source::{
    Footprint, LocalDomain, OpenError, OpenedPort, PortAtSite, PortWriter, SourceCounter, SourceCounters,
    SourceMetrics, SourceOpener,
};
pub use source_options::{
    AzureOptions, DatabaseOptions, GcsOptions, HttpOptions, OptionFault, S3Options, SourceOptions, TlsMode,
};
pub use sources::Sources;
pub use statistics::{ChangedPorts, SECONDS_A_DAY, changed_ports, statistic_value};
pub use trace::TraceContext;
