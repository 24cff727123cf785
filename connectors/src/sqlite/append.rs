//! Rows that are added to a table, in one transaction in a thread of its own.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_catalog::DatabaseRelation;
use rusqlite::params_from_iter;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::declared::Affinity;
use super::describe::SCHEMA;
use super::link::Link;
use super::place::Place;
use super::pool::Pool;
use super::schema::{self, Entry, EntryKind};
use super::stop::{Stop, StopOnDrop};
use super::stored::stored;
use crate::databases::RunContext;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{SQLITE, quoted_name};

/// A message to the thread that adds rows.
enum Message {
    Rows(RecordBatch),
    /// All rows are there.
    Commit,
}

/// Adds rows to a table.
///
/// # Errors
/// As [`crate::databases::Database::append`].
pub(super) async fn append(
    pool: &Arc<Pool>,
    relation: &DatabaseRelation,
    columns: &[String],
    mut rows: BoxStream<'static, Result<RecordBatch>>,
    context: RunContext,
) -> Result<u64> {
    let place = pool.place.clone();
    let table = match relation {
        DatabaseRelation::Table { name, .. } if !columns.is_empty() => name.clone(),
        _ => return Err(place.error(ErrorKind::InvalidQuery, "rows can be added to the columns of a table only")),
    };
    let permit = pool.permit(context.deadline).await?;
    let stop = StopOnDrop(Stop::new(context.deadline));
    let (sender, messages) = mpsc::channel(1);
    let (runtime, columns) = (Handle::current(), columns.to_vec());
    let done = pool.spawn(permit, &stop.0, move |stop| {
        let mut link = Link::open_to_write(&place).map_err(|error| place.failed(&error, stop))?;
        stop.attach(&mut link.connection, place.lock_wait).map_err(|error| place.failed(&error, stop))?;
        Writer { place: &place, stop, runtime, messages, link: &link }.run(&table, &columns)
    });
    loop {
        let message = match timeout_at(context.deadline.into(), rows.next()).await {
            Ok(Some(Ok(batch))) => Message::Rows(batch),
            Ok(None) => Message::Commit,
            Ok(Some(Err(error))) => {
                drop(sender);
                // The rows are gone when the error arrives.
                let _: Result<u64> = pool.result_of(done, context.deadline).await;
                return Err(error);
            }
            Err(_) => break,
        };
        let is_last = matches!(message, Message::Commit);
        // A thread that does not listen has failed.
        if sender.send(message).await.is_err() || is_last {
            break;
        }
    }
    drop(sender);
    pool.result_of(done, context.deadline).await
}

/// The thread's end.
struct Writer<'a> {
    place: &'a Place,
    stop: &'a Stop,
    runtime: Handle,
    messages: mpsc::Receiver<Message>,
    link: &'a Link,
}

impl Writer<'_> {
    fn run(mut self, table: &str, columns: &[String]) -> Result<u64> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self.insert(table, columns).and_then(|rows| {
            if self.stop.is_over() {
                return Err(self.place.stopped(self.stop));
            }
            self.execute("COMMIT").map(|()| rows)
        });
        if result.is_err() && !self.link.connection.is_autocommit() {
            // Closing the connection rolls back as well.
            drop(self.link.connection.execute_batch("ROLLBACK"));
        }
        result
    }

    fn insert(&mut self, table: &str, columns: &[String]) -> Result<u64> {
        let (entry, affinities) = self.target(table, columns)?;
        let quoted = |name: &str| quoted_name(name, &SQLITE);
        let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let places = vec!["?"; names.len()].join(", ");
        let sql = format!("INSERT INTO {SCHEMA}.{} ({}) VALUES ({places})", quoted(&entry.name), names.join(", "));
        let prepared = self.link.connection.prepare(&sql);
        let mut statement = prepared.map_err(|error| self.rejected(&error))?;
        let mut rows = 0;
        loop {
            let next = async { timeout_at(self.stop.deadline().into(), self.messages.recv()).await };
            let batch = match self.runtime.block_on(next) {
                Ok(Some(Message::Rows(batch))) => batch,
                Ok(Some(Message::Commit)) => return Ok(rows),
                Ok(None) | Err(_) => return Err(self.place.stopped(self.stop)),
            };
            if batch.num_columns() != columns.len() {
                let text = format!("expected rows with {} columns, got {}", columns.len(), batch.num_columns());
                return Err(self.place.error(ErrorKind::Internal, text));
            }
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().zip(&affinities).zip(columns).map(|((array, affinity), name)| {
                    let value = stored(array, row, *affinity);
                    value.map_err(|text| self.place.error(ErrorKind::InvalidQuery, format!("column `{name}`: {text}")))
                });
                let values = values.collect::<Result<Vec<_>>>()?;
                statement.execute(params_from_iter(values)).map_err(|error| self.rejected(&error))?;
                rows += 1;
            }
        }
    }

    /// Returns the table and the affinities of its columns.
    fn target(&self, table: &str, columns: &[String]) -> Result<(Entry, Vec<Affinity>)> {
        let failed = |error: rusqlite::Error| self.place.failed(&error, self.stop);
        let connection = &self.link.connection;
        let entries = schema::entries(connection).map_err(failed)?;
        let entry = entries.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(table));
        let entry =
            entry.ok_or_else(|| self.place.error(ErrorKind::NotFound, format!("there is no table `{table}`")))?;
        if entry.kind != EntryKind::Table {
            let text = format!("expected a table, got `{table}`, which accepts no rows");
            return Err(self.place.error(ErrorKind::InvalidQuery, text));
        }
        let known = schema::columns(connection, &entry).map_err(failed)?;
        let affinity = |name: &String| {
            let column = known.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let missing = || format!("the table `{table}` has no column `{name}`");
            column.map(|column| column.affinity).ok_or_else(|| self.place.error(ErrorKind::NotFound, missing()))
        };
        let affinities = columns.iter().map(affinity).collect::<Result<_>>()?;
        Ok((entry, affinities))
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.link.connection.execute_batch(sql).map_err(|error| self.rejected(&error))
    }

    /// Returns the error for a row or a statement that the table does not accept.
    fn rejected(&self, error: &rusqlite::Error) -> Error {
        match error.sqlite_error() {
            Some(failure) if failure.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                let text = match error {
                    rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
                    other => other.to_string(),
                };
                self.place.error(ErrorKind::InvalidQuery, format!("the table does not accept the rows: {text}"))
            }
            _ => self.place.failed(error, self.stop),
        }
    }
}
