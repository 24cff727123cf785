//! The text of a new node's config.

use std::fmt::Write as _;
use std::path::PathBuf;

use portolan_node::draft::{DatabaseAccess, yaml_string};

/// A new node.
#[derive(Clone, Debug, Default)]
pub(super) struct NewNode {
    /// The domain; `None` for a gateway.
    pub(super) domain: Option<String>,
    pub(super) listen: String,
    /// The source whose data is in another folder, and the folder.
    pub(super) root: Option<(String, PathBuf)>,
    /// The database that the first product is drafted from.
    pub(super) database: Option<DatabaseAccess>,
    /// The user and the hash of the password.
    pub(super) user: Option<(String, String)>,
    pub(super) is_anonymous: bool,
    pub(super) has_tls: bool,
    /// The name by which other nodes trust this node, if it has a key for that.
    pub(super) identity: Option<String>,
    /// The URLs by which other nodes reach this node, if they differ from the address that it listens on.
    pub(super) audiences: Vec<String>,
    pub(super) peers: Vec<String>,
    /// The names and the public keys of trusted nodes.
    pub(super) trusted: Vec<(String, String)>,
}

/// Files of a new node, relative to its config.
pub(super) const CERTIFICATE: &str = "tls/cert.pem";
pub(super) const CERTIFICATE_KEY: &str = "tls/key.pem";
pub(super) const AUTHORITY: &str = "tls/ca.pem";
pub(super) const NODE_KEY: &str = "node-key.pem";
pub(super) const PUBLIC_KEY: &str = "node-public-key.pem";

impl NewNode {
    /// Returns the text of the config.
    pub(super) fn text(&self) -> String {
        let mut text = match &self.domain {
            Some(domain) => format!(
                "# The node of a domain. The book's chapter \"A node\" has every key.\ndomain: {}\n",
                yaml_string(domain)
            ),
            None => "# A gateway: a node without a domain. The book's chapter \"A node\" has every key.\n".to_owned(),
        };
        _ = writeln!(text, "listen: {}", yaml_string(&self.listen));
        if self.domain.is_some() {
            text.push_str(
                "# The folder with the descriptors. Changes are read while the node runs.\nproducts: products\n",
            );
        }
        if let Some((server, root)) = &self.root {
            text.push_str("\n# The folder that the local data of the contracts is in.\nsources:\n");
            let root = yaml_string(&root.display().to_string());
            _ = writeln!(text, "  {}:\n    root: {root}", yaml_string(server));
        }
        if let Some(entry) = self.database.as_ref().and_then(DatabaseAccess::config) {
            _ = write!(text, "\n# The access to the database of the contracts.\nsources:\n{entry}");
        }
        self.add_access(&mut text);
        self.add_mesh(&mut text);
        text
    }

    fn add_access(&self, text: &mut String) {
        if let Some((name, hash)) = &self.user {
            text.push_str("\n# Who may log in. `portolan hash-password` prints the hash of a password.\nusers:\n");
            _ = writeln!(text, "- name: {}\n  password_hash: {}", yaml_string(name), yaml_string(hash));
        }
        if self.is_anonymous {
            text.push_str("\n# Clients need no login.\nanonymous: true\n");
        }
        if self.has_tls {
            _ = writeln!(text, "\ntls:\n  cert: {CERTIFICATE}\n  key: {CERTIFICATE_KEY}");
        }
    }

    fn add_mesh(&self, text: &mut String) {
        if self.identity.is_some() || !self.audiences.is_empty() {
            text.push_str("\n# The identity of this node for other nodes.\nnode:\n");
            if let Some(name) = &self.identity {
                _ = writeln!(text, "  name: {}\n  key: {NODE_KEY}", yaml_string(name));
            }
            if !self.audiences.is_empty() {
                let audiences: Vec<_> = self.audiences.iter().map(|url| yaml_string(url)).collect();
                _ = writeln!(text, "  audiences: [{}]", audiences.join(", "));
            }
        }
        if !self.peers.is_empty() {
            text.push_str("\n# The other nodes of the mesh.\npeers:\n");
        }
        for url in &self.peers {
            _ = writeln!(text, "- url: {}", yaml_string(url));
            if url.starts_with("grpc+tls://") {
                _ = writeln!(text, "  ca: {AUTHORITY}");
            }
        }
        if !self.trusted.is_empty() {
            text.push_str("\n# The nodes that may send queries of their users.\ntrusted_nodes:\n");
        }
        for (name, key) in &self.trusted {
            _ = writeln!(text, "- name: {}\n  key: {}", yaml_string(name), yaml_string(key));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::fs;

    use portolan_connectors::node::NodeKey;
    use portolan_node::NodeConfig;

    use super::*;
    use crate::init::authority::Authority;

    #[test]
    fn a_node_reads_its_config() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["products/x", CERTIFICATE, CERTIFICATE_KEY, AUTHORITY, NODE_KEY, "data/x"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let authority = Authority::open(&folder.path().join("authority")).unwrap();
        fs::write(folder.path().join(AUTHORITY), &authority.pem).unwrap();
        let gateway = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        let file = folder.path().join("node.yaml");
        let node = NewNode {
            domain: Some("shop: north".to_owned()),
            listen: "127.0.0.1:50051".to_owned(),
            root: Some(("files".to_owned(), folder.path().join("data"))),
            user: Some(("ann".to_owned(), portolan_flight_server::hash_password("secret").unwrap())),
            has_tls: true,
            peers: vec!["grpc+tls://localhost:1".to_owned()],
            trusted: vec![("gateway".to_owned(), gateway.public().to_string())],
            ..NewNode::default()
        };
        let config = NodeConfig::parse(&node.text(), &file).unwrap_or_else(|e| panic!("{e}\n{}", node.text()));
        assert_eq!(config.domain.unwrap().as_str(), "shop: north");
        assert_eq!((config.users[0].name.as_str(), config.users.len()), ("ann", 1));
        assert_eq!(config.sources["files"].root, Some(folder.path().join("data")));
        assert_eq!(config.peers[0].ca, Some(folder.path().join(AUTHORITY)));
        assert_eq!(config.trusted_nodes[0].name, "gateway");
        assert!(config.tls.is_some());

        fs::write(folder.path().join(NODE_KEY), NodeKey::generate().unwrap()).unwrap();
        let gateway = NewNode {
            listen: "127.0.0.1:50050".to_owned(),
            is_anonymous: true,
            identity: Some("gateway".to_owned()),
            audiences: vec!["grpc://gateway.example.org:50050".to_owned()],
            peers: vec!["grpc://127.0.0.1:50051".to_owned()],
            ..NewNode::default()
        };
        let config = NodeConfig::parse(&gateway.text(), &file).unwrap_or_else(|e| panic!("{e}\n{}", gateway.text()));
        assert_eq!((config.domain, config.node.name.as_deref()), (None, Some("gateway")));
        assert_eq!(config.node.audiences, ["grpc://gateway.example.org:50050"]);
        assert!(config.anonymous == Some(true) && config.peers[0].ca.is_none());
    }
}
