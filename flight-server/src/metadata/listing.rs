//! A response about the catalog. The columns and the number of rows are known at once, and the rows are created as they
//! are fetched.

use std::fmt;
use std::iter;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use portolan_engine::Result;

/// Rows about the catalog.
pub(crate) struct Listing {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The number of rows.
    pub(crate) rows: usize,
    /// The rows, created on demand.
    pub(crate) batches: ListingBatches,
}

type ListingBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl Listing {
    /// Returns a listing whose rows are all in `batch`.
    pub(crate) fn whole(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), rows: batch.num_rows(), batches: Box::new(iter::once(Ok(batch))) }
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("rows", &self.rows).finish_non_exhaustive()
    }
}
