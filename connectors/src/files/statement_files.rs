//! Opens the files that statements name.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::names_location;

use super::table::FileTable;
use super::{FileSources, LocalFileOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::LocalBounds;
use crate::local_file::{FileReference, LocalFileOpener};
use crate::poison::lock;
use crate::source::Footprint;

/// The setting that decides which files statements may name.
const SETTING: &str = "local_files";

/// An opener of the files that statements name. The default opens every file that the process can read. Relative paths
/// then start from the working folder of the process. Clones share what [`StatementFiles::set_private`] changes.
#[derive(Clone, Debug, Default)]
pub struct StatementFiles {
    sources: Arc<Mutex<FileSources>>,
    /// The folder that the files must be in; `None` for any folder.
    folder: Option<PathBuf>,
}

impl StatementFiles {
    /// Returns an opener of the files in `folder`, or of every file. Relative paths start from the folder. The files and
    /// folders of `private` are never data, such as the keys of a node.
    pub fn new(folder: Option<PathBuf>, private: Vec<PathBuf>) -> Self {
        let sources = FileSources::default().bounded(bounds(folder.as_deref(), private));
        Self { sources: Arc::new(Mutex::new(sources)), folder }
    }

    /// Replaces the files and folders that are never data.
    pub fn set_private(&self, private: Vec<PathBuf>) {
        let mut sources = lock(&self.sources);
        *sources = sources.clone().bounded(bounds(self.folder.as_deref(), private));
    }

    /// Returns the size of the files of a reference, and a digest that changes with them.
    ///
    /// # Errors
    /// As [`LocalFileOpener::open`].
    pub async fn footprint(&self, file: &FileReference) -> Result<Footprint> {
        let runtime = Arc::new(RuntimeEnv::default());
        let table = self.open(file, &runtime).await?;
        let footprint = match table.downcast_ref::<FileTable>() {
            Some(table) => table.footprint(&runtime).await,
            None => None,
        };
        footprint.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{} cannot be listed", file.location)))
    }

    fn options(&self, file: &FileReference) -> LocalFileOptions {
        let defaults = LocalFileOptions::default();
        LocalFileOptions {
            base: self.folder.clone().unwrap_or_default(),
            format: file.format,
            delimiter: file.delimiter,
            has_header: file.has_header.unwrap_or(defaults.has_header),
        }
    }

    /// Returns an error without the place of the folder on this machine, which only the owner may see.
    fn without_folder(&self, error: Error, file: &FileReference) -> Error {
        let Some(folder) = &self.folder else { return error };
        let owner = error.owner_chain();
        let mut context = error.chain();
        let places = [folder.canonicalize().ok(), std::path::absolute(folder).ok(), Some(folder.clone())];
        for place in places.into_iter().flatten() {
            context = context.replace(&format!("{}{}", place.display(), std::path::MAIN_SEPARATOR), "");
        }
        // The client knows the location that it has sent.
        if names_location(&context.replace(&file.location, "")) {
            context = format!("{} cannot be read", file.location);
        }
        Error::new(error.kind(), context).for_owner(owner)
    }
}

fn bounds(folder: Option<&Path>, private: Vec<PathBuf>) -> LocalBounds {
    LocalBounds { folders: folder.map(|folder| vec![folder.to_path_buf()]), private, setting: Some(SETTING) }
}

#[async_trait]
impl LocalFileOpener for StatementFiles {
    async fn open(&self, file: &FileReference, runtime: &Arc<RuntimeEnv>) -> Result<Arc<dyn TableProvider>> {
        let sources = lock(&self.sources).clone();
        let opened = sources.open_local(&file.location, &self.options(file), runtime).await;
        opened.map_err(|error| self.without_folder(error, file))
    }
}
