//! The batches of a shared part that a reader has yet to read, in order: the first ones in files, the last ones in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::spill::get_record_batch_memory_size;

/// The largest size of the batches that wait in memory. Beyond it, they go to a file.
const HELD_BYTES: usize = 32 << 20;
/// The size up to which batches wait in memory although the query has none left, so that no file is smaller than that.
const LEAST_HELD_BYTES: usize = 1 << 20;

/// The batches that wait, and the positions of the readers.
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    /// The number of batches that have come, also those that every reader has read.
    came: usize,
    /// The position of the next batch of each reader; `None` once the reader has ended.
    positions: Vec<Option<usize>>,
    /// The number of readers that have started.
    started: usize,
    /// The end of the part, after its last batch.
    end: Option<Result<(), Arc<DataFusionError>>>,
    memory: MemoryReservation,
}

/// Successive batches.
struct Piece {
    first: usize,
    batches: usize,
    rows: WaitingRows,
}

enum WaitingRows {
    /// One batch, with the bytes that are reserved for it.
    Held(RecordBatch, usize),
    Written(Arc<dyn SpillFile>),
}

/// The next rows of a reader.
pub(super) enum Next {
    Batch(RecordBatch),
    /// The batches of a file, from position `skipped` on.
    File {
        file: Arc<dyn SpillFile>,
        skipped: usize,
        batches: usize,
    },
    /// No batch has come yet.
    Nothing,
    End,
    Failed(Arc<DataFusionError>),
}

impl Piece {
    /// Returns the position after the last batch.
    fn end(&self) -> usize {
        self.first + self.batches
    }
}

impl Queue {
    /// Returns the queue of a part that has not started. `memory` is the reservation for the batches that wait.
    pub(super) fn new(readers: usize, memory: MemoryReservation) -> Self {
        Self { pieces: VecDeque::new(), came: 0, positions: vec![Some(0); readers], started: 0, end: None, memory }
    }

    /// Starts a reader, and returns its number; `None` if all readers have started.
    pub(super) fn start(&mut self) -> Option<usize> {
        let number = self.started;
        let is_free = number < self.positions.len();
        self.started += usize::from(is_free);
        is_free.then_some(number)
    }

    /// True if a batch may wait. A single reader takes it at once.
    pub(super) fn is_awaited(&self) -> bool {
        self.positions.iter().flatten().count() > 1
    }

    /// Adds a batch. True if the batches in memory are too large, and must be [written](Self::held).
    pub(super) fn push(&mut self, batch: RecordBatch) -> bool {
        let bytes = get_record_batch_memory_size(&batch);
        let is_awaited = self.is_awaited();
        let fits = is_awaited && self.reserve(bytes);
        let rows = WaitingRows::Held(batch, if fits { bytes } else { 0 });
        self.pieces.push_back(Piece { first: self.came, batches: 1, rows });
        self.came += 1;
        is_awaited && !fits
    }

    fn reserve(&self, bytes: usize) -> bool {
        let size = self.memory.size().saturating_add(bytes);
        if size <= LEAST_HELD_BYTES {
            self.memory.grow(bytes);
            return true;
        }
        size <= HELD_BYTES && self.memory.try_grow(bytes).is_ok()
    }

    /// Returns the batches in memory, with the position of the first one.
    pub(super) fn held(&self) -> (usize, Vec<RecordBatch>) {
        let held = self.pieces.iter().filter_map(|piece| match &piece.rows {
            WaitingRows::Held(batch, _) => Some((piece.first, batch.clone())),
            WaitingRows::Written(_) => None,
        });
        let (positions, batches): (Vec<_>, Vec<_>) = held.unzip();
        (positions.first().copied().unwrap_or(self.came), batches)
    }

    /// Replaces the batches in memory by the file with the batches from position `first` on. No batch may have come since
    /// [`Self::held`] returned them; readers may have read some of them.
    pub(super) fn written(&mut self, first: usize, file: Arc<dyn SpillFile>) {
        while let Some(Piece { rows: WaitingRows::Held(_, bytes), .. }) = self.pieces.back() {
            self.memory.shrink(*bytes);
            self.pieces.pop_back();
        }
        let batches = self.came.saturating_sub(first);
        self.pieces.push_back(Piece { first, batches, rows: WaitingRows::Written(file) });
        self.trim();
    }

    /// Returns the next rows of a reader. They count as read.
    pub(super) fn next(&mut self, reader: usize) -> Next {
        let Some(position) = self.positions.get(reader).copied().flatten() else { return Next::End };
        let place = self.pieces.partition_point(|piece| piece.end() <= position);
        let Some(piece) = self.pieces.get(place) else {
            return match &self.end {
                None => Next::Nothing,
                Some(Ok(())) => Next::End,
                Some(Err(error)) => Next::Failed(error.clone()),
            };
        };
        let end = piece.end();
        let next = match &piece.rows {
            WaitingRows::Held(batch, _) => Next::Batch(batch.clone()),
            WaitingRows::Written(file) => Next::File {
                file: file.clone(),
                skipped: position.saturating_sub(piece.first),
                batches: end - position,
            },
        };
        self.set_position(reader, Some(end));
        next
    }

    /// Ends a reader. True if no reader is left.
    pub(super) fn leave(&mut self, reader: usize) -> bool {
        self.set_position(reader, None);
        self.positions.iter().all(Option::is_none)
    }

    fn set_position(&mut self, reader: usize, position: Option<usize>) {
        if let Some(known) = self.positions.get_mut(reader) {
            *known = position;
        }
        self.trim();
    }

    /// Drops the batches that every reader has read.
    fn trim(&mut self) {
        let needed = self.positions.iter().flatten().min().copied().unwrap_or(usize::MAX);
        while self.pieces.front().is_some_and(|piece| piece.end() <= needed) {
            if let Some(Piece { rows: WaitingRows::Held(_, bytes), .. }) = self.pieces.pop_front() {
                self.memory.shrink(bytes);
            }
        }
    }

    /// Records the end of the part.
    pub(super) fn end(&mut self, outcome: Result<(), DataFusionError>) {
        self.end = Some(outcome.map_err(Arc::new));
    }

    /// True if the part has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}
