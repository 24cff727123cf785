//! The paths in a config. A relative path starts from the folder of the config's file. The files of the node itself are
//! never data.

use std::path::{Path, PathBuf};

use portolan_connectors::SourceOptions;

use super::{LocalFilesConfig, NodeConfig};

/// The file with the node's key.
const KEY_FILE: &str = "node-key.pem";
/// The file with the owners of domains.
const OWNERS_FILE: &str = "owners.json";

impl NodeConfig {
    /// Returns the file in which the node keeps its key, if it has a state folder.
    pub(crate) fn kept_key_file(&self) -> Option<PathBuf> {
        self.state_folder.as_ref().map(|folder| folder.join(KEY_FILE))
    }

    /// Returns the file in which the node remembers the owners of domains, if it has a state folder.
    pub(crate) fn owners_file(&self) -> Option<PathBuf> {
        self.state_folder.as_ref().map(|folder| folder.join(OWNERS_FILE))
    }

    /// Returns the folder of the config's file; `None` for a config without a file.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let folder = self.file.as_ref()?.parent().filter(|folder| *folder != Path::new(""));
        Some(folder.unwrap_or(Path::new(".")).to_path_buf())
    }

    /// Returns the files and folders of the node itself: the config, what it names, and the node's state.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        let state = [self.state_folder.clone(), self.kept_key_file(), self.owners_file()];
        let mut own: Vec<PathBuf> = self.file.iter().cloned().chain(state.into_iter().flatten()).collect();
        self.clone().visit_named_files(|path| own.push(std::mem::take(path)));
        own
    }

    /// Joins relative paths with the folder of `file`.
    pub(super) fn resolve_paths(&mut self, file: &Path) {
        let base = file.parent().unwrap_or(Path::new(""));
        self.state_folder = Some(match &self.state_folder {
            Some(folder) => base.join(folder),
            None => file.with_extension("state"),
        });
        if self.domain.is_some() {
            self.products = Some(base.join(self.products.as_deref().unwrap_or(Path::new("products"))));
        }
        if let Some(folder) = &mut self.policies {
            *folder = base.join(&*folder);
        }
        self.visit_named_files(|path| *path = base.join(&*path));
        if let Some(folder) = self.local_files.as_mut().and_then(LocalFilesConfig::folder_mut) {
            *folder = base.join(&*folder);
        }
        for root in self.sources.values_mut().filter_map(|options| options.root.as_mut()) {
            *root = base.join(&*root);
        }
    }

    /// Passes each path of a key, a certificate, a source, and a folder for spilling or audit records to `visit`.
    fn visit_named_files(&mut self, mut visit: impl FnMut(&mut PathBuf)) {
        let peers = self.peers.iter_mut().flat_map(|p| [&mut p.ca, &mut p.cert, &mut p.key]).flatten();
        let tls =
            self.tls.iter_mut().flat_map(|t| [Some(&mut t.cert), Some(&mut t.key), t.client_ca.as_mut()]).flatten();
        let keys = self.tokens.iter_mut().filter_map(|token| token.jwks.path_mut());
        let telemetry = self.telemetry.iter_mut().filter_map(|telemetry| telemetry.ca.as_mut());
        let of_sources = self.sources.values_mut().flat_map(SourceOptions::named_files_mut);
        let audit = self.audit.as_mut().and_then(|audit| audit.folder.as_mut());
        let folders = self.spill_folder.as_mut().into_iter().chain(audit).chain(&mut self.mask_key);
        peers.chain(tls).chain(keys).chain(telemetry).chain(of_sources).chain(folders).for_each(&mut visit);
        self.key_files().for_each(visit);
    }
}
