//! Tests for each row if it has one of the keys.

use std::sync::{Mutex, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, make_comparator};
use arrow::compute::{CastOptions, SortOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::HashMap;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result as DFResult, ScalarValue, exec_err};
use datafusion::parquet::bloom_filter::Sbbf;
use portolan_connectors::sql::SqlDialect;
use portolan_connectors::{Refusal, lock};

use super::same_values;
use crate::{Error, ErrorKind, Result};

/// A test if a row has one of the keys. A row with a NULL has none.
pub(crate) enum KeyTest {
    /// A test by the keys themselves.
    Exact(Index),
    /// A test by a Bloom filter. Some rows pass without having one of the keys.
    Bloom { types: Vec<DataType>, converter: Box<RowConverter>, filter: Box<Sbbf> },
}

/// Keys, with an index by hash. The first test builds the index. The sender of the keys needs none.
pub(crate) struct Index {
    columns: Vec<ArrayRef>,
    places: OnceLock<Places>,
    /// The bytes of a list of the keys in the SQL of a database, for a type of their column.
    lists: Mutex<Vec<(&'static SqlDialect, DataType, ListBytes)>>,
}

type ListBytes = std::result::Result<usize, Refusal>;

struct Places {
    first: HashMap<u64, usize>,
    /// The next key with the same hash. At the end of the chain, this is the key's own number.
    next: Vec<usize>,
}

impl std::fmt::Debug for KeyTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(_) => write!(f, "Exact({} keys)", self.number().unwrap_or_default()),
            Self::Bloom { filter, .. } => write!(f, "Bloom({} blocks)", filter.num_blocks()),
        }
    }
}

impl KeyTest {
    /// Returns a test for keys without NULLs, one array for each column.
    pub(super) fn exact(columns: Vec<ArrayRef>) -> Self {
        Self::Exact(Index { columns, places: OnceLock::new(), lists: Mutex::default() })
    }

    pub(super) fn bloom(types: Vec<DataType>, filter: Sbbf) -> Result<Self> {
        let fields = types.iter().map(|t| SortField::new(t.clone())).collect();
        let converter = RowConverter::new(fields)
            .map_err(|e| Error::new(ErrorKind::InvalidQuery, "the keys have no order").with_source(e))?;
        Ok(Self::Bloom { types, converter: Box::new(converter), filter: Box::new(filter) })
    }

    /// Returns the number of keys; `None` if it is not known.
    pub(crate) fn number(&self) -> Option<usize> {
        match self {
            Self::Exact(index) => Some(index.columns.first().map_or(0, |c| c.len())),
            Self::Bloom { .. } => None,
        }
    }

    /// Returns the first and the last key, which are the least and the greatest one, as senders sort keys; `None` for keys
    /// of several columns and for a Bloom filter.
    pub(crate) fn ends(&self) -> Option<(ScalarValue, ScalarValue)> {
        let Self::Exact(index) = self else { return None };
        let [column] = index.columns() else { return None };
        let key = |row| ScalarValue::try_from_array(column, row).ok();
        Some((key(0)?, key(column.len().checked_sub(1)?)?))
    }

    /// Returns the keys of one column, in their order; `None` for keys of several columns and for a Bloom filter.
    pub(crate) fn values(&self) -> Option<&ArrayRef> {
        match self {
            Self::Exact(index) => index.columns().first().filter(|_| index.columns().len() == 1),
            Self::Bloom { .. } => None,
        }
    }

    /// Returns the types of the keys' columns.
    pub(crate) fn types(&self) -> Vec<DataType> {
        match self {
            Self::Exact(index) => index.columns.iter().map(|c| c.data_type().clone()).collect(),
            Self::Bloom { types, .. } => types.clone(),
        }
    }

    /// Tests for each of `rows` rows if it has one of the keys. The result is never NULL.
    ///
    /// # Errors
    /// If the columns are not those of the keys.
    pub(crate) fn contains(&self, columns: &[ArrayRef], rows: usize) -> DFResult<BooleanArray> {
        let columns = typed(columns, &self.types())?;
        let has_null = |row: usize| columns.iter().any(|c| c.is_null(row));
        let mut found = BooleanBufferBuilder::new(rows);
        match self {
            Self::Exact(index) => {
                let mut hashes = vec![0; rows];
                create_hashes(&columns, &RandomState::default(), &mut hashes)?;
                let places = index.places()?;
                let equal = columns
                    .iter()
                    .zip(&index.columns)
                    .map(|(a, b)| make_comparator(a, b, SortOptions::default()))
                    .collect::<Result<Vec<_>, _>>()?;
                let same = |row: usize, key: usize| equal.iter().all(|e| e(row, key).is_eq());
                for (row, hash) in hashes.into_iter().enumerate() {
                    found.append(!has_null(row) && places.find(hash, |key| same(row, key)));
                }
            }
            Self::Bloom { converter, filter, .. } => {
                for (row, bytes) in converter.convert_columns(&columns)?.iter().enumerate() {
                    found.append(!has_null(row) && filter.check(bytes.as_ref()));
                }
            }
        }
        Ok(BooleanArray::new(found.finish(), None))
    }
}

impl Index {
    /// Returns the keys, one array for each column.
    pub(super) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// Returns the bytes of a list of the keys in a database's SQL, or why there is none: `write` finds them the first time.
    pub(super) fn list_bytes(
        &self,
        dialect: &'static SqlDialect,
        data_type: &DataType,
        write: impl FnOnce() -> ListBytes,
    ) -> ListBytes {
        let mut lists = lock(&self.lists);
        let known = lists.iter().find(|(of, t, _)| std::ptr::eq(*of, dialect) && t == data_type);
        if let Some((_, _, bytes)) = known {
            return bytes.clone();
        }
        let bytes = write();
        lists.push((dialect, data_type.clone(), bytes.clone()));
        bytes
    }

    fn places(&self) -> DFResult<&Places> {
        if let Some(places) = self.places.get() {
            return Ok(places);
        }
        let places = Places::of(&self.columns)?;
        Ok(self.places.get_or_init(|| places))
    }
}

impl Places {
    fn of(columns: &[ArrayRef]) -> DFResult<Self> {
        let keys = columns.first().map_or(0, |c| c.len());
        let mut hashes = vec![0; keys];
        create_hashes(columns, &RandomState::default(), &mut hashes)?;
        let mut first = HashMap::with_capacity(keys);
        let next = hashes.into_iter().enumerate().map(|(key, hash)| first.insert(hash, key).unwrap_or(key));
        Ok(Self { next: next.collect(), first })
    }

    fn find(&self, hash: u64, same: impl Fn(usize) -> bool) -> bool {
        let Some(mut key) = self.first.get(&hash).copied() else { return false };
        loop {
            if same(key) {
                return true;
            }
            match self.next.get(key) {
                Some(next) if *next != key => key = *next,
                _ => return false,
            }
        }
    }
}

/// Returns the arrays in the keys' types. Only the layout may differ: any other cast could make different keys equal.
fn typed(columns: &[ArrayRef], types: &[DataType]) -> DFResult<Vec<ArrayRef>> {
    if columns.len() != types.len() {
        return exec_err!("keys of {} columns were compared with {}", types.len(), columns.len());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let typed = |(column, data_type): (&ArrayRef, &DataType)| {
        if column.data_type() == data_type {
            return Ok(column.clone());
        }
        if !same_values(column.data_type(), data_type) {
            return exec_err!("keys of type {data_type} were compared with {}", column.data_type());
        }
        Ok(cast_with_options(column, data_type, &options)?)
    };
    columns.iter().zip(types).map(typed).collect()
}
