//! `portolan node-key`: creates the key that a node signs with, and prints the public half for the configs of other
//! nodes.

use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use portolan_connectors::node::NodeKey;
use portolan_node::{Error, Result, create_key_file};

use crate::output::print;

/// Arguments of `portolan node-key`.
#[derive(Args, Clone, Debug)]
pub struct NodeKeyArgs {
    /// The file for the key. An existing key is kept
    #[arg(long, value_name = "FILE", default_value = "node-key.pem")]
    pub out: PathBuf,
    /// The name by which other nodes know this node
    #[arg(long, default_value = "gateway")]
    pub name: String,
}

/// Creates a key, or reads the existing one, and prints the public half as an entry for the configs of other nodes. The
/// private half is written only to the file.
///
/// # Errors
/// A file that cannot be written, or that has something other than a key.
pub fn node_key(args: &NodeKeyArgs) -> Result<()> {
    let file = &args.out;
    let pem = match std::fs::read(file) {
        Ok(pem) => pem,
        Err(e) if e.kind() == IoErrorKind::NotFound => create(file)?,
        Err(e) => return Err(Error::config(format!("cannot read {}", file.display())).with_source(e)),
    };
    let key = NodeKey::from_pem(&pem).map_err(|e| Error::config(format!("{} {}", file.display(), e.chain())))?;
    let public: String = key.public().to_pem().lines().map(|line| format!("    {line}\n")).collect();
    print(&format!("trusted_nodes:\n- name: {}\n  key: |\n{public}", args.name))
}

/// Writes a new key to a file that only its owner can read.
fn create(file: &Path) -> Result<Vec<u8>> {
    let pem = NodeKey::generate().map_err(|e| Error::failed(e.chain()))?;
    create_key_file(file, &pem)
        .map_err(|e| Error::config(format!("cannot write {}", file.display())).with_source(e))?;
    Ok(pem.into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_key_is_made_once_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let args = NodeKeyArgs { out: folder.path().join("key.pem"), name: "gateway".into() };
        node_key(&args).unwrap();
        let made = std::fs::read(&args.out).unwrap();
        node_key(&args).unwrap();
        assert_eq!(std::fs::read(&args.out).unwrap(), made, "an existing key is kept");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&args.out).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&args.out, "se:cret").unwrap();
        let error = node_key(&args).unwrap_err().owner_chain();
        assert!(error.contains("key.pem") && !error.contains("se:cret"), "{error}");
    }
}
