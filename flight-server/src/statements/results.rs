//! Kept results. A query runs to its end even if no client fetches, and its rows are stored on disk in pieces until
//! they expire. Clients fetch the pieces in parallel, during the query or later, and again after an interrupted fetch.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use datafusion::execution::SpillFile;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use portolan_connectors::lock;
use portolan_engine::server::{disk_error, result_file};
use portolan_engine::{Error, ErrorKind, Result, Session};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::execution::ExecutionAccess;
use crate::failure::statement_cancelled;

/// The size of a piece, in bytes of rows.
const PIECE_BYTES: usize = 4 << 20;

/// The time after the end of its query until which a result can be renewed: a node that does not reach the owner of rows
/// does not learn that the policies about them have changed.
const RENEWABLE: Duration = Duration::from_secs(3600);

/// The rows of a query that have arrived.
pub(crate) struct KeptResult {
    written: watch::Receiver<Written>,
    access: ExecutionAccess,
    expires: Mutex<SystemTime>,
    lifetime: Duration,
    _task: AbortOnDropHandle<()>,
}

/// The pieces on disk.
#[derive(Clone, Default)]
struct Written {
    pieces: Vec<Piece>,
    rows: u64,
    /// The outcome of the query, once it has ended.
    end: Option<Result<(), Arc<Error>>>,
    /// The time after which the result is not renewed, once the query has ended.
    last_expiry: Option<SystemTime>,
}

#[derive(Clone)]
struct Piece(Arc<dyn SpillFile>);

/// The progress of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The number of pieces that can be fetched.
    pub(crate) pieces: usize,
    /// The number of rows in the pieces.
    pub(crate) rows: u64,
    /// True if there will be no more pieces.
    pub(crate) finished: bool,
}

/// The pieces of a result to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The piece with this number.
    Piece(usize),
    /// Every `of`-th piece, starting with `first`.
    Share { first: usize, of: usize },
}

impl KeptResult {
    /// Starts to store `rows` for a session, until `stop`. The result expires `lifetime` after its last request, and fails
    /// when the right to see its rows ends.
    pub(crate) fn start(
        session: Session,
        schema: SchemaRef,
        rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
        stop: CancellationToken,
        access: ExecutionAccess,
        lifetime: Duration,
    ) -> Self {
        let (sender, written) = watch::channel(Written::default());
        let watched = access.clone();
        let task = tokio::spawn(async move {
            let end = tokio::select! {
                biased;
                () = stop.cancelled() => Err(statement_cancelled()),
                end = keep(&session, &schema, rows, &sender) => end,
            };
            drop(session);
            let is_kept = end.is_ok();
            sender.send_modify(|written| written.end(end));
            if let Some(access) = watched.get().filter(|_| is_kept) {
                let lost = access.ended().await;
                sender.send_modify(|written| written.end(Err(lost)));
            }
        });
        let expires = Mutex::new(SystemTime::now() + lifetime);
        Self { written, access, expires, lifetime, _task: AbortOnDropHandle::new(task) }
    }

    /// Returns the time at which the result expires, unless it is renewed.
    pub(crate) fn expires(&self) -> SystemTime {
        *lock(&self.expires)
    }

    /// True if the result can no longer be fetched.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires() <= SystemTime::now()
    }

    /// Extends the result's expiry to one lifetime from now, but not without end.
    pub(crate) fn renew(&self) -> SystemTime {
        let expires = SystemTime::now() + self.lifetime;
        let expires = self.written.borrow().last_expiry.map_or(expires, |last| expires.min(last));
        *lock(&self.expires) = expires;
        expires
    }

    /// Returns the progress of the result.
    ///
    /// # Errors
    /// The query's error, if it failed; `PermissionDenied` if the right to see the rows has ended.
    pub(crate) fn extent(&self) -> Result<Extent> {
        self.require_access()?;
        self.written.borrow().extent()
    }

    /// Waits until the result has more than `seen` pieces or has ended, but no longer than `wait`.
    ///
    /// # Errors
    /// The query's error, if it failed.
    pub(crate) async fn further(&self, seen: usize, wait: Duration) -> Result<Extent> {
        let mut written = self.written.clone();
        let further = |w: &Written| w.end.is_some() || w.pieces.len() > seen;
        // After a timeout, the progress is what it is.
        let _ = tokio::time::timeout(wait, written.wait_for(further)).await;
        self.extent()
    }

    /// Returns the rows of a part, and waits for those that have not arrived yet.
    pub(crate) fn rows(self: Arc<Self>, part: Part) -> BoxStream<'static, Result<RecordBatch>> {
        let (first, step) = match part {
            Part::Piece(piece) => (piece, None),
            Part::Share { first, of } => (first, Some(of)),
        };
        let pieces = stream::try_unfold(Some(first), move |next| {
            let kept = self.clone();
            async move {
                let Some(number) = next else { return Ok(None) };
                let Some(piece) = kept.piece(number).await? else { return Ok(None) };
                let batches = tokio::task::spawn_blocking(move || piece.read())
                    .await
                    .map_err(|e| broken("reading it ended abnormally").with_source(e))??;
                Ok::<_, Error>(Some((stream::iter(batches.into_iter().map(Ok)), step.map(|step| number + step))))
            }
        });
        pieces.try_flatten().boxed()
    }

    /// Waits for a piece; `None` if there will be no piece with this number.
    async fn piece(&self, number: usize) -> Result<Option<Piece>> {
        let mut written = self.written.clone();
        let there = written.wait_for(|w| w.end.is_some() || w.pieces.len() > number).await;
        let there = there.map_err(|e| broken("its query was cancelled").with_source(e))?;
        there.extent()?;
        self.require_access()?;
        Ok(there.pieces.get(number).cloned())
    }

    fn require_access(&self) -> Result<()> {
        self.access.get().map_or(Ok(()), |access| access.check())
    }
}

impl Written {
    /// Records the end of the query, or of the right to see its rows.
    fn end(&mut self, end: Result<()>) {
        if end.is_err() {
            // Nobody can fetch the pieces any more. Others need their space on disk.
            self.pieces.clear();
        }
        self.end = Some(end.map_err(Arc::new));
        self.last_expiry.get_or_insert_with(|| SystemTime::now() + RENEWABLE);
    }

    fn extent(&self) -> Result<Extent> {
        match &self.end {
            Some(Err(error)) => Err(error.flat()),
            end => Ok(Extent { pieces: self.pieces.len(), rows: self.rows, finished: end.is_some() }),
        }
    }
}

/// Stores the rows, piece by piece.
async fn keep(
    session: &Session,
    schema: &SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    written: &watch::Sender<Written>,
) -> Result<()> {
    let mut rows = Box::pin(rows);
    let mut ended = false;
    while !ended {
        let (mut batches, mut bytes) = (vec![], 0);
        while bytes < PIECE_BYTES {
            match rows.try_next().await? {
                Some(batch) => {
                    bytes += get_record_batch_memory_size(&batch);
                    batches.push(batch);
                }
                None => {
                    ended = true;
                    break;
                }
            }
        }
        let count: u64 = batches.iter().map(|b| b.num_rows() as u64).sum();
        if count == 0 {
            continue;
        }
        let (file, schema) = (result_file(session)?, schema.clone());
        let piece = tokio::task::spawn_blocking(move || write(file, &schema, &batches))
            .await
            .map_err(|e| broken("writing it ended abnormally").with_source(e))??;
        written.send_modify(|written| {
            written.pieces.push(piece);
            written.rows += count;
        });
    }
    Ok(())
}

fn write(file: Arc<dyn SpillFile>, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Piece> {
    let unwritable = |e: Box<dyn std::error::Error + Send + Sync>| {
        let what = "a result cannot be kept on disk";
        match disk_error(e.as_ref()) {
            Some(error) => error.within(what),
            None => Error::new(ErrorKind::ResourceExhausted, what).for_owner(format!("{what}: {e}")),
        }
    };
    let mut writer = file.open_writer().map_err(|e| unwritable(e.into()))?;
    let mut stream = StreamWriter::try_new(&mut writer, schema).map_err(|e| unwritable(e.into()))?;
    for batch in batches {
        stream.write(batch).map_err(|e| unwritable(e.into()))?;
    }
    stream.finish().map_err(|e| unwritable(e.into()))?;
    drop(stream);
    writer.finish().map_err(|e| unwritable(e.into()))?;
    drop(writer);
    Ok(Piece(file))
}

impl Piece {
    fn read(&self) -> Result<Vec<RecordBatch>> {
        let path = self.0.path().ok_or_else(|| broken("it is not on disk"))?;
        let file = File::open(path).map_err(|e| broken("it cannot be opened").with_source(e))?;
        let reader = StreamReader::try_new(BufReader::new(file), None);
        let batches = reader.and_then(Iterator::collect);
        batches.map_err(|e| broken("it cannot be read").with_source(e))
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a piece of a kept result: {what}"))
}

impl fmt::Debug for KeptResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptResult").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{ArrayRef, Int64Array};
    use portolan_engine::{Engine, Limits, Principal};

    use super::*;

    fn session(limits: Limits) -> Session {
        Engine::builder().cpu_threads(1).limits(limits).build().unwrap().session(Principal::anonymous())
    }

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    async fn sum(kept: &Arc<KeptResult>, part: Part) -> Result<usize> {
        kept.clone().rows(part).try_fold(0, async |sum, batch| Ok(sum + batch.num_rows())).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn parts_are_fetched_in_parallel_and_again() {
        let session = session(Limits::default());
        let batches: Vec<_> = (0..8).map(|i| Ok(batch(i * 300_000, 300_000))).collect();
        let schema = batch(0, 1).schema();
        let kept = Arc::new(KeptResult::start(
            // The engine, and with it the folder of spilled data, ends with the last session.
            session.clone(),
            schema,
            stream::iter(batches),
            CancellationToken::new(),
            ExecutionAccess::default(),
            Duration::from_secs(60),
        ));
        let extent = loop {
            let extent = kept.further(0, Duration::from_secs(10)).await.unwrap();
            if extent.finished {
                break extent;
            }
        };
        assert!(extent.pieces > 2 && extent.rows == 2_400_000, "{extent:?}");
        let shares = futures::future::join_all((0..3).map(|first| sum(&kept, Part::Share { first, of: 3 }))).await;
        assert_eq!(shares.into_iter().map(Result::unwrap).sum::<usize>(), 2_400_000);
        for _ in 0..2 {
            let mut all = 0;
            for piece in 0..extent.pieces {
                all += sum(&kept, Part::Piece(piece)).await.unwrap();
            }
            assert_eq!(all, 2_400_000);
        }
        assert_eq!(sum(&kept, Part::Piece(extent.pieces)).await.unwrap(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_failure_reaches_every_part_and_results_expire() {
        let rows = stream::iter([Ok(batch(0, 10)), Err(Error::new(ErrorKind::InvalidQuery, "divided by zero"))]);
        let (session, schema) = (session(Limits::default()), batch(0, 1).schema());
        let (stop, access) = (CancellationToken::new(), ExecutionAccess::default());
        let kept = Arc::new(KeptResult::start(session, schema, rows, stop, access, Duration::ZERO));
        let error = sum(&kept, Part::Share { first: 0, of: 1 }).await.unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::InvalidQuery, "divided by zero"));
        assert!(kept.further(9, Duration::from_secs(10)).await.is_err());
        assert!(kept.has_expired());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_result_is_not_renewed_without_end() {
        let (session, schema) = (session(Limits::default()), batch(0, 1).schema());
        let (stop, access) = (CancellationToken::new(), ExecutionAccess::default());
        let (running, ended) = (stream::pending().boxed(), stream::iter([Ok(batch(0, 10))]).boxed());
        for (rows, is_bounded) in [(running, false), (ended, true)] {
            let (stop, access) = (stop.clone(), access.clone());
            let kept = KeptResult::start(session.clone(), schema.clone(), rows, stop, access, RENEWABLE * 3);
            let kept = Arc::new(kept);
            if is_bounded {
                assert_eq!(sum(&kept, Part::Share { first: 0, of: 1 }).await.unwrap(), 10);
            }
            let expires = kept.renew();
            assert_eq!(expires <= SystemTime::now() + RENEWABLE, is_bounded);
            assert_eq!(kept.expires(), expires);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_failed_result_leaves_no_files() {
        // A principal may keep half of this: three pieces, and not four.
        let mut limits = Limits::default();
        limits.spill_bytes = 30 << 20;
        let many = || stream::iter((0..8).map(|i| Ok::<_, Error>(batch(i * 600_000, 600_000))));
        for stopped in [false, true] {
            // The task of a result that was dropped may keep its files a little longer.
            let session = session(limits.clone());
            let (rows, stop, schema) = (many(), CancellationToken::new(), batch(0, 1).schema());
            let endless = rows.take(2).chain(stream::pending());
            let rows = if stopped { endless.boxed() } else { many().boxed() };
            let (access, minute) = (ExecutionAccess::default(), Duration::from_secs(60));
            let kept = Arc::new(KeptResult::start(session.clone(), schema, rows, stop.clone(), access.clone(), minute));
            if stopped {
                kept.further(1, Duration::from_secs(10)).await.unwrap();
                stop.cancel();
            }
            let error = sum(&kept, Part::Share { first: 0, of: 1 }).await.unwrap_err();
            let expected = if stopped { ErrorKind::Cancelled } else { ErrorKind::ResourceExhausted };
            assert_eq!(error.kind(), expected, "{error}");
            assert!(stopped || error.context().contains("`kept_results` of `anonymous`"), "{error}");
            assert!(kept.written.borrow().pieces.is_empty());
            // There is room for as many bytes as before.
            let (rows, schema) = (many().take(3), batch(0, 1).schema());
            let all = KeptResult::start(session.clone(), schema, rows, CancellationToken::new(), access, minute);
            assert_eq!(sum(&Arc::new(all), Part::Share { first: 0, of: 1 }).await.unwrap(), 1_800_000);
        }
    }
}
