//! The audit records of a node in its config: where they are, how many of them the node keeps, and who sees them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portolan_audit::Settings;
use serde::Deserialize;

use super::NodeConfig;
use super::check::Check;
use crate::units::{Length, Size};

/// The folder of the records in the state folder.
const FOLDER: &str = "audit";
/// The smallest bound on the records, in bytes.
const LEAST_BYTES: u64 = 1 << 20;

/// The audit records of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// True if the node keeps records.
    pub enabled: bool,
    /// The folder of the records. Default: `audit` in the state folder.
    pub folder: Option<PathBuf>,
    /// The bound on the bytes of all records. The node removes the oldest ones. Default: 4 GiB.
    pub max_bytes: Option<Size>,
    /// The age from which on the node removes records. Default: 365 days.
    pub max_age: Option<Length>,
    /// The groups whose members see all records in `mesh.audit`, as administrators do. Default: none.
    pub readers: BTreeSet<String>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: true, folder: None, max_bytes: None, max_age: None, readers: BTreeSet::new() }
    }
}

impl AuditConfig {
    /// Returns the config of a node that keeps no records.
    pub fn disabled() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// Returns the bounds of the store.
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if let Some(Size(bytes)) = self.max_bytes {
            settings.max_bytes = bytes;
            // The store removes whole segments.
            settings.segment_bytes = settings.segment_bytes.min(bytes / 16);
        }
        if let Some(Length(age)) = self.max_age {
            settings.max_age = age;
        }
        settings
    }

    /// Reports bounds that cannot be kept, and groups without a name.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if let Some(Size(bytes)) = self.max_bytes.filter(|Size(bytes)| *bytes < LEAST_BYTES) {
            check.report("/audit/max_bytes", &format!("expected at least 1MiB, got {bytes} bytes"));
        }
        if self.readers.contains("") {
            check.report("/audit/readers", "a group needs a name");
        }
    }
}

/// The store of a node's audit records.
#[derive(Clone, Debug)]
pub(crate) struct AuditStore {
    pub(crate) folder: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) readers: BTreeSet<String>,
}

impl NodeConfig {
    /// Returns the store of the node's audit records; `None` if the node keeps none. Without the key `audit`, a node with a
    /// domain and a state folder keeps them: a gateway reads no ports of its own.
    pub(crate) fn audit_store(&self) -> Option<AuditStore> {
        let in_state = self.state_folder.as_ref().map(|state| state.join(FOLDER));
        let (audit, folder) = match &self.audit {
            Some(audit) if !audit.enabled => return None,
            Some(audit) => {
                (audit.clone(), audit.folder.clone().or(in_state).unwrap_or_else(|| Path::new(FOLDER).into()))
            }
            None => (AuditConfig::default(), in_state.filter(|_| self.domain.is_some())?),
        };
        let settings = audit.settings();
        Some(AuditStore { folder, settings, readers: audit.readers })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<NodeConfig, String> {
        NodeConfig::parse(text, Path::new("/etc/portolan/node.yaml")).map_err(|e| e.to_string())
    }

    #[test]
    fn records_have_a_folder_bounds_and_readers() {
        let config = parse("audit: {}\n").unwrap();
        let store = config.audit_store().unwrap();
        assert_eq!(store.folder, Path::new("/etc/portolan/node.state/audit"));
        assert_eq!(format!("{:?}", store.settings), format!("{:?}", Settings::default()));
        assert!(store.readers.is_empty());
        let config = parse("audit: {folder: records, max_bytes: 16MiB, max_age: 30d, readers: [auditors]}\n").unwrap();
        let store = config.audit_store().unwrap();
        assert_eq!(store.folder, Path::new("/etc/portolan/records"));
        assert_eq!((store.settings.max_bytes, store.settings.segment_bytes), (16 << 20, 1 << 20));
        assert_eq!(store.settings.max_age, Duration::from_secs(30 * 24 * 60 * 60));
        assert!(store.readers.contains("auditors"));
        assert!(config.own_files().contains(&"/etc/portolan/records".into()), "no statement reads the records as data");
    }

    #[test]
    fn an_owner_with_a_state_folder_keeps_records_by_default() {
        let owner = |audit: Option<AuditConfig>, state: Option<&str>| {
            let domain = Some(portolan_catalog::DomainName::new("sales"));
            NodeConfig { domain, audit, state_folder: state.map(PathBuf::from), ..NodeConfig::default() }.audit_store()
        };
        assert_eq!(owner(None, Some("state")).unwrap().folder, Path::new("state/audit"));
        assert!(owner(None, None).is_none(), "there is no place for records");
        assert!(owner(Some(AuditConfig::disabled()), Some("state")).is_none());
        assert!(parse("{}").unwrap().audit_store().is_none(), "a gateway reads no ports of its own");
        assert!(parse("audit: {enabled: false}\n").unwrap().audit_store().is_none());
    }

    #[test]
    fn bounds_that_cannot_be_kept_are_refused() {
        let error = parse("audit:\n  max_bytes: 1KiB\n").unwrap_err();
        assert!(error.contains("node.yaml:2: audit.max_bytes: expected at least 1MiB, got 1024 bytes"), "{error}");
        for text in ["audit: {max_age: 0s}", "audit: {max_size: 1GiB}", "audit: folder", "audit: {readers: ['']}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
