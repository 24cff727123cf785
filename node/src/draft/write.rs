//! Writes the files of a drafted product. An existing file is never replaced.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use portolan_catalog::{DomainCatalog, DomainName, load_domain};

use super::names::{distinct, identifier};
use super::{DraftedPort, Product, ProductDraft, descriptors};
use crate::{Error, Result};

/// A file of a drafted product.
pub(super) struct DraftedFile {
    name: String,
    text: String,
}

/// Returns the files of a product. `folder` is the folder that they will be in. Without it, their paths are absolute.
pub(super) fn files(product: &Product, ports: &[&dyn DraftedPort], folder: Option<&Path>) -> Vec<DraftedFile> {
    let file_name = |text: &str, taken: &mut BTreeSet<String>| {
        let name = identifier(text);
        distinct(if name.is_empty() { "data" } else { &name }, taken)
    };
    let own = file_name(&product.name, &mut BTreeSet::new());
    let names: Vec<&str> = ports.iter().map(|port| port.name()).collect();
    let own = DraftedFile { name: format!("{own}.odps.yaml"), text: descriptors::product(product, &names) };
    let mut taken = BTreeSet::new();
    let contracts = ports.iter().map(|port| {
        let name = format!("{}.odcs.yaml", file_name(port.name(), &mut taken));
        DraftedFile { name, text: port.contract(product, folder) }
    });
    std::iter::once(own).chain(contracts).collect()
}

/// Writes new files to an existing folder, and returns their paths. If one of them cannot be written, none is left.
///
/// # Errors
/// A file that exists already, or cannot be written.
pub(super) fn write_files(files: &[DraftedFile], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written: Vec<PathBuf> = vec![];
    for file in files {
        let path = folder.join(&file.name);
        let outcome = File::create_new(&path).and_then(|mut created| {
            written.push(path.clone());
            created.write_all(file.text.as_bytes())
        });
        if let Err(error) = outcome {
            for path in &written {
                // The error of the write is the one to report.
                let _ = fs::remove_file(path);
            }
            return Err(match error.kind() {
                IoErrorKind::AlreadyExists => exists(&[path]),
                _ => Error::output(path.display(), error),
            });
        }
    }
    Ok(written)
}

/// Returns the catalog of a domain that has only this product.
///
/// # Errors
/// Names that a product cannot have.
pub(super) fn load(product: &Product, ports: &[&dyn DraftedPort]) -> Result<DomainCatalog> {
    let folder = tempfile::Builder::new().prefix("portolan-draft-").tempdir();
    let folder = folder.map_err(|e| Error::output("the temporary folder", e))?;
    write_files(&files(product, ports, None), folder.path())?;
    load_domain(&DomainName::new(&product.domain), folder.path()).map_err(|faults| {
        let messages: Vec<_> = faults.0.iter().map(|fault| fault.message.clone()).collect();
        Error::config(format!("the product cannot be drafted: {}", messages.join("; ")))
    })
}

impl ProductDraft {
    /// Returns the files that the product has in `folder`.
    pub fn paths(&self, folder: &Path) -> Vec<PathBuf> {
        files(&self.product, &self.ports(), None).iter().map(|file| folder.join(&file.name)).collect()
    }

    /// Writes the files to `folder`, which is created if it does not exist. Their paths of data are relative to it.
    ///
    /// # Errors
    /// Files that exist already: then nothing is written. A folder that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let existing: Vec<PathBuf> = self.paths(folder).into_iter().filter(|path| exists_at(path)).collect();
        if !existing.is_empty() {
            return Err(exists(&existing));
        }
        let absolute = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
        let absolute = absolute.map_err(|e| Error::output(folder.display(), e))?;
        write_files(&files(&self.product, &self.ports(), Some(&absolute)), folder)
    }
}

/// Returns the error for files that exist already.
pub fn exists(paths: &[PathBuf]) -> Error {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let verb = if names.len() == 1 { "exists" } else { "exist" };
    Error::config(format!(
        "{} {verb} already, and no file is replaced: remove it, or choose another place",
        names.join(", ")
    ))
}

/// True if there is a file, a folder or a link at a path.
pub fn exists_at(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
