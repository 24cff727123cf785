//! The shares of principals and groups in the config.

use std::collections::BTreeMap;

use portolan_catalog::yaml::pointer_token;
use portolan_engine::{Share, Shares};
use serde::Deserialize;

use super::check::Check;
use crate::units::Size;

/// The shares of principals in the node's resources. [`Shares`] has their meanings and defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharesConfig {
    /// The share of a principal without an entry.
    #[serde(default)]
    pub default: ShareConfig,
    /// The share of each member of a group.
    #[serde(default)]
    pub groups: BTreeMap<String, ShareConfig>,
    /// The shares of single principals.
    #[serde(default)]
    pub principals: BTreeMap<String, ShareConfig>,
}

/// The share of one principal.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareConfig {
    /// The number of slots for each slot of a principal with weight 1, and the number of thread pools, at most four.
    pub weight: Option<u32>,
    /// Queries at once.
    pub concurrent_queries: Option<usize>,
    /// Queries that wait for admission.
    pub queued_queries: Option<usize>,
    /// Memory of the principal's queries together.
    pub memory: Option<Size>,
    /// Disk for spilling and for kept results.
    pub spill: Option<Size>,
    /// The tables of the principal's sessions together.
    pub session_tables: Option<Size>,
    /// Disk for kept results.
    pub kept_results: Option<Size>,
}

impl SharesConfig {
    /// Returns the shares for the engine's limits.
    pub fn shares(&self) -> Shares {
        let all = |entries: &BTreeMap<String, ShareConfig>| {
            entries.iter().map(|(name, share)| (name.clone(), share.share())).collect()
        };
        let mut shares = Shares::default();
        shares.default = self.default.share();
        shares.groups = all(&self.groups);
        shares.principals = all(&self.principals);
        shares
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        self.default.check("/shares/default", check);
        for (kind, entries) in [("groups", &self.groups), ("principals", &self.principals)] {
            for (name, share) in entries {
                share.check(&format!("/shares/{kind}/{}", pointer_token(name)), check);
            }
        }
    }
}

impl ShareConfig {
    fn share(&self) -> Share {
        let bytes = |size: Option<Size>| size.map(|size| size.0);
        let mut share = Share::default();
        share.weight = self.weight;
        share.concurrent_queries = self.concurrent_queries;
        share.queued_queries = self.queued_queries;
        share.memory = bytes(self.memory);
        share.spill = bytes(self.spill);
        share.session_tables = bytes(self.session_tables);
        share.kept_results = bytes(self.kept_results);
        share
    }

    fn check(&self, pointer: &str, check: &mut Check<'_>) {
        for (field, is_zero) in
            [("weight", self.weight == Some(0)), ("concurrent_queries", self.concurrent_queries == Some(0))]
        {
            if is_zero {
                check.report(&format!("{pointer}/{field}"), "must be at least 1");
            }
        }
    }
}
