//! Writes one result in one format.

use std::io::Write;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use portolan_node::{Error, Result};

use super::format::Format;
use super::{csv, json};
use crate::render::{Drawing, View, plan_document};

type Out<'a> = Box<dyn Write + Send + 'a>;

/// The encoding of a result.
pub(super) struct Encoding {
    pub(super) format: Format,
    /// Arrow: an IPC file instead of a stream.
    pub(super) is_arrow_file: bool,
    /// JSON: the document of an EXPLAIN is the whole output.
    pub(super) bare_plans: bool,
}

/// A writer of one result.
pub struct ResultWriter<'a> {
    what: String,
    schema: SchemaRef,
    encoding: Encoding,
    state: State<'a>,
    rows: usize,
}

enum State<'a> {
    /// Nothing is written: the first rows decide about the document of an EXPLAIN.
    Waiting(Out<'a>, View, Option<usize>),
    Writing(Box<Sink<'a>>),
    /// An error ended the result.
    Failed,
}

enum Sink<'a> {
    Table(Out<'a>, Box<Drawing>),
    /// The output after a plan for programs was written.
    Document(Out<'a>),
    Csv(csv::Writer<Out<'a>>),
    Json(arrow::json::Writer<Out<'a>, LineDelimited>),
    ArrowStream(StreamWriter<Out<'a>>),
    ArrowFile(FileWriter<Out<'a>>),
    Parquet(Box<ArrowWriter<Out<'a>>>),
}

impl<'a> ResultWriter<'a> {
    pub(super) fn new(
        what: String,
        out: Out<'a>,
        schema: SchemaRef,
        encoding: Encoding,
        view: View,
        width: Option<usize>,
    ) -> Self {
        Self { what, schema, encoding, state: State::Waiting(out, view, width), rows: 0 }
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// The error of the write, or a type that the format cannot hold.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let Some(sink) = self.sink(batch)? else { return Ok(()) };
        let (written, rows) = (sink.write(batch), batch.num_rows());
        self.rows += rows;
        written.map_err(|e| e.of(&self.what))
    }

    /// Returns the sink, or `None` after writing a plan's document. The first call opens the sink.
    fn sink(&mut self, first: &RecordBatch) -> Result<Option<&mut Sink<'a>>> {
        if let State::Waiting(..) = self.state
            && let State::Waiting(mut out, view, width) = std::mem::replace(&mut self.state, State::Failed)
        {
            let what = &self.what;
            let document = plan_document(first).filter(|_| match self.encoding.format {
                Format::Table => true,
                Format::Json => self.encoding.bare_plans,
                _ => false,
            });
            if let Some(document) = document {
                out.write_all(document.as_bytes()).map_err(|e| Error::output(what, e))?;
                self.rows += first.num_rows();
                self.state = State::Writing(Box::new(Sink::Document(out)));
                return Ok(None);
            }
            let sink = Sink::open(out, &self.schema, &self.encoding, view, width);
            self.state = State::Writing(Box::new(sink.map_err(|e| e.of(what))?));
        }
        match &mut self.state {
            State::Writing(sink) => Ok(Some(sink)),
            _ => Err(Error::failed(format!("an error ended the result in {}", self.what))),
        }
    }

    /// Writes the end of the result, and returns the number of rows. A table shows the time, if there is one.
    ///
    /// # Errors
    /// The same as for [`ResultWriter::write`].
    pub fn finish(mut self, time: Option<Duration>) -> Result<usize> {
        self.sink(&RecordBatch::new_empty(self.schema.clone()))?;
        if let State::Writing(sink) = self.state {
            sink.finish(time).map_err(|e| e.of(&self.what))?;
        }
        Ok(self.rows)
    }
}

impl<'a> Sink<'a> {
    fn open(
        out: Out<'a>,
        schema: &SchemaRef,
        encoding: &Encoding,
        view: View,
        width: Option<usize>,
    ) -> Result<Self, Failure> {
        Ok(match encoding.format {
            Format::Table => Self::Table(out, Box::new(Drawing::new(schema.clone(), view, width))),
            Format::Csv => Self::Csv(csv::Writer::new(out, schema)?),
            Format::Json => Self::Json(WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out)),
            Format::Arrow if encoding.is_arrow_file => Self::ArrowFile(FileWriter::try_new(out, schema)?),
            Format::Arrow => Self::ArrowStream(StreamWriter::try_new(out, schema)?),
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                Self::Parquet(Box::new(ArrowWriter::try_new(out, schema.clone(), Some(properties))?))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        match self {
            Self::Document(_) => return Err(Failure::Document),
            Self::Table(out, drawing) => {
                let text = drawing.draw(std::slice::from_ref(batch))?;
                out.write_all(text.as_bytes())?;
            }
            Self::Csv(writer) => writer.write(batch)?,
            Self::Json(writer) => writer.write(&json::with_string_keys(batch)?)?,
            Self::ArrowStream(writer) => writer.write(batch)?,
            Self::ArrowFile(writer) => writer.write(batch)?,
            Self::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    fn finish(self, time: Option<Duration>) -> Result<(), Failure> {
        let mut out = match self {
            Self::Document(out) => out,
            Self::Table(mut out, mut drawing) => {
                let end = drawing.end(time, None)?;
                out.write_all(end.as_bytes())?;
                out
            }
            Self::Csv(mut writer) => return Ok(writer.flush()?),
            Self::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Self::ArrowStream(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Self::ArrowFile(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Self::Parquet(writer) => writer.into_inner()?,
        };
        Ok(out.flush()?)
    }
}

/// An error of a format, or of the file or the pipe.
enum Failure {
    Arrow(ArrowError),
    Parquet(ParquetError),
    Io(std::io::Error),
    /// Rows after the document of a plan.
    Document,
}

impl Failure {
    /// Returns the error of writing to `what`.
    fn of(self, what: &str) -> Error {
        match self {
            Self::Arrow(e) => Error::output(what, e),
            Self::Parquet(e) => Error::output(what, e),
            Self::Io(e) => Error::output(what, e),
            Self::Document => Error::failed("rows came after a plan's document"),
        }
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
