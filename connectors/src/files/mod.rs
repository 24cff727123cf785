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
mod fence;
mod file_calls;
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
mod options;
mod origin;
mod reach;
mod readers;
mod sample;
mod scoped_store;
mod secret;
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
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::execution::cache::SchemaFingerprint;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::{Diagnostic, Diagnostics, FileFormat, FileSource, Port, PortSource, names_location};
use tokio::task::JoinSet;

use self::append::FileAppender;
use self::columns::Columns;
pub use self::describe::{FoundColumn, FoundFiles, format_of};
use self::fence::{Fence, LocalBounds};
use self::file_calls::PortCalls;
use self::format::{Encoding, compression_of};
use self::layout::{Layout, one};
pub use self::local::LocalFileOptions;
use self::location::{LocalFiles, Location, Selection};
pub use self::options::{AzureOptions, GcsOptions, HttpOptions, S3Options, SourceOptions};
use self::origin::{Origin, Redaction, is_unanswered};
pub use self::secret::Secret;
pub use self::statement_files::StatementFiles;
use self::table::FileTable;
use crate::data_fault::{CheckLimits, DataReport};
use crate::error::Result;
use crate::source::{Footprint, OpenError, OpenedPort, PortWriter, SourceCounters, SourceOpener};

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
        let ended = || one(&Default::default(), "the runtime ended while a port was opened".to_owned());
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
            return Err(one(&Default::default(), format!("port {} has no source on this node", port.name)).into());
        };
        let wrong = |message: String| one(&source.place, message);
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
        let location = self.location(port, source, file_source, options).await.map_err(unusable)?;
        let endpoint = file_source.endpoint.as_deref();
        let registered = store::register(&source.server, endpoint, location, options, runtime).await;
        let registered = registered.map_err(unusable)?;
        let redact = Redaction(registered.secrets.0);
        let counter = self.counters.of(&source.server);
        let origin = Origin { port: port.name.clone(), has_port: true, location: registered.location, redact, counter };
        let opening = Opening {
            port,
            source,
            file_source,
            origin: Arc::new(origin),
            store: registered.store,
            session: session(runtime),
            max_files: options.max_files,
            accepts_rows: !options.writers.is_empty(),
        };
        let table = opening.open(registered.url).await.map_err(|error| opening.described(error))?;
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

    /// Returns the location of a port's files. A path is resolved on a thread for blocking work.
    async fn location(
        &self,
        port: &Port,
        source: &PortSource,
        file_source: &FileSource,
        options: &SourceOptions,
    ) -> Result<Location, String> {
        let calls = self.calls.of(&port.name);
        let (server, root, bounds) = (source.server.clone(), options.root.clone(), self.bounds.clone());
        let (file_source, own) = (file_source.clone(), calls.clone());
        let parse = move || {
            Location::parse(&file_source, || {
                let fence = Arc::new(Fence::new(&server, root.as_deref(), &bounds)?);
                Ok(LocalFiles { fence, calls: own })
            })
        };
        calls.run(parse).await?
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

/// Returns a session for DataFusion's readers while no query runs.
fn session(runtime: &Arc<RuntimeEnv>) -> SessionState {
    SessionStateBuilder::new().with_config(SessionConfig::new()).with_runtime_env(runtime.clone()).build()
}

/// A port that is being opened.
struct Opening<'a> {
    port: &'a Port,
    source: &'a PortSource,
    file_source: &'a FileSource,
    origin: Arc<Origin>,
    store: Arc<dyn ObjectStore>,
    session: SessionState,
    max_files: usize,
    /// True if the port has writers.
    accepts_rows: bool,
}

impl Opening<'_> {
    async fn open(&self, url: ObjectStoreUrl) -> Result<FileTable, OpenError> {
        let files = self.list().await?;
        let encoding = self.encoding(&files)?;
        let partitions = self.partitions(&files)?;
        let columns = self.columns(&encoding, &files).await?;
        Ok(self.table(url, encoding, &partitions, columns)?)
    }

    async fn list(&self) -> Result<Vec<ObjectMeta>, OpenError> {
        let location = &self.origin.location;
        let listed = listing::list(self.store.as_ref(), location, self.file_source.format, self.max_files).await;
        match listed {
            Err(listing::ListingError::Empty(_)) if self.may_be_empty() => Ok(vec![]),
            listed => listed.map_err(|error| {
                let message = error.message(location.as_str());
                match error {
                    listing::ListingError::Store(cause) => self.failed(format!("{message}: {cause}"), &cause),
                    _ => self.wrong(message).into(),
                }
            }),
        }
    }

    /// Returns the table of files with these columns.
    fn table(
        &self,
        url: ObjectStoreUrl,
        encoding: Encoding,
        partitions: &[String],
        columns: Columns,
    ) -> Result<FileTable, Diagnostics> {
        let source = (self.source, self.file_source);
        let layout = Layout::new(self.port, source, &encoding, &columns.merged, partitions)?;
        let known_files = self.check(&encoding, &layout, columns.files)?;
        Ok(FileTable {
            origin: self.origin.clone(),
            store: url,
            fingerprint: Arc::new(SchemaFingerprint::from_schema(&layout.file_schema)),
            encoding,
            layout,
            max_files: self.max_files,
            may_be_empty: self.may_be_empty(),
            known_files,
        })
    }

    /// True if the port may have no file: its writers add the first one. Without writers, an empty folder is a mistake.
    fn may_be_empty(&self) -> bool {
        let FileSource { format, partition_columns, .. } = self.file_source;
        let is_folder = self.origin.location.selection == Selection::Folder;
        self.accepts_rows && *format == FileFormat::Parquet && is_folder && partition_columns.is_empty()
    }

    fn encoding(&self, files: &[ObjectMeta]) -> Result<Encoding, Diagnostics> {
        let mut kinds = files.iter().map(|f| (compression_of(&f.location, self.file_source.format), f));
        let Some((compression, first)) = kinds.next() else {
            return Ok(Encoding::new(self.file_source, self.port, CompressionTypeVariant::UNCOMPRESSED));
        };
        if let Some((_, other)) = kinds.find(|(kind, _)| *kind != compression) {
            let (first, other) = (self.name_of(first), self.name_of(other));
            return Err(
                self.wrong(format!("{first} and {other} are compressed differently: choose one kind by a glob"))
            );
        }
        Ok(Encoding::new(self.file_source, self.port, compression))
    }

    /// Returns the names in folders that stand for columns: the declared partition columns, and other declared columns
    /// that the folders name.
    fn partitions(&self, files: &[ObjectMeta]) -> Result<Vec<String>, Diagnostics> {
        let Some(first) = files.first() else { return Ok(Vec::new()) };
        let named = Layout::partitions_in(self.port, self.file_source, first.location.as_ref());
        let declared = &self.file_source.partition_columns;
        let is_named = |column: &&String| named.iter().any(|name| name == self.file_source.name_in_file(column));
        if let Some(lacking) = declared.iter().find(|column| !is_named(column)) {
            let message = format!("partition column `{lacking}` names no folder: {} has none", self.name_of(first));
            return Err(self.wrong(message));
        }
        for file in files {
            if Layout::partitions_in(self.port, self.file_source, file.location.as_ref()) != named {
                let (first, file) = (self.name_of(first), self.name_of(file));
                return Err(self.wrong(format!("{first} and {file} lie in folders of different partition columns")));
            }
        }
        Ok(named)
    }

    fn name_of(&self, file: &ObjectMeta) -> String {
        self.origin.location.name_of(&file.location)
    }

    fn wrong(&self, message: String) -> Diagnostics {
        one(&self.source.place, self.origin.redact.clean(&message))
    }

    /// Adds the description for people who may not see where the files are stored: with the names of files, but without
    /// their folders.
    fn described(&self, error: OpenError) -> OpenError {
        let location = &self.origin.location;
        let text = location.as_str();
        let public = |problem: &Diagnostic| {
            let message = match names_location(text) {
                true => without_location(&problem.message, text, location.last_segment()),
                false => problem.message.clone(),
            };
            Diagnostic { message: location.without_folders(&message), ..problem.clone() }
        };
        let problems = Diagnostics(error.diagnostics().0.iter().map(public).collect());
        let description = OpenError::Faulty(problems).description();
        OpenError::Described(Box::new(error), description)
    }

    /// Returns the error of a failed read.
    fn failed(&self, message: String, cause: &(dyn std::error::Error + 'static)) -> OpenError {
        let wrong = self.wrong(message);
        if is_unanswered(cause) { OpenError::Unavailable(wrong) } else { OpenError::Faulty(wrong) }
    }
}

/// Returns a message with another name for a location. The location of a folder also begins the names of its files, which
/// stay.
fn without_location(message: &str, location: &str, name: &str) -> String {
    let mut parts = message.split(location);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_whole = part.chars().next().is_none_or(|next| next.is_whitespace() || ",;:`)".contains(next));
        shown.push_str(if is_whole { name } else { location });
        shown.push_str(part);
    }
    shown
}
