//! Tables that a program gives a session: rows in memory, streams, and files of this machine.

use futures::{Stream, StreamExt, stream};

#[cfg(feature = "files")]
use portolan_connectors::files::{FileSources, LocalFileOptions};

#[cfg(feature = "files")]
use crate::query::rows_of_files;
use crate::{Error, ErrorKind, IngestMode, IngestTarget, RecordBatch, Result, SchemaRef, Session};

impl Session {
    /// Makes these rows a table of the session, in the place of a table with this name. Returns the number of rows. A
    /// statement writes a name with capital letters or signs in double quotes: `FROM "List"`. So it is with columns. The
    /// rows are copied, and count towards [`Limits::session_tables`](crate::Limits::session_tables). The columns are
    /// those of the first batch. Those of the others are found by name: a column that one of them lacks is NULL there.
    ///
    /// # Errors
    /// `InvalidQuery` without a batch, or if the batches do not fit together; `AlreadyExists` if the session has a view
    /// with this name; `ResourceExhausted` beyond the limit.
    pub async fn register_batches(&self, name: &str, batches: Vec<RecordBatch>) -> Result<u64> {
        let Some(columns) = batches.first().map(RecordBatch::schema) else {
            let what = format!("`{name}`: expected at least one batch, which has the columns, got none");
            return Err(Error::new(ErrorKind::InvalidQuery, what));
        };
        self.register_stream(name, columns, stream::iter(batches.into_iter().map(Ok))).await
    }

    /// Makes the rows of a stream a table of the session, as [`Session::register_batches`] does. A [`QueryStream`] can be
    /// such a stream.
    ///
    /// # Errors
    /// `InvalidQuery` if the rows do not fit `columns`; `ResourceExhausted` beyond the limit; the error that the stream
    /// ends with. Then the session's tables stay as they were.
    ///
    /// [`QueryStream`]: crate::QueryStream
    pub async fn register_stream(
        &self,
        name: &str,
        columns: SchemaRef,
        rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    ) -> Result<u64> {
        let target = IngestTarget::of_session(name);
        self.ingest(&target, IngestMode::Replace, columns, rows.boxed()).await
    }

    /// Makes files of this machine a table of the session, as [`Session::register_batches`] does. `location` is a file, a
    /// folder or a glob: Parquet, CSV, JSON or Arrow. The extension decides the format, unless `options` have one.
    /// The files have no contract. Their columns and types come from the files, as
    /// [`FileSources::open_local`] describes.
    ///
    /// The program decides which files it names here. Nothing bounds them to a folder, so a location must not come from
    /// a stranger.
    ///
    /// # Errors
    /// As [`FileSources::open_local`]; `InvalidData` for a value of another type than the first ones; `SiteUnavailable` if
    /// a file cannot be read to its end; `ResourceExhausted` beyond the limit.
    #[cfg(feature = "files")]
    pub async fn register_file(&self, name: &str, location: &str, options: &LocalFileOptions) -> Result<u64> {
        let handle = self.handle();
        handle.require_open()?;
        let runtime = handle.engine.base.runtime_env();
        let files = FileSources::default().open_local(location, options, runtime).await?;
        let rows = rows_of_files(handle, format!("REGISTER FILES AS {name}"), files).await?;
        self.register_stream(name, rows.schema(), rows).await
    }
}
