//! Ports over files: Parquet, CSV, JSON lines and Arrow IPC, on local disk and in object stores.
//!
//! A scan reads what lies there when it is planned. Nothing is taken on trust that the files themselves can tell:
//! columns and their types are compared with the contract when a port is opened, the header of every CSV file when it
//! is scanned, and an error names the port and the file.

mod append;
mod footers;
mod footprint;
mod format;
mod layout;
mod listing;
mod location;
mod name_errors;
mod options;
mod scoped_store;
mod store;
mod table;
#[cfg(test)]
mod tests;

// For its default feature: see Cargo.toml of the workspace.
use simdutf8 as _;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::cache::SchemaFingerprint;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::{Diagnostics, FileFormat, Port, PortSource};

use self::append::FileAppender;
use self::format::{Encoding, compression_of};
use self::layout::{Layout, one};
use self::location::Location;
use self::name_errors::{Origin, Redaction};
pub use self::options::{AzureOptions, GcsOptions, HttpOptions, S3Options, Secret, SourceOptions};
use self::table::PortTable;
use crate::error::Error;
use crate::panics::caught_async;
use crate::source::{Footprint, OpenedPort, PortWriter, SourceOpener};

/// How many files of a port are asked for their columns when it is opened. Those beyond are adapted when they are read.
const SCHEMA_FILES: usize = 1000;

/// How many files are asked at once.
const CONCURRENCY: usize = 16;

/// Opens ports over files.
#[derive(Clone, Debug, Default)]
pub struct FileSources {
    options: HashMap<String, SourceOptions>,
}

impl FileSources {
    /// `options` says, by the name of a contract's server, what does not belong into a contract.
    pub fn new(options: HashMap<String, SourceOptions>) -> Self {
        Self { options }
    }
}

#[async_trait]
impl SourceOpener for FileSources {
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, Diagnostics> {
        let Some(source) = &port.source else {
            return Err(one(&Default::default(), format!("port {} has no source on this node", port.name)));
        };
        let wrong = |message: String| one(&source.place, message);
        let location = Location::parse(source).map_err(wrong)?;
        let default = SourceOptions::default();
        let options = self.options.get(&source.server).unwrap_or(&default);
        let registered = store::register(source, location, options, runtime).map_err(wrong)?;
        let redact = Redaction(registered.secrets.0);
        let origin = Origin { port: port.name.clone(), location: registered.location, redact };
        let opening = Opening {
            port,
            source,
            origin: Arc::new(origin),
            store: registered.store,
            session: session(runtime),
            max_files: options.max_files,
        };
        let table = opening.open(registered.url).await?;
        let schema = table.layout.schema.clone();
        let writer: Option<Arc<dyn PortWriter>> = match options.writers.as_slice() {
            [] => None,
            writers => {
                let place = (&opening.origin, &opening.store);
                Some(Arc::new(FileAppender::new(port, source.format, &table.layout, place, writers).map_err(wrong)?))
            }
        };
        Ok(OpenedPort { name: port.name.clone(), provider: Arc::new(table), schema, writer })
    }

    async fn footprint(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        opened.provider.downcast_ref::<PortTable>()?.footprint(runtime).await
    }

    async fn guess_rows(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        opened.provider.downcast_ref::<PortTable>()?.guess_rows(runtime).await
    }
}

/// A session for what DataFusion's readers want one for while no query runs.
fn session(runtime: &Arc<RuntimeEnv>) -> SessionState {
    SessionStateBuilder::new().with_config(SessionConfig::new()).with_runtime_env(runtime.clone()).build()
}

struct Opening<'a> {
    port: &'a Port,
    source: &'a PortSource,
    origin: Arc<Origin>,
    store: Arc<dyn ObjectStore>,
    session: SessionState,
    max_files: usize,
}

impl Opening<'_> {
    async fn open(&self, url: ObjectStoreUrl) -> Result<PortTable, Diagnostics> {
        let location = &self.origin.location;
        let listed = listing::list(self.store.as_ref(), location, self.source.format, self.max_files).await;
        let files = listed.map_err(|error| {
            let message = error.message(location);
            match error {
                listing::ListingError::Store(cause) => self.wrong_because(message, &cause),
                _ => self.wrong(message),
            }
        })?;
        let encoding = self.encoding(&files)?;
        let partitions = self.partitions(&files)?;
        let (found, header) = self.columns(&encoding, &files).await?;
        let layout = Layout::new(self.port, self.source, &encoding, &found, &partitions)?;
        Ok(PortTable {
            origin: self.origin.clone(),
            store: url,
            fingerprint: Arc::new(SchemaFingerprint::from_schema(&layout.file_schema)),
            encoding,
            layout,
            header,
            max_files: self.max_files,
        })
    }

    fn encoding(&self, files: &[ObjectMeta]) -> Result<Encoding, Diagnostics> {
        let mut kinds = files.iter().map(|f| (compression_of(&f.location, self.source.format), f));
        let Some((compression, first)) = kinds.next() else { return Err(self.wrong("there is no file".to_owned())) };
        if let Some((_, other)) = kinds.find(|(kind, _)| *kind != compression) {
            let (first, other) = (self.name_of(first), self.name_of(other));
            return Err(
                self.wrong(format!("{first} and {other} are compressed differently: choose one kind by a glob"))
            );
        }
        Ok(Encoding::new(self.source, compression))
    }

    /// The columns that the folders give: those that the contract calls so, and the declared ones that they name.
    fn partitions(&self, files: &[ObjectMeta]) -> Result<Vec<String>, Diagnostics> {
        let Some(first) = files.first() else { return Ok(Vec::new()) };
        let named = Layout::partitions_in(self.port, first.location.as_ref());
        let declared = &self.source.partition_columns;
        if let Some(lacking) = declared.iter().find(|d| !named.contains(d)) {
            let message = format!("partition column `{lacking}` names no folder: {} has none", self.name_of(first));
            return Err(self.wrong(message));
        }
        for file in files {
            if Layout::partitions_in(self.port, file.location.as_ref()) != named {
                let (first, file) = (self.name_of(first), self.name_of(file));
                return Err(self.wrong(format!("{first} and {file} lie in folders of different partition columns")));
            }
        }
        Ok(named)
    }

    /// The columns that the files have, and the header that CSV files share.
    async fn columns(
        &self,
        encoding: &Encoding,
        files: &[ObjectMeta],
    ) -> Result<(Schema, Option<Vec<String>>), Diagnostics> {
        // Text is sampled: the first file with rows tells as much as all of them.
        let count = if encoding.is_text() { CONCURRENCY } else { SCHEMA_FILES };
        let schemas: Vec<(ObjectMeta, SchemaRef)> = stream::iter(files.iter().take(count).cloned())
            .map(|file| async move {
                let schema = caught_async(encoding.schema_of(&self.session, &self.store, &file)).await;
                match schema {
                    Ok(Ok(schema)) => Ok((file, schema)),
                    Ok(Err(error)) => Err(self.wrong(told(&self.origin.unreadable(&file.location, error)))),
                    Err(panic) => Err(self.wrong(told(&self.origin.broken(&file.location, &panic)))),
                }
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let header = (encoding.format == FileFormat::Csv && encoding.has_header)
            .then(|| schemas.first().map(|(_, s)| s.fields().iter().map(|f| f.name().clone()).collect()))
            .flatten();
        Ok((self.merge(encoding, &schemas)?, header))
    }

    /// One schema of all. A column may be lacking in some files: it is NULL there.
    fn merge(&self, encoding: &Encoding, schemas: &[(ObjectMeta, SchemaRef)]) -> Result<Schema, Diagnostics> {
        let Some(((first_file, first), others)) = schemas.split_first() else { return Ok(Schema::empty()) };
        let mut merged: Vec<Field> = first.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (file, schema) in others.iter().filter(|(_, schema)| schema.fields() != first.fields()) {
            let names = |s: &Schema| s.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
            if encoding.format == FileFormat::Csv && names(schema) != names(first) {
                let (first, file) = (self.name_of(first_file), self.name_of(file));
                return Err(self.wrong(format!("{first} and {file} differ in their columns, or in the order of them")));
            }
            for field in schema.fields() {
                let Some(known) = merged.iter_mut().find(|m| m.name() == field.name()) else {
                    merged.push(field.as_ref().clone());
                    continue;
                };
                let (a, b) = (known.data_type().clone(), field.data_type());
                let common = common_type(&a, b, encoding.is_text()).ok_or_else(|| {
                    let (first, file) = (self.name_of(first_file), self.name_of(file));
                    self.wrong(format!("column `{}` is {a} in {first} and {b} in {file}", field.name()))
                })?;
                known.set_data_type(common);
            }
        }
        Ok(Schema::new(merged))
    }

    fn name_of(&self, file: &ObjectMeta) -> String {
        self.origin.location.name_of(&file.location)
    }

    fn wrong(&self, message: String) -> Diagnostics {
        one(&self.source.place, self.origin.redact.clean(&message))
    }

    fn wrong_because(&self, message: String, cause: &dyn std::error::Error) -> Diagnostics {
        self.wrong(format!("{message}: {cause}"))
    }
}

/// What an error tells, causes included.
fn told(error: &DataFusionError) -> String {
    match error {
        DataFusionError::External(inner) => {
            inner.downcast_ref::<Error>().map_or_else(|| inner.to_string(), Error::chain)
        }
        other => other.to_string(),
    }
}

/// The type of a column that is of one type in one file and of another in the next. In text both were guessed.
fn common_type(a: &DataType, b: &DataType, is_text: bool) -> Option<DataType> {
    match (a, b) {
        _ if a == b => Some(a.clone()),
        _ if !is_text => None,
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => Some(DataType::Float64),
        _ => Some(DataType::Utf8),
    }
}
