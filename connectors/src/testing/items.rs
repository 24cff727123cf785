//! The answer of an owner in the same process.

use std::pin::Pin;

use arrow::record_batch::RecordBatch;
use futures::stream::{self, Stream, StreamExt};

use crate::error::{Error, Result};
use crate::fragment::{FragmentItem, FragmentStream, FragmentSummary};

/// Returns the items of a fragment with these rows. `hashes` returns the identities of the columns' hashes, which an owner
/// knows when the first item has come.
pub fn fragment_items(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    hashes: impl FnOnce() -> Vec<Option<String>> + Send + 'static,
) -> FragmentStream {
    let state = (rows.boxed(), 0_u64, false);
    let items: FragmentStream = stream::try_unfold(state, |(mut rows, count, ended)| async move {
        if ended {
            return Ok::<_, Error>(None);
        }
        Ok(Some(match rows.next().await.transpose()? {
            Some(batch) => {
                let count = count + batch.num_rows() as u64;
                (FragmentItem::Batch { batch, wire_bytes: 1 }, (rows, count, false))
            }
            None => {
                let summary = FragmentSummary { rows: count, ..FragmentSummary::default() };
                (FragmentItem::Finished(summary), (rows, count, true))
            }
        }))
    })
    .boxed();
    let all = stream::once(async move {
        let mut items = items.peekable();
        let has_failed = matches!(Pin::new(&mut items).peek().await, Some(Err(_)));
        let first = (!has_failed).then(|| Ok(FragmentItem::Hashes(hashes())));
        stream::iter(first).chain(items)
    });
    all.flatten().boxed()
}
