//! The parts of the configs of a governed mesh: users who log in at every node, and signed identities between nodes.

use std::fs;
use std::path::{Path, PathBuf};

use portolan_connectors::node::NodeKey;
use portolan_node::{Error, Result};
use serde_json::{Map, Value, json};

use super::Login;
use crate::tpch::DOMAINS;

/// The name of the gateway among the nodes.
const GATEWAY: &str = "gateway";

/// The users and the identities of the nodes.
pub(super) struct GovernedNodes {
    users: Value,
    /// The entry of each node for the `trusted_nodes` of the others.
    trusted: Vec<Value>,
    folder: PathBuf,
}

impl GovernedNodes {
    /// Writes a key for each node to `folder`.
    ///
    /// # Errors
    /// A key that cannot be generated or written.
    pub(super) fn new(users: &[Login], folder: &Path) -> Result<Self> {
        let trusted = DOMAINS.into_iter().chain([GATEWAY]).map(|name| trusted(folder, name));
        Ok(Self { users: users_config(users), trusted: trusted.collect::<Result<_>>()?, folder: folder.into() })
    }

    /// Returns the keys of the config of a domain's node, or of the gateway. Owners trust the principals that the other
    /// nodes sign.
    pub(super) fn config(&self, domain: Option<&str>) -> Map<String, Value> {
        let name = domain.unwrap_or(GATEWAY);
        let mut config = Map::new();
        config.insert("users".to_owned(), self.users.clone());
        config.insert("node".to_owned(), json!({ "name": name, "key": key_file(&self.folder, name) }));
        if domain.is_some() {
            let others = self.trusted.iter().filter(|other| other["name"] != name);
            config.insert("trusted_nodes".to_owned(), others.cloned().collect());
        }
        config
    }
}

/// Returns the users for the config of a node.
pub(super) fn users_config(users: &[Login]) -> Value {
    let user = |login: &Login| {
        let Login { user, password_hash, groups, attributes, .. } = login;
        json!({ "name": user, "password_hash": password_hash, "groups": groups, "attributes": attributes })
    };
    users.iter().map(user).collect()
}

fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

/// Writes the key of a node. Returns the entry for the `trusted_nodes` of the others.
fn trusted(folder: &Path, name: &str) -> Result<Value> {
    let file = key_file(folder, name);
    let pem = NodeKey::generate()?;
    let unwritten = |e| Error::output(file.display(), e);
    fs::write(&file, &pem).map_err(unwritten)?;
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(unwritten)?;
    let key = NodeKey::from_pem(pem.as_bytes())?;
    Ok(json!({ "name": name, "key": key.public().to_pem() }))
}
