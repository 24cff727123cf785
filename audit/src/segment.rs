//! Segment files: their names, their list, and their lines, read forward with bounded memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::line::MAX_LINE;

/// A segment in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The sequence number of the first record.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

impl Segment {
    /// Returns the segment of this folder that starts with this record.
    pub(crate) fn new(folder: &Path, first: u64) -> Self {
        // Names sort as numbers do.
        Self { first, path: folder.join(format!("audit-{first:020}.jsonl")) }
    }

    /// Returns the name of the file.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Returns the segments of a folder, the oldest first.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for file in fs::read_dir(folder)? {
        let name = file?.file_name();
        let first = name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok());
        if let Some(first) = first {
            segments.push(Segment { first, path: folder.join(name) });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// Opens the file of a segment to append records, and creates it if it does not exist. Only its owner may read it.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems do not open folders as files.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A line of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line, without its line break.
    Whole(&'a [u8]),
    /// The end of the file, which has this number of bytes after the last line break.
    Torn(u64),
    /// The start of a line of more than [`MAX_LINE`] bytes.
    TooLong(&'a [u8]),
}

/// The lines of a segment.
pub(crate) struct Lines {
    file: BufReader<File>,
    buffer: Vec<u8>,
    /// The offset of the next line.
    pub offset: u64,
}

impl Lines {
    /// Opens a segment.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(256 * 1024, File::open(path)?), buffer: Vec::new(), offset: 0 })
    }

    /// Returns the next line, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let bound = MAX_LINE as u64 + 1;
        let read = (&mut self.file).take(bound).read_until(b'\n', &mut self.buffer)? as u64;
        if read == 0 {
            return Ok(None);
        }
        if let Some(line) = self.buffer.strip_suffix(b"\n") {
            self.offset += read;
            return Ok(Some(Line::Whole(line)));
        }
        Ok(Some(if read == bound { Line::TooLong(&self.buffer) } else { Line::Torn(read) }))
    }
}
