//! The part of an edge that the task which reads its rows shares: what is requested from which site, and the records
//! about the rows.

use std::sync::{Arc, Mutex};

use datafusion::common::Result;
use portolan_connectors::{FragmentSummary, Site};

use super::keys::KeyReport;
use crate::execution::errors::into_datafusion;
use crate::mesh::{LinkMeter, MeshView};
use crate::plan::Fragment;
use crate::progress::EdgeCounters;
use crate::{Error, ErrorKind};

/// A fragment, its site, and the records about its rows. Clones share the records.
#[derive(Clone, Debug)]
pub(super) struct EdgeState {
    pub(super) fragment: Arc<Fragment>,
    pub(super) site: Arc<dyn Site>,
    /// Measures the link to the site.
    pub(super) meter: Arc<LinkMeter>,
    pub(super) counters: Arc<EdgeCounters>,
    /// The summary that the site sent at the end.
    pub(super) summary: Arc<Mutex<Option<FragmentSummary>>>,
    /// The report about keys.
    pub(super) report: Arc<Mutex<Option<KeyReport>>>,
}

impl EdgeState {
    /// Returns the state of an edge whose fragment has not started.
    ///
    /// # Errors
    /// If the fragment's site is not a peer of this node.
    pub(super) fn new(fragment: Arc<Fragment>, view: &MeshView) -> Result<Self> {
        let site = view.sites.get(&fragment.site).cloned().ok_or_else(|| {
            into_datafusion(Error::new(ErrorKind::Internal, format!("there is no connection to {}", fragment.site)))
        })?;
        let domains = fragment.domains.iter().map(ToString::to_string).collect();
        Ok(Self {
            site,
            meter: view.meter(&fragment.site),
            counters: Arc::new(EdgeCounters::new(domains, fragment.site.to_string())),
            summary: Arc::default(),
            report: Arc::default(),
            fragment,
        })
    }
}
