//! Ports over files: Parquet, CSV, JSON and Arrow IPC, on local disk and in object stores.
//!
//! A scan reads the files that exist when it is planned. When a port is opened, the columns of the files and their
//! types are compared with the contract. Before a file is scanned, its columns are compared with those of the port. An
//! error names the port and the file.
//!
//! The author of a contract names any place. `fence` keeps local files within a root, `access` keeps credentials at the
//! places that the config names, and `reach` keeps URLs away from the node's own machine.

mod access;
mod adapter;
mod append;
mod check;
mod checked;
mod columns;
mod describe;
mod error_context;
mod fenced;
mod folder_values;
mod footers;
mod footprint;
mod format;
mod guarded_client;
mod guesses;
mod layout;
mod listing;
mod local;
mod location;
mod opening;
mod origin;
mod reach;
mod readers;
mod sample;
mod scoped_store;
mod statement_files;
mod store;
mod stored_columns;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod widening;

// For its default feature: see Cargo.toml of the workspace.
use simdutf8 as _;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{Diagnostics, Place, Port};
use tokio::task::JoinSet;

use self::append::FileAppender;
pub use self::describe::{FoundColumn, FoundFiles};
pub use self::format::format_of;
pub use self::local::LocalFileOptions;
pub use self::statement_files::StatementFiles;
use self::table::FileTable;
use crate::data_fault::{CheckLimits, DataReport};
use crate::error::Result;
use crate::fence::LocalBounds;
use crate::file_calls::PortCalls;
use crate::source::{Footprint, OpenError, OpenedPort, PortWriter, SourceCounters, SourceOpener};
use crate::source_options::SourceOptions;

/// The description of a location or an access that cannot be used, for people who may not see it.
const UNUSABLE: &str = "its location, or the access to it, has faults: the log of the node has the reason";

/// Opens ports over files.
#[derive(Clone, Debug, Default)]
pub struct FileSources {
    options: Arc<HashMap<String, SourceOptions>>,
    bounds: Arc<LocalBounds>,
    calls: PortCalls,
    counters: SourceCounters,
}

impl FileSources {
    /// Returns an opener with the options that do not belong in a contract, by the name of a contract's server. Local
    /// files may be in any folder, unless [`FileSources::within`] or an option bounds them.
    pub fn new(options: HashMap<String, SourceOptions>) -> Self {
        Self { options: Arc::new(options), ..Self::default() }
    }

    /// Bounds local files: they must be in one of `folders`, unless their source has a `root` of its own. The files and
    /// folders of `private` are never data, such as the keys of a node.
    #[must_use]
    pub fn within(self, folders: Vec<PathBuf>, private: Vec<PathBuf>) -> Self {
        self.bounded(LocalBounds { folders: Some(folders), private, setting: None })
    }

    /// Returns the same opener with these bounds of local files.
    fn bounded(self, bounds: LocalBounds) -> Self {
        Self { bounds: Arc::new(bounds), ..self }
    }

    /// Returns the same opener, which counts faults of its ports in `counters`.
    #[must_use]
    pub fn counted(self, counters: SourceCounters) -> Self {
        Self { counters, ..self }
    }
}

#[async_trait]
impl SourceOpener for FileSources {
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        let (sources, port, runtime) = (self.clone(), port.clone(), runtime.clone());
        let opened = as_task(async move { sources.open_port(&port, &runtime).await }).await;
        let ended = || Diagnostics::one(Place::default(), "the runtime ended while a port was opened");
        opened.unwrap_or_else(|| Err(ended().into()))
    }

    async fn footprint(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        opened.provider.downcast_ref::<FileTable>()?.footprint(runtime).await
    }

    async fn guess_rows(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        opened.provider.downcast_ref::<FileTable>()?.guess_rows(runtime).await
    }

    async fn check_data(
        &self,
        opened: &OpenedPort,
        runtime: &Arc<RuntimeEnv>,
        limits: CheckLimits,
    ) -> Option<Result<DataReport>> {
        opened.provider.downcast_ref::<FileTable>()?.check_data(runtime, limits).await
    }
}

impl FileSources {
    async fn open_port(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        let Some(source) = &port.source else {
            let message = format!("port {} has no source on this node", port.name);
            return Err(Diagnostics::one(Place::default(), message).into());
        };
        let wrong = |message: String| Diagnostics::one(source.place.clone(), message);
        let Some(file_source) = source.files() else {
            let kind = source.kind.name();
            let message = format!("port {}: expected a source of files, got one of kind `{kind}`", port.name);
            return Err(wrong(message).into());
        };
        // These messages may name a host without a separator of URLs.
        let unusable = |message: String| {
            let public = OpenError::from(wrong(UNUSABLE.to_owned())).description();
            OpenError::Described(Box::new(wrong(message).into()), public)
        };
        let default = SourceOptions::default();
        let options = self.options.get(&source.server).unwrap_or(&default);
        let opening = self.opening((port, source, file_source), options, true, runtime).await.map_err(unusable)?;
        let table = opening.open().await.map_err(|error| opening.described(error))?;
        let schema = table.layout.schema.clone();
        let writer: Option<Arc<dyn PortWriter>> = match options.writers.as_slice() {
            [] => None,
            writers => {
                let place = (&opening.origin, &opening.store);
                let format = file_source.format;
                Some(Arc::new(FileAppender::new(port, format, &table.layout, place, writers).map_err(wrong)?))
            }
        };
        Ok(OpenedPort { name: port.name.clone(), provider: Arc::new(table), schema, writer, site: None })
    }
}

/// Runs `work` as a task, so that the caller may stop waiting, also if a reader blocks its thread. Returns `None` if the
/// runtime ends.
async fn as_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match task.join_next().await {
        Some(Ok(done)) => Some(done),
        Some(Err(ended)) if ended.is_panic() => resume_unwind(ended.into_panic()),
        _ => None,
    }
}
