//! Describes files that no contract describes: their number, their columns and their first text. A contract about them
//! is drafted from this.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use portolan_catalog::{Column, FileFormat, FileSource};

use super::checked::quoted_list;
use super::columns::{CONCURRENCY, Columns, SCHEMA_FILES};
use super::format::Encoding;
use super::local::{caught_task, folder_columns, invalid, not_found, refused, text};
use super::opening::{Opening, without_contract};
use super::text::Text;
use super::{FileSources, SourceOptions};
use crate::error::{Error, Result};

/// The number of bytes of text that a description has.
const BEGINNING_BYTES: usize = 1 << 20;

/// Files that no contract describes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FoundFiles {
    /// The number of files.
    pub files: usize,
    /// The columns in the files, also those that the names of folders have. For CSV, those in the headers of all files,
    /// with no types. Empty for CSV without a delimiter, which the beginning of the text shows.
    pub columns: Vec<FoundColumn>,
    /// False for JSON with so much text that its last records may have other columns.
    pub has_all_columns: bool,
    /// The columns that the names of folders have, outermost first, with their logical types.
    pub partitions: Vec<Column>,
    /// CSV: the beginning of the first file with text, without compression and byte order mark. UTF-16 with such a mark is
    /// UTF-8 here. It may end within a record.
    pub beginning: Vec<u8>,
    /// True if `beginning` is the whole text of the file.
    pub is_whole: bool,
}

/// A column in files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundColumn {
    /// The name.
    pub name: String,
    /// The type that holds the values of all files. For text, the type of a sample.
    pub data_type: DataType,
    /// True if every file has the column, and no file can hold a NULL in it.
    pub is_required: bool,
}

impl FileSources {
    /// Describes files that no contract describes, with the options of `server` for their store.
    ///
    /// # Errors
    /// `NotFound` if there is no file of the format, or the files must not be read; `SiteUnavailable` if their store
    /// does not respond; `InvalidQuery` for files that are not of the format; `Cancelled` if the runtime ends.
    pub async fn describe(&self, server: &str, files: &FileSource, runtime: &Arc<RuntimeEnv>) -> Result<FoundFiles> {
        let location = files.location.clone();
        let (sources, server, files, runtime) = (self.clone(), server.to_owned(), files.clone(), runtime.clone());
        let describing = async move { sources.describe_files(&server, &files, &runtime).await };
        caught_task(&location, "described", describing).await
    }

    async fn describe_files(&self, server: &str, files: &FileSource, runtime: &Arc<RuntimeEnv>) -> Result<FoundFiles> {
        let default = SourceOptions::default();
        let options = self.options.get(server).unwrap_or(&default);
        let (port, source) = without_contract(server, files);
        let opening = self.opening((&port, &source, files), options, false, runtime).await.map_err(not_found)?;
        opening.describe().await
    }
}

impl Opening<'_> {
    async fn describe(&self) -> Result<FoundFiles> {
        let listed = self.list().await.map_err(|error| match error.is_unavailable() {
            true => refused(error),
            false => not_found(text(error.diagnostics())),
        })?;
        let encoding = self.encoding(&listed).map_err(|faults| invalid(text(&faults)))?;
        let partitions = folder_columns(&encoding, &self.origin.location, &listed);
        let (mut columns, has_all_columns) = match self.file_source.format {
            FileFormat::Csv if self.file_source.delimiter.is_none() => (vec![], true),
            FileFormat::Csv => (self.header_columns(&encoding, &listed).await?, true),
            _ => {
                let found = self.columns(&encoding, &listed).await.map_err(refused)?;
                (found_columns(&found, &listed), found.are_all)
            }
        };
        if encoding.is_text() {
            // A sample shows no column that never holds a NULL.
            columns.iter_mut().for_each(|column| column.is_required = false);
        }
        let first = listed.iter().find(|file| file.size > 0).or(listed.first());
        let (beginning, is_whole) = match first.filter(|_| self.file_source.format == FileFormat::Csv) {
            Some(file) => self.beginning(&encoding, file).await?,
            None => (vec![], true),
        };
        Ok(FoundFiles { files: listed.len(), columns, has_all_columns, partitions, beginning, is_whole })
    }

    /// Returns the columns in the headers of all CSV files: those of the first file, and then those that others add.
    ///
    /// # Errors
    /// A header that cannot be read, or that has none of the columns of the files before.
    async fn header_columns(&self, encoding: &Encoding, files: &[ObjectMeta]) -> Result<Vec<FoundColumn>> {
        let headers = stream::iter(files.iter().take(SCHEMA_FILES).cloned())
            .map(|file| async move {
                let found = encoding.names_in(&self.store, &file).await;
                let found = found.map_err(|error| refused(self.unreadable(&file.location, error)))?;
                Ok::<_, Error>((file, found))
            })
            .buffered(CONCURRENCY);
        let mut headers = pin!(headers);
        let (mut columns, mut known): (Vec<FoundColumn>, HashSet<String>) = Default::default();
        while let Some((file, found)) = headers.try_next().await? {
            let Some(found) = found else { continue };
            let names = || found.schema.fields().iter().map(|field| field.name().as_str());
            if !known.is_empty() && !names().any(|name| known.contains(name)) {
                let (file, own) = (self.name_of(&file), quoted_list(names()));
                let message = format!("{file}: it has none of the columns of the other files, only {own}");
                return Err(invalid(message));
            }
            for name in names() {
                if known.insert(name.to_owned()) {
                    let (name, data_type) = (name.to_owned(), DataType::Utf8);
                    columns.push(FoundColumn { name, data_type, is_required: false });
                }
            }
        }
        Ok(columns)
    }

    /// Returns the beginning of a file's text, and true if that is all of it.
    async fn beginning(&self, encoding: &Encoding, file: &ObjectMeta) -> Result<(Vec<u8>, bool)> {
        let read = async { beginning(encoding.text(&self.store, &file.location).await?).await };
        read.await.map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.name_of(file));
            refused(self.failed(message, &error))
        })
    }
}

async fn beginning(Text { mut chunks, .. }: Text) -> Result<(Vec<u8>, bool), DataFusionError> {
    let mut text = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        text.extend_from_slice(&chunk);
        if text.len() > BEGINNING_BYTES {
            text.truncate(BEGINNING_BYTES);
            return Ok((text, false));
        }
    }
    Ok((text, true))
}

fn found_columns(found: &Columns, listed: &[ObjectMeta]) -> Vec<FoundColumn> {
    let are_all = found.files.len() == listed.len();
    let never_null = |name: &str| {
        found.files.iter().all(|(_, file)| file.schema.field_with_name(name).is_ok_and(|field| !field.is_nullable()))
    };
    let column = |field: &FieldRef| FoundColumn {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        is_required: are_all && never_null(field.name()),
    };
    found.merged.fields().iter().map(column).collect()
}
