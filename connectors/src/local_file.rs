//! Files that statements name in the place of tables, and the interface that opens them.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::FileFormat;

use crate::error::Result;

/// A file, a folder or a glob that a statement names in the place of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReference {
    /// The reference in SQL, in one spelling for all that mean the same: `'data.csv'`, or
    /// `read_csv('data.csv', delim => ';')`.
    pub name: String,
    /// The path or the glob.
    pub location: String,
    /// The format. `None` stands for the format that belongs to the extension in the location.
    pub format: Option<FileFormat>,
    /// CSV: the delimiter. `None` stands for the one that the file shows.
    pub delimiter: Option<u8>,
    /// CSV: true if the first line has the names of the columns. `None` stands for true.
    pub has_header: Option<bool>,
}

/// An opener of the files that statements name. An engine without one refuses such statements.
#[async_trait]
pub trait LocalFileOpener: Debug + Send + Sync {
    /// Opens files as a table. Object stores that the scan will need are registered with `runtime`.
    ///
    /// # Errors
    /// `NotFound` if there is no file, or the files must not be read; `InvalidQuery` for files that cannot be read as
    /// one table.
    async fn open(&self, file: &FileReference, runtime: &Arc<RuntimeEnv>) -> Result<Arc<dyn TableProvider>>;
}
