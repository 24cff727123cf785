//! The rows of a query as a stream of batches. Dropping the stream stops the query at the server.

use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use mysql_async::Statement;

use super::decode::BatchReader;
use super::errors;
use super::session::Session;
use crate::error::Result;

/// A query whose rows are being read.
struct Running {
    session: Session,
    statement: Statement,
    reader: BatchReader,
}

/// Runs a query in a transaction of its own.
pub(super) async fn query(
    mut session: Session,
    text: &str,
    schema: SchemaRef,
    query_id: Option<&str>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let reader = BatchReader::new(session.origin(), schema)?;
    session.begin_reading().await?;
    let text = format!("{}{text}", comment(query_id));
    let statement = match session.prepare(&text).await? {
        Ok(statement) => statement,
        Err(refused) => return Err(errors::refused(session.origin(), &refused)),
    };
    session.start(&statement).await?;
    let running = Running { session, statement, reader };
    Ok(try_unfold(Some(running), |running| async {
        match running {
            Some(running) => running.batch().await,
            None => Ok(None),
        }
    })
    .boxed())
}

/// Returns a comment that shows the query's identity in the server's list of running queries.
fn comment(query_id: Option<&str>) -> String {
    match query_id {
        Some(id) if id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            format!("/* portolan {id} */ ")
        }
        _ => String::new(),
    }
}

impl Running {
    /// Reads the next batch. The transaction ends with the last row.
    async fn batch(mut self) -> Result<Option<(RecordBatch, Option<Self>)>> {
        // Rows that have already arrived come without waiting, and only waiting ends at the deadline.
        if Instant::now() >= self.session.deadline() {
            return Err(self.session.origin().late());
        }
        while !self.reader.is_full() {
            match self.session.next().await? {
                Some(row) => self.reader.push(&row)?,
                None => return self.last_batch().await,
            }
        }
        Ok(Some((self.reader.finish()?, Some(self))))
    }

    async fn last_batch(mut self) -> Result<Option<(RecordBatch, Option<Self>)>> {
        let batch = if self.reader.is_empty() { None } else { Some((self.reader.finish()?, None)) };
        self.session.close(self.statement).await?;
        self.session.finish().await;
        Ok(batch)
    }
}
