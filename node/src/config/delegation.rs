//! Identity between nodes in the config: the key that the node signs with, and the nodes that it trusts.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use portolan_connectors::node::{NodeIdentity, NodeKey, PublicKey};
use portolan_flight_server::{Allowed, DelegationOptions, TrustedNode, needs_audiences};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::check::Check;
use super::{NodeConfig, SecretString};
use crate::{Error, Result};

/// The identity of the node towards other nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnIdentityConfig {
    /// The name by which other nodes trust this node.
    pub name: Option<String>,
    /// The key that the node signs with (PEM, as `portolan node-key` makes it).
    pub key: Option<PathBuf>,
    /// The audiences of the tokens that other nodes sign for this node. Default: the URLs of the address that the node
    /// listens on.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// A node whose claims of a principal are accepted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedNodeConfig {
    /// The name of the node.
    pub name: String,
    /// The public key that the node signs with.
    pub key: TrustedKey,
    /// The principals that the node may act for. Default: all, which includes no node. A list with `node:` and the
    /// node's own name lets the node send requests of its own.
    #[serde(default)]
    pub may_act_for: AllowedConfig,
    /// The groups that the node may claim for the principals. Default: all if it may act for all, none otherwise.
    pub groups: Option<AllowedConfig>,
}

/// A public key or a certificate: inline (PEM, or a key as `mesh.nodes` shows it), or in a file (PEM).
#[derive(Clone, Debug)]
pub enum TrustedKey {
    /// The key itself. It is not printed, since it may be a private key by mistake.
    Inline(SecretString),
    /// The file.
    File(PathBuf),
}

/// `all`, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedConfig {
    /// All.
    #[default]
    All,
    /// Only these names.
    Only(BTreeSet<String>),
}

impl<'de> Deserialize<'de> for TrustedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_key = text.trim_start().starts_with("-----BEGIN") || PublicKey::from_text(text.trim()).is_some();
        Ok(if is_key { Self::Inline(SecretString(text)) } else { Self::File(text.into()) })
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
                return Err(A::Error::custom("a name must not be empty"));
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
    pub(super) fn load(&self) -> Result<PublicKey> {
        let pem = match self {
            Self::Inline(text) => match PublicKey::from_text(text.reveal().trim()) {
                Some(key) => return Ok(key),
                None => text.reveal().as_bytes().to_vec(),
            },
            Self::File(path) => read(path)?,
        };
        PublicKey::from_pem(&pem).map_err(|e| Error::config(e.chain()))
    }
}

impl TrustedNodeConfig {
    /// Returns another node that the node would act for.
    fn other_node(&self) -> Option<&str> {
        let AllowedConfig::Only(names) = &self.may_act_for else { return None };
        let is_other = |name: &&String| name.strip_prefix("node:").is_some_and(|node| node != self.name);
        names.iter().find(is_other).map(String::as_str)
    }

    fn load(&self) -> Result<TrustedNode> {
        let groups = match (&self.groups, &self.may_act_for) {
            (Some(groups), _) => groups.clone(),
            (None, AllowedConfig::All) => AllowedConfig::All,
            // A node that may act for some principals only could gain the rights of others by claiming their groups.
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
    /// Returns the node's identity, if the node has a key.
    ///
    /// # Errors
    /// A file that cannot be read or is no key.
    pub fn identity(&self) -> Result<Option<NodeIdentity>> {
        let (Some(name), Some(key)) = (&self.node.name, &self.node.key) else { return Ok(None) };
        let key =
            NodeKey::from_pem(&read(key)?).map_err(|e| Error::config(format!("{} {}", key.display(), e.chain())))?;
        NodeIdentity::new(name, key).map(Some).map_err(|e| Error::config(e.chain()))
    }

    /// Returns the trusted nodes, and the audiences of this node.
    ///
    /// # Errors
    /// Files that cannot be read or are no keys.
    pub fn delegation(&self) -> Result<DelegationOptions> {
        let trusted = self.trusted_nodes.iter().map(TrustedNodeConfig::load).collect::<Result<_>>()?;
        Ok(DelegationOptions { trusted, audiences: self.node.audiences.clone() })
    }

    /// Returns the paths of the key files in the config.
    pub(super) fn key_files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let trusted = self.trusted_nodes.iter_mut().map(|node| &mut node.key);
        let pinned = self.domains.values_mut().flat_map(|domain| domain.key.keys_mut());
        let files = trusted.chain(pinned).filter_map(|key| match key {
            TrustedKey::File(path) => Some(path),
            TrustedKey::Inline(_) => None,
        });
        self.node.key.iter_mut().chain(files)
    }

    pub(super) fn check_delegation(&self, check: &mut Check<'_>) {
        if self.node.name.is_some() != self.node.key.is_some() {
            check.report_missing(
                "/node",
                "a node that signs needs a `name` and a `key`: `portolan node-key` creates a key",
            );
        } else if let Err(e) = self.identity() {
            check.report("/node/key", &e.owner_chain());
        }
        for (i, audience) in self.node.audiences.iter().enumerate() {
            if audience.is_empty() {
                check.report(
                    &format!("/node/audiences/{i}"),
                    "expected the text that peers set as `audience`, got an empty string",
                );
            }
        }
        for (i, node) in self.trusted_nodes.iter().enumerate() {
            if !portolan_connectors::node::token::is_node_name(&node.name) {
                let message = "expected at most 128 letters, digits, `.`, `-` and `_`";
                check.report(&format!("/trusted_nodes/{i}/name"), message);
            }
            if let Err(e) = node.key.load() {
                check.report(&format!("/trusted_nodes/{i}/key"), &e.owner_chain());
            }
            if let Some(other) = node.other_node() {
                let message =
                    format!("`{other}` is another node: a node can act only for itself, as `node:{}`", node.name);
                check.report(&format!("/trusted_nodes/{i}/may_act_for"), &message);
            }
        }
        if self.node.audiences.is_empty() && self.needs_audiences() {
            if !self.trusted_nodes.is_empty() {
                check.report_missing(
                    "/trusted_nodes",
                    "`listen` does not show how other nodes reach this node: list its URLs in `node.audiences`",
                );
            } else {
                check.report_missing(
                    "/listen",
                    "`listen` does not show how other nodes reach this node: list its URLs in `node.audiences`, for \
                     which the node signs the catalog of its domain",
                );
            }
        }
    }

    fn needs_audiences(&self) -> bool {
        let (trusts_nodes, owns_domain) = (!self.trusted_nodes.is_empty(), self.domain.is_some());
        let is_unclear = |address: SocketAddr| needs_audiences(address.ip(), trusts_nodes, owns_domain);
        self.listen.to_socket_addrs().is_ok_and(|mut addresses| addresses.any(is_unclear))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::config(format!("cannot read {}", path.display())).with_source(e))
}

#[cfg(test)]
mod tests;
