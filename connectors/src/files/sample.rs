//! The beginnings of text files: whole records, and no more bytes than the search for columns needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;
use serde::de::IgnoredAny;

use super::format::Encoding;

/// The numbers of records and bytes of text from which types are inferred.
pub(super) const SAMPLE_RECORDS: usize = 1000;
const SAMPLE_BYTES: usize = 4 << 20;

/// The number of bytes of a port in which a key is searched for that no sample has.
const SEARCHED_BYTES: usize = 64 << 20;

/// The records at the beginning of a file.
#[derive(Debug)]
pub(super) struct TextSample {
    /// Their text.
    pub(super) bytes: Vec<u8>,
    /// True if the file has no more.
    pub(super) is_whole: bool,
}

impl TextSample {
    /// Reads `records` records, and the records that arrive in the same chunk.
    ///
    /// # Errors
    /// An error of the store or of the decompression; a first record that is longer than any sample.
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
                    let hint = match encoding.format {
                        FileFormat::Csv => "is a quote missing?",
                        _ => "write smaller objects, one a line",
                    };
                    let message = format!("expected a first record of at most {SAMPLE_BYTES} bytes, got more: {hint}");
                    return Err(DataFusionError::External(message.into()));
                }
                bytes.truncate(ends.last);
                return Ok(Self { bytes, is_whole: false });
            }
        }
        Ok(Self { bytes, is_whole: true })
    }
}

/// Finds the ends of records in text that arrives byte by byte.
struct RecordEnds {
    /// CSV: the delimiter of values. `None` for JSON.
    delimiter: Option<u8>,
    at: At,
    /// JSON: the number of open objects and lists.
    depth: usize,
    seen: usize,
    /// The number of records that have ended.
    count: usize,
    /// The end of the last record.
    last: usize,
    /// CSV: true if no byte has come since that end.
    is_blank: bool,
}

/// The position of the next byte in a record.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// The beginning of a value.
    Start,
    /// In a value without quotes; in JSON, outside of a string.
    Plain,
    Quoted,
    /// After a quote within quotes, or in JSON after a backslash.
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

    /// True if the byte ends a record of CSV. A quote has a meaning only at the beginning of a value. A value ends at a
    /// quote that is not doubled.
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

/// Returns the keys of the JSON records in a sample. `None` if there are none, or if the text is no JSON.
pub(super) fn keys(sample: &[u8]) -> Option<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for record in serde_json::Deserializer::from_slice(sample).into_iter::<BTreeMap<String, IgnoredAny>>() {
        keys.extend(record.ok()?.into_keys());
    }
    (!keys.is_empty()).then_some(keys)
}

/// Finds those of `names` that the files have as keys, in their samples or after them.
///
/// # Errors
/// An error of the store or of the decompression, with the name of the file.
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
            // A key may span two chunks.
            window.drain(..window.len().saturating_sub(longest));
            window.extend_from_slice(&chunk);
            lacking.retain(|_, key| !window.windows(key.len()).any(|w| w == key.as_slice()));
        }
    }
    Ok(Search { lacking: lacking.into_keys().collect(), is_whole: true })
}

/// The outcome of a search for keys.
#[derive(Debug)]
pub(super) struct Search {
    /// The names that were not found.
    pub(super) lacking: BTreeSet<String>,
    /// True if all files were searched to their ends.
    pub(super) is_whole: bool,
}
