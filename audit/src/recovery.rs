//! The end of the chain after a start: finds the last complete record, and cuts an incomplete one.
//!
//! A crash can leave an incomplete last line, or zeros in the place of bytes that did not reach the disk. No record from
//! there on was durable, so that recovery cuts them. It does not cut any other fault: the store does not open, until the
//! operator has verified the chain.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::line::{self, LineFault, LinkEntry};
use crate::segment::{self, Line, Lines, Segment};
use crate::{Error, ErrorKind, Mark, Result};

/// The state of a chain when its store opens.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The segments, the oldest first.
    pub segments: Vec<Segment>,
    /// The last record.
    pub last: Mark,
    /// The time of the last segment's first record.
    pub began: Option<SystemTime>,
    /// The size of the last segment.
    pub bytes: u64,
    /// The reads that have begun, but not ended.
    pub open: BTreeSet<u64>,
    /// The number of bytes that recovery cut.
    pub cut_bytes: u64,
    /// True if the last process closed the store, or none has opened it.
    pub closed: bool,
}

/// Finds the end of the chain in this folder, and cuts an incomplete record.
pub(crate) fn recover(folder: &Path) -> Result<Recovered> {
    let unreadable = |e| Error::unreadable(folder, e);
    let mut segments = segment::list(folder).map_err(unreadable)?;
    let mut cut_bytes = 0;
    while let Some(last) = segments.last() {
        let mut recovered = scan(last)?;
        let size = fs::metadata(&last.path).map_err(unreadable)?.len();
        if size > recovered.bytes {
            cut(&last.path, recovered.bytes).map_err(|e| Error::unwritable(folder, e))?;
            cut_bytes += size - recovered.bytes;
        }
        if recovered.bytes > 0 {
            return Ok(Recovered { segments, cut_bytes, ..recovered });
        }
        // The process ended before the first record of the segment was durable.
        fs::remove_file(&last.path).map_err(|e| Error::unwritable(folder, e))?;
        recovered.segments.clear();
        segments.pop();
    }
    Ok(Recovered { cut_bytes, closed: cut_bytes == 0, ..Recovered::default() })
}

fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// Follows the records of a segment up to its end or an incomplete record.
fn scan(segment: &Segment) -> Result<Recovered> {
    let unreadable = |e| Error::unreadable(&segment.path, e);
    let mut lines = Lines::open(&segment.path).map_err(unreadable)?;
    let mut found = Recovered::default();
    let mut number = 0;
    loop {
        number += 1;
        let line = match lines.next().map_err(unreadable)? {
            None | Some(Line::Torn(_)) => break,
            // A record has no zero bytes.
            Some(Line::Whole(line) | Line::TooLong(line)) if line.contains(&0) => break,
            Some(Line::TooLong(_)) => return Err(damaged(segment, number, "the line is too long")),
            Some(Line::Whole(line)) => line,
        };
        let link = line::check(line).map_err(|fault| match fault {
            LineFault::Malformed(what) => damaged(segment, number, &what),
            LineFault::Changed { .. } => damaged(segment, number, "the record does not have its hash"),
        })?;
        let follows = match found.last.sequence {
            0 => link.mark.sequence == segment.first,
            last => link.mark.sequence == last + 1 && link.previous == found.last.hash,
        };
        if !follows {
            return Err(damaged(segment, number, "the record does not follow the record before"));
        }
        found.began.get_or_insert(link.time);
        found.last = link.mark;
        found.bytes = lines.offset;
        found.closed = matches!(link.entry, LinkEntry::Closed);
        match link.entry {
            LinkEntry::Began => _ = found.open.insert(link.mark.sequence),
            LinkEntry::Ended { read } => _ = found.open.remove(&read),
            LinkEntry::Continued { open } => found.open.extend(open),
            LinkEntry::Removed { .. } | LinkEntry::Closed | LinkEntry::Other => {}
        }
    }
    Ok(found)
}

fn damaged(segment: &Segment, line: u64, what: &str) -> Error {
    let text = format!(
        "the audit record in line {line} of {} is broken: {what}; run `portolan audit verify`, then move the folder \
         away as evidence and start the node again",
        segment.path.display()
    );
    Error::new(ErrorKind::Damaged, text)
}
