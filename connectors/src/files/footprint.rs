//! Facts about a port's files that do not need all of their bytes: the size, a version that changes with the files, and
//! the estimated number of rows of text.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::table::FileTable;
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

    /// Estimates the number of lines from the beginnings of some files. Returns `None` for files without lines, and for
    /// compressed files.
    pub(super) async fn guess_rows(&self, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        if !self.encoding.is_text() || self.encoding.compression != CompressionTypeVariant::UNCOMPRESSED {
            return None;
        }
        let (store, files) = self.listed(runtime).await?;
        let step = files.len().div_ceil(GUESSED_FILES).max(1);
        let beginnings = files.iter().step_by(step).map(|file| beginning(store.as_ref(), file));
        let beginnings: Vec<Option<Vec<u8>>> =
            stream::iter(beginnings.collect::<Vec<_>>()).buffered(GUESSED_FILES).collect().await;
        let (mut lines, mut read) = (0, 0);
        for beginning in beginnings {
            let beginning = beginning?;
            read += beginning.len() as u64;
            lines += beginning.iter().filter(|b| **b == b'\n').count() as u64;
        }
        let headers = if self.encoding.has_header { files.len() as u64 } else { 0 };
        let guess = lines as f64 * bytes(&files) as f64 / read as f64;
        (lines > 0).then(|| (guess.round() as u64).saturating_sub(headers))
    }

    async fn listed(&self, runtime: &Arc<RuntimeEnv>) -> Option<(Arc<dyn ObjectStore>, Vec<ObjectMeta>)> {
        let store = runtime.object_store(&self.store).ok()?;
        let files = self.list(store.as_ref()).await.ok()?;
        Some((store, files))
    }
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
