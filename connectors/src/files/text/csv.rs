//! Reads CSV. The header of each file shows the position of each column; a file without a header has the columns of the
//! contract, in their order.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;

use super::cells::Faults;
use super::columns::ColumnParser;
use super::decoding::Text;
use super::records::{Records, Step};
use super::{MOST_BATCH_BYTES, MOST_RECORD_BYTES, TextBatch, TextReader, TextScan, fatal, rows};
use crate::data_fault::DataFault;
use crate::files::checked::FileColumns;
use crate::files::format::{Encoding, FoundColumns};

/// A reader of one CSV file.
pub(in crate::files) struct CsvReader {
    scan: Arc<TextScan>,
    records: Records,
    /// The parser of each wanted column.
    parsers: Vec<ColumnParser>,
    /// The position of each wanted column in the file. `None` if the file lacks the column.
    positions: Vec<Option<usize>>,
    /// The number of values of a record. `None` until the header is read.
    width: Option<usize>,
    faults: Faults,
}

impl CsvReader {
    /// Returns a reader of the wanted columns.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub(in crate::files) fn new(scan: Arc<TextScan>, most_faults: usize) -> Result<Self> {
        let parsers = scan.parsers()?;
        let mut records = records(&scan.encoding);
        let (mut positions, mut width) = (vec![None; parsers.len()], None);
        if !scan.encoding.has_header {
            let declared = scan.layout.file_schema.fields().len();
            positions = scan.wanted.iter().copied().map(Some).collect();
            width = Some(declared);
            records.set_width(declared);
        }
        Ok(Self { scan, records, parsers, positions, width, faults: Faults::new(most_faults) })
    }

    /// Takes the record that was just read. `piece` is the text up to the record's end.
    fn accept(&mut self, piece: &[u8]) -> Result<()> {
        if let Some(fault) = self.records.quote_fault() {
            return self.accept_misquoted(fault.on(self.records.current_line(piece)));
        }
        let Some(width) = self.width else { return self.accept_header(piece) };
        let (text, values) = (&self.scan.encoding.text, self.records.values());
        if values == width || (values < width && text.allows_short_rows) || (values > width && text.allows_long_rows) {
            self.records.keep(piece);
            return Ok(());
        }
        let count = |values: usize| if values == 1 { "1 value".to_owned() } else { format!("{values} values") };
        let line = Some(self.records.current_line(piece));
        let fault = DataFault::of_record(line, count(width), count(values));
        let hint = match (self.scan.encoding.has_contract(), values > width) {
            (true, true) => "is a quote missing? `portolan.allowLongRows` ignores values without a column",
            (true, false) => "`portolan.allowShortRows` reads missing values as NULL",
            (false, true) => {
                "is a quote missing, or is there another delimiter? `read_csv('FILE', delim = ';')` names it"
            }
            (false, false) => "is there another delimiter? `read_csv('FILE', delim = ';')` names it",
        };
        self.faults.add(|| fault.with_hint(hint));
        self.records.skip();
        Ok(())
    }

    /// Drops a record whose values are not known. Without a header, the file cannot be read further.
    fn accept_misquoted(&mut self, fault: DataFault) -> Result<()> {
        if self.width.is_none() {
            return Err(fatal(fault));
        }
        self.faults.add(|| fault);
        self.records.skip();
        Ok(())
    }

    /// Finds the wanted columns in the header.
    fn accept_header(&mut self, piece: &[u8]) -> Result<()> {
        let line = Some(self.records.current_line(piece));
        let names = self.records.current();
        let wrong = |what: &str| fatal(DataFault::of_record(line, "a header with the port's columns", what));
        let names: Vec<String> = names.into_iter().collect::<Option<_>>().ok_or_else(|| {
            wrong("one that is not in UTF-8: `encoding` of the contract's server names another encoding")
        })?;
        let schema = Arc::new(schema_of(&names, |_| DataType::Null));
        let found = FoundColumns { schema, is_whole: true, is_splittable: false };
        FileColumns::new(&self.scan.layout, &found, false).map_err(|what| wrong(&format!("another one: {what}")))?;
        let position = |field: &Arc<Field>| names.iter().position(|name| name == field.name());
        self.positions = self.scan.columns.fields().iter().map(position).collect();
        self.width = Some(names.len());
        self.records.set_width(names.len());
        self.records.skip();
        Ok(())
    }
}

impl TextReader for CsvReader {
    fn read(&mut self, text: &Bytes) -> Result<usize> {
        let mut consumed = 0;
        while consumed < text.len() && !self.is_full() {
            match self.records.read(&text[consumed..]) {
                Step::Record(length) => {
                    self.accept(&text[consumed..consumed + length])?;
                    consumed += length;
                }
                Step::TooLarge => return Err(too_large(self.records.current_line(&[]), "a record")),
                Step::NeedsText | Step::End => consumed = text.len(),
            }
        }
        Ok(consumed)
    }

    fn finish(&mut self) -> Result<()> {
        if has_last_record(&mut self.records)? { self.accept(&[]) } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.scan.batch_size
            || self.records.bytes() >= MOST_BATCH_BYTES
            || self.faults.found.len() >= self.faults.limit
    }

    fn take(&mut self) -> Result<Option<TextBatch>> {
        let Self { scan, records, parsers, positions, faults, .. } = self;
        if records.len() == 0 && faults.found.is_empty() {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(parsers.len());
        for ((parser, position), field) in parsers.iter().zip(positions.iter()).zip(scan.columns.fields()) {
            arrays.push(match position {
                Some(position) => parser.parse_cells(records.column(*position), |record| records.line(record), faults),
                None => new_null_array(field.data_type(), records.len()),
            });
        }
        let rows = rows(&scan.columns, arrays, records.len())?;
        records.clear();
        Ok(Some(TextBatch::new(rows, faults)))
    }
}

/// The header and the first records of a CSV file.
pub(in crate::files) struct CsvSample {
    /// The names in the header. Without a header, one name for each value of the first record.
    pub(in crate::files) names: Vec<String>,
    /// The records after the header.
    pub(in crate::files) records: Records,
    /// True if all records have as many values as the first one, and no quote is misplaced.
    pub(in crate::files) is_even: bool,
}

impl CsvSample {
    /// Reads at most `count` records, and at most `most_bytes` bytes after the first record.
    ///
    /// # Errors
    /// An error of the text; a first record that is too long for a reader; a header that is no UTF-8.
    pub(in crate::files) async fn read(
        encoding: &Encoding,
        text: Text,
        count: usize,
        most_bytes: usize,
    ) -> Result<Self> {
        let mut sample = Self { names: Vec::new(), records: records(encoding), is_even: true };
        let mut chunks = text.chunks;
        while let Some(chunk) = chunks.try_next().await? {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                match sample.records.read(rest) {
                    Step::Record(length) => {
                        sample.accept(encoding.has_header, &rest[..length])?;
                        sample.records.set_most_bytes(most_bytes);
                        rest = &rest[length..];
                    }
                    // A later record that is too long ends the sample.
                    Step::TooLarge if !sample.names.is_empty() => return Ok(sample),
                    Step::TooLarge => return Err(too_large(1, "a first record")),
                    Step::NeedsText | Step::End => break,
                }
                let is_read = sample.records.len() >= count || sample.records.bytes() >= most_bytes;
                if is_read && !sample.names.is_empty() {
                    return Ok(sample);
                }
            }
        }
        if has_last_record(&mut sample.records)? {
            sample.accept(encoding.has_header, &[])?;
        }
        Ok(sample)
    }

    fn accept(&mut self, has_header: bool, piece: &[u8]) -> Result<()> {
        self.is_even &= self.records.quote_fault().is_none();
        if !self.names.is_empty() {
            self.is_even &= self.records.values() == self.names.len();
            self.records.keep(piece);
            return Ok(());
        }
        let line = self.records.current_line(piece);
        let values = self.records.current();
        self.records.set_width(values.len());
        if !has_header {
            self.names = (1..=values.len()).map(|number| format!("column_{number}")).collect();
            self.records.keep(piece);
            return Ok(());
        }
        self.names = values.into_iter().collect::<Option<_>>().ok_or_else(|| {
            let fault = DataFault::of_record(Some(line), "a header in UTF-8", "other bytes");
            fatal(fault.with_hint("`encoding` of the contract's server names another encoding"))
        })?;
        self.records.skip();
        Ok(())
    }
}

/// Returns the schema of columns with these names, which need not be unique.
pub(in crate::files) fn schema_of(names: &[String], data_type: impl Fn(usize) -> DataType) -> Schema {
    let fields = names.iter().enumerate().map(|(i, name)| Field::new(name, data_type(i), true));
    Schema::new(fields.collect::<Vec<_>>())
}

fn records(encoding: &Encoding) -> Records {
    Records::new(encoding.delimiter, &encoding.text, MOST_RECORD_BYTES)
}

/// Ends the text. Returns true if a record without a line break is the last one.
///
/// # Errors
/// Quotes that do not close, or that a record has at another place.
fn has_last_record(records: &mut Records) -> Result<bool> {
    let line = || records.current_line(&[]);
    if let Some(fault) = records.quote_fault() {
        return Err(fatal(fault.on(line())));
    }
    if records.is_within_quotes() {
        return Err(fatal(DataFault::of_record(Some(line()), "a closing quote", "the end of the file")));
    }
    Ok(matches!(records.read(&[]), Step::Record(_)))
}

fn too_large(line: u64, record: &str) -> DataFusionError {
    let expected = format!("{record} of at most {MOST_RECORD_BYTES} bytes");
    fatal(DataFault::of_record(Some(line), expected, "more").with_hint("is a quote missing?"))
}
