//! The four file formats: which names they go by, how their text is compressed, and DataFusion's reader for each.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use portolan_catalog::{FileFormat, PortSource};

/// How many records and bytes of text are looked at to find out types.
const SAMPLE_RECORDS: usize = 1000;
const SAMPLE_BYTES: usize = 4 << 20;

/// How the bytes of a port's files are to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Encoding {
    /// The format.
    pub(super) format: FileFormat,
    /// CSV: what stands between two values.
    pub(super) delimiter: u8,
    /// CSV: whether the first line names the columns.
    pub(super) has_header: bool,
    /// CSV and JSON: how the text is compressed.
    pub(super) compression: CompressionTypeVariant,
}

impl Encoding {
    /// What the contract says, with the compression that the files' names tell.
    pub(super) fn new(source: &PortSource, compression: CompressionTypeVariant) -> Self {
        let delimiter = source.delimiter.unwrap_or(b',');
        Self { format: source.format, delimiter, has_header: source.has_header, compression }
    }

    /// Whether the format is text, so that the contract and not the file gives the types.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.format, FileFormat::Csv | FileFormat::Json)
    }

    /// DataFusion's reader, with the session's options.
    pub(super) fn reader(&self, session: &dyn Session) -> Arc<dyn Reader> {
        let compression = FileCompressionType::from(self.compression);
        match self.format {
            FileFormat::Parquet => {
                let global = session.config_options().execution.parquet.clone();
                Arc::new(ParquetFormat::default().with_options(TableParquetOptions { global, ..Default::default() }))
            }
            FileFormat::Csv => Arc::new(self.csv().with_schema_infer_max_rec(SAMPLE_RECORDS)),
            FileFormat::Json => Arc::new(JsonFormat::default().with_file_compression_type(compression)),
            FileFormat::Arrow => Arc::new(ArrowFormat),
        }
    }

    /// The columns of one file, with the types that it has or seems to have.
    pub(super) async fn schema_of(
        &self,
        session: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<SchemaRef> {
        if self.format == FileFormat::Json {
            return self.sample_json(store, &file.location).await;
        }
        self.reader(session).infer_schema(session, store, std::slice::from_ref(file)).await
    }

    /// The names in the first line of a CSV file.
    pub(super) async fn header_of(
        &self,
        session: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Vec<String>> {
        let reader = self.csv().with_schema_infer_max_rec(1);
        let schema = reader.infer_schema(session, store, std::slice::from_ref(file)).await?;
        Ok(schema.fields().iter().map(|f| f.name().clone()).collect())
    }

    fn csv(&self) -> CsvFormat {
        // Quoted values may hold line breaks, so a file must not be cut by bytes to be read in parallel.
        CsvFormat::default()
            .with_has_header(self.has_header)
            .with_delimiter(self.delimiter)
            .with_newlines_in_values(true)
            .with_file_compression_type(FileCompressionType::from(self.compression))
    }

    /// DataFusion's own inference reads a remote file whole; this one stops after a sample.
    async fn sample_json(&self, store: &Arc<dyn ObjectStore>, path: &Path) -> Result<SchemaRef> {
        let bytes = Box::pin(store.get(path).await?.into_stream().map_err(DataFusionError::from));
        let mut text = FileCompressionType::from(self.compression).convert_stream(bytes)?;
        let mut sample = Vec::new();
        let mut cut = false;
        while let Some(chunk) = text.try_next().await? {
            sample.extend_from_slice(&chunk);
            if sample.len() >= SAMPLE_BYTES {
                cut = true;
                break;
            }
        }
        if cut && let Some(end) = sample.iter().rposition(|b| *b == b'\n') {
            sample.truncate(end);
        }
        let (schema, _): (Schema, usize) =
            arrow::json::reader::infer_json_schema(sample.as_slice(), Some(SAMPLE_RECORDS))?;
        Ok(Arc::new(schema))
    }
}

/// Whether a file's name says that it is of this format.
pub(super) fn has_extension(path: &str, format: FileFormat) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let name = match format {
        FileFormat::Csv | FileFormat::Json => without_compression(&name).0,
        FileFormat::Parquet | FileFormat::Arrow => &name,
    };
    let extensions: &[&str] = match format {
        FileFormat::Parquet => &["parquet", "parq", "pq"],
        FileFormat::Csv => &["csv", "tsv", "tbl", "txt"],
        FileFormat::Json => &["json", "jsonl", "ndjson"],
        FileFormat::Arrow => &["arrow", "feather", "ipc"],
    };
    name.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
}

/// How a file is compressed, as its name says.
pub(super) fn compression_of(path: &Path, format: FileFormat) -> CompressionTypeVariant {
    match format {
        FileFormat::Csv | FileFormat::Json => without_compression(&path.as_ref().to_lowercase()).1,
        FileFormat::Parquet | FileFormat::Arrow => CompressionTypeVariant::UNCOMPRESSED,
    }
}

fn without_compression(name: &str) -> (&str, CompressionTypeVariant) {
    use CompressionTypeVariant::{BZIP2, GZIP, UNCOMPRESSED, XZ, ZSTD};
    for (suffix, compression) in [(".gz", GZIP), (".zst", ZSTD), (".bz2", BZIP2), (".xz", XZ)] {
        if let Some(rest) = name.strip_suffix(suffix) {
            return (rest, compression);
        }
    }
    (name, UNCOMPRESSED)
}
