//! Opens files of this machine that no contract describes. The format comes from the names of the files, and the columns
//! and types come from the files.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectMeta;
use portolan_catalog::{Column, Diagnostic, Diagnostics, FileFormat, FileSource};

use super::folder_values::{folder_value, value_of_folder};
use super::format::{Encoding, extension_of, format_of};
use super::location::Location;
use super::opening::{Opening, without_contract};
use super::table::FileTable;
use super::{FileSources, SourceOptions, as_task};
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught_async;
use crate::source::OpenError;

/// The name of the source in messages about its folders.
const SERVER: &str = "local";

/// The delimiters that CSV may have in the place of a comma.
const OTHER_DELIMITERS: [u8; 3] = [b';', b'\t', b'|'];

/// The options with which local files are opened. Set the fields of the default value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalFileOptions {
    /// The folder that a relative location starts from. Default: the working folder of the process.
    pub base: PathBuf,
    /// The format. Default: the one that belongs to the extension in the location.
    pub format: Option<FileFormat>,
    /// CSV: the delimiter. Default: a tab for `.tsv`. Otherwise a comma, or if the first line has none, the one of `;`, tab
    /// and `|` that separates equally many values of each of the first records.
    pub delimiter: Option<u8>,
    /// CSV: true if the first line has the names of the columns. Default: true. Without it, the columns are `column_1`,
    /// `column_2` and so on.
    pub has_header: bool,
}

impl Default for LocalFileOptions {
    fn default() -> Self {
        Self { base: PathBuf::new(), format: None, delimiter: None, has_header: true }
    }
}

impl LocalFileOptions {
    /// Returns the description of the files at `location`.
    ///
    /// # Errors
    /// `InvalidQuery` for a URL, and for a location that implies no format.
    fn files(&self, location: &str) -> Result<FileSource> {
        let scheme = location.split_once("://").map(|(scheme, _)| scheme);
        if let Some(scheme) = scheme.filter(|scheme| *scheme != "file") {
            return Err(invalid(format!("expected a path on this machine, got a URL of `{scheme}://`")));
        }
        let Some(format) = self.format.or_else(|| format_of(location)) else {
            let known = "`.parquet`, `.csv`, `.jsonl`, `.arrow`";
            return Err(invalid(format!("`{location}`: expected an extension such as {known}, or the format")));
        };
        let is_tabbed = format == FileFormat::Csv && extension_of(location, format).as_deref() == Some("tsv");
        let delimiter = self.delimiter.or(is_tabbed.then_some(b'\t'));
        let mut files = FileSource::new(location, &self.base, format);
        (files.delimiter, files.has_header) = (delimiter, self.has_header);
        Ok(files)
    }
}

impl FileSources {
    /// Opens a file, a folder, or the files that a glob selects, all on this machine and in one format. The files need no
    /// contract:
    ///
    /// - All columns are in the table, also those that only some files have. A type holds the values of all files.
    /// - For text, the first records determine the types, and for JSON also the columns. A later value that does not fit is
    ///   an error when it is read. A key of JSON that only records after the first 64 MiB have is no column.
    /// - Folders such as `year=2024` below the location are columns, of integers or dates if all of their values are.
    ///
    /// The files must be within the folders of [`FileSources::within`]. Each scan lists them again.
    ///
    /// # Errors
    /// `NotFound` if there is no file, or the files must not be read; `InvalidQuery` for a location that is a URL or
    /// implies no format, and for files that cannot be read as one table; `Cancelled` if the runtime ends.
    pub async fn open_local(
        &self,
        location: &str,
        options: &LocalFileOptions,
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<Arc<dyn TableProvider>> {
        let files = options.files(location)?;
        let (sources, runtime) = (self.clone(), runtime.clone());
        let opened = caught_task(location, "opened", async move { sources.open_files(files, &runtime).await });
        Ok(Arc::new(opened.await?))
    }

    async fn open_files(&self, files: FileSource, runtime: &Arc<RuntimeEnv>) -> Result<FileTable> {
        let (port, source) = without_contract(SERVER, &files);
        let options = SourceOptions::default();
        let opening = self.opening((&port, &source, &files), &options, false, runtime).await.map_err(not_found)?;
        opening.infer().await
    }
}

impl Opening<'_> {
    /// Opens files whose columns no contract declares.
    async fn infer(self) -> Result<FileTable> {
        let listed = self.list().await.map_err(|error| not_found(text(error.diagnostics())))?;
        let mut encoding = self.encoding(&listed).map_err(|faults| invalid(text(&faults)))?;
        if let Some(delimiter) = self.other_delimiter(&encoding, &listed).await {
            encoding.delimiter = delimiter;
        }
        let found = self.columns(&encoding, &listed).await.map_err(refused)?;
        let folders = folder_columns(&encoding, &self.origin.location, &listed);
        let of_files = found.merged.fields().iter().map(|field| field.name());
        let of_files = of_files.filter(|name| folders.iter().all(|folder| folder.name != **name));
        let mut port = self.port.clone();
        port.columns = of_files.map(Column::new).collect();
        if port.columns.is_empty() {
            return Err(invalid(format!("{} has no columns: it is empty", self.origin.location.as_str())));
        }
        port.columns.extend(folders);
        let inferred = Opening { port: &port, ..self };
        let partitions = inferred.partitions(&listed).map_err(|faults| invalid(text(&faults)))?;
        let table = inferred.table(encoding, &partitions, found).map_err(|faults| invalid(text(&faults)))?;
        let footers = inferred.session.runtime_env().cache_manager.get_file_metadata_cache();
        let rows = table.rows_of(inferred.store.as_ref(), &listed, footers.as_ref()).await;
        Ok(FileTable { rows, ..table })
    }

    /// Returns the delimiter of CSV whose reference names none, if it is no comma: a comma separates nothing in the first
    /// line, and exactly one other delimiter separates equally many values of each of the first records. Other files
    /// have one column.
    async fn other_delimiter(&self, encoding: &Encoding, listed: &[ObjectMeta]) -> Option<u8> {
        if self.file_source.format != FileFormat::Csv || self.file_source.delimiter.is_some() {
            return None;
        }
        let file = listed.iter().find(|file| file.size > 0)?;
        // What cannot be read is reported later.
        let found = encoding.names_in(&self.store, file).await.ok()??;
        if found.schema.fields().len() != 1 {
            return None;
        }
        let mut fitting = vec![];
        for delimiter in OTHER_DELIMITERS {
            if encoding.is_split_by(delimiter, &self.store, file).await {
                fitting.push(delimiter);
            }
        }
        match fitting.as_slice() {
            [delimiter] => Some(*delimiter),
            _ => None,
        }
    }
}

/// Runs work on files that no contract describes, as a task. `done` says what the work does, for an error.
///
/// # Errors
/// The error of the work; `InvalidQuery` if it panics; `Cancelled` if the runtime ends.
pub(super) async fn caught_task<T: Send + 'static>(
    location: &str,
    done: &str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match caught_async(as_task(work)).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(Error::new(ErrorKind::Cancelled, format!("the runtime ended while files were {done}"))),
        Err(panic) => Err(invalid(format!("`{location}` cannot be {done}: {panic}"))),
    }
}

/// Returns the columns that the folders below the base name, in the order of the first file's folders.
pub(super) fn folder_columns(encoding: &Encoding, location: &Location, files: &[ObjectMeta]) -> Vec<Column> {
    let Some(first) = files.first().and_then(|file| location.below_base(&file.location)) else { return vec![] };
    let folders = first.rsplit_once('/').map_or("", |(folders, _)| folders);
    let mut columns: Vec<Column> = vec![];
    for (name, _) in folders.split('/').filter_map(|folder| folder.split_once('=')) {
        // A scan reads the value of the outermost folder with the name, which the base may be in.
        let is_above = folder_value(&format!("{}/", location.base), name).is_some();
        if !is_above && !name.is_empty() && columns.iter().all(|known| known.name != name) {
            let logical_type = folder_type(encoding, name, files).to_owned();
            let mut column = Column::new(name);
            column.logical_type = Some(logical_type);
            columns.push(column);
        }
    }
    columns
}

/// Returns the logical type of the values in the folders `name=…`.
fn folder_type(encoding: &Encoding, name: &str, files: &[ObjectMeta]) -> &'static str {
    let values = || files.iter().filter_map(|file| folder_value(file.location.as_ref(), name));
    let all_are = |data_type: DataType| {
        let field = Field::new(name, data_type, true);
        values().all(|value| value_of_folder(encoding, &value, &field).is_some())
    };
    // A number with zeros before it is a code, unless it has two digits, as months have.
    let is_code = |value: String| value.len() > 2 && value.starts_with('0');
    if all_are(DataType::Int64) && !values().any(is_code) {
        "integer"
    } else if all_are(DataType::Date32) {
        "date"
    } else {
        "string"
    }
}

pub(super) fn refused(error: OpenError) -> Error {
    let what = text(error.diagnostics());
    if error.is_unavailable() { Error::new(ErrorKind::SiteUnavailable, what) } else { invalid(what) }
}

/// Returns the problems without a place, because there is no contract.
pub(super) fn text(faults: &Diagnostics) -> String {
    let message = |fault: &Diagnostic| match &fault.suggestion {
        Some(suggestion) => format!("{}; did you mean `{suggestion}`?", fault.message),
        None => fault.message.clone(),
    };
    let mut messages: Vec<_> = faults.0.iter().map(message).collect();
    // A name that two columns share is a fault of both.
    messages.dedup();
    messages.join("; ")
}

pub(super) fn not_found(message: String) -> Error {
    Error::new(ErrorKind::NotFound, message)
}

pub(super) fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, message)
}
