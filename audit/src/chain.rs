//! The end of the chain on the disk: appends groups of records, and starts and removes segments.
//!
//! A group is written and synced as a whole. If either fails, the group has no records: the next call of [`Chain::append`]
//! first cuts the segment back to its last durable record.
//!
//! Segments grow with each group. On ext4, a sync takes as long in a file that was filled with zeros before.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::entry::Removal;
use crate::recovery::Recovered;
use crate::segment::{self, Segment};
use crate::{Entry, Mark, Settings, line, retention};

/// A record that the chain does not have yet.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The time of the entry.
    pub time: SystemTime,
    /// The entry, as [`line::body`] returns it.
    pub body: String,
    /// The effect of the record on the list of open reads.
    pub effect: Effect,
}

/// The effect of a record on the list of open reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The record opens a read.
    Begins,
    /// The record ends the read with this sequence number.
    Ends(u64),
    /// The record is about no open read.
    Nothing,
}

impl Draft {
    /// Returns the record of an event of the store.
    pub(crate) fn event(entry: &Entry) -> io::Result<Self> {
        Ok(Self { time: SystemTime::now(), body: line::body(entry)?, effect: Effect::Nothing })
    }
}

/// The end of the chain.
pub(crate) struct Chain {
    folder: PathBuf,
    settings: Settings,
    segments: VecDeque<Segment>,
    /// The last segment, unless the chain is empty.
    file: Option<File>,
    /// The durable size of the last segment.
    bytes: u64,
    /// The time of the last segment's first record.
    began: Option<SystemTime>,
    /// The last durable record.
    last: Mark,
    open: BTreeSet<u64>,
    /// True if the last segment may have bytes after its last durable record.
    has_remains: bool,
    /// True if segments may exceed the bounds.
    is_untidy: bool,
    /// Lines of a group. It keeps its memory between groups.
    lines: Vec<u8>,
}

impl Chain {
    /// Continues the chain that recovery found.
    pub(crate) fn new(folder: &Path, settings: Settings, recovered: Recovered) -> io::Result<Self> {
        let file = recovered.segments.last().map(|last| segment::open_to_append(&last.path)).transpose()?;
        Ok(Self {
            folder: folder.to_owned(),
            settings,
            segments: recovered.segments.into(),
            file,
            bytes: recovered.bytes,
            began: recovered.began,
            last: recovered.last,
            open: recovered.open,
            has_remains: false,
            is_untidy: true,
            lines: Vec::new(),
        })
    }

    /// Returns the reads without an end.
    pub(crate) fn open_reads(&self) -> impl Iterator<Item = u64> {
        self.open.iter().copied()
    }

    /// Returns the last durable record.
    pub(crate) fn last(&self) -> Mark {
        self.last
    }

    /// Appends a group of records. When it returns the sequence number of the group's last record, all of them are
    /// durable. The drafts are the last records of the group, in their order.
    pub(crate) fn append(&mut self, drafts: &[Draft]) -> io::Result<u64> {
        self.cut_remains()?;
        if self.is_full() {
            self.start_segment()?;
        }
        let removed = if self.is_untidy { self.exceeding() } else { Vec::new() };
        let mut events = Vec::new();
        if self.bytes == 0 && !self.open.is_empty() {
            events.push(Draft::event(&Entry::Continued { open: self.open.clone() })?);
        }
        for (_, removal) in &removed {
            events.push(Draft::event(&Entry::Removed(removal.clone()))?);
        }
        let last = self.write(events.iter().chain(drafts))?;
        self.began.get_or_insert_with(SystemTime::now);
        self.note_reads(drafts, last.sequence);
        self.last = last;
        self.is_untidy = false;
        self.remove(&removed);
        Ok(last.sequence)
    }

    /// Removes the bytes of a group that was not written as a whole.
    fn cut_remains(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.has_remains, &self.file) {
            file.set_len(self.bytes)?;
            file.sync_all()?;
        }
        self.has_remains = false;
        Ok(())
    }

    /// True if the next record needs a new segment.
    fn is_full(&self) -> bool {
        let is_old = self.began.and_then(|began| began.elapsed().ok()).is_some_and(|a| a > self.settings.segment_age());
        self.file.is_none() || self.bytes >= self.settings.segment_bytes || (is_old && self.bytes > 0)
    }

    fn start_segment(&mut self) -> io::Result<()> {
        let segment = Segment::new(&self.folder, self.last.sequence + 1);
        let file = segment::open_to_append(&segment.path)?;
        // A failed start can have left the file.
        file.set_len(0)?;
        segment::sync_folder(&self.folder)?;
        self.segments.push_back(segment);
        self.file = Some(file);
        self.bytes = 0;
        self.began = None;
        self.is_untidy = true;
        Ok(())
    }

    /// Returns the segments to remove. A fault in an old segment does not stop new records.
    fn exceeding(&self) -> Vec<(Segment, Removal)> {
        retention::exceeding(&self.segments, &self.settings, SystemTime::now()).unwrap_or_else(|error| {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot find the audit segments to remove");
            Vec::new()
        })
    }

    /// Writes and syncs the lines of these drafts. Returns the last mark.
    fn write<'a>(&mut self, drafts: impl Iterator<Item = &'a Draft>) -> io::Result<Mark> {
        self.lines.clear();
        let mut last = self.last;
        for draft in drafts {
            last = line::push(&mut self.lines, last, draft.time, &draft.body);
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("the audit store has no segment")) };
        self.has_remains = true;
        file.write_all(&self.lines)?;
        file.sync_data()?;
        self.has_remains = false;
        self.bytes += self.lines.len() as u64;
        // A group can be large, but most groups are small.
        self.lines.shrink_to(1 << 20);
        Ok(last)
    }

    fn note_reads(&mut self, drafts: &[Draft], last: u64) {
        for (draft, sequence) in drafts.iter().rev().zip((0..=last).rev()) {
            match draft.effect {
                Effect::Begins => _ = self.open.insert(sequence),
                Effect::Ends(_) | Effect::Nothing => {}
            }
        }
        for draft in drafts {
            if let Effect::Ends(read) = draft.effect {
                self.open.remove(&read);
            }
        }
    }

    /// Removes segments whose records of removal are durable. If a file stays, a later call records its removal again.
    fn remove(&mut self, removed: &[(Segment, Removal)]) {
        for (segment, removal) in removed {
            let path = segment.path.display();
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::warn!(%path, %error, "cannot remove an audit segment");
                break;
            }
            self.segments.pop_front();
            tracing::info!(%path, last = removal.last, bound = removal.bound, "removed an audit segment");
        }
    }
}
