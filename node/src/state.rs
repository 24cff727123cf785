//! The state that a node keeps in its state folder across restarts: its key, if the config has none, and the owners of
//! domains that it has learned.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portolan_connectors::node::{NodeIdentity, NodeKey};

use crate::config::{NodeConfig, SecretString};
use crate::{Error, Result};

/// The key that a node signs its catalog with.
#[derive(Clone, Debug)]
pub(crate) struct OwnKey {
    pub(crate) key: Arc<NodeKey>,
    /// A new key, and the file that it must be written to.
    unsaved: Option<(PathBuf, SecretString)>,
}

impl OwnKey {
    /// Returns the key of the node's identity, or else the key in the state folder, or else a new key. Writes nothing.
    ///
    /// # Errors
    /// A key file that cannot be read or is no key.
    pub(crate) fn load(config: &NodeConfig, identity: Option<&NodeIdentity>) -> Result<Self> {
        if let Some(identity) = identity {
            return Ok(Self { key: identity.key().clone(), unsaved: None });
        }
        // Other nodes remember only the keys of nodes with a domain.
        let file = config.kept_key_file().filter(|_| config.domain.is_some());
        if let Some(file) = &file {
            match fs::read(file) {
                Ok(pem) => return Ok(Self { key: Arc::new(parse(file, &pem)?), unsaved: None }),
                Err(e) if e.kind() == IoErrorKind::NotFound => {}
                Err(e) => return Err(Error::config(format!("cannot read {}", file.display())).with_source(e)),
            }
        }
        let pem = NodeKey::generate().map_err(|e| Error::failed(e.chain()))?;
        let key = NodeKey::from_pem(pem.as_bytes()).map_err(|e| Error::failed(e.chain()))?;
        Ok(Self { key: Arc::new(key), unsaved: file.map(|file| (file, SecretString::new(pem))) })
    }

    /// Checks that [`OwnKey::save`] could write the key. Leaves nothing behind.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn check_save(&self) -> Result<()> {
        let Some((file, _)) = &self.unsaved else { return Ok(()) };
        let folder = file.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("."));
        let probe = folder.join(format!("node-key.{}.tmp", std::process::id()));
        create_key_file(&probe, "").and_then(|()| fs::remove_file(&probe)).map_err(|e| not_kept(file, e))
    }

    /// Writes a new key to the state folder.
    ///
    /// # Errors
    /// A folder that cannot be written: after a restart, other nodes would refuse the domain.
    pub(crate) fn save(&self) -> Result<()> {
        let Some((file, pem)) = &self.unsaved else { return Ok(()) };
        let folder = file.parent().unwrap_or(Path::new(""));
        let written = fs::create_dir_all(folder).and_then(|()| create_key_file(file, pem.reveal()));
        match written {
            // An earlier call has written it.
            Err(e)
                if e.kind() == IoErrorKind::AlreadyExists
                    && fs::read(file).is_ok_and(|k| k == pem.reveal().as_bytes()) =>
            {
                Ok(())
            }
            Err(e) => Err(not_kept(file, e)),
            Ok(()) => {
                tracing::info!(key = %self.key.public(), "the node has a new key, in {}", file.display());
                Ok(())
            }
        }
    }
}

/// Writes a private key to a new file that only its owner can read.
///
/// # Errors
/// A file that exists already, or cannot be written.
pub fn create_key_file(file: &Path, pem: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut created = options.open(file)?;
    created.write_all(pem.as_bytes())?;
    created.sync_all()
}

fn not_kept(file: &Path, error: io::Error) -> Error {
    Error::config(format!(
        "the key of this node cannot be stored in {}: set `state_folder` to a folder that the node can write, or \
         `node.name` and `node.key`",
        file.display()
    ))
    .with_source(error)
}

fn parse(file: &Path, pem: &[u8]) -> Result<NodeKey> {
    NodeKey::from_pem(pem).map_err(|e| Error::config(format!("{} {}", file.display(), e.chain())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_catalog::DomainName;

    use super::*;

    fn config(folder: &Path) -> NodeConfig {
        NodeConfig {
            domain: Some(DomainName::new("sales")),
            state_folder: Some(folder.join("node.state")),
            ..NodeConfig::default()
        }
    }

    #[test]
    fn a_key_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let new = OwnKey::load(&config, None).unwrap();
        assert!(!folder.path().join("node.state").exists(), "nothing is written before the node serves");
        new.save().unwrap();
        new.save().unwrap();
        let again = OwnKey::load(&config, None).unwrap();
        assert_eq!(again.key.public(), new.key.public());
        assert!(!format!("{new:?}").contains("PRIVATE"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = folder.path().join("node.state/node-key.pem");
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_another_process_has_written_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (first, second) = (OwnKey::load(&config, None).unwrap(), OwnKey::load(&config, None).unwrap());
        first.save().unwrap();
        let error = second.save().unwrap_err();
        assert!(error.owner_chain().contains("set `state_folder`"), "{}", error.owner_chain());
        assert_eq!(OwnKey::load(&config, None).unwrap().key.public(), first.key.public());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        fs::write(folder.path().join("node.state"), "no folder").unwrap();
        let error = match OwnKey::load(&config, None) {
            Ok(key) => key.save().unwrap_err(),
            Err(e) => e,
        };
        assert!(error.owner_chain().contains("node.state"), "{}", error.owner_chain());
    }

    #[test]
    fn a_check_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        OwnKey::load(&config(folder.path()), None).unwrap().check_save().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_check_finds_a_folder_that_cannot_be_written() {
        // Nobody creates files there, whatever the rights.
        let key = OwnKey::load(&config(Path::new("/proc")), None).unwrap();
        for error in [key.check_save().unwrap_err(), key.save().unwrap_err()] {
            assert!(error.owner_chain().contains("set `state_folder`"), "{}", error.owner_chain());
        }
    }

    #[test]
    fn a_gateway_keeps_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = NodeConfig { domain: None, ..config(folder.path()) };
        OwnKey::load(&gateway, None).unwrap().save().unwrap();
        assert!(!folder.path().join("node.state").exists());
    }
}
