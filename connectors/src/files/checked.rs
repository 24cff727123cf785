//! The check of each file's columns against those of its port, before a scan reads the file or trusts its statistics:
//! when the port is opened, and again for every version of a file that comes later.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;

use super::format::Found;
use super::layout::Layout;
use super::table::PortTable;
use super::widening::{common_type, widens};

/// How many names an error lists.
const NAMED: usize = 10;

/// How a file has a column of its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Same,
    /// Of a narrower type.
    Narrower,
    Lacking,
}

/// What a file has of the columns of its port.
#[derive(Debug)]
pub(super) struct FileColumns {
    /// The file's own columns.
    pub(super) schema: SchemaRef,
    /// For each column of the port's files.
    states: Vec<State>,
}

impl FileColumns {
    /// Compares what was found in a file with what its port has.
    ///
    /// # Errors
    /// Columns that cannot be read without loss, that the contract requires and the file lacks, or all of them lacking.
    pub(super) fn new(layout: &Layout, found: &Found, has_types: bool) -> Result<Self, String> {
        let mut wrong = vec![];
        let mut states = vec![];
        for field in layout.file_schema.fields() {
            let mut same = found.schema.fields().iter().filter(|f| f.name() == field.name());
            let Some(own) = same.next() else {
                states.push(State::Lacking);
                continue;
            };
            if same.next().is_some() {
                wrong.push(format!("it has more than one column `{}`", field.name()));
            }
            let (from, to) = (own.data_type(), field.data_type());
            if has_types && !widens(from, to) {
                wrong.push(unlike(field.name(), from, to));
            }
            states.push(if has_types && from != to { State::Narrower } else { State::Same });
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let columns = Self { schema: found.schema.clone(), states };
        if found.is_whole {
            columns.check_lacking(layout)?;
        }
        Ok(columns)
    }

    fn check_lacking(&self, layout: &Layout) -> Result<(), String> {
        let lacking = self.lacking();
        if !lacking.is_empty() && lacking.len() == self.states.len() {
            let own = listed(self.schema.fields().iter().map(|f| f.name().as_str()));
            return Err(format!("it has none of the port's columns, only {own}: does it belong to this port?"));
        }
        let fields = layout.file_schema.fields();
        let required = lacking.iter().filter(|i| layout.required.get(**i) == Some(&true));
        let required: Vec<&str> = required.filter_map(|i| Some(fields.get(*i)?.name().as_str())).collect();
        if required.is_empty() {
            return Ok(());
        }
        Err(format!("it lacks {}, which the contract requires", listed(required.into_iter())))
    }

    /// The places of the columns that the file lacks: they are NULL.
    pub(super) fn lacking(&self) -> Vec<usize> {
        self.states.iter().enumerate().filter(|(_, s)| **s == State::Lacking).map(|(i, _)| i).collect()
    }

    /// Takes out of a file's statistics what was told of other types than the port's.
    pub(super) fn vouched(&self, statistics: Arc<Statistics>) -> Arc<Statistics> {
        if self.states.iter().all(|state| *state == State::Same) {
            return statistics;
        }
        let mut statistics = Arc::unwrap_or_clone(statistics);
        let rows = statistics.num_rows;
        for (column, state) in statistics.column_statistics.iter_mut().zip(&self.states) {
            match state {
                State::Same => {}
                State::Narrower => *column = ColumnStatistics::new_unknown(),
                State::Lacking => *column = ColumnStatistics::new_unknown().with_null_count(rows),
            }
        }
        Arc::new(statistics)
    }
}

fn unlike(name: &str, from: &DataType, to: &DataType) -> String {
    let told = format!("column `{name}` is {from} here and {to} in the port");
    match common_type(from, to) {
        Some(wider) => format!(
            "{told}: write the file with the port's type, or have the node read the port as {wider} by reloading its \
             descriptors"
        ),
        None => format!("{told}: write the file with the port's type"),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The files that were checked, by their paths: at which version, and what was found.
#[derive(Debug, Default)]
pub(super) struct CheckedFiles(Mutex<HashMap<Path, (u64, Arc<FileColumns>)>>);

impl CheckedFiles {
    /// What is known of a file at this version.
    fn get(&self, file: &ObjectMeta) -> Option<Arc<FileColumns>> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(&file.location).filter(|(version, _)| *version == version_of(file)).map(|(_, c)| c.clone())
    }

    /// Keeps what was found in a file. Equal findings are kept once.
    pub(super) fn put(&self, file: &ObjectMeta, columns: FileColumns) -> Arc<FileColumns> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_equal = |known: &&Arc<FileColumns>| known.states == columns.states && known.schema == columns.schema;
        let known = files.values().map(|(_, known)| known).take(NAMED).find(is_equal).cloned();
        let columns = known.unwrap_or_else(|| Arc::new(columns));
        files.insert(file.location.clone(), (version_of(file), columns.clone()));
        columns
    }

    /// Bounds the memory: of more than `limit` files, most are gone.
    fn bound(&self, limit: usize) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() > limit {
            files.clear();
        }
    }
}

fn version_of(file: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.size, file.last_modified, &file.e_tag, &file.version).hash(&mut hasher);
    hasher.finish()
}

impl PortTable {
    /// The columns of a file, checked. CSV is read by position, and its header compared elsewhere.
    ///
    /// # Errors
    /// A file that cannot be read; see [`FileColumns::new`].
    pub(super) async fn checked(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Option<Arc<FileColumns>>> {
        if self.encoding.format == FileFormat::Csv {
            return Ok(None);
        }
        if let Some(known) = self.known_files.get(file) {
            return Ok(Some(known));
        }
        let unreadable = |error| self.origin.unreadable(&file.location, error);
        let found = match self.encoding.format {
            FileFormat::Json => match self.encoding.names_in(store, file).await.map_err(unreadable)? {
                Some(found) => found,
                None => return Ok(None),
            },
            _ => self.encoding.columns_of(state, store, file).await.map_err(unreadable)?,
        };
        let columns = FileColumns::new(&self.layout, &found, !self.encoding.is_text());
        let columns = columns.map_err(|what| {
            let name = self.origin.location.name_of(&file.location);
            self.origin.failed(format!("port {}: file {name}: {what}", self.origin.port))
        })?;
        self.warn_of_lacking(&columns, file);
        self.known_files.bound(self.max_files.saturating_mul(2));
        Ok(Some(self.known_files.put(file, columns)))
    }

    /// A key that a JSON file lacks is an everyday thing; a column that a file with a schema lacks is not.
    fn warn_of_lacking(&self, columns: &FileColumns, file: &ObjectMeta) {
        let lacking = columns.lacking();
        if self.encoding.is_text() || lacking.is_empty() {
            return;
        }
        let fields = self.layout.file_schema.fields();
        let columns = listed(lacking.iter().filter_map(|i| Some(fields.get(*i)?.name().as_str())));
        let file = self.origin.redact.clean(&self.origin.location.name_of(&file.location));
        tracing::warn!(port = %self.origin.port, file, "lacks {columns}, which its rows have as NULL");
    }
}
