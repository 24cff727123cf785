//! Writes results in the formats of `portolan sql`, batch by batch. An output file appears only when it is complete.

mod csv;

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use portolan_catalog::{printable_json, printable_lines};
use portolan_node::{Error, Result};
use tempfile::NamedTempFile;

use crate::escaping::EscapingWriter;
use crate::render::{Layout, plan_document};

/// Writes text to standard output.
///
/// # Errors
/// The error of the write. `BrokenPipe` if the reader has closed the pipe.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::output("standard output", e))
}

/// Returns the number of rows that a statement changed, as text for people.
pub fn rows_changed(rows: u64) -> String {
    if rows == 1 { "1 row changed".into() } else { format!("{rows} rows changed") }
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for readers
    Table,
    /// Comma-separated values, with a header line
    Csv,
    /// One JSON object per line
    Json,
    /// An Arrow IPC stream
    Arrow,
    /// Parquet
    Parquet,
}

/// The output of a script's results: standard output, or a file that appears only when it is complete.
pub struct Output {
    format: Format,
    to: To,
    results: usize,
}

enum To {
    Stdout,
    File { path: PathBuf, unfinished: NamedTempFile },
}

/// A writer of one result.
pub struct ResultWriter<'a> {
    what: String,
    sink: Sink<'a>,
}

enum Sink<'a> {
    Table {
        out: Box<dyn Write + Send + 'a>,
        schema: SchemaRef,
        layout: Option<Layout>,
        rows: usize,
    },
    /// The output after a plan for programs was written.
    Document(Box<dyn Write + Send + 'a>),
    Csv(csv::Writer<Box<dyn Write + Send + 'a>>),
    Json(arrow::json::Writer<Box<dyn Write + Send + 'a>, LineDelimited>),
    Arrow(StreamWriter<Box<dyn Write + Send + 'a>>),
    Parquet(Box<ArrowWriter<Box<dyn Write + Send + 'a>>>),
}

impl Output {
    /// Returns an output in `format`, to `file` or else to standard output.
    ///
    /// # Errors
    /// A folder that cannot be written to, or a terminal for a format that is not text.
    pub fn new(format: Format, file: Option<&Path>) -> Result<Self> {
        let to = match file {
            None if matches!(format, Format::Arrow | Format::Parquet) && std::io::stdout().is_terminal() => {
                return Err(Error::config(
                    "arrow and parquet are not for a terminal; write to a file with `--output`, or to a pipe",
                ));
            }
            None => To::Stdout,
            Some(path) => {
                // In the same folder, so that one rename gives the file its name.
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let unfinished = tempfile::Builder::new()
                    .prefix(".portolan-")
                    .tempfile_in(folder)
                    .map_err(|e| Error::output(path.display(), e))?;
                To::File { path: path.into(), unfinished }
            }
        };
        Ok(Self { format, to, results: 0 })
    }

    /// Starts another result.
    ///
    /// # Errors
    /// A second result in a format that holds only one, or the error of the write.
    pub fn begin(&mut self, schema: &SchemaRef) -> Result<ResultWriter<'_>> {
        self.results += 1;
        if self.results > 1 && matches!(self.format, Format::Arrow | Format::Parquet) {
            return Err(Error::config(
                "arrow and parquet hold only one result; write each statement to its own output",
            ));
        }
        let (what, out): (_, Box<dyn Write + Send + '_>) = match &mut self.to {
            To::Stdout => ("standard output".into(), standard_output(self.format)),
            To::File { path, unfinished } => {
                (path.display().to_string(), Box::new(BufWriter::new(unfinished.as_file_mut())))
            }
        };
        let sink = match self.format {
            Format::Table => Sink::Table { out, schema: schema.clone(), layout: None, rows: 0 },
            Format::Csv => Sink::Csv(csv::Writer::new(out, schema).map_err(|e| Error::output(&what, e))?),
            Format::Json => Sink::Json(WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out)),
            Format::Arrow => Sink::Arrow(StreamWriter::try_new(out, schema).map_err(|e| Error::output(&what, e))?),
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties));
                Sink::Parquet(Box::new(writer.map_err(|e| Error::output(&what, e))?))
            }
        };
        Ok(ResultWriter { what, sink })
    }

    /// Completes the output. A file gets its name now.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn finish(self) -> Result<()> {
        let To::File { path, unfinished } = self.to else { return Ok(()) };
        unfinished.as_file().sync_all().map_err(|e| Error::output(path.display(), e))?;
        #[cfg(unix)]
        readable_as_any_other(&unfinished, &path);
        unfinished.persist(&path).map_err(|e| Error::output(path.display(), e.error))?;
        Ok(())
    }
}

/// Returns a writer to standard output. A terminal gets only text that is safe to show.
fn standard_output(format: Format) -> Box<dyn Write + Send> {
    let out = BufWriter::new(std::io::stdout());
    match std::io::stdout().is_terminal() {
        true if format == Format::Json => Box::new(EscapingWriter::new(out, printable_json)),
        true => Box::new(EscapingWriter::new(out, printable_lines)),
        false => Box::new(out),
    }
}

/// Gives the file the permissions of the file that it replaces, or those of any new file. As a temporary file, only its
/// owner could read it.
#[cfg(unix)]
fn readable_as_any_other(unfinished: &NamedTempFile, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let before = std::fs::metadata(path).map(|metadata| metadata.permissions());
    let permissions = before.unwrap_or_else(|_| std::fs::Permissions::from_mode(0o644));
    if let Err(e) = unfinished.as_file().set_permissions(permissions) {
        tracing::debug!("cannot set permissions: {e}");
    }
}

impl ResultWriter<'_> {
    /// Writes some rows.
    ///
    /// # Errors
    /// The error of the write, or a type that the format cannot hold.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let what = &self.what;
        let failed = |e: ArrowError| Error::output(what, e);
        if let Sink::Table { out, layout: None, .. } = &mut self.sink
            && let Some(document) = plan_document(batch)
        {
            out.write_all(document.as_bytes()).map_err(|e| Error::output(what, e))?;
            let out = std::mem::replace(out, Box::new(std::io::sink()));
            self.sink = Sink::Document(out);
            return Ok(());
        }
        match &mut self.sink {
            Sink::Document(_) => Err(Error::failed("rows came after a plan's document")),
            Sink::Table { out, schema, layout, rows } => {
                let fresh = layout.is_none();
                let layout = match layout {
                    Some(layout) => layout,
                    None => layout.insert(Layout::new(schema, std::slice::from_ref(batch), None).map_err(failed)?),
                };
                let head = if fresh { layout.head() } else { String::new() };
                *rows += batch.num_rows();
                let text = head + &layout.rows(batch).map_err(failed)?;
                out.write_all(text.as_bytes()).map_err(|e| Error::output(what, e))
            }
            Sink::Csv(writer) => writer.write(batch).map_err(failed),
            Sink::Json(writer) => writer.write(batch).map_err(failed),
            Sink::Arrow(writer) => writer.write(batch).map_err(failed),
            Sink::Parquet(writer) => writer.write(batch).map_err(|e: ParquetError| Error::output(what, e)),
        }
    }

    /// Writes the end of the result.
    ///
    /// # Errors
    /// The same as for [`ResultWriter::write`].
    pub fn finish(mut self) -> Result<()> {
        if let Sink::Table { schema, layout: None, .. } = &self.sink {
            let empty = RecordBatch::new_empty(schema.clone());
            self.write(&empty)?;
        }
        let what = self.what;
        let io = |e: std::io::Error| Error::output(&what, e);
        match self.sink {
            Sink::Document(mut out) => out.flush().map_err(io),
            Sink::Table { mut out, rows, .. } => {
                let noun = if rows == 1 { "row" } else { "rows" };
                writeln!(out, "({rows} {noun})").and_then(|()| out.flush()).map_err(io)
            }
            Sink::Csv(mut writer) => writer.flush().map_err(io),
            Sink::Json(mut writer) => {
                writer.finish().map_err(|e| Error::output(&what, e))?;
                writer.into_inner().flush().map_err(io)
            }
            Sink::Arrow(mut writer) => {
                writer.finish().map_err(|e| Error::output(&what, e))?;
                let mut out = writer.into_inner().map_err(|e| Error::output(&what, e))?;
                out.flush().map_err(io)
            }
            Sink::Parquet(writer) => {
                let mut out = writer.into_inner().map_err(|e| Error::output(&what, e))?;
                out.flush().map_err(io)
            }
        }
    }
}

#[cfg(test)]
mod tests;
