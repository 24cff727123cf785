//! Adds rows to a port over Parquet files. All rows of a statement become one new file. The store shows the file when
//! it is complete, or never. Scans list the files again, so a reader sees all rows of a statement or none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use portolan_catalog::{FileFormat, Port};
use uuid::Uuid;

use super::layout::Layout;
use super::location::{Refused, Selection};
use super::origin::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::source::PortWriter;
use crate::writers::{RequiredColumns, Writers};

/// Adds rows to a port over Parquet files in a folder.
#[derive(Debug)]
pub(super) struct FileAppender {
    origin: Arc<Origin>,
    store: Arc<dyn ObjectStore>,
    file_schema: SchemaRef,
    /// The position in the port of each column of a file; `None` if the port does not have the column.
    columns: Vec<Option<usize>>,
    required: RequiredColumns,
    writers: Writers,
}

impl FileAppender {
    /// Returns the writer of `port` for `writers`: names of principals, `group:` and the name of a group, or `*` for
    /// every principal.
    ///
    /// # Errors
    /// The reason why the port cannot accept rows.
    pub(super) fn new(
        port: &Port,
        format: FileFormat,
        layout: &Layout,
        (origin, store): (&Arc<Origin>, &Arc<dyn ObjectStore>),
        writers: &[String],
    ) -> Result<Self, String> {
        let cannot = |why: &str| Err(format!("port {} cannot have writers: {why}", port.name));
        if format != FileFormat::Parquet {
            return cannot("rows are added as Parquet files, and it is of another format");
        }
        if !layout.partitions.is_empty() {
            return cannot("its folders give columns");
        }
        if origin.location.selection != Selection::Folder {
            return cannot("its location is no folder: end it with a slash");
        }
        let place_of = |file: usize| layout.positions.iter().position(|p| *p == file);
        Ok(Self {
            origin: origin.clone(),
            store: store.clone(),
            file_schema: layout.file_schema.clone(),
            columns: (0..layout.file_schema.fields().len()).map(place_of).collect(),
            required: RequiredColumns::of(port),
            writers: Writers::new(writers),
        })
    }

    /// Returns the rows with the columns of the port's files.
    ///
    /// # Errors
    /// A value that is missing or does not fit its column.
    fn file_rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        self.required.check(batch)?;
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.columns.iter().zip(self.file_schema.fields()).map(|(place, field)| match place {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(place) => cast_with_options(batch.column(*place), field.data_type(), &strict),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        columns
            .collect::<std::result::Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new_with_options(self.file_schema.clone(), columns, &options))
            .map_err(|e| self.error(ErrorKind::InvalidQuery, "a value does not fit its column").with_source(e))
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("port {}: {what}", self.origin.port))
    }

    fn refused(&self, refused: &Refused) -> Error {
        let (port, location) = (&self.origin.port, &self.origin.location);
        let error = self.error(ErrorKind::SiteUnavailable, &refused.message(location.last_segment()));
        error.for_owner(format!("port {port}: {}", refused.message(location.as_str())))
    }

    fn unwritable(&self, error: &dyn std::fmt::Display) -> Error {
        let what = "its rows cannot be stored";
        let cause = self.origin.redact.clean(&error.to_string());
        let port = &self.origin.port;
        self.error(ErrorKind::SiteUnavailable, what).for_owner(format!("port {port}: {what}: {cause}"))
    }
}

#[async_trait]
impl PortWriter for FileAppender {
    fn takes_from(&self, name: &str, groups: &BTreeSet<String>) -> bool {
        self.writers.include(name, groups)
    }

    async fn append(&self, mut rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        self.origin.location.check_base().await.map_err(|refused| self.refused(&refused))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = format!("{now}-{}.parquet", Uuid::new_v4().simple());
        let path: Path = self.origin.location.base.clone().join(name);
        let mut file = BufWriter::new(self.store.clone(), path);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = AsyncArrowWriter::try_new(&mut file, self.file_schema.clone(), Some(properties))
            .map_err(|e| self.unwritable(&e))?;
        let written = async {
            let mut count = 0;
            while let Some(batch) = rows.try_next().await? {
                count += batch.num_rows() as u64;
                writer.write(&self.file_rows(&batch)?).await.map_err(|e| self.unwritable(&e))?;
            }
            Ok(count)
        };
        match written.await {
            // A statement without rows leaves no file.
            Ok(0) => {
                drop(writer);
                let _ = file.abort().await;
                Ok(0)
            }
            Ok(count) => match writer.close().await {
                Ok(_) => Ok(count),
                Err(e) => {
                    let error = self.unwritable(&e);
                    let _ = file.abort().await;
                    Err(error)
                }
            },
            Err(e) => {
                drop(writer);
                // No reader sees the uploaded part. If the store does not respond, it keeps the part until it cleans
                // up.
                let _ = file.abort().await;
                Err(e)
            }
        }
    }
}
