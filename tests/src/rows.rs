//! What came back: single values, text to search in, streams read to their end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use portolan_engine::{Error, ErrorKind};
use portolan_node::client::Client;

/// The one number that a statement gives; what went wrong in one line.
pub async fn count(client: &Client, sql: &str) -> Result<i64, String> {
    let (_, batches) = client.query(sql).await.map_err(|e| e.chain())?;
    let batch = batches.iter().find(|b| b.num_rows() > 0).ok_or("no rows came")?;
    let column = batch.column(0).as_primitive_opt::<Int64Type>().ok_or("no number came")?;
    Ok(column.value(0))
}

/// The rows of a statement as text.
pub async fn text(client: &Client, sql: &str) -> String {
    let (_, batches) = client.query(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
    pretty_format_batches(&batches).unwrap().to_string()
}

/// How a statement fails, which it must.
pub async fn failure(client: &Client, sql: &str) -> Error {
    match client.query(sql).await {
        Ok((_, batches)) => panic!("{} rows came from\n{sql}", rows(&batches)),
        Err(e) => e,
    }
}

/// Reads a statement's rows to their end, counting them.
pub async fn drain(client: &Client, sql: &str) -> Result<usize, Error> {
    let statement = client.prepare(sql).await?;
    client.rows(&statement).try_fold(0, async |sum, batch| Ok(sum + batch.num_rows())).await
}

/// How many rows.
pub fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// That an error is of this kind and says all of this.
#[track_caller]
pub fn assert_says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let said = error.chain();
    assert_eq!(error.kind(), kind, "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
}
