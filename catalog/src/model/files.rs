//! The files of a port.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::text_format::{ColumnFormat, TextFormat};

/// The format of a port's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, or values with another delimiter. Files have a header line, unless the contract says
    /// otherwise.
    Csv,
    /// JSON objects, one on each line or in one array.
    Json,
    /// Arrow IPC files.
    Arrow,
}

/// The files of a port.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// A single file, a folder, or a glob: an absolute path, a path relative to `base`, or a URL (`s3://`, `gs://`,
    /// `az://`, `http(s)://`).
    pub location: String,
    /// The folder of the contract.
    pub base: PathBuf,
    /// The format.
    pub format: FileFormat,
    /// CSV: the delimiter. `None` stands for a comma.
    pub delimiter: Option<u8>,
    /// CSV: true if the first line has the names of the columns.
    pub has_header: bool,
    /// The Hive partition columns (`…/year=2024/…`), outermost first.
    pub partition_columns: Vec<String>,
    /// The URL of the object store, if the contract has one.
    pub endpoint: Option<String>,
    /// CSV and JSON: the notation of the files.
    pub text: TextFormat,
    /// The notation of the columns, by their names in SQL. A column that is missing has the default notation.
    pub columns: BTreeMap<String, ColumnFormat>,
}

impl FileSource {
    /// Returns files at `location`, which is relative to the folder `base`, in the usual form of their format: CSV has a
    /// header and commas.
    pub fn new(location: impl Into<String>, base: impl Into<PathBuf>, format: FileFormat) -> Self {
        Self {
            location: location.into(),
            base: base.into(),
            format,
            delimiter: None,
            has_header: true,
            partition_columns: vec![],
            endpoint: None,
            text: TextFormat::default(),
            columns: BTreeMap::new(),
        }
    }

    /// True if the location is a path on the owner's machine, and not in an object store or on a web server.
    pub fn is_local(&self) -> bool {
        self.location.split_once("://").is_none_or(|(scheme, _)| scheme == "file")
    }

    /// Returns the name that a column of the port has in the files.
    pub fn name_in_file<'a>(&'a self, column: &'a str) -> &'a str {
        self.columns.get(column).and_then(|c| c.name_in_file.as_deref()).unwrap_or(column)
    }
}
