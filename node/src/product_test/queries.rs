//! The queries of the checks: counts of rows, and values as text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use portolan_engine::{Error, ErrorKind, RecordBatch, Result, Session};

/// The largest number of counts of one query. Planning takes longer than in proportion to it.
const MOST_COUNTS: usize = 100;
/// The largest number of characters of a value in a report.
const SHOWN: usize = 60;

/// Returns the counts in the only row of a query.
///
/// # Errors
/// An error of the query.
pub(super) async fn counts(session: &Session, sql: &str) -> Result<Vec<u64>> {
    let batches = session.sql(sql).await?.collect().await?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let counts = row.and_then(|row| row.columns().iter().map(first_count).collect::<Option<Vec<u64>>>());
    counts.ok_or_else(|| Error::new(ErrorKind::Internal, "expected a row of counts, got other rows"))
}

fn first_count(column: &ArrayRef) -> Option<u64> {
    let numbers = column.as_primitive_opt::<Int64Type>()?;
    numbers.is_valid(0).then(|| u64::try_from(numbers.value(0)).ok()).flatten()
}

/// Counts the rows of `relation` that fulfil each condition, in as few passes as the limit permits. A condition that
/// cannot be counted does not affect the others: its count is the reason.
pub(super) async fn count_each(session: &Session, relation: &str, conditions: &[&str]) -> Vec<Result<u64, String>> {
    let select = |conditions: &[&str]| {
        // Two rules can have one condition, and columns of one name would not be planned.
        let named = conditions.iter().enumerate();
        let counts: Vec<_> = named.map(|(i, c)| format!("count(*) FILTER (WHERE {c}) AS c{i}")).collect();
        format!("SELECT {} FROM {relation} AS s", counts.join(", "))
    };
    let mut all = vec![];
    for group in conditions.chunks(MOST_COUNTS) {
        if let Ok(found) = counts(session, &select(group)).await
            && found.len() == group.len()
        {
            all.extend(found.into_iter().map(Ok));
            continue;
        }
        for condition in group {
            let found = counts(session, &select(&[*condition])).await;
            let found = found.map(|counts| counts.first().copied().unwrap_or_default());
            all.push(found.map_err(|error| error.owner_chain()));
        }
    }
    all
}

/// Reads every column of `relation`, and returns the number of rows.
///
/// # Errors
/// The first value that cannot be read.
pub(super) async fn read_all(session: &Session, relation: &str, columns: &[String]) -> Result<u64> {
    let counted: Vec<String> = columns.iter().map(|column| format!("count({column})")).collect();
    let mut rows = 0;
    for group in counted.chunks(MOST_COUNTS) {
        let sql = format!("SELECT count(*), {} FROM {relation} AS s", group.join(", "));
        rows = counts(session, &sql).await?.first().copied().unwrap_or_default();
    }
    Ok(rows)
}

/// Returns the first rows of a query as text, at most `limit`.
///
/// # Errors
/// An error of the query.
pub(super) async fn texts(session: &Session, sql: &str, limit: usize) -> Result<Vec<Vec<String>>> {
    let mut rows = session.sql(sql).await?;
    let mut all = vec![];
    while all.len() < limit
        && let Some(batch) = rows.try_next().await?
    {
        all.extend(texts_of(&batch, limit - all.len())?);
    }
    Ok(all)
}

/// Returns the first rows of a batch as text, at most `limit`.
///
/// # Errors
/// A type that has no text.
pub(super) fn texts_of(batch: &RecordBatch, limit: usize) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL");
    let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let formatters = formatters.collect::<std::result::Result<Vec<_>, _>>();
    let formatters =
        formatters.map_err(|e| Error::new(ErrorKind::Internal, "the rows cannot be shown").with_source(e))?;
    let row = |row: usize| formatters.iter().map(|column| shortened(&column.value(row).to_string())).collect();
    Ok((0..batch.num_rows().min(limit)).map(row).collect())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
