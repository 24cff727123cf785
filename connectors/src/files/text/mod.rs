//! CSV and JSON: decompresses and decodes a file, splits it into records, and parses the values as the contract writes
//! them. DataFusion's readers parse with Arrow's parsers, which cut values, and report neither lines nor columns.

mod cells;
mod columns;
mod csv;
mod decoding;
mod elements;
mod expected;
mod json;
mod json_columns;
mod numbers;
mod quotes;
mod records;
mod strict;
mod times;
mod values;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::{Buf, Bytes};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::{DataFusionError, Result};
use datafusion_datasource::boundary_stream::AlignedBoundaryStream;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use portolan_catalog::FileFormat;

use self::cells::Faults;
pub(super) use self::cells::{Cell, ColumnFaults};
use self::columns::ColumnParser;
pub(super) use self::columns::TextColumn;
use self::csv::CsvReader;
pub(super) use self::csv::{CsvSample, schema_of};
pub(super) use self::decoding::Text;
use self::decoding::{Chunks, line_breaks};
pub(super) use self::elements::{Elements, Nesting};
use self::json::JsonReader;
pub(super) use self::json_columns::JsonColumns;
pub(super) use self::values::{ValueParser, infer};
use super::format::Encoding;
use super::layout::Layout;
use crate::data_fault::DataFault;

/// The number of bytes of text after which a batch ends, whatever its number of rows.
const MOST_BATCH_BYTES: usize = 16 << 20;

/// The largest number of bytes of a record.
pub(super) const MOST_RECORD_BYTES: usize = 64 << 20;

/// The number of bytes before a range in which line breaks are counted, for the line of a fault.
const MOST_COUNTED_BYTES: u64 = 1 << 30;

/// The columns that a scan reads from each text file of a port.
#[derive(Debug)]
pub(super) struct TextScan {
    encoding: Encoding,
    layout: Layout,
    /// The positions of the wanted columns among those of the port's files.
    wanted: Vec<usize>,
    /// The wanted columns, with their names in the files.
    columns: SchemaRef,
    batch_size: usize,
}

/// Rows that were read from text, and the faults among them.
#[derive(Debug)]
pub(super) struct TextBatch {
    /// The rows. A value with a fault is NULL.
    pub(super) rows: RecordBatch,
    /// The number of records without a fault of the whole record.
    pub(super) count: usize,
    /// The first faults, by their lines.
    pub(super) faults: Vec<DataFault>,
    /// True if there are more faults.
    pub(super) has_more: bool,
}

/// A reader of one text. The text arrives in pieces.
trait TextReader: Send {
    /// Reads a piece up to the end of a batch, and returns the number of bytes.
    fn read(&mut self, text: &Bytes) -> Result<usize>;

    /// Ends the text.
    fn finish(&mut self) -> Result<()>;

    /// True if the batch is complete.
    fn is_full(&self) -> bool;

    /// Returns the batch. `None` if there are no rows and no faults.
    fn take(&mut self) -> Result<Option<TextBatch>>;
}

impl TextScan {
    /// Returns a scan of the wanted columns.
    ///
    /// # Errors
    /// A position that no column has.
    pub(super) fn new(encoding: Encoding, layout: Layout, wanted: Vec<usize>, batch_size: usize) -> Result<Self> {
        let columns = Arc::new(layout.file_schema.project(&wanted)?);
        Ok(Self { encoding, layout, wanted, columns, batch_size })
    }

    fn parsers(&self) -> Result<Vec<ColumnParser>> {
        let is_csv = self.encoding.format == FileFormat::Csv;
        let parser = |field: &Arc<arrow::datatypes::Field>| {
            ColumnParser::new(&self.encoding.column(field.name()), field.data_type(), is_csv)
                .map_err(|message| DataFusionError::External(message.into()))
        };
        self.columns.fields().iter().map(parser).collect()
    }

    /// Reads a file, or a range of its lines. Each batch has at most `most_faults` faults.
    ///
    /// # Errors
    /// An error of the store or of the decompression. The stream has the errors of the text.
    pub(super) async fn open(
        self: Arc<Self>,
        store: Arc<dyn ObjectStore>,
        file: &PartitionedFile,
        most_faults: usize,
    ) -> Result<BoxStream<'static, Result<TextBatch>>> {
        let path = file.object_meta.location.clone();
        let Some(range) = &file.range else {
            let text = self.encoding.text(&store, &path).await?;
            return match self.encoding.format {
                FileFormat::Csv => Ok(batches(text.chunks, CsvReader::new(self, most_faults)?)),
                _ => Ok(batches(text.chunks, JsonReader::new(self, false, most_faults)?)),
            };
        };
        let (start, end) = (range.start.unsigned_abs(), range.end.unsigned_abs());
        let size = file.object_meta.size;
        let lines = AlignedBoundaryStream::new(store.clone(), path.clone(), start, end, size, b'\n').await?;
        let mut lines = lines.map_err(DataFusionError::from).boxed();
        if start == 0 {
            lines = without_mark(lines).await?;
        }
        let batches = batches(lines, JsonReader::new(self, start > 0, most_faults)?);
        Ok(batches.and_then(move |batch| with_lines_of_file(batch, store.clone(), path.clone(), start)).boxed())
    }
}

impl TextBatch {
    fn new(rows: RecordBatch, faults: &mut Faults) -> Self {
        let mut found = std::mem::take(&mut faults.found);
        found.sort_by_key(|fault| fault.line);
        Self { count: rows.num_rows(), rows, faults: found, has_more: std::mem::take(&mut faults.has_more) }
    }

    /// Returns the rows.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn into_rows(self) -> Result<RecordBatch> {
        match self.faults.into_iter().next() {
            Some(fault) => Err(fatal(fault)),
            None => Ok(self.rows),
        }
    }
}

/// Returns the error for a fault after which a file cannot be read further.
pub(super) fn fatal(fault: DataFault) -> DataFusionError {
    DataFusionError::External(Box::new(fault))
}

/// Returns a batch, also one without columns.
pub(super) fn rows(columns: &SchemaRef, arrays: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(columns.clone(), arrays, &options)?)
}

/// The state of reading a text.
struct Reading<R> {
    chunks: Chunks,
    chunk: Bytes,
    reader: R,
    is_finished: bool,
}

/// Returns the batches of a text.
fn batches<R: TextReader + 'static>(chunks: Chunks, reader: R) -> BoxStream<'static, Result<TextBatch>> {
    let reading = Reading { chunks, chunk: Bytes::new(), reader, is_finished: false };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if reading.reader.is_full() || (reading.is_finished && reading.chunk.is_empty()) {
                match reading.reader.take()? {
                    Some(batch) => return Ok(Some((batch, reading))),
                    None if reading.is_finished => return Ok(None),
                    None => {}
                }
            }
            if !reading.chunk.is_empty() {
                let read = reading.reader.read(&reading.chunk)?;
                reading.chunk.advance(read);
            } else if let Some(chunk) = reading.chunks.try_next().await? {
                reading.chunk = chunk;
            } else {
                reading.reader.finish()?;
                reading.is_finished = true;
            }
        }
    })
    .boxed()
}

/// Removes a byte order mark from the beginning of a text in UTF-8.
async fn without_mark(mut text: Chunks) -> Result<Chunks> {
    let Some(mut first) = text.try_next().await? else { return Ok(stream::empty().boxed()) };
    if first.starts_with(b"\xef\xbb\xbf") {
        first.advance(3);
    }
    Ok(stream::iter([Ok(first)]).chain(text).boxed())
}

/// Adds the lines before a range of a file to the lines of faults.
async fn with_lines_of_file(
    mut batch: TextBatch,
    store: Arc<dyn ObjectStore>,
    path: Path,
    start: u64,
) -> Result<TextBatch> {
    if !batch.faults.is_empty() {
        let before = lines_before(&store, &path, start).await?;
        for fault in &mut batch.faults {
            fault.line = fault.line.zip(before).map(|(line, before)| line + before);
        }
    }
    Ok(batch)
}

/// Returns the number of lines before a range, or `None` if there is too much text before it. The range starts after the
/// first line break from the byte before `start` on.
async fn lines_before(store: &Arc<dyn ObjectStore>, path: &Path, start: u64) -> Result<Option<u64>> {
    if !(2..=MOST_COUNTED_BYTES).contains(&start) {
        return Ok((start < 2).then_some(start));
    }
    let options = GetOptions { range: Some(GetRange::Bounded(0..start - 1)), ..GetOptions::default() };
    let mut bytes = store.get_opts(path, options).await?.into_stream();
    let mut lines = 1;
    while let Some(chunk) = bytes.try_next().await? {
        lines += line_breaks(&chunk);
    }
    Ok(Some(lines))
}
