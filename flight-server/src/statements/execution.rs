//! The execution of a query with its parameters, and the runs of a statement. Rows that an owner sends as the client gets
//! them are relayed.

use std::sync::{Arc, Mutex, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::scalar::ScalarValue;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::lock;
use portolan_engine::server::{
    Relay, RowAccess, RowPart, access, execute_speculatively, parts, relaying, rows_of, with_one_deadline,
};
use portolan_engine::{Compression, Error, ErrorKind, Prepared, ProgressHandle, QueryStream, Result, Settings};
use tokio_util::sync::CancellationToken;

use crate::rows::{Strings, same_columns, to_wire};

/// The rows of a statement, as clients see them. Some are messages only if the execution may relay rows.
pub(crate) type Rows = BoxStream<'static, Result<RowPart>>;

/// The parameters of a statement, with one set in each row; empty if none are bound.
pub(crate) type Parameters = Arc<[RecordBatch]>;

/// The runs of a statement: the progress of the newest run, and the signal that ends all of them. Clones share the
/// runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// The signal that ends the runs.
    pub(crate) stop: CancellationToken,
    newest: Arc<Mutex<Option<ProgressHandle>>>,
}

/// A query with its parameters, ready to run.
#[derive(Clone)]
pub(crate) struct Execution {
    pub(crate) prepared: Prepared,
    pub(crate) parameters: Parameters,
    /// The announced columns.
    pub(crate) schema: SchemaRef,
    pub(crate) runs: Runs,
    pub(crate) access: ExecutionAccess,
    /// The permission to relay the rows; `None` if the rows are kept or compressed.
    pub(crate) relay: Option<Relay>,
}

/// The right to see the rows of an execution, from its first run on. It is empty for rows that come from no plan.
pub(crate) type ExecutionAccess = Arc<OnceLock<Arc<RowAccess>>>;

/// The occasion for a run: a client's request for the rows, or the announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A client has requested the rows.
    Asked,
    /// The query is announced, and no client has requested the rows yet.
    Speculative,
}

/// Returns the permission to relay rows with these columns to a client; `None` if this node compresses them. Nodes send
/// one another rows without compression.
pub(crate) fn relay(schema: &SchemaRef, strings: Strings, settings: &Settings) -> Option<Relay> {
    let relay = Relay { schema: schema.clone(), is_plain: strings == Strings::Plain };
    (settings.compression == Compression::None).then_some(relay)
}

impl Runs {
    /// Returns the progress of the newest run; `None` before the first run.
    pub(crate) fn progress(&self) -> Option<ProgressHandle> {
        lock(&self.newest).clone()
    }

    /// Records the newest run.
    pub(crate) fn started(&self, progress: ProgressHandle) {
        *lock(&self.newest) = Some(progress);
    }
}

impl Execution {
    /// Starts the query with each set of parameters, one after another, within one deadline.
    pub(crate) async fn start(mut self, when: When) -> Result<Rows> {
        self.prepared = with_one_deadline(&self.prepared);
        if let Some(relay) = self.relay.clone() {
            self.prepared = relaying(self.prepared, relay);
        }
        let unbound = self.parameters.is_empty().then(|| Ok(Vec::new()));
        let mut sets = unbound.into_iter().chain(sets(self.parameters.clone()));
        let Some(first) = sets.next().transpose()? else { return Ok(stream::empty().boxed()) };
        let first = self.run(&first, when).await?;
        let schema = self.schema.clone();
        let rest = stream::iter(sets)
            .then(move |values| {
                let this = self.clone();
                async move { this.run(&values?, When::Asked).await.map(parts) }
            })
            .try_flatten();
        let wired = parts(first).chain(rest).map(move |part| match part? {
            RowPart::Batch(batch) => to_wire(&batch, &schema).map(RowPart::Batch),
            // The owner has sent the announced columns.
            message @ RowPart::Message(_) => Ok(message),
        });
        Ok(wired.boxed())
    }

    /// Starts the query with one set of parameters.
    async fn run(&self, parameters: &[ScalarValue], when: When) -> Result<QueryStream> {
        let rows = match when {
            When::Asked => self.prepared.execute(parameters).await?,
            When::Speculative => execute_speculatively(&self.prepared, parameters).await?,
        };
        if !same_columns(&rows.schema(), &self.schema) {
            return Err(Error::new(
                ErrorKind::SiteUnavailable,
                "the columns of the statement changed since it was announced: send it again",
            ));
        }
        // One right covers the rows of all runs.
        if let Some(access) = access(&rows)
            && !self.access.get_or_init(|| access.clone()).is_same(&access)
        {
            let what = "the policies have changed since the statement started: run it again";
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
        self.runs.started(rows.progress());
        Ok(rows)
    }
}

/// Returns the sets of parameters. Each set is created when it is needed, because scalars take more memory than the
/// rows that contain them.
fn sets(parameters: Parameters) -> impl Iterator<Item = Result<Vec<ScalarValue>>> + Send {
    let rows: Vec<usize> = parameters.iter().map(RecordBatch::num_rows).collect();
    let places = rows.into_iter().enumerate().flat_map(|(batch, rows)| (0..rows).map(move |row| (batch, row)));
    places.filter_map(move |(batch, row)| {
        let row = parameters.get(batch)?.slice(row, 1);
        rows_of(&[row]).next()
    })
}
