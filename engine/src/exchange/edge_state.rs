//! The part of an edge that the task which reads its rows shares: what is requested from which places, and the records
//! about the rows.

use std::sync::{Arc, Mutex};

use datafusion::common::Result;
use portolan_connectors::{FragmentSummary, lock};

use super::hashed::FragmentHashes;
use super::keys::KeyReport;
use crate::execution::errors::into_datafusion;
use crate::mesh::{MeshView, Replica};
use crate::plan::Fragment;
use crate::planner::govern::label_of_fragment;
use crate::progress::EdgeCounters;
use crate::{Error, ErrorKind};

/// A fragment, the places that can run it, and the records about its rows. Clones share the records.
#[derive(Clone, Debug)]
pub(super) struct EdgeState {
    pub(super) fragment: Arc<Fragment>,
    /// The places that can run the fragment, the one to try first at the start. Not empty.
    pub(super) replicas: Vec<Replica>,
    pub(super) counters: Arc<EdgeCounters>,
    /// The summary that the site sent at the end.
    pub(super) summary: Arc<Mutex<Option<FragmentSummary>>>,
    /// The hashes of the columns, as the site reports them before the first row.
    pub(super) hashes: FragmentHashes,
    /// The report about keys.
    pub(super) report: Arc<Mutex<Option<KeyReport>>>,
}

impl EdgeState {
    /// Returns the state of an edge whose fragment has not started.
    ///
    /// # Errors
    /// If the fragment's site is not a peer of this node.
    pub(super) fn new(fragment: Arc<Fragment>, view: &MeshView) -> Result<Self> {
        let replicas = view.replicas(&fragment.site);
        if replicas.is_empty() {
            let what = format!("there is no connection to {}", fragment.site);
            return Err(into_datafusion(Error::new(ErrorKind::Internal, what)));
        }
        let domains = fragment.domains.iter().map(ToString::to_string).collect();
        let counters = EdgeCounters::new(domains, fragment.site.to_string());
        *lock(&counters.label) = label_of_fragment(&fragment.plan, view);
        Ok(Self {
            replicas,
            counters: Arc::new(counters),
            summary: Arc::default(),
            hashes: Arc::default(),
            report: Arc::default(),
            fragment,
        })
    }
}
