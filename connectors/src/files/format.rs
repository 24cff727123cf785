//! The four file formats: the extensions of file names, the compression of text, and DataFusion's reader for each
//! format.

use std::io::Cursor;
use std::sync::Arc;

use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::config::{CsvOptions, TableParquetOptions};
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use portolan_catalog::{FileFormat, FileSource};

use super::footers::forget_other_version;
use super::sample::{SAMPLE_RECORDS, TextSample, keys};

/// The unit in which timestamps of Parquet's type INT96 are read. Nanoseconds have only the years 1677 to 2262, and
/// Parquet's reader wraps other years around.
const INT96_UNIT: &str = "us";

/// The columns of a file, or of its beginning.
#[derive(Clone, Debug)]
pub(super) struct FoundColumns {
    /// The columns.
    pub(super) schema: SchemaRef,
    /// True if the file has no other columns.
    pub(super) is_whole: bool,
}

/// The encoding of a port's files.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Encoding {
    /// The format.
    pub(super) format: FileFormat,
    /// CSV: the delimiter of values.
    pub(super) delimiter: u8,
    /// CSV: true if the first line has the names of the columns.
    pub(super) has_header: bool,
    /// CSV and JSON: the compression of the text.
    pub(super) compression: CompressionTypeVariant,
}

impl Encoding {
    /// Returns the encoding in the contract, with the compression that the names of the files imply.
    pub(super) fn new(source: &FileSource, compression: CompressionTypeVariant) -> Self {
        let delimiter = source.delimiter.unwrap_or(b',');
        Self { format: source.format, delimiter, has_header: source.has_header, compression }
    }

    /// True if the format is text, so that the contract and not the file determines the types.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.format, FileFormat::Csv | FileFormat::Json)
    }

    /// Returns DataFusion's reader, with the session's options.
    pub(super) fn reader(&self, session: &dyn Session) -> Arc<dyn Reader> {
        let compression = FileCompressionType::from(self.compression);
        match self.format {
            FileFormat::Parquet => {
                // Schema inference and scans both use these options, and so agree on the unit.
                let mut global = session.config_options().execution.parquet.clone();
                global.coerce_int96 = Some(INT96_UNIT.to_owned());
                Arc::new(ParquetFormat::default().with_options(TableParquetOptions { global, ..Default::default() }))
            }
            FileFormat::Csv => Arc::new(self.csv().with_schema_infer_max_rec(SAMPLE_RECORDS)),
            FileFormat::Json => Arc::new(JsonFormat::default().with_file_compression_type(compression)),
            FileFormat::Arrow => Arc::new(ArrowFormat),
        }
    }

    /// Returns the columns of one file, with the stored types. For text, infers the types from a sample.
    pub(super) async fn columns_of(
        &self,
        session: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<FoundColumns> {
        if !self.is_text() {
            forget_other_version(session.runtime_env().cache_manager.get_file_metadata_cache().as_ref(), file);
            let schema = self.reader(session).infer_schema(session, store, std::slice::from_ref(file)).await?;
            return Ok(FoundColumns { schema, is_whole: true });
        }
        let sample = TextSample::read(self, store, &file.location, SAMPLE_RECORDS).await?;
        let bytes = sample.bytes.as_slice();
        if self.format == FileFormat::Csv {
            return Ok(FoundColumns { schema: Arc::new(self.csv_schema(bytes)?), is_whole: true });
        }
        let (schema, _) = arrow::json::reader::infer_json_schema(bytes, Some(SAMPLE_RECORDS))?;
        Ok(FoundColumns { schema: Arc::new(schema), is_whole: sample.is_whole })
    }

    /// Returns the column names of one file, if their types do not matter or cannot be found. `None` if the file has no
    /// records or is no JSON: in that case its reader reports the error.
    pub(super) async fn names_in(
        &self,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Option<FoundColumns>> {
        let sample = TextSample::read(self, store, &file.location, SAMPLE_RECORDS).await?;
        let Some(keys) = keys(&sample.bytes) else { return Ok(None) };
        let fields: Vec<Field> = keys.into_iter().map(|key| Field::new(key, DataType::Null, true)).collect();
        let found = FoundColumns { schema: Arc::new(Schema::new(fields)), is_whole: sample.is_whole };
        Ok(Some(found))
    }

    /// Returns the names in the first line of a CSV file.
    pub(super) async fn header_of(&self, store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Result<Vec<String>> {
        let sample = TextSample::read(self, store, &file.location, 1).await?;
        let schema = self.csv_schema(&sample.bytes)?;
        Ok(schema.fields().iter().map(|f| f.name().clone()).collect())
    }

    /// Returns the text of a file, decompressed.
    pub(super) async fn text(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &Path,
    ) -> Result<BoxStream<'static, Result<bytes::Bytes>>> {
        let bytes = Box::pin(store.get(path).await?.into_stream().map_err(DataFusionError::from));
        FileCompressionType::from(self.compression).convert_stream(bytes)
    }

    /// Infers the columns of CSV. DataFusion reads a sample in pieces and expects whole records in each piece. If
    /// quoted values have line breaks, a piece may end within a record: `LineDelimiter` of object_store searches for
    /// the last line break backwards, past quotes.
    fn csv_schema(&self, sample: &[u8]) -> Result<Schema> {
        let format = Format::default().with_header(self.has_header).with_delimiter(self.delimiter);
        let (inferred, _) = format.infer_schema(Cursor::new(sample), Some(SAMPLE_RECORDS))?;
        Ok(Schema::new(inferred.fields().iter().map(in_microseconds).collect::<Vec<_>>()))
    }

    /// Returns the options with which CSV is read.
    pub(super) fn csv_options(&self) -> CsvOptions {
        self.csv().options().clone()
    }

    fn csv(&self) -> CsvFormat {
        // Quoted values may contain line breaks, so a file must not be split at byte positions for parallel reads.
        CsvFormat::default()
            .with_has_header(self.has_header)
            .with_delimiter(self.delimiter)
            .with_newlines_in_values(true)
            .with_file_compression_type(FileCompressionType::from(self.compression))
    }
}

/// Gives an inferred timestamp at least the unit of `TIMESTAMP`. A later record may have more digits than those of the
/// sample.
fn in_microseconds(field: &FieldRef) -> FieldRef {
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, None) => {
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, None);
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        }
        _ => field.clone(),
    }
}

/// True if the extension of a file's name belongs to this format.
pub(super) fn has_extension(path: &str, format: FileFormat) -> bool {
    let extensions: &[&str] = match format {
        FileFormat::Parquet => &["parquet", "parq", "pq"],
        FileFormat::Csv => &["csv", "tsv", "tbl", "txt"],
        FileFormat::Json => &["json", "jsonl", "ndjson"],
        FileFormat::Arrow => &["arrow", "feather", "ipc"],
    };
    extension_of(path, format).is_some_and(|extension| extensions.contains(&extension.as_str()))
}

/// Returns the extension of a file's name in lower case. The extension of a compression comes after it.
pub(super) fn extension_of(path: &str, format: FileFormat) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let name = match format {
        FileFormat::Csv | FileFormat::Json => without_compression(&name).0,
        FileFormat::Parquet | FileFormat::Arrow => &name,
    };
    name.rsplit_once('.').map(|(_, extension)| extension.to_owned())
}

/// Returns the compression that the name of a file implies.
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
