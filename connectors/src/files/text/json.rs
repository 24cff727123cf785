//! Reads JSON: one object on each line, or one array of objects. Arrow's decoder reads every value as a string. It also
//! reads text that is no JSON, so each batch is checked. It does not report lines, so a batch with a fault is read again,
//! record by record.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use bytes::Bytes;
use datafusion::error::Result;

use super::cells::Faults;
use super::columns::{ColumnParser, as_text};
use super::decoding::line_breaks;
use super::elements::Elements;
use super::strict::{self, Found};
use super::{MOST_BATCH_BYTES, MOST_RECORD_BYTES, TextBatch, TextReader, TextScan, rows};
use crate::data_fault::{DataFault, kept};

/// The expected record, for a message.
pub(super) const RECORD: &str = "a JSON object";

/// A reader of one JSON file, or of a range of its lines.
pub(in crate::files) struct JsonReader {
    scan: Arc<TextScan>,
    /// The wanted columns with strings as values.
    texts: SchemaRef,
    parsers: Vec<ColumnParser>,
    decoder: Decoder,
    layout: JsonLayout,
    /// The line of the next byte.
    line: u64,
    /// The first lines of records: the number of the record within the batch, and the line. Records between two of them
    /// start on the line of the first one.
    starts: Vec<(usize, u64)>,
    /// The text of the batch, and the line on which each piece starts. A piece has several lines, or a part of an element.
    kept: Vec<(Bytes, u64)>,
    kept_bytes: usize,
    /// The reason why the text of the batch cannot be decoded.
    error: Option<String>,
    /// True if the rest of the text cannot be read.
    is_over: bool,
    faults: Faults,
}

/// The way in which a text has its records.
enum JsonLayout {
    /// No character was read yet.
    Unknown,
    Lines,
    Array(Elements),
}

impl JsonReader {
    /// Returns a reader of the wanted columns. `is_range` is true for text that starts on a later line of a file.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub(in crate::files) fn new(scan: Arc<TextScan>, is_range: bool, most_faults: usize) -> Result<Self> {
        let text = |field: &Arc<Field>| field.as_ref().clone().with_data_type(as_text(field.data_type()));
        let texts = Arc::new(Schema::new(scan.columns.fields().iter().map(text).collect::<Vec<_>>()));
        Ok(Self {
            parsers: scan.parsers()?,
            decoder: decoder(&texts, scan.batch_size)?,
            scan,
            texts,
            layout: if is_range { JsonLayout::Lines } else { JsonLayout::Unknown },
            line: 1,
            starts: Vec::new(),
            kept: Vec::new(),
            kept_bytes: 0,
            error: None,
            is_over: false,
            faults: Faults::new(most_faults),
        })
    }

    /// Reads the next part of a text from a position on, and returns its length.
    fn step(&mut self, text: &Bytes, from: usize) -> usize {
        let rest = &text[from..];
        let length = match &mut self.layout {
            JsonLayout::Unknown => match Elements::is_array(rest) {
                None => rest.len(),
                Some(is_array) => {
                    self.layout = if is_array { JsonLayout::Array(Elements::default()) } else { JsonLayout::Lines };
                    0
                }
            },
            JsonLayout::Lines => {
                let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
                self.feed(text, from..from + length, self.line)
            }
            JsonLayout::Array(elements) => match elements.next(rest) {
                Ok(part) => {
                    let line = self.line + line_breaks(&rest[..part.element.start]);
                    self.feed(text, from + part.element.start..from + part.element.end, line);
                    part.element.end
                }
                Err((at, expected)) => {
                    let line = self.line + line_breaks(&rest[..at]);
                    self.faults.add(|| DataFault::of_record(Some(line), expected, "another character"));
                    self.is_over = true;
                    rest.len()
                }
            },
        };
        self.line += line_breaks(&rest[..length]);
        length
    }

    /// Decodes a part of a text: a piece of a record, or several records. Returns the number of bytes: fewer if the batch
    /// is full.
    fn feed(&mut self, text: &Bytes, part: Range<usize>, line: u64) -> usize {
        let before = self.decoder.len();
        let read = match self.decoder.decode(&text[part.clone()]) {
            Ok(read) => read,
            Err(error) => {
                self.error = Some(message(&error));
                part.len()
            }
        };
        if self.decoder.len() > before {
            self.starts.push((before, line));
        }
        if read > 0 {
            self.keep(text, part.start..part.start + read, line);
        }
        if self.kept_bytes > MOST_RECORD_BYTES && self.decoder.has_partial_record() {
            self.error = Some(format!("a record of more than {MOST_RECORD_BYTES} bytes"));
            self.is_over = true;
        }
        read
    }

    /// Keeps a part of a text until the batch is complete. Lines are kept together: one piece for each of many short lines
    /// would take much more memory than their text.
    fn keep(&mut self, text: &Bytes, part: Range<usize>, line: u64) {
        self.kept_bytes += part.len();
        if matches!(self.layout, JsonLayout::Lines)
            && let Some((last, _)) = self.kept.last_mut()
            && let Some(start) = part.start.checked_sub(last.len())
            && text[start..].as_ptr() == last.as_ptr()
        {
            *last = text.slice(start..part.end);
            return;
        }
        self.kept.push((text.slice(part), line));
    }

    /// Returns the line on which a record of the batch starts.
    fn line_of(starts: &[(usize, u64)], record: usize) -> Option<u64> {
        let next = starts.partition_point(|(first, _)| *first <= record);
        Some(starts.get(next.checked_sub(1)?)?.1)
    }

    /// Parses the values of decoded records.
    fn parsed(&mut self, batch: &RecordBatch, starts: &[(usize, u64)]) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.parsers.len());
        for (parser, array) in self.parsers.iter().zip(batch.columns()) {
            arrays.push(parser.parse(array, |record| Self::line_of(starts, record), &mut self.faults)?);
        }
        rows(&self.scan.columns, arrays, batch.num_rows())
    }

    /// Reads the text of a batch record by record, and finds all faults. Returns the number of records without one.
    fn read_again(&mut self, text: &[(Bytes, u64)], error: &str) -> Result<usize> {
        let mut single = decoder(&self.texts, 1)?;
        let (mut count, mut start, mut record, faults) = (0, None, Vec::new(), self.faults.found.len());
        let is_array = matches!(self.layout, JsonLayout::Array(_));
        let parts = text
            .iter()
            .flat_map(|(piece, line)| piece.split_inclusive(move |byte| !is_array && *byte == b'\n').zip(*line..));
        for (mut rest, line) in parts {
            while !rest.is_empty() {
                if !single.has_partial_record() {
                    start = Some(line);
                    record.clear();
                }
                match single.decode(rest) {
                    Ok(0) => break,
                    Ok(read) => {
                        record.extend_from_slice(&rest[..read]);
                        rest = &rest[read..];
                    }
                    Err(error) => {
                        let fault = self.record_fault(Some(line), &message(&error));
                        self.faults.add(|| fault);
                        single = decoder(&self.texts, 1)?;
                        break;
                    }
                }
                if single.is_empty() || single.has_partial_record() {
                    continue;
                }
                match single.flush() {
                    Ok(Some(batch)) => match strict::check(&record) {
                        Ok(()) => {
                            self.parsed(&batch, &[(0, start.unwrap_or_default())])?;
                            count += 1;
                        }
                        Err(Found(found)) => self.faults.add(|| DataFault::of_record(start, RECORD, found)),
                    },
                    Ok(None) => {}
                    Err(error) => {
                        let fault = self.record_fault(start, &message(&error));
                        self.faults.add(|| fault);
                        single = decoder(&self.texts, 1)?;
                    }
                }
            }
        }
        if single.has_partial_record() || self.faults.found.len() == faults {
            let fault = self.record_fault(start, error);
            self.faults.add(|| fault);
        }
        Ok(count)
    }

    /// Returns the fault that a message of Arrow's decoder describes.
    fn record_fault(&self, line: Option<u64>, message: &str) -> DataFault {
        let (mut name, mut what) = (None, message);
        while let Some((field, rest)) = what.strip_prefix("whilst decoding field '").and_then(|f| f.split_once("': ")) {
            // The column comes first, and its parts come after it.
            name = name.or(Some(field));
            what = rest;
        }
        if let Some(name) = name
            && let Some((expected, found)) = what.strip_prefix("expected ").and_then(|rest| rest.split_once(" got "))
        {
            let column = self.scan.encoding.column(name);
            let expected = match expected {
                "string" => "a single value",
                "{" => "an object",
                "[" => "a list",
                other => other,
            };
            return DataFault {
                line,
                column: Some(column.shown()),
                value: Some(kept(found)),
                shows_value: column.is_open,
                expected: expected.to_owned(),
                ..DataFault::default()
            };
        }
        // A message about a whole record repeats the record, with columns that nobody may see.
        let found = match message.starts_with("expected {") {
            true => "another value".to_owned(),
            false => format!("text that is none: {message}"),
        };
        DataFault::of_record(line, RECORD, found)
    }
}

impl TextReader for JsonReader {
    fn read(&mut self, text: &Bytes) -> Result<usize> {
        let mut consumed = 0;
        while consumed < text.len() && !self.is_full() {
            consumed += if self.is_over { text.len() - consumed } else { self.step(text, consumed) };
        }
        Ok(consumed)
    }

    fn finish(&mut self) -> Result<()> {
        let is_open = matches!(&self.layout, JsonLayout::Array(elements) if !elements.is_complete());
        if self.decoder.has_partial_record() && self.error.is_none() {
            self.error = Some("the file ends within it".to_owned());
        } else if is_open && !self.is_over {
            let line = Some(self.line);
            self.faults.add(|| DataFault::of_record(line, "`]` after the objects", "the end of the file"));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let is_large = self.decoder.len() >= self.scan.batch_size || self.kept_bytes >= MOST_BATCH_BYTES;
        self.error.is_some() || !self.faults.found.is_empty() || (is_large && !self.decoder.has_partial_record())
    }

    fn take(&mut self) -> Result<Option<TextBatch>> {
        if self.decoder.is_empty() && self.error.is_none() && self.faults.found.is_empty() {
            self.kept.clear();
            self.kept_bytes = 0;
            return Ok(None);
        }
        let (starts, text) = (std::mem::take(&mut self.starts), std::mem::take(&mut self.kept));
        self.kept_bytes = 0;
        let mut error = self.error.take().or_else(|| is_json(&text).err());
        let mut decoded = None;
        if error.is_none() {
            match self.decoder.flush() {
                Ok(batch) => decoded = batch,
                Err(e) => error = Some(message(&e)),
            }
        }
        let Some(error) = error else {
            let batch = decoded.unwrap_or_else(|| RecordBatch::new_empty(self.texts.clone()));
            let rows = self.parsed(&batch, &starts)?;
            return Ok(Some(TextBatch::new(rows, &mut self.faults)));
        };
        let count = self.read_again(&text, &error)?;
        self.decoder = decoder(&self.texts, self.scan.batch_size)?;
        let rows = RecordBatch::new_empty(self.scan.columns.clone());
        Ok(Some(TextBatch { count, ..TextBatch::new(rows, &mut self.faults) }))
    }
}

fn decoder(texts: &SchemaRef, batch_size: usize) -> Result<Decoder> {
    // Numbers and booleans become strings, as the file writes them.
    Ok(ReaderBuilder::new(texts.clone()).with_batch_size(batch_size).with_coerce_primitive(true).build_decoder()?)
}

/// Checks that the text of a batch is JSON.
///
/// # Errors
/// The reason in general: the text is read again to find the record.
fn is_json(text: &[(Bytes, u64)]) -> Result<(), String> {
    let checked = match text {
        [(only, _)] => strict::check(only),
        // A record can have several pieces.
        pieces => strict::check(&pieces.iter().map(|(piece, _)| piece.as_ref()).collect::<Vec<&[u8]>>().concat()),
    };
    checked.map_err(|_| "it is not valid JSON".to_owned())
}

/// Returns the message of an error without Arrow's prefix.
fn message(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(message) => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_catalog::FileFormat;

    use super::*;
    use crate::files::table::FileTable;
    use crate::files::tests::Fixture;

    #[tokio::test]
    async fn many_short_lines_are_one_piece_of_text() {
        let fixture = Fixture::new(FileFormat::Json, "o.json", &[("id", "integer")]);
        fixture.write("o.json", "{\"id\":1}\n");
        let (opened, _) = fixture.open().await.unwrap();
        let table: &FileTable = opened.provider.downcast_ref().unwrap();
        let scan = TextScan::new(table.encoding.clone(), table.layout.clone(), vec![0], 8192).unwrap();
        let mut reader = JsonReader::new(Arc::new(scan), false, 10).unwrap();
        let text = Bytes::from("\n".repeat(1000) + "{\"id\":\n1}\n{\"id\":[2]}\n");
        assert_eq!(reader.read(&text).unwrap(), text.len());
        assert_eq!((reader.kept.len(), reader.kept_bytes), (1, text.len()));
        let batch = reader.take().unwrap().unwrap();
        let lines: Vec<Option<u64>> = batch.faults.iter().map(|fault| fault.line).collect();
        assert_eq!((batch.count, lines), (1, vec![Some(1003)]));
    }
}
