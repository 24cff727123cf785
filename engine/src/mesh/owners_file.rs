//! The file in which an engine remembers the owners of domains: a JSON object with the key of each domain. A person can
//! edit it while no engine runs, or while one does: an engine only adds entries.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use portolan_catalog::DomainName;
use portolan_connectors::{OwnerKey, lock};

use crate::{Error, ErrorKind, Result};

/// The size of the largest file that is read. The largest file that an engine writes is smaller.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The file.
#[derive(Debug)]
pub(super) struct OwnersFile {
    path: PathBuf,
    writing: Mutex<()>,
}

impl OwnersFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, writing: Mutex::default() }
    }

    /// Returns the name of the file, without its folder.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the owners in the file. A file that does not exist has none.
    ///
    /// # Errors
    /// `InvalidQuery` if the file cannot be read, or is not such a file.
    pub(super) fn read(&self) -> Result<BTreeMap<DomainName, OwnerKey>> {
        let invalid = |what: &str| {
            Error::new(
                ErrorKind::InvalidQuery,
                format!("the owners of domains in {} {what}: correct the file, or remove it", self.path.display()),
            )
        };
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(MAX_FILE_BYTES + 1)
                .read_to_string(&mut text)
                .map_err(|e| invalid("cannot be read").with_source(e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(invalid("cannot be read").with_source(e)),
        };
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(invalid(&format!("have more than {} MiB", MAX_FILE_BYTES >> 20)));
        }
        serde_json::from_str(&text).map_err(|e| invalid("are not a JSON object of strings").with_source(e))
    }

    /// Adds owners to the file. An owner that the file has for one of the domains stays. Blocks while it writes.
    ///
    /// # Errors
    /// As for [`OwnersFile::read`]; `Internal` if the file cannot be written.
    pub(super) fn add(&self, new: &BTreeMap<DomainName, OwnerKey>) -> Result<()> {
        let _writing = lock(&self.writing);
        let mut owners = self.read()?;
        for (domain, key) in new {
            owners.entry(domain.clone()).or_insert_with(|| key.clone());
        }
        self.replace(&owners).map_err(|e| {
            let what = format!("the owners of domains cannot be written to {}", self.path.display());
            Error::new(ErrorKind::Internal, what).with_source(e)
        })
    }

    /// Replaces the content in one step, so that a reader never finds a part of it.
    fn replace(&self, owners: &BTreeMap<DomainName, OwnerKey>) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(owners)?;
        text.push(b'\n');
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Two processes with one file do not write to one temporary file.
        let temporary = self.path.with_file_name(format!("{}.{}.tmp", self.name(), std::process::id()));
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // The error of the write counts, not that of the removal.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}
