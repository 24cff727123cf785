//! The files of one principal on disk, for data that operators spill and for kept results. They count towards the
//! principal's share, and like all files of the engine towards `limits.spill`.

use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use datafusion::error::Result;
use datafusion::execution::{DiskManager, SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;

use super::budget::Budget;

/// Creates files whose bytes count in a budget.
pub(crate) struct SpillFiles {
    disk: Arc<DiskManager>,
    budget: Arc<Budget>,
}

/// A file whose bytes count in a budget until it is dropped.
struct CountedFile {
    file: Arc<dyn SpillFile>,
    bytes: Arc<CountedBytes>,
}

struct CountedWriter {
    writer: Box<dyn SpillWriter>,
    bytes: Arc<CountedBytes>,
}

/// The bytes of one file.
struct CountedBytes {
    budget: Arc<Budget>,
    written: AtomicUsize,
}

impl SpillFiles {
    pub(crate) fn new(disk: Arc<DiskManager>, budget: Arc<Budget>) -> Self {
        Self { disk, budget }
    }
}

impl TempFileFactory for SpillFiles {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        let file = self.disk.create_tmp_file(description)?;
        let bytes = Arc::new(CountedBytes { budget: self.budget.clone(), written: AtomicUsize::new(0) });
        Ok(Arc::new(CountedFile { file, bytes }))
    }
}

impl SpillFile for CountedFile {
    fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    fn size(&self) -> Option<u64> {
        self.file.size()
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        self.file.read_stream()
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(CountedWriter { writer: self.file.open_writer()?, bytes: self.bytes.clone() }))
    }
}

impl Write for CountedWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes.budget.take(buffer.len()).map_err(io::Error::other)?;
        let written = self.writer.write(buffer).inspect_err(|_| self.bytes.budget.give(buffer.len()))?;
        self.bytes.budget.give(buffer.len() - written);
        self.bytes.written.fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl SpillWriter for CountedWriter {
    fn finish(&mut self) -> Result<()> {
        self.writer.finish()
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.budget.give(*self.written.get_mut());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::error::DataFusionError;
    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;
    use crate::ErrorKind;
    use crate::execution::errors::from_datafusion;

    #[test]
    fn files_count_in_the_budget_until_they_are_dropped() {
        let disk = DiskManagerBuilder::default().with_max_temp_directory_size(150).build().unwrap();
        let (disk, whole) = (Arc::new(disk), Budget::new(120, "`spill` of `ann` in `shares`"));
        let kept = Budget::part_of(Some(whole.clone()), 100, "`kept_results` of `ann` in `shares`");
        let files = |budget: &Arc<Budget>| SpillFiles::new(disk.clone(), budget.clone());
        let result = files(&kept).create_temp_file("a kept result").unwrap();
        let mut writer = result.open_writer().unwrap();
        writer.write_all(&[0; 90]).unwrap();
        assert_eq!((kept.held(), whole.held(), disk.used_disk_space(), result.size()), (90, 90, 90, Some(90)));

        // The error keeps its kind on its way through Arrow and DataFusion.
        let error = writer.write_all(&[0; 11]).unwrap_err();
        let error = from_datafusion(&DataFusionError::from(arrow::error::ArrowError::from(error)));
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.context().contains("`kept_results` of `ann`"), "{error}");

        let spilled = files(&whole).create_temp_file("a sort").unwrap();
        spilled.open_writer().unwrap().write_all(&[0; 30]).unwrap();
        assert!(files(&whole).create_temp_file("a sort").unwrap().open_writer().unwrap().write_all(&[0; 1]).is_err());
        // The disk of all principals is full before this principal's share is.
        whole.set_limit(1000);
        assert!(spilled.open_writer().unwrap().write_all(&[0; 31]).is_err());
        assert_eq!((kept.held(), whole.held(), disk.used_disk_space()), (90, 120, 120));
        drop((writer, result));
        assert_eq!((kept.held(), whole.held(), disk.used_disk_space()), (0, 30, 30));
        drop(spilled);
        assert_eq!((whole.held(), disk.used_disk_space()), (0, 0));
    }
}
