//! Rows of `COPY … (FORMAT binary)` as record batches, without a copy of each value in between.
//!
//! The stream is a header, then rows, then a trailer. A row is the number of fields, then the length and the bytes of
//! each field. A message usually has one row, but nothing depends on that.

mod columns;
mod numeric;
#[cfg(test)]
mod tests;
mod times;

use std::borrow::Cow;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use self::columns::Values;
use crate::databases::Origin;
use crate::error::{Error, ErrorKind, Result};

/// The number of rows of a full batch.
const BATCH_ROWS: usize = 8192;
/// The size of a full batch in bytes, as the rows are sent.
const BATCH_BYTES: usize = 4 << 20;
/// The largest size of a row in bytes. PostgreSQL has no larger messages.
const MAX_ROW: usize = 1 << 30;
/// The beginning of every stream.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The flags in the header that a reader must know, and PostgreSQL sets none of them.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// The number of fields that marks the trailer.
const TRAILER: i16 = -1;

/// A fault in the bytes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are not what PostgreSQL sends.
    Malformed(Cow<'static, str>),
    /// The value has no place in the column's type: what was expected, and what was found.
    Unfit(Cow<'static, str>),
}

impl Fault {
    fn malformed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed(text.into())
    }

    fn unfit(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Unfit(text.into())
    }

    fn in_column(self, name: &str) -> Self {
        let within = |text| format!("column `{name}`: {text}").into();
        match self {
            Self::Malformed(text) => Self::Malformed(within(text)),
            Self::Unfit(text) => Self::Unfit(within(text)),
        }
    }

    /// Returns the fault as an error of the database.
    pub(super) fn error(self, origin: &Origin) -> Error {
        match self {
            Self::Malformed(text) => {
                let what = format!("{} sent rows that cannot be read: {text}", origin.shown);
                Error::new(ErrorKind::SiteUnavailable, what)
            }
            Self::Unfit(text) => Error::new(ErrorKind::InvalidData, format!("{}: {text}", origin.shown)),
        }
    }
}

/// A decoder of one stream.
#[derive(Debug)]
pub(super) struct RowDecoder {
    schema: SchemaRef,
    columns: Vec<Values>,
    /// The number of rows in `columns`.
    rows: usize,
    /// The size of these rows as they were sent.
    bytes: usize,
    /// The start of a row whose end has not arrived.
    rest: Vec<u8>,
    /// The position and the length of each field of the row that is decoded.
    fields: Vec<(usize, Option<usize>)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl RowDecoder {
    /// Returns a decoder of rows with the columns of `schema`.
    ///
    /// # Errors
    /// `Internal` for a type that no column of PostgreSQL is read as.
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| {
            Values::new(field.data_type()).ok_or_else(|| {
                let what = format!("column `{}`: PostgreSQL has no type for {}", field.name(), field.data_type());
                Error::new(ErrorKind::Internal, what)
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fields = Vec::with_capacity(columns.len());
        Ok(Self { schema, columns, rows: 0, bytes: 0, rest: vec![], fields, state: State::Header })
    }

    /// True if the rows are enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Decodes the next bytes of the stream.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        if self.rest.is_empty() {
            let used = self.decode(chunk)?;
            self.rest.extend_from_slice(&chunk[used..]);
        } else {
            self.rest.extend_from_slice(chunk);
            let mut rest = std::mem::take(&mut self.rest);
            let used = self.decode(&rest)?;
            rest.drain(..used);
            self.rest = rest;
        }
        if self.rest.len() > MAX_ROW { Err(Fault::malformed("expected a row of at most 1 GiB")) } else { Ok(()) }
    }

    /// Checks that the stream has ended.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.state {
            State::Ended if self.rest.is_empty() => Ok(()),
            _ => Err(Fault::malformed("expected the trailer, got the end of the rows")),
        }
    }

    /// Prepares for the rows of another stream with the same columns.
    pub(super) fn restart(&mut self) {
        self.state = State::Header;
    }

    /// Returns the decoded rows as a batch; `None` if there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows == 0 {
            return Ok(None);
        }
        let columns = self.columns.iter_mut().zip(self.schema.fields());
        let columns = columns
            .map(|(values, field)| values.finish(field.data_type()).map_err(|fault| fault.in_column(field.name())));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        batch.map(Some).map_err(|e| Fault::unfit(e.to_string()))
    }

    /// Decodes all complete rows in `bytes`, and returns the number of bytes that they take.
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        if self.state == State::Header {
            let Some(length) = header(bytes)? else { return Ok(0) };
            self.state = State::Rows;
            at = length;
        }
        while let Some(length) = self.row(&bytes[at..])? {
            at += length;
        }
        Ok(at)
    }

    /// Decodes the row at the start of `bytes`, and returns its length; `None` if it is not complete.
    fn row(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some((count, mut rest)) = bytes.split_first_chunk() else { return Ok(None) };
        if self.state == State::Ended {
            return Err(Fault::malformed("expected nothing behind the trailer"));
        }
        let count = i16::from_be_bytes(*count);
        if count == TRAILER {
            self.state = State::Ended;
            return Ok(Some(size_of::<i16>()));
        }
        // A query without columns may send a field that is not read.
        if usize::try_from(count) != Ok(self.columns.len()) && !self.columns.is_empty() {
            return Err(Fault::malformed(format!("expected {} fields, got {count}", self.columns.len())));
        }
        self.fields.clear();
        for _ in 0..count {
            let Some((length, values)) = rest.split_first_chunk() else { return Ok(None) };
            let start = bytes.len() - values.len();
            let length = match i32::from_be_bytes(*length) {
                -1 => None,
                length => Some(checked_length(length)?),
            };
            let Some((_, behind)) = values.split_at_checked(length.unwrap_or(0)) else { return Ok(None) };
            self.fields.push((start, length));
            rest = behind;
        }
        for (index, (values, (start, length))) in self.columns.iter_mut().zip(&self.fields).enumerate() {
            let value = length.map(|length| &bytes[*start..start + length]);
            values.append(value).map_err(|fault| fault.in_column(self.schema.field(index).name()))?;
        }
        let length = bytes.len() - rest.len();
        self.rows += 1;
        self.bytes += length;
        Ok(Some(length))
    }
}

fn checked_length(length: i32) -> Result<usize, Fault> {
    let checked = usize::try_from(length).ok().filter(|length| *length <= MAX_ROW);
    checked.ok_or_else(|| Fault::malformed(format!("expected the length of a value, got {length}")))
}

/// Checks the header and returns its length; `None` if it is not complete.
fn header(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        return Err(Fault::malformed("expected the header of binary COPY"));
    }
    let Some((flags, rest)) = bytes[begun..].split_first_chunk() else { return Ok(None) };
    let Some((extension, rest)) = rest.split_first_chunk() else { return Ok(None) };
    if u32::from_be_bytes(*flags) & CRITICAL_FLAGS != 0 {
        return Err(Fault::malformed("expected no flags in the header"));
    }
    let extension = checked_length(i32::from_be_bytes(*extension))?;
    Ok((rest.len() >= extension).then(|| bytes.len() - rest.len() + extension))
}

/// Returns bytes of a known number.
fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::malformed(format!("expected {N} bytes, got {}", bytes.len())))
}
