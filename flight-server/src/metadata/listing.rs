//! An answer about the catalog: its columns and number of rows at once, its rows as they are fetched.

use std::fmt;
use std::iter;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use portolan_engine::Result;

/// Rows about the catalog.
pub(crate) struct Listing {
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// The rows; made when they are asked for.
    pub(crate) batches: ListingBatches,
}

type ListingBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl Listing {
    /// A listing that is all there.
    pub(crate) fn whole(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), rows: batch.num_rows(), batches: Box::new(iter::once(Ok(batch))) }
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("rows", &self.rows).finish_non_exhaustive()
    }
}
