//! What an engine keeps to record reads: the store, and the groups whose members see all records.

use std::collections::BTreeSet;

use portolan_audit::Store;

use crate::Principal;

/// The audit records of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) store: Store,
    /// The groups whose members see all records.
    pub(crate) readers: BTreeSet<String>,
}

impl Audit {
    /// True if a principal sees the records of all principals: an administrator, or a reader of records.
    pub(crate) fn shows_all_to(&self, viewer: &Principal) -> bool {
        viewer.is_admin() || !viewer.groups().is_disjoint(&self.readers)
    }
}
