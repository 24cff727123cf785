//! A port over files that is being opened, or files that no contract describes: lists the files, and finds their encoding,
//! their folders and their columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::execution::cache::SchemaFingerprint;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::{
    Diagnostic, Diagnostics, FileFormat, FileSource, Place, Port, PortRef, PortSource, SourceKind, names_location,
};

use super::columns::Columns;
use super::format::{Encoding, compression_of};
use super::layout::Layout;
use super::location::{LocalFiles, Location, Selection};
use super::origin::{Origin, Redaction, is_unanswered};
use super::table::FileTable;
use super::{FileSources, SourceOptions, listing, store};
use crate::fence::Fence;
use crate::source::OpenError;

impl FileSources {
    /// Finds the place of the files that a source names. `has_port` is false for files that no contract describes: they
    /// accept no rows, and their errors name no port.
    ///
    /// # Errors
    /// A location or an access that cannot be used.
    pub(super) async fn opening<'a>(
        &self,
        (port, source, file_source): (&'a Port, &'a PortSource, &'a FileSource),
        options: &SourceOptions,
        has_port: bool,
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<Opening<'a>, String> {
        let server = source.server.as_str();
        let location = self.location(port, source, file_source, options).await?;
        let registered = store::register(server, file_source.endpoint.as_deref(), location, options, runtime).await?;
        let origin = Origin {
            port: port.name.clone(),
            has_port,
            location: registered.location,
            redact: Redaction(registered.secrets.0),
            counter: if has_port { self.counters.of(server) } else { Arc::default() },
        };
        Ok(Opening {
            port,
            source,
            file_source,
            origin: Arc::new(origin),
            store: registered.store,
            url: registered.url,
            session: session(runtime),
            max_files: options.max_files,
            accepts_rows: has_port && !options.writers.is_empty(),
        })
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

/// Returns a port without columns and its source, for files that no contract describes.
pub(super) fn without_contract(server: &str, files: &FileSource) -> (Port, PortSource) {
    let kind = SourceKind::Files(files.clone());
    let (declared_at, place) = (BTreeMap::new(), Place::default());
    let source = PortSource { server: server.to_owned(), kind, declared_at, place };
    (Port::new(PortRef::new("", "", &files.location)), source)
}

/// Returns a session for DataFusion's readers while no query runs.
fn session(runtime: &Arc<RuntimeEnv>) -> SessionState {
    SessionStateBuilder::new().with_config(SessionConfig::new()).with_runtime_env(runtime.clone()).build()
}

/// A port that is being opened.
pub(super) struct Opening<'a> {
    pub(super) port: &'a Port,
    pub(super) source: &'a PortSource,
    pub(super) file_source: &'a FileSource,
    pub(super) origin: Arc<Origin>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) url: ObjectStoreUrl,
    pub(super) session: SessionState,
    pub(super) max_files: usize,
    /// True if the port has writers.
    pub(super) accepts_rows: bool,
}

impl Opening<'_> {
    pub(super) async fn open(&self) -> Result<FileTable, OpenError> {
        let files = self.list().await?;
        let encoding = self.encoding(&files)?;
        let partitions = self.partitions(&files)?;
        let columns = self.columns(&encoding, &files).await?;
        Ok(self.table(encoding, &partitions, columns)?)
    }

    pub(super) async fn list(&self) -> Result<Vec<ObjectMeta>, OpenError> {
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
    pub(super) fn table(
        &self,
        encoding: Encoding,
        partitions: &[String],
        columns: Columns,
    ) -> Result<FileTable, Diagnostics> {
        let source = (self.source, self.file_source);
        let layout = Layout::new(self.port, source, &encoding, &columns.merged, partitions)?;
        let known_files = self.check(&encoding, &layout, columns.files)?;
        Ok(FileTable {
            origin: self.origin.clone(),
            store: self.url.clone(),
            fingerprint: Arc::new(SchemaFingerprint::from_schema(&layout.file_schema)),
            encoding,
            layout,
            max_files: self.max_files,
            may_be_empty: self.may_be_empty(),
            known_files,
            rows: None,
        })
    }

    /// True if the port may have no file: its writers add the first one. Without writers, an empty folder is a mistake.
    fn may_be_empty(&self) -> bool {
        let FileSource { format, partition_columns, .. } = self.file_source;
        let is_folder = self.origin.location.selection == Selection::Folder;
        self.accepts_rows && *format == FileFormat::Parquet && is_folder && partition_columns.is_empty()
    }

    pub(super) fn encoding(&self, files: &[ObjectMeta]) -> Result<Encoding, Diagnostics> {
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
    pub(super) fn partitions(&self, files: &[ObjectMeta]) -> Result<Vec<String>, Diagnostics> {
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

    pub(super) fn name_of(&self, file: &ObjectMeta) -> String {
        self.origin.location.name_of(&file.location)
    }

    pub(super) fn wrong(&self, message: String) -> Diagnostics {
        Diagnostics::one(self.source.place.clone(), self.origin.redact.clean(&message))
    }

    /// Adds the description for people who may not see where the files are stored: with the names of files, but without
    /// their folders.
    pub(super) fn described(&self, error: OpenError) -> OpenError {
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
    pub(super) fn failed(&self, message: String, cause: &(dyn std::error::Error + 'static)) -> OpenError {
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
