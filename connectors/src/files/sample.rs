//! The beginnings of JSON files: whole records, and no more bytes than the search for columns needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde::de::IgnoredAny;

use super::format::Encoding;
use super::text::{Elements, JsonColumns, MOST_RECORD_BYTES, Nesting, Text, fatal};
use crate::data_fault::DataFault;

/// The numbers of records and bytes of text from which types are inferred.
pub(super) const SAMPLE_RECORDS: usize = 1000;
pub(super) const SAMPLE_BYTES: usize = 4 << 20;

/// The number of bytes of a port in which a key is searched for that no sample has.
const SEARCHED_BYTES: usize = 64 << 20;

/// The records at the beginning of a file.
#[derive(Debug)]
pub(super) struct JsonSample {
    /// The text of the records, with white space between them.
    pub(super) records: Vec<u8>,
    /// True if the file has no more.
    pub(super) is_whole: bool,
    /// True if each record is on one line, in UTF-8.
    pub(super) is_splittable: bool,
    /// True if the file has no array, so that its lines are also those of `records`.
    pub(super) has_lines: bool,
}

impl JsonSample {
    /// Reads `records` records, and the records that arrive in the same chunk. Reads fewer if they are large, and one at
    /// least.
    ///
    /// # Errors
    /// An error of the store or of the decompression; a first record that is too long for a reader.
    pub(super) async fn read(text: Text, records: usize) -> Result<Self> {
        let is_utf8 = !text.is_transcoded;
        let (mut chunks, mut bytes, mut found) = (text.chunks, Vec::new(), None);
        while let Some(chunk) = chunks.try_next().await? {
            if found.is_none() {
                found = Elements::is_array(&chunk).map(SampledRecords::new);
            }
            let Some(found) = &mut found else { continue };
            let is_valid = found.add(&chunk, &mut bytes);
            let has_enough = found.count >= records || (bytes.len() >= SAMPLE_BYTES && found.last > 0);
            if !is_valid || has_enough || bytes.len() > MOST_RECORD_BYTES {
                if found.last == 0 && is_valid {
                    let expected = format!("a first record of at most {MOST_RECORD_BYTES} bytes");
                    let fault = DataFault::of_record(Some(1), expected, "more");
                    return Err(fatal(fault.with_hint("write smaller objects, one a line")));
                }
                // The reader of the file reports text that is not valid.
                let end = if is_valid { found.last } else { bytes.len() };
                let (is_splittable, has_lines) = (is_utf8 && found.is_splittable(), found.has_lines());
                bytes.truncate(end);
                return Ok(Self { records: bytes, is_whole: false, is_splittable, has_lines });
            }
        }
        let is_splittable = is_utf8 && found.as_ref().is_some_and(SampledRecords::is_splittable);
        let has_lines = found.is_none_or(|found| found.has_lines());
        Ok(Self { records: bytes, is_whole: true, is_splittable, has_lines })
    }
}

/// The records of a file as far as a sample has them.
struct SampledRecords {
    layout: SampleLayout,
    /// The number of records that have ended.
    count: usize,
    /// The end of the last one in the sample.
    last: usize,
}

enum SampleLayout {
    /// `spans_lines` is true if a record has a line break.
    Lines {
        nesting: Nesting,
        spans_lines: bool,
    },
    Array(Elements),
}

impl SampledRecords {
    fn new(is_array: bool) -> Self {
        let layout = match is_array {
            true => SampleLayout::Array(Elements::default()),
            false => SampleLayout::Lines { nesting: Nesting::default(), spans_lines: false },
        };
        Self { layout, count: 0, last: 0 }
    }

    /// Adds the text of records to a sample. Returns false if the text is no array of objects.
    fn add(&mut self, chunk: &[u8], sample: &mut Vec<u8>) -> bool {
        match &mut self.layout {
            SampleLayout::Lines { nesting, spans_lines } => {
                let start = sample.len();
                sample.extend_from_slice(chunk);
                for (at, byte) in chunk.iter().enumerate() {
                    if nesting.read(*byte) {
                        self.count += 1;
                        self.last = start + at + 1;
                    }
                    *spans_lines |= *byte == b'\n' && nesting.is_between_values();
                }
            }
            SampleLayout::Array(elements) => {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let Ok(part) = elements.next(rest) else {
                        sample.extend_from_slice(rest);
                        return false;
                    };
                    sample.extend_from_slice(&rest[part.element.clone()]);
                    if part.is_complete {
                        sample.push(b'\n');
                        self.count += 1;
                        self.last = sample.len();
                    }
                    rest = &rest[part.element.end..];
                }
            }
        }
        true
    }

    fn has_lines(&self) -> bool {
        matches!(self.layout, SampleLayout::Lines { .. })
    }

    fn is_splittable(&self) -> bool {
        matches!(self.layout, SampleLayout::Lines { spans_lines: false, .. })
    }

    /// Removes the records that have ended from a sample.
    fn remove_from(&mut self, sample: &mut Vec<u8>) {
        sample.drain(..self.last);
        self.last = 0;
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

/// Finds the columns of files by all of their records, up to a number of bytes. Stops at text that is no JSON, which the
/// reader reports. Returns true if no record is left.
///
/// # Errors
/// An error of the store or of the decompression, or too many keys, with the name of the file.
pub(super) async fn columns(
    encoding: &Encoding,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
) -> Result<(Schema, bool), (Path, DataFusionError)> {
    let (mut columns, mut budget) = (JsonColumns::default(), SEARCHED_BYTES);
    for file in files {
        let wrong = |error| (file.location.clone(), error);
        let mut text = encoding.text(store, &file.location).await.map_err(wrong)?.chunks;
        let (mut found, mut sample) = (None, Vec::new());
        while let Some(chunk) = text.try_next().await.map_err(wrong)? {
            if budget == 0 {
                return Ok((columns.all().map_err(wrong)?, false));
            }
            budget = budget.saturating_sub(chunk.len());
            if found.is_none() {
                found = Elements::is_array(&chunk).map(SampledRecords::new);
            }
            let Some(found) = &mut found else { continue };
            let is_valid = found.add(&chunk, &mut sample);
            if sample.len() >= SAMPLE_BYTES || budget == 0 || !is_valid {
                if columns.add(&sample[..found.last], usize::MAX, false).is_err() || !is_valid {
                    sample.clear();
                    break;
                }
                found.remove_from(&mut sample);
            }
        }
        // The last record of lines may lack a line break, and is complete all the same.
        let _ = columns.add(&sample, usize::MAX, false);
        columns.all().map_err(wrong)?;
    }
    let is_whole = budget > 0;
    Ok((columns.first(), is_whole))
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
        let mut text = encoding.text(store, &file.location).await.map_err(wrong)?.chunks;
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
