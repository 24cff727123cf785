//! Facts about files that do not need all of their bytes: the size, a version that changes with the files, and the
//! estimated number of rows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use portolan_catalog::FileFormat;

use super::footers::Footer;
use super::table::FileTable;
use super::text::Elements;
use crate::source::Footprint;

/// The number of files from which rows are estimated, and the bytes that are read of each.
const GUESSED_FILES: usize = 4;
const GUESSED_BYTES: u64 = 256 << 10;

impl FileTable {
    /// Returns the total size, and a digest of the sizes, times and tags of all files.
    pub(super) async fn footprint(&self, runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        let (_, files) = self.listed(runtime).await?;
        let mut hasher = DefaultHasher::new();
        for file in &files {
            (file.location.as_ref(), file.size, file.last_modified, &file.e_tag).hash(&mut hasher);
        }
        Some(Footprint { bytes: bytes(&files), version: format!("{:016x}", hasher.finish()) })
    }

    /// Estimates the number of records of text from the beginnings of some files. Returns `None` for other files, and for
    /// compressed files.
    pub(super) async fn guess_rows(&self, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        if !self.has_plain_text() {
            return None;
        }
        let (store, files) = self.listed(runtime).await?;
        self.rows_of_text(store.as_ref(), &files).await
    }

    /// Estimates the number of rows of listed files as [`FileTable::guess_rows`] does, and of Parquet from some footers.
    pub(super) async fn rows_of(
        &self,
        store: &dyn ObjectStore,
        files: &[ObjectMeta],
        footers: &FileMetadataCache,
    ) -> Option<u64> {
        match self.encoding.format {
            FileFormat::Parquet => rows_of_parquet(store, files, footers).await,
            _ if self.has_plain_text() => self.rows_of_text(store, files).await,
            _ => None,
        }
    }

    fn has_plain_text(&self) -> bool {
        self.encoding.is_text() && self.encoding.compression == CompressionTypeVariant::UNCOMPRESSED
    }

    async fn rows_of_text(&self, store: &dyn ObjectStore, files: &[ObjectMeta]) -> Option<u64> {
        let beginnings = some(files).map(|file| async move { Some((beginning(store, file).await?, file.size)) });
        let beginnings: Vec<Option<(Vec<u8>, u64)>> =
            stream::iter(beginnings.collect::<Vec<_>>()).buffered(GUESSED_FILES).collect().await;
        let (mut records, mut read) = (0_u64, 0_u64);
        for beginning in beginnings {
            let (text, size) = beginning?;
            read += text.len() as u64;
            records += match self.encoding.format {
                FileFormat::Json => records_of_json(&text, size)?,
                _ => lines(&text, size),
            };
        }
        let has_headers = self.encoding.format == FileFormat::Csv && self.encoding.has_header;
        let headers = if has_headers { files.len() as u64 } else { 0 };
        let guess = records as f64 * bytes(files) as f64 / read as f64;
        (records > 0).then(|| (guess.round() as u64).saturating_sub(headers))
    }

    async fn listed(&self, runtime: &Arc<RuntimeEnv>) -> Option<(Arc<dyn ObjectStore>, Vec<ObjectMeta>)> {
        let store = runtime.object_store(&self.store).ok()?;
        let files = self.list(store.as_ref()).await.ok()?;
        Some((store, files))
    }
}

/// Returns the files from which the rows of all files are estimated.
fn some(files: &[ObjectMeta]) -> impl Iterator<Item = &ObjectMeta> {
    files.iter().step_by(files.len().div_ceil(GUESSED_FILES).max(1))
}

/// Estimates the number of rows of Parquet files from the footers of some of them.
async fn rows_of_parquet(store: &dyn ObjectStore, files: &[ObjectMeta], footers: &FileMetadataCache) -> Option<u64> {
    let (mut rows, mut read) = (0_u64, 0_u32);
    for file in some(files) {
        rows += Footer::read(store, file, footers, None).await.ok()?.rows()?;
        read += 1;
    }
    (read > 0).then(|| (rows as f64 * files.len() as f64 / f64::from(read)).round() as u64)
}

/// Returns the number of records in the beginning of a file of JSON with this size. Returns `None` for text that is
/// neither lines of objects nor an array of objects in UTF-8.
fn records_of_json(text: &[u8], size: u64) -> Option<u64> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Some(lines(text, size)),
        Some(b'[') => elements(text),
        Some(_) => None,
        None => Some(0),
    }
}

/// Returns the number of whole elements in the beginning of an array.
fn elements(mut text: &[u8]) -> Option<u64> {
    let (mut elements, mut found) = (Elements::default(), 0);
    while !text.is_empty() {
        let part = elements.next(text).ok()?;
        found += u64::from(part.is_complete);
        text = text.get(part.element.end..)?;
    }
    Some(found)
}

/// Returns the number of lines in the beginning of a file of this size.
fn lines(text: &[u8], size: u64) -> u64 {
    let breaks = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    // The last line of a file may have no line break.
    let is_whole = text.len() as u64 >= size;
    breaks + u64::from(is_whole && text.last().is_some_and(|byte| *byte != b'\n'))
}

fn bytes(files: &[ObjectMeta]) -> u64 {
    files.iter().map(|f| f.size).sum()
}

/// Returns the beginning of a file, or `None` if it cannot be read.
async fn beginning(store: &dyn ObjectStore, file: &ObjectMeta) -> Option<Vec<u8>> {
    if file.size == 0 {
        return Some(vec![]);
    }
    let bytes = store.get_range(&file.location, 0..file.size.min(GUESSED_BYTES)).await.ok()?;
    Some(bytes.to_vec())
}
