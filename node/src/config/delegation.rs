//! What a config says of identity between nodes: who the node is, whom it believes, and how it calls its peers.

use std::collections::BTreeSet;
use std::fmt;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

use portolan_connectors::node::{NodeIdentity, NodeKey, PublicKey};
use portolan_flight_server::{Allowed, DelegationOptions, TrustedNode};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::check::Check;
use super::{NodeConfig, Secret};
use crate::{Error, Result};

/// Who the node is to others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnIdentityConfig {
    /// Its name, by which others trust it.
    pub name: Option<String>,
    /// What it signs with (PEM, as `portolan node-key` makes it).
    pub key: Option<PathBuf>,
    /// What others call it in what they sign for it. Default: the URLs of the address that it listens on.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// A node that is believed when it says on whose behalf it asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedNodeConfig {
    /// Its name.
    pub name: String,
    /// What it signs with.
    pub key: TrustedKey,
    /// The principals that it may act for. Default: all.
    #[serde(default)]
    pub may_act_for: AllowedConfig,
    /// The groups that it may say they are in. Default: all where it may act for all, or else none.
    pub groups: Option<AllowedConfig>,
}

/// A public key or a certificate, in PEM: the text itself, or a file.
#[derive(Clone, Debug)]
pub enum TrustedKey {
    /// The text. Not printed, since it may be the wrong key.
    Inline(Secret),
    /// The file.
    File(PathBuf),
}

/// `all`, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedConfig {
    /// All.
    #[default]
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl<'de> Deserialize<'de> for TrustedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_key = text.trim_start().starts_with("-----BEGIN");
        Ok(if is_key { Self::Inline(Secret(text)) } else { Self::File(text.into()) })
    }
}

impl<'de> Deserialize<'de> for AllowedConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = AllowedConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all` or a list of names")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AllowedConfig, E> {
        match text {
            "all" => Ok(AllowedConfig::All),
            _ => Err(E::custom(format!("`{text}` is neither `all` nor a list of names"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<AllowedConfig, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = seq.next_element::<String>()? {
            if name.is_empty() {
                return Err(A::Error::custom("a name is not empty"));
            }
            names.insert(name);
        }
        Ok(AllowedConfig::Only(names))
    }
}

impl From<AllowedConfig> for Allowed {
    fn from(config: AllowedConfig) -> Self {
        match config {
            AllowedConfig::All => Self::All,
            AllowedConfig::Only(names) => Self::Only(names),
        }
    }
}

impl TrustedKey {
    fn load(&self) -> Result<PublicKey> {
        let pem = match self {
            Self::Inline(text) => text.reveal().as_bytes().to_vec(),
            Self::File(path) => read(path)?,
        };
        PublicKey::from_pem(&pem).map_err(|e| Error::config(e.chain()))
    }
}

impl TrustedNodeConfig {
    fn load(&self) -> Result<TrustedNode> {
        let groups = match (&self.groups, &self.may_act_for) {
            (Some(groups), _) => groups.clone(),
            (None, AllowedConfig::All) => AllowedConfig::All,
            // Whoever may act for some only could make more of them by their groups.
            (None, AllowedConfig::Only(_)) => AllowedConfig::Only(BTreeSet::new()),
        };
        let name = self.name.clone();
        Ok(TrustedNode {
            name,
            key: self.key.load()?,
            may_act_for: self.may_act_for.clone().into(),
            groups: groups.into(),
        })
    }
}

impl NodeConfig {
    /// Who the node is, where it has a key.
    ///
    /// # Errors
    /// A key that cannot be read or is none.
    pub fn identity(&self) -> Result<Option<NodeIdentity>> {
        let (Some(name), Some(key)) = (&self.node.name, &self.node.key) else { return Ok(None) };
        let key =
            NodeKey::from_pem(&read(key)?).map_err(|e| Error::config(format!("{} {}", key.display(), e.chain())))?;
        NodeIdentity::new(name, key).map(Some).map_err(|e| Error::config(e.chain()))
    }

    /// Whom the node believes.
    ///
    /// # Errors
    /// Keys that cannot be read or are none.
    pub fn delegation(&self) -> Result<DelegationOptions> {
        let trusted = self.trusted_nodes.iter().map(TrustedNodeConfig::load).collect::<Result<_>>()?;
        Ok(DelegationOptions { trusted, audiences: self.node.audiences.clone() })
    }

    /// The files that this part of the config names.
    pub(super) fn key_files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let trusted = self.trusted_nodes.iter_mut().filter_map(|node| match &mut node.key {
            TrustedKey::File(path) => Some(path),
            TrustedKey::Inline(_) => None,
        });
        self.node.key.iter_mut().chain(trusted)
    }

    pub(super) fn check_delegation(&self, check: &mut Check<'_>) {
        if self.node.name.is_some() != self.node.key.is_some() {
            check.report("/node", "a node that signs has a `name` and a `key`; `portolan node-key` makes one");
        } else if let Err(e) = self.identity() {
            check.report("/node/key", &e.chain());
        }
        for (i, audience) in self.node.audiences.iter().enumerate() {
            if audience.is_empty() {
                check.report(&format!("/node/audiences/{i}"), "is empty: any text that peers name in `audience`");
            }
        }
        for (i, node) in self.trusted_nodes.iter().enumerate() {
            if !portolan_connectors::node::token::is_node_name(&node.name) {
                let message = "a node's name has letters, digits, `.`, `-` and `_`, at most 128 of them";
                check.report(&format!("/trusted_nodes/{i}/name"), message);
            }
            if let Err(e) = node.key.load() {
                check.report(&format!("/trusted_nodes/{i}/key"), &e.chain());
            }
        }
        if !self.trusted_nodes.is_empty() && self.node.audiences.is_empty() && self.listens_everywhere() {
            check.report(
                "/trusted_nodes",
                "where others reach this node is not known from `listen`: give its URLs in `node.audiences`",
            );
        }
    }

    fn listens_everywhere(&self) -> bool {
        self.listen.to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|a| a.ip().is_unspecified()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::config(format!("cannot read {}", path.display())).with_source(e))
}

#[cfg(test)]
mod tests;
