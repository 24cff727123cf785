//! The tables and views that a session has created. They are in memory, have limits, and are dropped with the session.
//! Each statement sees them as they were when it was planned, and changes one of them in one step or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::utils::quote_identifier;
use portolan_catalog::nearest::nearest;
use portolan_connectors::{Subject, lock};

use super::views::View;
use crate::execution::budget::Budget;
use crate::execution::conform::conform;
use crate::{Error, ErrorKind, Result};

/// The suffix of a table's name for rows with row numbers. It cannot be written without quotes.
pub(crate) const NUMBERED: &str = "#rows";
/// The name of the column with a row's number.
pub(crate) const ROW_NUMBER: &str = "#row";
/// The largest number of one session's tables and views.
const MOST_TABLES: usize = 1000;
/// The largest number of columns, and the longest name in bytes. Neither counts towards the memory of the rows.
const MOST_COLUMNS: usize = 4_000;
const LONGEST_NAME: usize = 1_000;
/// The largest number of rows up to which a batch is merged with the next one, so that many small inserts do not leave
/// as many batches.
const SMALL_BATCH: usize = 4096;

/// The tables and views of a session.
#[derive(Debug)]
pub(crate) struct SessionTables {
    tables: Mutex<Tables>,
    shared: Arc<Budget>,
    limit: usize,
}

/// Tables and views. No table has the name of a view.
#[derive(Debug, Default)]
struct Tables {
    by_name: Arc<BTreeMap<String, Arc<TableContent>>>,
    views: Arc<BTreeMap<String, Arc<View>>>,
    bytes: usize,
}

impl Tables {
    /// True if a table or a view, as `kind` says, can be created. False if the name is in use and `how` is
    /// [`Creation::IfNotExists`].
    ///
    /// # Errors
    /// `AlreadyExists`; `ResourceExhausted` if there are too many.
    fn admit(&self, kind: &str, name: &str, how: Creation) -> Result<bool> {
        let used = self.by_name.contains_key(name).then_some("table");
        let used = used.or_else(|| self.views.contains_key(name).then_some("view"));
        match used {
            Some(_) if how == Creation::IfNotExists => return Ok(false),
            Some(used) if used != kind || how == Creation::New => return Err(exists(used, name)),
            _ => {}
        }
        if self.by_name.len() + self.views.len() >= MOST_TABLES {
            let what = format!("a session has at most {MOST_TABLES} tables and views: drop some");
            return Err(Error::new(ErrorKind::ResourceExhausted, what));
        }
        Ok(true)
    }
}

/// The content of a table. It is immutable, and a change creates a new one.
#[derive(Debug)]
pub(crate) struct TableContent {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

impl TableContent {
    /// Returns a content with these columns and rows. The rows have memory of their own
    /// ([`compact`](crate::execution::compact::compact)): otherwise a table would hold the memory of other rows, too.
    ///
    /// # Errors
    /// `InvalidQuery` if a value does not fit its column.
    pub(crate) fn new(schema: SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let batches = batches.iter().filter(|batch| batch.num_rows() > 0);
        let batches = batches.map(|batch| conform(batch, &schema)).collect::<Result<_>>()?;
        Ok(Self { schema, batches })
    }

    pub(crate) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn bytes(&self) -> usize {
        let mut memory = RecordBatchMemoryCounter::new();
        for batch in &self.batches {
            memory.count_batch(batch);
        }
        memory.memory_usage()
    }

    /// Returns a content with additional rows.
    fn with(&self, more: Vec<RecordBatch>) -> Result<Self> {
        let mut batches = self.batches.clone();
        for batch in more {
            match batches.last_mut() {
                Some(last) if last.num_rows() + batch.num_rows() <= SMALL_BATCH => {
                    *last = concat_batches(&self.schema, [&*last, &batch]).map_err(|e| {
                        Error::new(ErrorKind::Internal, "the rows of a table cannot be combined").with_source(e)
                    })?;
                }
                _ => batches.push(batch),
            }
        }
        Ok(Self { schema: self.schema.clone(), batches })
    }
}

impl SessionTables {
    pub(crate) fn new(shared: Arc<Budget>, limit: usize) -> Self {
        Self { tables: Mutex::default(), shared, limit }
    }

    /// Returns the current tables. Two snapshots are the same pointer if nothing changed between them.
    pub(crate) fn snapshot(&self) -> Arc<BTreeMap<String, Arc<TableContent>>> {
        self.lock().by_name.clone()
    }

    /// Returns the current views. Two snapshots are the same pointer if no view changed between them.
    pub(crate) fn views(&self) -> Arc<BTreeMap<String, Arc<View>>> {
        self.lock().views.clone()
    }

    /// Creates a table. `false` if the name is in use and `how` is [`Creation::IfNotExists`].
    ///
    /// # Errors
    /// `AlreadyExists`; `ResourceExhausted` if a limit is exceeded.
    pub(crate) fn create(&self, name: &str, content: TableContent, how: Creation) -> Result<bool> {
        check_names(name, &content.schema)?;
        let mut tables = self.lock();
        if !tables.admit("table", name, how)? {
            return Ok(false);
        }
        self.put(&mut tables, name, content)?;
        Ok(true)
    }

    /// Creates a view. `false` if the name is in use and `how` is [`Creation::IfNotExists`].
    ///
    /// # Errors
    /// `AlreadyExists`; `ResourceExhausted` if a limit is exceeded.
    pub(crate) fn create_view(&self, name: &str, view: View, how: Creation) -> Result<bool> {
        check_names(name, &view.columns)?;
        let mut tables = self.lock();
        if !tables.admit("view", name, how)? {
            return Ok(false);
        }
        let old = tables.views.get(name).map_or(0, |old| old.bytes());
        self.resize(&mut tables, name, old, view.bytes())?;
        Arc::make_mut(&mut tables.views).insert(name.to_owned(), Arc::new(view));
        Ok(true)
    }

    /// Removes a view. `false` if there is none.
    pub(crate) fn remove_view(&self, name: &str) -> bool {
        let mut tables = self.lock();
        let Some(bytes) = tables.views.get(name).map(|view| view.bytes()) else { return false };
        Arc::make_mut(&mut tables.views).remove(name);
        tables.bytes -= bytes;
        self.shared.give(bytes);
        true
    }

    /// Removes a table. `false` if there is none.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut tables = self.lock();
        let Some(content) = tables.by_name.get(name) else { return false };
        let bytes = content.bytes();
        Arc::make_mut(&mut tables.by_name).remove(name);
        tables.bytes -= bytes;
        self.shared.give(bytes);
        true
    }

    /// Removes every table and view.
    pub(crate) fn clear(&self) {
        let mut tables = self.lock();
        self.shared.give(tables.bytes);
        *tables = Tables::default();
    }

    /// Appends rows, which have memory of their own, to a table, even if other statements appended rows meanwhile.
    ///
    /// # Errors
    /// `InvalidQuery` if a value does not fit its column, or the table no longer has the `seen` columns; `NotFound`;
    /// `ResourceExhausted`.
    pub(crate) fn append(&self, name: &str, seen: &SchemaRef, batches: &[RecordBatch]) -> Result<u64> {
        let mut tables = self.lock();
        let known = tables.by_name.get(name).ok_or_else(|| unknown(name, &tables.by_name))?;
        if known.schema != *seen {
            return Err(changed_meanwhile(name));
        }
        let added = TableContent::new(known.schema.clone(), batches)?;
        let rows = added.rows() as u64;
        let content = known.with(added.batches)?;
        self.put(&mut tables, name, content)?;
        Ok(rows)
    }

    /// Replaces the content `seen` with a new one.
    ///
    /// # Errors
    /// `InvalidQuery` if another statement has changed the table since it was seen.
    pub(crate) fn replace(&self, name: &str, seen: &Arc<TableContent>, content: TableContent) -> Result<()> {
        let mut tables = self.lock();
        if !tables.by_name.get(name).is_some_and(|now| Arc::ptr_eq(now, seen)) {
            return Err(changed_meanwhile(name));
        }
        self.put(&mut tables, name, content)
    }

    fn put(&self, tables: &mut Tables, name: &str, content: TableContent) -> Result<()> {
        let old = tables.by_name.get(name).map_or(0, |old| old.bytes());
        self.resize(tables, name, old, content.bytes())?;
        Arc::make_mut(&mut tables.by_name).insert(name.to_owned(), Arc::new(content));
        Ok(())
    }

    /// Counts `new` bytes in the place of `old` ones for the table or view called `name`.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    fn resize(&self, tables: &mut Tables, name: &str, old: usize, new: usize) -> Result<()> {
        let sum = tables.bytes - old + new;
        if sum > self.limit {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "the tables of a session hold at most {} bytes (limits.session_tables) and `{name}` would make it \
                     {sum}: drop what is not needed",
                    self.limit
                ),
            ));
        }
        if new > old {
            self.shared.take(new - old).map_err(|e| {
                Error::new(ErrorKind::ResourceExhausted, format!("`{name}` does not fit")).with_source(e)
            })?;
        } else {
            self.shared.give(old - new);
        }
        tables.bytes = sum;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }
}

impl Drop for SessionTables {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Checks the name of a table or a view, and the names of its columns.
fn check_names(name: &str, schema: &SchemaRef) -> Result<()> {
    let invalid = |what: String| Err(Error::new(ErrorKind::InvalidQuery, what));
    if name.ends_with(NUMBERED) || schema.index_of(ROW_NUMBER).is_ok() {
        return invalid(format!(
            "`{name}`: a table's name must not end in `{NUMBERED}`, and no column may be named `{ROW_NUMBER}`"
        ));
    }
    if name.len() > LONGEST_NAME || schema.fields().len() > MOST_COLUMNS {
        return invalid(format!("a table may have at most {MOST_COLUMNS} columns, and a name of {LONGEST_NAME} bytes"));
    }
    Ok(())
}

/// Returns the error for a name that a table or a view has, as `kind` says.
pub(crate) fn exists(kind: &str, name: &str) -> Error {
    let what = format!("the session already has a {kind} `{name}`: drop it, or choose another name");
    Error::new(ErrorKind::AlreadyExists, what)
}

fn changed_meanwhile(name: &str) -> Error {
    let what = format!("another statement changed the table `{name}` meanwhile: run this one again");
    Error::new(ErrorKind::InvalidQuery, what)
}

/// The handling of a table with the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// An error.
    New,
    /// The table stays, and none is created.
    IfNotExists,
    /// The table is replaced.
    OrReplace,
}

/// Returns the error for a name that is not a table of the session.
pub(crate) fn unknown(name: &str, tables: &BTreeMap<String, Arc<TableContent>>) -> Error {
    let near = nearest(name, tables.keys().map(String::as_str)).map(quote_identifier);
    let subject = Subject::Name(name.to_owned());
    Error::new(ErrorKind::NotFound, format!("the session has no table `{name}`")).suggesting(near).about(Some(subject))
}

#[cfg(test)]
mod tests;
