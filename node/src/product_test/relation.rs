//! The rows that the rules of a port are checked over: a sample in a table of the session, or the port itself.

use arrow::datatypes::Schema;
use futures::{TryStreamExt, stream};
use portolan_catalog::PortRef;
use portolan_engine::{Result, Session};

use super::conditions::column_name;
use super::literal::port_name;
use super::queries::read_all;

/// The largest number of rows of a sample.
pub(super) const SAMPLE_ROWS: usize = 10_000;
/// The largest memory of a sample, in bytes. A sample has at least one batch.
const SAMPLE_BYTES: usize = 32 << 20;
/// The table of the session with the sample.
const SAMPLE: &str = "portolan_sample";

/// The rows that the rules of a port are checked over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    /// The name in SQL.
    pub(super) name: String,
    /// The number of rows.
    pub(super) rows: u64,
    /// True if the port has no other rows.
    pub(super) is_complete: bool,
}

impl Relation {
    /// Reads the first rows that the source returns into a table of the session, in the place of the last sample.
    ///
    /// # Errors
    /// A value that cannot be read; rows that the session cannot hold.
    pub(super) async fn sample(session: &Session, port: &PortRef) -> Result<Self> {
        let sql = format!("SELECT * FROM {} LIMIT {}", port_name(port), SAMPLE_ROWS + 1);
        let mut rows = session.sql(&sql).await?;
        let (schema, mut batches, mut count, mut bytes, mut is_complete) = (rows.schema(), vec![], 0, 0, true);
        while let Some(batch) = rows.try_next().await? {
            let room = SAMPLE_ROWS - count;
            is_complete = batch.num_rows() <= room;
            let batch = batch.slice(0, batch.num_rows().min(room));
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            batches.push(Ok(batch));
            if bytes > SAMPLE_BYTES {
                is_complete &= rows.try_next().await?.is_none();
                break;
            }
            if !is_complete {
                break;
            }
        }
        drop(rows);
        let rows = session.register_stream(SAMPLE, schema, stream::iter(batches)).await?;
        Ok(Self { name: SAMPLE.to_owned(), rows, is_complete })
    }

    /// Reads every column of the port once, so that the rules are not checked over rows that cannot be read.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub(super) async fn whole(session: &Session, port: &PortRef, schema: &Schema) -> Result<Self> {
        let name = port_name(port);
        let columns: Vec<String> = schema.fields().iter().map(|field| column_name(field.name())).collect();
        let rows = read_all(session, &name, &columns).await?;
        Ok(Self { name, rows, is_complete: true })
    }
}
