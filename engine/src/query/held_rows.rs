//! Rows that a statement or an upload holds until they become a part of a session's table. They count as the tables do,
//! from the first row on.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use futures::{Stream, TryStreamExt};

use crate::execution::budget::Budget;
use crate::execution::compact::compact;
use crate::state::SessionHandle;
use crate::{Error, ErrorKind, Result};

/// The bytes that count for a batch in addition to its rows. Without them, batches whose rows take no memory would have
/// no limit.
const OF_A_BATCH: usize = 256;

/// Rows in memory of their own. Until the value is dropped, their bytes count for the tables of the session's principal.
#[derive(Debug)]
pub(super) struct HeldRows {
    batches: Vec<RecordBatch>,
    bytes: usize,
    budget: Arc<Budget>,
}

impl HeldRows {
    /// Reads all rows. `called` is the name of the rows in errors.
    ///
    /// # Errors
    /// `ResourceExhausted` if the rows exceed the limit of a session's tables, or do not fit beside the tables of the
    /// principal and of all sessions; the error that `rows` ends with.
    pub(super) async fn read(
        session: &SessionHandle,
        rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
        called: &str,
    ) -> Result<Self> {
        Self::read_counted(session, rows, called, Budget::take).await
    }

    /// Reads all rows of a statement that changes or removes rows of a table. They are never refused for other tables,
    /// because a principal without room must be able to make some.
    ///
    /// # Errors
    /// `ResourceExhausted` if the rows exceed the limit of a session's tables; the error that `rows` ends with.
    pub(super) async fn read_of_change(
        session: &SessionHandle,
        rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
    ) -> Result<Self> {
        let take = |budget: &Budget, bytes: usize| {
            budget.take_anyway(bytes);
            Ok(())
        };
        Self::read_counted(session, rows, "the rows", take).await
    }

    async fn read_counted(
        session: &SessionHandle,
        mut rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
        called: &str,
        take: impl Fn(&Budget, usize) -> Result<()>,
    ) -> Result<Self> {
        let (limit, budget) = (session.engine.limits().session_tables, session.shared.account.tables.clone());
        let mut held = Self { batches: vec![], bytes: 0, budget };
        while let Some(batch) = rows.try_next().await? {
            let batch = compact(&batch)?;
            let bytes = OF_A_BATCH + get_record_batch_memory_size(&batch);
            if held.bytes + bytes > limit {
                let what =
                    format!("{called} exceed the limit of a session's tables, {limit} bytes (limits.session_tables)");
                return Err(Error::new(ErrorKind::ResourceExhausted, what));
            }
            take(&held.budget, bytes).map_err(|e| e.within(format!("{called} do not fit")))?;
            held.bytes += bytes;
            held.batches.push(batch);
        }
        Ok(held)
    }

    /// Returns the rows, which count no longer: the table that takes them counts them.
    pub(super) fn into_batches(mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.batches)
    }

    /// Returns the rows.
    pub(super) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }
}

impl Drop for HeldRows {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}
