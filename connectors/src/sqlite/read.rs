//! The rows of a query as batches, read in a thread and sent to a stream.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::checks::Checks;
use super::link::Link;
use super::place::Place;
use super::pool::{GRACE, Pool};
use super::stop::{Stop, StopOnDrop};
use super::values::{ColumnReader, is_supported, reader};
use crate::databases::RunContext;
use crate::error::{ErrorKind, Result};

/// The rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes of text and blobs after which a batch is sent.
const BATCH_BYTES: usize = 4 << 20;
/// The batches that wait for the receiver.
const WAITING: usize = 2;

/// A query and its columns.
pub(super) struct Reading {
    pub(super) text: String,
    pub(super) schema: SchemaRef,
    pub(super) checks: Arc<Checks>,
}

/// Runs a query in a thread of its own.
///
/// # Errors
/// `Unsupported` for a type that SQLite's values are not read as; no free connection.
pub(super) async fn rows(
    pool: &Arc<Pool>,
    reading: Reading,
    context: RunContext,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    if let Some(field) = reading.schema.fields().iter().find(|field| !is_supported(field.data_type())) {
        let text = format!("column `{}`: SQLite has no values of type {}", field.name(), field.data_type());
        return Err(pool.place.error(ErrorKind::Unsupported, text));
    }
    let permit = pool.permit(context.deadline).await?;
    let stop = StopOnDrop(Stop::new(context.deadline));
    let (sender, batches) = mpsc::channel(WAITING);
    let (place, runtime) = (pool.place.clone(), Handle::current());
    let done = pool
        .start(permit, &stop.0, move |link, stop| Output { place: &place, stop, runtime, sender }.run(&reading, link));
    let (pool, deadline) = (pool.clone(), context.deadline);
    let end = async move { pool.result_of(done, deadline).await }.boxed();
    let state = Rows { batches, end: Some(end), deadline, _stop: stop };
    Ok(stream::unfold(state, Rows::next).boxed())
}

/// The receiving end of a query. It stops the query when it is dropped.
struct Rows {
    batches: mpsc::Receiver<RecordBatch>,
    /// The result of the thread, which has ended when there are no more batches.
    end: Option<BoxFuture<'static, Result<()>>>,
    deadline: Instant,
    _stop: StopOnDrop,
}

impl Rows {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        // A thread that hangs in the file system does not see its deadline.
        if let Ok(Some(batch)) = timeout_at((self.deadline + GRACE).into(), self.batches.recv()).await {
            return Some((Ok(batch), self));
        }
        match self.end.take()?.await {
            Ok(()) => None,
            Err(error) => Some((Err(error), self)),
        }
    }
}

/// The sending end of a query, in its thread.
struct Output<'a> {
    place: &'a Place,
    stop: &'a Stop,
    runtime: Handle,
    sender: mpsc::Sender<RecordBatch>,
}

impl Output<'_> {
    fn run(self, reading: &Reading, link: &mut Link) -> Result<()> {
        let failed = |error: rusqlite::Error| self.place.failed(&error, self.stop);
        link.begin().map_err(failed)?;
        reading.checks.verify(&reading.text, link, self.place, self.stop)?;
        let mut statement = link.connection.prepare(&reading.text).map_err(failed)?;
        if !statement.readonly() {
            return Err(self.place.error(ErrorKind::InvalidQuery, "a query may only read"));
        }
        let expected = reading.schema.fields().len();
        let got = statement.column_count();
        if got != expected.max(1) {
            let text = format!("expected a query with {expected} columns, got one with {got}");
            return Err(self.place.error(ErrorKind::Internal, text));
        }
        let mut batch = Batch::new(&reading.schema, self.place)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            self.push(row, &mut batch)?;
            if batch.is_full() {
                self.send(batch.finish(self.place)?)?;
            }
        }
        if batch.rows > 0 {
            self.send(batch.finish(self.place)?)?;
        }
        Ok(())
    }

    /// Adds a row to a batch.
    fn push(&self, row: &Row<'_>, batch: &mut Batch) -> Result<()> {
        for (i, column) in batch.columns.iter_mut().enumerate() {
            let value = row.get_ref(i).map_err(|error| self.place.failed(&error, self.stop))?;
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
                batch.bytes += bytes.len();
            }
            column.push(value).map_err(|misfit| {
                self.place.error(ErrorKind::InvalidData, misfit.message(batch.schema.field(i).name()))
            })?;
        }
        batch.rows += 1;
        Ok(())
    }

    /// Sends a batch, when the receiver has place for it.
    fn send(&self, batch: RecordBatch) -> Result<()> {
        let sent = async { timeout_at(self.stop.deadline().into(), self.sender.send(batch)).await };
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.place.stopped(self.stop)),
        }
    }
}

/// The rows that are collected for a batch.
struct Batch {
    schema: SchemaRef,
    columns: Vec<Box<dyn ColumnReader>>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    fn new(schema: &SchemaRef, place: &Place) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| reader(field.data_type())).collect::<Option<_>>();
        let columns = columns.ok_or_else(|| place.error(ErrorKind::Internal, "a column has no reader"))?;
        Ok(Self { schema: schema.clone(), columns, rows: 0, bytes: 0 })
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn finish(&mut self, place: &Place) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(|column| column.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        // A column that has NULL, where the schema has none.
        batch
            .map_err(|error| place.error(ErrorKind::InvalidData, format!("the rows do not fit their columns: {error}")))
    }
}
