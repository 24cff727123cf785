//! The outcome of opening the derived ports of a domain: the domain, the faults, and what to log.

use portolan_catalog::{Diagnostic, PortRef};
use portolan_connectors::LocalDomain;

/// A domain with its derived ports.
#[derive(Debug)]
pub(crate) struct DerivedDomain {
    pub(super) domain: LocalDomain,
    /// The faults of the derived ports that cannot be opened in their newest version.
    pub(crate) faults: Vec<Diagnostic>,
    /// The ports that were opened, closed or marked and were not before, each with what to log.
    pub(super) changes: Vec<(PortRef, PortChange)>,
}

/// A change of a derived port.
#[derive(Debug)]
pub(super) enum PortChange {
    Opened,
    /// The last good version is in use, for this reason.
    Kept(String),
    /// The port is closed, for this reason.
    Closed(String),
}

impl DerivedDomain {
    /// Returns the domain, and logs nothing.
    pub(crate) fn into_domain(self) -> LocalDomain {
        self.domain
    }

    /// Logs the changes, and returns the domain.
    pub(crate) fn logged(self) -> LocalDomain {
        for (port, change) in self.changes {
            match change {
                PortChange::Opened => tracing::info!(%port, "the port is open"),
                PortChange::Kept(reason) => {
                    tracing::error!(%port, "the last good version of the port stays in use: {reason}");
                }
                PortChange::Closed(reason) => {
                    tracing::error!(%port, "the port is closed until it can be opened: {reason}");
                }
            }
        }
        self.domain
    }
}
