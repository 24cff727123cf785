//! Results: single values, text to search in, and streams that are read to their end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use portolan_engine::{Error, ErrorKind};
use portolan_node::client::Client;

/// Returns the one number of a statement's result, or the error in one line.
pub async fn count(client: &Client, sql: &str) -> Result<i64, String> {
    let (_, batches) = client.query(sql).await.map_err(|e| e.chain())?;
    let batch = batches.iter().find(|b| b.num_rows() > 0).ok_or("no rows came")?;
    let column = batch.column(0).as_primitive_opt::<Int64Type>().ok_or("no number came")?;
    Ok(column.value(0))
}

/// Returns the rows of a statement as text.
pub async fn text(client: &Client, sql: &str) -> String {
    let (_, batches) = client.query(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
    pretty_format_batches(&batches).unwrap().to_string()
}

/// Returns the error of a statement, and panics if it succeeds.
pub async fn failure(client: &Client, sql: &str) -> Error {
    match client.query(sql).await {
        Ok((_, batches)) => panic!("expected an error, got {} rows from\n{sql}", rows(&batches)),
        Err(e) => e,
    }
}

/// Reads a statement's rows to their end, and returns their number.
pub async fn drain(client: &Client, sql: &str) -> Result<usize, Error> {
    let statement = client.prepare(sql).await?;
    client.rows(&statement).try_fold(0, async |sum, batch| Ok(sum + batch.num_rows())).await
}

/// Returns the number of rows.
pub fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Asserts that an error is of this kind and contains all parts.
#[track_caller]
pub fn assert_says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let said = error.chain();
    assert_eq!(error.kind(), kind, "{said}");
    for part in parts {
        assert!(said.contains(part), "expected `{part}`, got: {said}");
    }
}
