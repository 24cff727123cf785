//! The check of each file's columns against those of its port. It runs before a scan reads the file or trusts its
//! statistics: when the port is opened, and again for every later version of a file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;

use super::format::FoundColumns;
use super::layout::Layout;
use super::table::FileTable;
use super::widening::{common_type, widens};
use crate::data_fault::DataFault;
use crate::poison::lock;

/// The largest number of names in an error.
const NAMED: usize = 10;

/// The representation of a port's column in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnState {
    Same,
    /// A column of a narrower type.
    Narrower,
    Lacking,
}

/// The columns of its port that a file has.
#[derive(Debug)]
pub(super) struct FileColumns {
    /// The file's own columns.
    pub(super) schema: SchemaRef,
    /// True if parts of the file can be read at the same time.
    pub(super) is_splittable: bool,
    /// The representation of each column of the port's files.
    states: Vec<ColumnState>,
}

impl FileColumns {
    /// Compares the columns found in a file with those of its port.
    ///
    /// # Errors
    /// Columns that cannot be read without loss; a lacking column that the contract requires; a file that has none of
    /// the columns.
    pub(super) fn new(layout: &Layout, found: &FoundColumns, has_types: bool) -> Result<Self, String> {
        let mut wrong = vec![];
        let mut states = vec![];
        let mut by_name: HashMap<&str, (&FieldRef, bool)> = HashMap::with_capacity(found.schema.fields().len());
        for own in found.schema.fields() {
            by_name.entry(own.name()).and_modify(|(_, is_repeated)| *is_repeated = true).or_insert((own, false));
        }
        for field in layout.file_schema.fields() {
            let Some((own, is_repeated)) = by_name.get(field.name().as_str()) else {
                states.push(ColumnState::Lacking);
                continue;
            };
            if *is_repeated {
                wrong.push(format!("it has more than one column `{}`", field.name()));
            }
            let (from, to) = (own.data_type(), field.data_type());
            if has_types && !widens(from, to) {
                wrong.push(unlike(field.name(), from, to));
            }
            states.push(if has_types && from != to { ColumnState::Narrower } else { ColumnState::Same });
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let columns = Self { schema: found.schema.clone(), is_splittable: found.is_splittable, states };
        columns.check_lacking(layout, found.is_whole)?;
        Ok(columns)
    }

    /// Checks that the file has some of the port's columns, and all required ones. One key of JSON may first come after
    /// the sample, but all of them cannot.
    fn check_lacking(&self, layout: &Layout, is_whole: bool) -> Result<(), String> {
        let lacking = self.lacking();
        if !lacking.is_empty() && lacking.len() == self.states.len() {
            let own = quoted_list(self.schema.fields().iter().map(|f| f.name().as_str()));
            return Err(format!("it has none of the port's columns, only {own}: does it belong to this port?"));
        }
        let fields = layout.file_schema.fields();
        let required = lacking.iter().filter(|i| layout.required.get(**i) == Some(&true));
        let required: Vec<&str> = required.filter_map(|i| Some(fields.get(*i)?.name().as_str())).collect();
        if required.is_empty() || !is_whole {
            return Ok(());
        }
        Err(format!("it lacks {}, which the contract requires", quoted_list(required.into_iter())))
    }

    /// Returns the positions of the columns that the file lacks: they are NULL.
    pub(super) fn lacking(&self) -> Vec<usize> {
        self.states.iter().enumerate().filter(|(_, s)| **s == ColumnState::Lacking).map(|(i, _)| i).collect()
    }

    /// Removes the statistics of columns whose type is not the port's.
    pub(super) fn vouched(&self, statistics: Arc<Statistics>) -> Arc<Statistics> {
        if self.states.iter().all(|state| *state == ColumnState::Same) {
            return statistics;
        }
        let mut statistics = Arc::unwrap_or_clone(statistics);
        let rows = statistics.num_rows;
        for (column, state) in statistics.column_statistics.iter_mut().zip(&self.states) {
            match state {
                ColumnState::Same => {}
                ColumnState::Narrower => *column = ColumnStatistics::new_unknown(),
                ColumnState::Lacking => *column = ColumnStatistics::new_unknown().with_null_count(rows),
            }
        }
        Arc::new(statistics)
    }
}

fn unlike(name: &str, from: &DataType, to: &DataType) -> String {
    let mismatch = format!("column `{name}` is {from} here and {to} in the port");
    match common_type(from, to) {
        Some(wider) => format!(
            "{mismatch}: write the file with the port's type, or wait: the node reads the port as {wider} when it next \
             checks the port's data (`statistics_interval`)"
        ),
        None => format!("{mismatch}: write the file with the port's type"),
    }
}

/// Returns names in backticks, at most some of them.
pub(super) fn quoted_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The checked files: path, version and columns.
#[derive(Debug, Default)]
pub(super) struct CheckedFiles(Mutex<HashMap<Path, (u64, Arc<FileColumns>)>>);

impl CheckedFiles {
    /// Returns the columns of a file that was checked at this version.
    pub(super) fn get(&self, file: &ObjectMeta) -> Option<Arc<FileColumns>> {
        let files = lock(&self.0);
        files.get(&file.location).filter(|(version, _)| *version == version_of(file)).map(|(_, c)| c.clone())
    }

    /// Keeps the columns of a file. Files with equal columns share them.
    pub(super) fn put(&self, file: &ObjectMeta, columns: FileColumns) -> Arc<FileColumns> {
        let mut files = lock(&self.0);
        let is_equal = |known: &&Arc<FileColumns>| {
            known.states == columns.states
                && known.schema == columns.schema
                && known.is_splittable == columns.is_splittable
        };
        let known = files.values().map(|(_, known)| known).take(NAMED).find(is_equal).cloned();
        let columns = known.unwrap_or_else(|| Arc::new(columns));
        files.insert(file.location.clone(), (version_of(file), columns.clone()));
        columns
    }

    /// Bounds the memory: if there are more than `limit` files, removes most of them.
    fn bound(&self, limit: usize) {
        let mut files = lock(&self.0);
        if files.len() > limit {
            files.clear();
        }
    }
}

/// True if two listings show the same version of a file. DataFusion's caches compare only the size and the time.
pub(super) fn is_same_version(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    (a.size, a.last_modified, &a.e_tag, &a.version) == (b.size, b.last_modified, &b.e_tag, &b.version)
}

fn version_of(file: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.size, file.last_modified, &file.e_tag, &file.version).hash(&mut hasher);
    hasher.finish()
}

impl FileTable {
    /// Checks the columns of a file. A CSV file without a header has no names to check.
    ///
    /// # Errors
    /// A file that cannot be read; see [`FileColumns::new`].
    pub(super) async fn checked(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Option<Arc<FileColumns>>> {
        if self.encoding.format == FileFormat::Csv && !self.encoding.has_header {
            return Ok(None);
        }
        if let Some(known) = self.known_files.get(file) {
            return Ok(Some(known));
        }
        let unreadable = |error| self.origin.unreadable(&file.location, error);
        let found = match self.encoding.format {
            FileFormat::Csv | FileFormat::Json => {
                match self.encoding.names_in(store, file).await.map_err(unreadable)? {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
            _ => self.encoding.columns_of(state, store, file).await.map_err(unreadable)?,
        };
        let columns = FileColumns::new(&self.layout, &found, !self.encoding.is_text());
        let columns = columns.map_err(|what| {
            let fault = DataFault::of_record(None, "the port's columns", format!("other columns: {what}"));
            match self.encoding.is_text() {
                true => self.origin.faulty(&file.location, &fault),
                false => {
                    let name = self.origin.location.name_of(&file.location);
                    self.origin.failed(format!("{}file {name}: {what}", self.origin.prefix()))
                }
            }
        })?;
        self.warn_of_lacking(&columns, file);
        self.known_files.bound(self.max_files.saturating_mul(2));
        Ok(Some(self.known_files.put(file, columns)))
    }

    /// Logs the columns that a file with a schema or a header lacks. A JSON file often lacks a key, and so is not logged.
    fn warn_of_lacking(&self, columns: &FileColumns, file: &ObjectMeta) {
        let lacking = columns.lacking();
        if self.encoding.format == FileFormat::Json || lacking.is_empty() {
            return;
        }
        let fields = self.layout.file_schema.fields();
        let columns = quoted_list(lacking.iter().filter_map(|i| Some(fields.get(*i)?.name().as_str())));
        let file = self.origin.redact.clean(&self.origin.location.name_of(&file.location));
        tracing::warn!(port = %self.origin.port, file, "lacks {columns}: these columns are NULL in its rows");
    }
}
