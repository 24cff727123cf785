//! The walk through a chain, record by record.

use std::io;
use std::path::Path;

use super::{Broken, Fault, MarkState, Point, Unverified, Verified};
use crate::line::{self, LineFault, Link, LinkEntry};
use crate::segment::{self, Line, Lines, Segment};
use crate::{Digest, Error, Mark};

/// The walk, with the records up to the current line.
struct Walk<'a> {
    segment: &'a Segment,
    line: u64,
    expected: Option<Mark>,
    done: Verified,
    /// The last record before the first segment, until a later record names its removal.
    unexplained: Option<Mark>,
}

/// Follows the chain in a folder to its end or its first fault.
pub(super) fn follow(folder: &Path, expected: Option<Mark>) -> Result<Verified, Unverified> {
    let unreadable = |path: &Path, e: io::Error| Unverified::Unreadable(Error::unreadable(path, e));
    let segments = segment::list(folder).map_err(|e| unreadable(folder, e))?;
    let none = Segment::new(folder, 1);
    let start = segments.first().unwrap_or(&none);
    let mut walk = Walk { segment: start, line: 1, expected, done: Verified::default(), unexplained: None };
    for segment in &segments {
        let mut lines = Lines::open(&segment.path).map_err(|e| unreadable(&segment.path, e))?;
        (walk.segment, walk.line, walk.done.segments) = (segment, 0, walk.done.segments + 1);
        while let Some(line) = lines.next().map_err(|e| unreadable(&segment.path, e))? {
            walk.line += 1;
            let fault = match line {
                Line::Whole(line) => walk.record(line).err(),
                Line::Torn(bytes) if Some(segment) == segments.last() => {
                    (walk.done.torn_bytes, walk.line) = (bytes, walk.line - 1);
                    break;
                }
                Line::Torn(_) => Some(Fault::Malformed("the line is incomplete".to_owned())),
                Line::TooLong(_) => Some(Fault::Malformed("the line is too long".to_owned())),
            };
            if let Some(fault) = fault {
                let fault = walk.explain(fault, &mut lines).map_err(|e| unreadable(&segment.path, e))?;
                return Err(walk.broken(fault));
            }
        }
    }
    walk.finish(start)
}

impl Walk<'_> {
    /// Returns the sequence number of the next record.
    fn next(&self) -> u64 {
        self.done.last.map_or(self.segment.first, |last| last.mark.sequence + 1)
    }

    /// Takes the next record of the chain.
    fn record(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Link { previous, mark, time, entry } = line::check(line).map_err(|fault| match fault {
            LineFault::Malformed(what) => Fault::Malformed(what),
            LineFault::Changed { stated, computed } => Fault::Changed { stated, computed },
        })?;
        let next = self.next();
        if mark.sequence > next {
            return Err(Fault::Missing { next: mark.sequence });
        }
        if mark.sequence < next {
            return Err(Fault::Inserted { sequence: mark.sequence });
        }
        match self.done.last.map(|last| last.mark.hash) {
            Some(before) if before != previous => return Err(Fault::Unchained { stated: previous, before }),
            None if next == 1 && previous != Digest::ZERO => {
                return Err(Fault::Unchained { stated: previous, before: Digest::ZERO });
            }
            None if next > 1 => {
                let before = Mark { sequence: next - 1, hash: previous };
                self.unexplained = Some(before);
                self.compare(before)?;
            }
            _ => {}
        }
        self.compare(mark)?;
        if let LinkEntry::Removed { last, last_hash } = entry
            && self.unexplained == Some(Mark { sequence: last, hash: last_hash })
        {
            self.unexplained = None;
        }
        let point = Point { mark, time };
        self.done.first.get_or_insert(point);
        self.done.last = Some(point);
        self.done.records += 1;
        Ok(())
    }

    /// Compares a record with the expected one.
    fn compare(&mut self, mark: Mark) -> Result<(), Fault> {
        match self.expected {
            Some(expected) if expected.sequence != mark.sequence => Ok(()),
            Some(expected) if expected.hash != mark.hash => {
                Err(Fault::Rewritten { expected: expected.hash, found: mark.hash })
            }
            Some(_) => {
                self.done.mark = MarkState::Found;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns [`Fault::Reordered`] for a missing record that stands in a later line of the segment.
    fn explain(&self, fault: Fault, lines: &mut Lines) -> io::Result<Fault> {
        let (Fault::Missing { .. }, mut number) = (&fault, self.line) else { return Ok(fault) };
        while let Some(Line::Whole(line)) = lines.next()? {
            number += 1;
            if line::check(line).is_ok_and(|link| link.mark.sequence == self.next()) {
                return Ok(Fault::Reordered { line: number });
            }
        }
        Ok(fault)
    }

    fn broken(&self, fault: Fault) -> Unverified {
        let (segment, line, sequence) = (self.segment.name(), self.line, self.next());
        Unverified::Broken(Broken { segment, line, sequence, fault })
    }

    /// Checks the start of the chain, and the expected record.
    fn finish(mut self, start: &Segment) -> Result<Verified, Unverified> {
        if let Some(before) = self.unexplained {
            let fault = Fault::Missing { next: before.sequence + 1 };
            let broken = Broken { segment: start.name(), line: 1, sequence: before.sequence, fault };
            return Err(Unverified::Broken(broken));
        }
        if let (Some(expected), MarkState::NotGiven) = (self.expected, self.done.mark) {
            if expected.sequence >= self.next() || self.done.records == 0 {
                self.line += 1;
                return Err(self.broken(Fault::Cut));
            }
            self.done.mark = MarkState::Removed;
        }
        Ok(self.done)
    }
}
