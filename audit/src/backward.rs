//! The lines of a segment from its end to its start, with bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::line::MAX_LINE;

/// The number of bytes that are read at once.
const BLOCK: u64 = 64 * 1024;

/// The lines of a file, the last one first. An incomplete last line is left out.
pub(crate) struct Backward {
    file: File,
    /// The number of bytes before `buffer`.
    before: u64,
    /// The bytes that were read, up to the last line break that is left.
    buffer: Vec<u8>,
}

impl Backward {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let before = file.metadata()?.len();
        let mut lines = Self { file, before, buffer: Vec::new() };
        while let (None, true) = (last_break(&lines.buffer), lines.before > 0) {
            // No record reaches into the bytes after the last line break.
            lines.buffer.clear();
            lines.read_block()?;
        }
        let end = last_break(&lines.buffer).map_or(0, |place| place + 1);
        lines.buffer.truncate(end);
        Ok(lines)
    }

    /// Returns the line before the last one, without its line break, or `None` at the start of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() && self.before > 0 {
            self.read_block()?;
        }
        loop {
            let Some(end) = self.buffer.len().checked_sub(1) else { return Ok(None) };
            let start = match last_break(self.buffer.get(..end).unwrap_or_default()) {
                Some(place) => place + 1,
                None if self.before == 0 => 0,
                None if self.buffer.len() > MAX_LINE => {
                    return Err(io::Error::other(format!("expected lines of at most {MAX_LINE} bytes")));
                }
                None => {
                    self.read_block()?;
                    continue;
                }
            };
            let mut line = self.buffer.split_off(start);
            line.pop();
            return Ok(Some(line));
        }
    }

    /// Reads the block before the buffer.
    fn read_block(&mut self) -> io::Result<()> {
        let size = self.before.min(BLOCK);
        self.before -= size;
        self.file.seek(SeekFrom::Start(self.before))?;
        let mut block = vec![0; size as usize];
        self.file.read_exact(&mut block)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        Ok(())
    }
}

fn last_break(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_come_in_reverse() {
        let block = BLOCK as usize;
        let long = |length: usize| "x".repeat(length);
        let files = [
            vec![],
            vec![long(1)],
            vec![long(0), long(0)],
            vec![long(10), long(block), long(block - 1), long(3 * block), long(0), long(5)],
            (0..20_000).map(|n| n.to_string()).collect(),
            vec![long(block - 1); 4],
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        for mut lines in files {
            for torn in ["", "torn", &long(2 * block)] {
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                std::fs::write(&path, text + torn).unwrap();
                let mut file = Backward::open(&path).unwrap();
                let mut found = Vec::new();
                while let Some(line) = file.next().unwrap() {
                    found.push(String::from_utf8(line).unwrap());
                }
                lines.reverse();
                assert!(found == lines, "{} lines, got {}", lines.len(), found.len());
                lines.reverse();
            }
        }
    }
}
