//! Adds rows in one transaction.

use std::pin::Pin;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use portolan_catalog::DatabaseRelation;
use tokio_postgres::CopyInSink;

use super::errors::Work;
use super::session::{Access, Session};
use super::{Shared, clause_of, quoted, text};
use crate::databases::RunContext;
use crate::error::{Error, ErrorKind, Result};

/// The number of bytes that are sent at once.
const CHUNK: usize = 64 << 10;

/// Adds rows to a table and returns their number.
pub(super) async fn append(
    shared: &Arc<Shared>,
    relation: &DatabaseRelation,
    columns: &[String],
    rows: BoxStream<'static, Result<RecordBatch>>,
    context: &RunContext,
) -> Result<u64> {
    let shown = &shared.origin.shown;
    if matches!(relation, DatabaseRelation::Query(_)) {
        let what = format!("{shown}: expected a table to add rows to, got a query");
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let mut session = Session::open(shared, Access::Append, Work::Append, context).await?;
    session.begin().await?;
    let names: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
    let copy = format!("COPY {} ({}) FROM STDIN (FORMAT text)", clause_of(relation), names.join(", "));
    let mut sink = Box::pin(session.run(|client| client.copy_in::<_, Bytes>(copy.as_str())).await?);
    session.starts();
    let sent = tokio::time::timeout_at(context.deadline.into(), send(shown, &mut session, &mut sink, rows)).await;
    let count = sent.map_err(|_| shared.origin.late())??;
    match session.commit().await {
        Ok(()) => Ok(count),
        // If the server does not answer, it may have committed.
        Err(e) if matches!(e.kind(), ErrorKind::SiteUnavailable | ErrorKind::DeadlineExceeded) => {
            Err(e.with_detail("; it is not known whether the rows were added"))
        }
        Err(e) => Err(e),
    }
}

/// Sends all rows, and returns the number of rows that the server has received.
async fn send(
    shown: &str,
    session: &mut Session,
    sink: &mut Pin<Box<CopyInSink<Bytes>>>,
    mut rows: BoxStream<'static, Result<RecordBatch>>,
) -> Result<u64> {
    let mut chunk = Vec::with_capacity(2 * CHUNK);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let fault = |what| Error::new(ErrorKind::InvalidQuery, format!("{shown}: {what}"));
            text::row(&batch, row, &mut chunk).map_err(fault)?;
            if chunk.len() >= CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(2 * CHUNK));
                sink.send(full.into()).await.map_err(|e| session.failed(e))?;
            }
        }
    }
    if !chunk.is_empty() {
        sink.send(chunk.into()).await.map_err(|e| session.failed(e))?;
    }
    // Only here, the server answers what it made of the rows.
    let count = sink.as_mut().finish().await.map_err(|e| session.failed(e))?;
    session.ends();
    Ok(count)
}
