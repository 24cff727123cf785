//! Writes results in the formats of `portolan sql`, batch by batch. An output file appears only when it is complete.

mod csv;
mod format;
mod json;
mod result;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use portolan_catalog::{printable_json, printable_lines};
use portolan_node::{Error, Result};
use tempfile::NamedTempFile;

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

/// Returns the number of rows that a statement changed, as text for people.
pub fn rows_changed(rows: u64) -> String {
    if rows == 1 { "1 row changed".into() } else { format!("{rows} rows changed") }
}

/// The output of results: standard output, or a file that appears only when it is complete.
pub struct Output {
    format: Format,
    /// True if the ending of the file chose the format. The document of an EXPLAIN is then written without a frame.
    is_inferred: bool,
    to: To,
    results: usize,
}

enum To {
    Stdout,
    File {
        path: PathBuf,
        unfinished: NamedTempFile,
    },
    /// A pipe or a device, which no rename may replace.
    Device {
        path: PathBuf,
        file: File,
    },
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
        Ok(Self { format, is_inferred: false, to: To::Stdout, results: 0 })
    }

    /// Returns an output to a file. The format is `chosen`, or else that of the file's ending, or else `default`.
    ///
    /// # Errors
    /// A folder that cannot be written to, or an ending that does not fit the format.
    pub fn file(path: &Path, chosen: Option<Format>, default: Format) -> Result<Self> {
        let format = Format::of(path, chosen, default)?;
        let failed = |e| Error::output(path.display(), e);
        let to = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::config(format!("cannot write {}: it is a folder", path.display())));
            }
            Ok(metadata) if !metadata.is_file() => {
                To::Device { path: path.into(), file: OpenOptions::new().write(true).open(path).map_err(failed)? }
            }
            _ => {
                // In the same folder, so that one rename gives the file its name.
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let unfinished = tempfile::Builder::new().prefix(".portolan-").tempfile_in(folder).map_err(failed)?;
                To::File { path: path.into(), unfinished }
            }
        };
        Ok(Self { format, is_inferred: chosen.is_none(), to, results: 0 })
    }

    /// Returns the format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// True if the output has a result.
    pub fn has_result(&self) -> bool {
        self.results > 0
    }

    /// Returns the path of the file, if the output is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.to {
            To::Stdout => None,
            To::File { path, .. } | To::Device { path, .. } => Some(path),
        }
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
    /// A second result in a format that holds only one.
    pub fn begin(&mut self, schema: &SchemaRef, view: View) -> Result<ResultWriter<'_>> {
        self.check_room()?;
        self.results += 1;
        let is_file = self.path().is_some();
        let width = if is_file { None } else { terminal::width() };
        let is_arrow_file = self.path().is_some_and(format::is_arrow_file);
        let (what, out): (_, Box<dyn Write + Send + '_>) = match &mut self.to {
            To::Stdout => ("standard output".into(), standard_output(self.format)),
            To::File { path, unfinished } => {
                (path.display().to_string(), Box::new(BufWriter::new(unfinished.as_file_mut())))
            }
            To::Device { path, file } => (path.display().to_string(), Box::new(BufWriter::new(file))),
        };
        let encoding = result::Encoding { format: self.format, is_arrow_file, bare_plans: self.is_inferred };
        Ok(ResultWriter::new(what, out, schema.clone(), encoding, view, width))
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

#[cfg(test)]
mod tests;
