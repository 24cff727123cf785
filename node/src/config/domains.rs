//! The owners of domains in the config: the peers that may own a domain, and the keys that a domain is pinned to.

use std::collections::BTreeMap;

use portolan_catalog::yaml::pointer_token;
use portolan_catalog::{DomainName, check_domain_name};
use portolan_connectors::OwnerKey;
use serde::Deserialize;

use super::NodeConfig;
use super::check::Check;
use super::delegation::TrustedKey;
use crate::Result;

/// A domain that another node owns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainConfig {
    /// The key of the domain's owner. Several while one replaces another.
    pub key: PinnedKeys,
}

/// One public key, or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a public key or a list of public keys")]
pub enum PinnedKeys {
    /// One.
    One(TrustedKey),
    /// A list.
    More(Vec<TrustedKey>),
}

impl PinnedKeys {
    fn keys(&self) -> &[TrustedKey] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::More(keys) => keys,
        }
    }

    pub(super) fn keys_mut(&mut self) -> &mut [TrustedKey] {
        match self {
            Self::One(key) => std::slice::from_mut(key),
            Self::More(keys) => keys,
        }
    }

    fn load(&self) -> Result<Vec<OwnerKey>> {
        self.keys().iter().map(|key| Ok(OwnerKey::new(key.load()?.to_string()))).collect()
    }
}

impl NodeConfig {
    /// Returns the keys that the config pins domains to.
    ///
    /// # Errors
    /// Files that cannot be read or are no keys.
    pub fn domain_keys(&self) -> Result<BTreeMap<DomainName, Vec<OwnerKey>>> {
        self.domains.iter().map(|(domain, config)| Ok((domain.clone(), config.key.load()?))).collect()
    }

    pub(super) fn check_domains(&self, check: &mut Check<'_>) {
        for (domain, config) in &self.domains {
            let pointer = format!("/domains/{}", pointer_token(domain.as_str()));
            if let Err(e) = check_domain_name(domain) {
                check.report(&pointer, &e);
            } else if self.domain.as_ref() == Some(domain) {
                check.report(&pointer, "the node itself owns this domain, with its own key");
            }
            match config.key.load() {
                Ok(keys) if keys.is_empty() => check.report(&format!("{pointer}/key"), "expected at least one key"),
                Ok(_) => {}
                Err(e) => check.report(&format!("{pointer}/key"), &e.owner_chain()),
            }
        }
        for (i, peer) in self.peers.iter().enumerate() {
            for domain in peer.domains.iter().flatten() {
                if let Err(e) = check_domain_name(domain) {
                    check.report(&format!("/peers/{i}/domains"), &e);
                } else if self.domain.as_ref() == Some(domain) {
                    check.report(&format!("/peers/{i}/domains"), &format!("the node itself owns `{domain}`"));
                }
            }
        }
    }
}
