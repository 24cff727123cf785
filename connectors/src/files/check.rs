//! Reads the text files of a port as queries read them, and finds the faults of their values and records: all of them, up
//! to a limit, and not only the first one.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::FileFormat;

use super::checked::FileColumns;
use super::origin::{data_fault, is_unanswered};
use super::table::FileTable;
use super::text::TextScan;
use crate::data_fault::{CheckLimits, DataFault, DataReport};
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught_async;

/// The largest number of rows that are parsed at once.
const BATCH_SIZE: usize = 8192;

impl FileTable {
    /// Reads the data of a port of CSV or JSON. Returns `None` for other formats, whose files have types of their own.
    pub(super) async fn check_data(
        &self,
        runtime: &Arc<RuntimeEnv>,
        limits: CheckLimits,
    ) -> Option<Result<DataReport>> {
        if !self.encoding.is_text() {
            return None;
        }
        Some(self.check_text(runtime, limits).await)
    }

    async fn check_text(&self, runtime: &Arc<RuntimeEnv>, limits: CheckLimits) -> Result<DataReport> {
        let store = runtime.object_store(&self.store).map_err(ours)?;
        let files = self.list(store.as_ref()).await;
        let mut check = Check { table: self, store, limits, report: DataReport::default() };
        check.report.is_complete = true;
        for file in files.map_err(|error| ours(self.origin.unlisted(error)))? {
            if check.is_at_a_limit() {
                check.report.is_complete = false;
                break;
            }
            let path = file.location.clone();
            let checked = caught_async(check.file(file)).await;
            checked.map_err(|panic| ours(self.origin.broken(&path, &panic)))??;
        }
        Ok(check.report)
    }
}

/// The check of a port that is under way.
struct Check<'a> {
    table: &'a FileTable,
    store: Arc<dyn ObjectStore>,
    limits: CheckLimits,
    report: DataReport,
}

impl Check<'_> {
    fn is_at_a_limit(&self) -> bool {
        self.report.faults.len() >= self.limits.faults || self.limits.rows.is_some_and(|rows| self.report.rows >= rows)
    }

    /// Checks one file.
    ///
    /// # Errors
    /// The source does not respond.
    async fn file(&mut self, file: ObjectMeta) -> Result<()> {
        let table = self.table;
        let path = file.location.clone();
        let name = table.origin.redact.clean(&table.origin.location.name_of(&path));
        self.report.files += 1;
        if let Err(error) = self.read(file, &name).await {
            let is_unanswered = is_unanswered(&error);
            let fault = match data_fault(&error).cloned() {
                Some(fault) => fault,
                None => match ours(table.origin.unreadable(&path, error)) {
                    error if is_unanswered => return Err(error),
                    error => DataFault::of_record(None, "a file of the port", error.owner_chain()),
                },
            };
            self.add(fault, &name);
        }
        Ok(())
    }

    async fn read(&mut self, file: ObjectMeta, name: &str) -> Result<(), DataFusionError> {
        let table = self.table;
        if table.encoding.format == FileFormat::Json
            && let Some(found) = table.encoding.names_in(&self.store, &file).await?
            && let Err(what) = FileColumns::new(&table.layout, &found, false)
        {
            self.add(DataFault::of_record(None, "the port's columns", format!("other columns: {what}")), name);
            return Ok(());
        }
        let wanted = (0..table.layout.file_schema.fields().len()).collect();
        let most_rows = self.limits.rows.map_or(BATCH_SIZE, |rows| usize::try_from(rows).unwrap_or(BATCH_SIZE));
        let batch_size = most_rows.clamp(1, BATCH_SIZE);
        let scan = TextScan::new(table.encoding.clone(), table.layout.clone(), wanted, batch_size)?;
        let most_faults = self.limits.faults.saturating_sub(self.report.faults.len()).max(1);
        let file = table.partitioned(file)?;
        let mut batches = Arc::new(scan).open(self.store.clone(), &file, most_faults).await?;
        while let Some(batch) = batches.try_next().await? {
            self.report.rows += batch.count as u64;
            self.report.has_more_faults |= batch.has_more;
            for fault in batch.faults {
                self.add(fault, name);
            }
            if self.is_at_a_limit() {
                // The end of the data can come right here.
                self.report.is_complete &= batches.try_next().await.is_ok_and(|next| next.is_none());
                return Ok(());
            }
        }
        Ok(())
    }

    fn add(&mut self, fault: DataFault, name: &str) {
        if self.report.faults.len() < self.limits.faults {
            self.report.faults.push(DataFault { file: name.to_owned(), ..fault });
        } else {
            self.report.has_more_faults = true;
        }
    }
}

/// Returns the project's own error.
fn ours(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(cause) => match cause.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::new(ErrorKind::SiteUnavailable, "the data cannot be read").with_source(other),
        },
        other => Error::new(ErrorKind::SiteUnavailable, "the data cannot be read").with_source(other),
    }
}
