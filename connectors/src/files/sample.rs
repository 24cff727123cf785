//! The beginnings of text files: whole records, and no more bytes than are needed to know their columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;
use serde::de::IgnoredAny;

use super::format::Encoding;

/// How many records and bytes of text are looked at to find out types.
pub(super) const SAMPLE_RECORDS: usize = 1000;
const SAMPLE_BYTES: usize = 4 << 20;

/// How many bytes of a port are searched for a key that no sample has.
const SEARCHED_BYTES: usize = 64 << 20;

/// Records at the beginning of a file.
#[derive(Debug)]
pub(super) struct Sample {
    /// Their text.
    pub(super) bytes: Vec<u8>,
    /// True if the file has no more.
    pub(super) is_whole: bool,
}

impl Sample {
    /// Reads `records` records, and those that come with them.
    ///
    /// # Errors
    /// What the store or the decompression says; a first record that is longer than any sample.
    pub(super) async fn read(
        encoding: &Encoding,
        store: &Arc<dyn ObjectStore>,
        path: &Path,
        records: usize,
    ) -> Result<Self> {
        let mut text = encoding.text(store, path).await?;
        let mut ends = RecordEnds::new(encoding);
        let mut bytes = Vec::new();
        while let Some(chunk) = text.try_next().await? {
            bytes.extend_from_slice(&chunk);
            chunk.iter().for_each(|byte| ends.step(*byte));
            if ends.count >= records || bytes.len() >= SAMPLE_BYTES {
                if ends.last == 0 {
                    let message = format!("its first record is longer than {SAMPLE_BYTES} bytes: is a quote missing?");
                    return Err(DataFusionError::External(message.into()));
                }
                bytes.truncate(ends.last);
                return Ok(Self { bytes, is_whole: false });
            }
        }
        Ok(Self { bytes, is_whole: true })
    }
}

/// Finds the ends of records in text that comes byte by byte.
struct RecordEnds {
    /// CSV: what stands between two values. `None` for JSON.
    delimiter: Option<u8>,
    at: At,
    /// JSON: how many objects and lists are open.
    depth: usize,
    seen: usize,
    /// How many records have ended.
    count: usize,
    /// Where the last of them has.
    last: usize,
    /// CSV: true if nothing has come since then.
    is_blank: bool,
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Where a value may begin.
    Start,
    /// In a value without quotes; in JSON, outside of a string.
    Plain,
    Quoted,
    /// Behind a quote, or in JSON a backslash, within quotes.
    Escape,
}

impl RecordEnds {
    fn new(encoding: &Encoding) -> Self {
        let delimiter = (encoding.format == FileFormat::Csv).then_some(encoding.delimiter);
        Self { delimiter, at: At::Start, depth: 0, seen: 0, count: 0, last: 0, is_blank: true }
    }

    fn step(&mut self, byte: u8) {
        self.seen += 1;
        let ends = match self.delimiter {
            Some(delimiter) => self.csv(byte, delimiter),
            None => self.json(byte),
        };
        if ends {
            self.count += 1;
            self.last = self.seen;
        }
    }

    /// Quotes mean something at the beginning of a value only, and end at one that is not doubled.
    fn csv(&mut self, byte: u8, delimiter: u8) -> bool {
        let is_break = matches!(byte, b'\n' | b'\r');
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::Escape,
            (At::Quoted, _) | (At::Start | At::Escape, b'"') => At::Quoted,
            _ if is_break || byte == delimiter => At::Start,
            _ => At::Plain,
        };
        let ends = is_break && self.at == At::Start && !self.is_blank;
        self.is_blank = is_break && self.at == At::Start;
        ends
    }

    fn json(&mut self, byte: u8) -> bool {
        self.at = match (self.at, byte) {
            (At::Quoted, b'\\') => At::Escape,
            (At::Quoted, b'"') => At::Plain,
            (At::Quoted | At::Escape, _) | (_, b'"') => At::Quoted,
            _ => At::Plain,
        };
        match byte {
            _ if self.at != At::Plain => false,
            b'{' | b'[' => {
                self.depth += 1;
                false
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.depth == 0
            }
            _ => false,
        }
    }
}

/// The keys of the JSON records in a sample. `None` if there is none, or it is no JSON.
pub(super) fn keys(sample: &[u8]) -> Option<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let mut has_records = false;
    for record in serde_json::Deserializer::from_slice(sample).into_iter::<BTreeMap<String, IgnoredAny>>() {
        keys.extend(record.ok()?.into_keys());
        has_records = true;
    }
    has_records.then_some(keys)
}

/// Finds those of `names` that the files have as keys, after their samples or not.
///
/// # Errors
/// What the store or the decompression says, and of which file.
pub(super) async fn search(
    encoding: &Encoding,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
    names: &[&str],
) -> Result<Search, (Path, DataFusionError)> {
    let mut lacking: BTreeMap<String, Vec<u8>> =
        names.iter().map(|name| ((*name).to_owned(), serde_json::json!(name).to_string().into_bytes())).collect();
    let longest = lacking.values().map(Vec::len).max().unwrap_or_default();
    let mut budget = SEARCHED_BYTES;
    for file in files {
        let wrong = |error| (file.location.clone(), error);
        let mut text = encoding.text(store, &file.location).await.map_err(wrong)?;
        let mut window: Vec<u8> = Vec::new();
        while let Some(chunk) = text.try_next().await.map_err(wrong)? {
            if lacking.is_empty() || budget == 0 {
                return Ok(Search { lacking: lacking.into_keys().collect(), is_whole: budget > 0 });
            }
            budget = budget.saturating_sub(chunk.len());
            // A key may stand on the border of two chunks.
            window.drain(..window.len().saturating_sub(longest));
            window.extend_from_slice(&chunk);
            lacking.retain(|_, key| !window.windows(key.len()).any(|w| w == key.as_slice()));
        }
    }
    Ok(Search { lacking: lacking.into_keys().collect(), is_whole: true })
}

/// What a search for keys did not find.
#[derive(Debug)]
pub(super) struct Search {
    /// The names that were not found.
    pub(super) lacking: BTreeSet<String>,
    /// True if all files were searched to their ends.
    pub(super) is_whole: bool,
}
