//! The store as a node uses it: opens the chain, and records reads and refusals.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::chain::{Chain, Draft, Effect};
use crate::entry::{End, Entry, Opening, Refusal, Request};
use crate::open_read::OpenRead;
use crate::queue::Queue;
use crate::reply::{Beginning, Flushing, Reply};
use crate::writer::{self, Tally};
use crate::{Error, ErrorKind, Result, Settings, bounds, line, recovery, segment};

/// The store of a node's audit records. Clones share it. Dropping the last clone writes the records that wait, and closes
/// the store; reads that are open then have no record of their end until the store is opened again.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    queue: Arc<Queue>,
    tally: Arc<Tally>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// The lock ends after the writer.
    _lock: File,
}

impl Shared {
    /// Closes the queue, and waits until the writer has written its records.
    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(folder = %self.queue.folder.display(), "the writer of the audit store panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.folder()).finish()
    }
}

/// Counters of a store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The records that are durable.
    pub records: u64,
    /// The groups in which they were written. Each took one sync.
    pub groups: u64,
    /// The attempts to write that failed.
    pub failures: u64,
}

impl Store {
    /// Opens the store in this folder, and creates the folder if it does not exist. One process at a time can open it.
    ///
    /// If the process before did not close the store, this cuts an incomplete record at the end of the chain, and writes
    /// the end of each unfinished read with the outcome [`Outcome::Unknown`](crate::Outcome::Unknown).
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], [`ErrorKind::Damaged`] if a complete record of the last segment is broken,
    /// [`ErrorKind::Unwritable`] or [`ErrorKind::Unreadable`].
    pub fn open(folder: impl Into<PathBuf>, settings: Settings) -> Result<Self> {
        let folder = folder.into();
        let lock = lock(&folder)?;
        let recovered = recovery::recover(&folder)?;
        let (cut_bytes, after_crash) = (recovered.cut_bytes, recovered.last.sequence > 0 && !recovered.closed);
        let unwritable = |e| Error::unwritable(&folder, e);
        let mut chain = Chain::new(&folder, settings.clone(), recovered).map_err(unwritable)?;
        let unfinished: Vec<u64> = chain.open_reads().collect();
        if after_crash {
            tracing::warn!(
                folder = %folder.display(), cut_bytes, unfinished = unfinished.len(),
                "the audit store was not closed"
            );
        }
        let opening = Opening { after_crash, unfinished: unfinished.len() as u64, cut_bytes };
        let mut drafts = vec![Draft::event(&Entry::Opened(opening)).map_err(unwritable)?];
        for read in unfinished {
            let end = Entry::Ended(End { read, ..End::default() });
            let draft = Draft::event(&end).map_err(unwritable)?;
            drafts.push(Draft { effect: Effect::Ends(read), ..draft });
        }
        chain.append(&drafts).map_err(unwritable)?;
        let (queue, tally) = (Arc::new(Queue::new(folder.clone(), settings)), Arc::new(Tally::default()));
        let writer = thread::Builder::new().name("portolan-audit".to_owned()).spawn({
            let (queue, tally) = (queue.clone(), tally.clone());
            move || writer::run(&queue, chain, &tally)
        });
        let writer = Mutex::new(Some(writer.map_err(unwritable)?));
        Ok(Self(Arc::new(Shared { queue, tally, writer, _lock: lock })))
    }

    /// Starts to write the `began` record of a read. It does not wait: the future returns when the record is durable, so
    /// that the caller can run the query meanwhile. No row may leave before.
    ///
    /// If the caller drops the future, the store records that the read was dropped.
    ///
    /// # Errors
    /// The future returns [`ErrorKind::Unwritable`], [`ErrorKind::Busy`] or [`ErrorKind::Closed`]. The caller then
    /// refuses the read.
    pub fn begin(&self, mut request: Request) -> Beginning {
        let queue = &self.0.queue;
        bounds::bound(&mut request);
        let (sender, receiver) = oneshot::channel();
        let begun =
            line::body(&Entry::Began(request)).map_err(|e| Error::unwritable(&queue.folder, e)).and_then(|body| {
                let draft = Draft { time: SystemTime::now(), body, effect: Effect::Begins };
                let queue_of_read = queue.clone();
                let begun = move |sequence: Result<u64>| {
                    // If the caller has gone, this drops the read, which records its end.
                    let _ = sender.send(sequence.map(|sequence| OpenRead::new(queue_of_read, sequence)));
                };
                queue.begin(draft, Box::new(begun))
            });
        Beginning(Reply::new(queue, begun, receiver))
    }

    /// Records a refusal. It does not wait for the disk. If the disk takes no records, the store keeps records of
    /// refusals up to a bound, and then counts them.
    pub fn refuse(&self, mut refusal: Refusal) {
        bounds::bound_refusal(&mut refusal);
        match Draft::event(&Entry::Refused(refusal)) {
            Ok(draft) => self.0.queue.refuse(draft),
            Err(error) => tracing::error!(%error, "an audit record of a refusal cannot be encoded"),
        }
    }

    /// Returns a future that ends when all records before it are durable.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn flush(&self) -> Flushing {
        let (sender, receiver) = oneshot::channel();
        Flushing(Reply::new(&self.0.queue, self.0.queue.flush(sender), receiver))
    }

    /// Writes the records that wait, and closes the store for all of its clones. It blocks this thread. Reads that are open
    /// have no record of their end until the store is opened again, and further reads are refused.
    pub fn close(&self) {
        self.0.close();
    }

    /// Returns the error of the last write, if it failed. The store then refuses reads.
    pub fn failure(&self) -> Option<Error> {
        self.0.queue.failure().map(|failure| failure.error)
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.0.queue.folder
    }

    /// Returns the counters since the store was opened.
    pub fn counters(&self) -> Counters {
        let Tally { records, groups, failures } = &*self.0.tally;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Counters { records: read(records), groups: read(groups), failures: read(failures) }
    }
}

/// Creates the folder, and locks it for this process.
fn lock(folder: &Path) -> Result<File> {
    let unwritable = |e| Error::unwritable(folder, e);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(unwritable)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    segment::sync_folder(parent).map_err(unwritable)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(folder.join("lock")).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = folder.display();
            let text =
                format!("the audit store in {folder} is open in another process: end it, or choose another folder");
            Err(Error::new(ErrorKind::InUse, text))
        }
        Err(TryLockError::Error(e)) => Err(unwritable(e)),
    }
}
