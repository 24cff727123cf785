//! Writes results in the formats of `portolan sql`, batch by batch. An output file appears only when it is complete.

mod csv;
mod destination;
mod format;
mod json;
mod result;

use std::collections::BTreeSet;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use arrow::datatypes::{Schema, SchemaRef};
use portolan_catalog::{printable, printable_json, printable_lines};
use portolan_node::{Error, Result};

use self::destination::Destination;
pub use self::format::Format;
pub use self::result::ResultWriter;
use crate::escaping::EscapingWriter;
use crate::render::View;
use crate::terminal;

/// Writes text to standard output.
///
/// # Errors
/// The error of the write. `BrokenPipe` if the reader has closed the pipe.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::output("standard output", e))
}

/// Writes text for people to standard error. Ignores a failure: there is no other place to report it.
pub fn print_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The output of results: standard output, or a file that appears only when it is complete.
pub struct Output {
    format: Format,
    /// True if the ending of the file chose the format. The document of an EXPLAIN is then written without a frame.
    is_inferred: bool,
    to: Destination,
    results: usize,
    /// The start of the last result in a file.
    start: Option<u64>,
}

impl Output {
    /// Returns an output to standard output.
    ///
    /// # Errors
    /// Standard output is a terminal, and the format is not text.
    pub fn stdout(format: Format) -> Result<Self> {
        if !format.is_text() && std::io::stdout().is_terminal() {
            return Err(Error::config(
                "arrow and parquet are not for a terminal; write to a file with `--output`, or to a pipe",
            ));
        }
        Ok(Self { format, is_inferred: false, to: Destination::Stdout, results: 0, start: None })
    }

    /// Returns an output to a file. The format is `chosen`, or else that of the file's ending, or else `default`.
    ///
    /// # Errors
    /// A file or a folder that cannot be written to, or an ending that does not fit the format.
    pub fn file(path: &Path, chosen: Option<Format>, default: Format) -> Result<Self> {
        let format = Format::of(path, chosen, default)?;
        let to = Destination::open(path)?;
        Ok(Self { format, is_inferred: chosen.is_none(), to, results: 0, start: None })
    }

    /// Returns the format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of results.
    pub fn results(&self) -> usize {
        self.results
    }

    /// Takes back a result that is not complete, so that the output has `results` results. Returns false if rows have left
    /// this process.
    pub fn take_back(&mut self, results: usize) -> bool {
        if self.results > results {
            if !self.start.is_some_and(|start| self.to.cut(start)) {
                return false;
            }
            self.results = results;
        }
        true
    }

    /// Returns the path of the file, if the output is a file.
    fn path(&self) -> Option<&Path> {
        self.to.path()
    }

    /// Returns the path of the file for messages, if the output is a file.
    pub fn shown_path(&self) -> Option<String> {
        self.path().map(|path| printable(&path.display().to_string()).into_owned())
    }

    /// Checks that the output can hold another result.
    ///
    /// # Errors
    /// A second result in a format that holds only one.
    pub fn check_room(&self) -> Result<()> {
        let holds_one = !self.format.is_text() || (self.format == Format::Csv && self.path().is_some());
        if self.results > 0 && holds_one {
            return Err(Error::config(
                "a file in csv, arrow or parquet holds only one result: write each statement to its own file, as with \
                 `\\g FILE`",
            ));
        }
        Ok(())
    }

    /// Starts another result.
    ///
    /// # Errors
    /// A second result in a format that holds only one, or columns of one name in a format that finds columns by name.
    pub fn begin(&mut self, schema: &SchemaRef, view: View) -> Result<ResultWriter<'_>> {
        self.check_room()?;
        if let Some(name) = repeated(schema).filter(|_| self.format.needs_names()) {
            return Err(Error::failed(format!(
                "two columns are called `{}`, and {} needs different names: name one of the columns with AS",
                printable(name),
                self.format.name()
            )));
        }
        self.results += 1;
        self.start = self.to.position();
        let what = self.path().map_or_else(|| "standard output".into(), |path| path.display().to_string());
        let width = if self.path().is_some() { None } else { terminal::width() };
        let is_arrow_file = self.path().is_some_and(format::is_arrow_file);
        let out: Box<dyn Write + Send + '_> = match self.to.writer() {
            None => standard_output(self.format),
            Some(file) => Box::new(BufWriter::new(file)),
        };
        let encoding = result::Encoding { format: self.format, is_arrow_file, bare_plans: self.is_inferred };
        Ok(ResultWriter::new(what, out, schema.clone(), encoding, view, width))
    }

    /// Completes the output. A file gets its name now. Returns false if there was no result: a file of this name then stays
    /// as it was.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn finish(self) -> Result<bool> {
        let has_result = self.results > 0;
        if has_result {
            self.to.finish()?;
        }
        Ok(has_result)
    }
}

/// Returns a name that several columns have.
fn repeated(schema: &Schema) -> Option<&str> {
    let mut seen = BTreeSet::new();
    schema.fields().iter().map(|field| field.name().as_str()).find(|name| !seen.insert(*name))
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

#[cfg(test)]
mod tests;
