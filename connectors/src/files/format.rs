//! The four file formats: the extensions of file names, the compression of text, and DataFusion's reader for each
//! format.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::error::Result;
use encoding_rs::Encoding as CharacterEncoding;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use portolan_catalog::logical_type::declared_type;
use portolan_catalog::{FileFormat, FileSource, Port, TextFormat};

use super::footers::forget_other_version;
use super::sample::{JsonSample, SAMPLE_BYTES, SAMPLE_RECORDS, keys};
use super::text::{CsvSample, JsonColumns, Text, TextColumn, infer, schema_of};

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
    /// True if parts of the file can be read at the same time: each ends at a line break.
    pub(super) is_splittable: bool,
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
    /// CSV and JSON: the notation of the text.
    pub(super) text: TextFormat,
    /// The notation of the port's columns, by their names in the files.
    columns: Arc<BTreeMap<String, TextColumn>>,
    /// The names in the files of the columns whose type the contract leaves open.
    inferred: Arc<Vec<String>>,
    /// True if no contract describes the files: all types are open.
    infers_all: bool,
}

impl Encoding {
    /// Returns the encoding in the contract, with the compression that the names of the files imply.
    pub(super) fn new(source: &FileSource, port: &Port, compression: CompressionTypeVariant) -> Self {
        let column = |column: &portolan_catalog::Column| {
            let (name, is_open) = (column.name.clone(), column.is_open());
            let format = source.columns.get(&name).cloned().unwrap_or_default();
            (source.name_in_file(&column.name).to_owned(), TextColumn { name, is_open, format })
        };
        let open = port.columns.iter().filter(|column| declared_type(column, port.source.as_ref()).is_none());
        Self {
            format: source.format,
            delimiter: source.delimiter.unwrap_or(b','),
            has_header: source.has_header,
            compression,
            text: source.text.clone(),
            columns: Arc::new(port.columns.iter().map(column).collect()),
            inferred: Arc::new(open.map(|column| source.name_in_file(&column.name).to_owned()).collect()),
            infers_all: port.columns.is_empty(),
        }
    }

    /// Returns the notation of the column with this name in the files.
    pub(super) fn column(&self, name_in_file: &str) -> TextColumn {
        let unknown = || TextColumn { name: name_in_file.to_owned(), is_open: true, ..TextColumn::default() };
        self.columns.get(name_in_file).cloned().unwrap_or_else(unknown)
    }

    /// True if the format is text, so that the contract and not the file determines the types.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.format, FileFormat::Csv | FileFormat::Json)
    }

    /// True if a contract describes the files.
    pub(super) fn has_contract(&self) -> bool {
        !self.infers_all
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
            // Quoted values may contain line breaks, so a file must not be split at byte positions for parallel reads.
            FileFormat::Csv => {
                let format = CsvFormat::default().with_has_header(self.has_header).with_delimiter(self.delimiter);
                Arc::new(format.with_newlines_in_values(true).with_file_compression_type(compression))
            }
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
            return Ok(FoundColumns { schema, is_whole: true, is_splittable: true });
        }
        let text = self.text(store, &file.location).await?;
        if self.format == FileFormat::Csv {
            let sample = CsvSample::read(self, text, SAMPLE_RECORDS, SAMPLE_BYTES).await?;
            let schema = schema_of(&sample.names, |position| self.inferred_type(&sample, position));
            return Ok(FoundColumns { schema: Arc::new(schema), is_whole: true, is_splittable: false });
        }
        let sample = JsonSample::read(text, SAMPLE_RECORDS).await?;
        let mut columns = JsonColumns::default();
        columns.add(&sample.records, SAMPLE_RECORDS, sample.has_lines)?;
        let schema = if self.infers_all { columns.all()? } else { columns.first() };
        let JsonSample { is_whole, is_splittable, .. } = sample;
        Ok(FoundColumns { schema: Arc::new(schema), is_whole, is_splittable })
    }

    /// Infers the type of a column of CSV, if the contract leaves it open. Without a header, every type may be open:
    /// the names are not those of the contract.
    fn inferred_type(&self, sample: &CsvSample, position: usize) -> DataType {
        let name = &sample.names[position];
        let may_be_open = !self.inferred.is_empty() && (!self.has_header || self.inferred.contains(name));
        if !self.infers_all && !may_be_open {
            return DataType::Null;
        }
        infer(|| sample.records.column(position), &self.column(name).format)
    }

    /// Returns the column names of one file, if their types do not matter or cannot be found. `None` if the file has no
    /// records or is no JSON: in that case its reader reports the error.
    pub(super) async fn names_in(
        &self,
        store: &Arc<dyn ObjectStore>,
        file: &ObjectMeta,
    ) -> Result<Option<FoundColumns>> {
        let text = self.text(store, &file.location).await?;
        if self.format == FileFormat::Csv {
            let sample = CsvSample::read(self, text, 0, SAMPLE_BYTES).await?;
            let schema = Arc::new(schema_of(&sample.names, |_| DataType::Null));
            let found = FoundColumns { schema, is_whole: true, is_splittable: false };
            return Ok((!sample.names.is_empty()).then_some(found));
        }
        let JsonSample { records, is_whole, is_splittable, .. } = JsonSample::read(text, SAMPLE_RECORDS).await?;
        let Some(keys) = keys(&records) else { return Ok(None) };
        let fields: Vec<Field> = keys.into_iter().map(|key| Field::new(key, DataType::Null, true)).collect();
        Ok(Some(FoundColumns { schema: Arc::new(Schema::new(fields)), is_whole, is_splittable }))
    }

    /// True if this delimiter separates equally many values of the first records of a CSV file, and at least two of each.
    pub(super) async fn is_split_by(&self, delimiter: u8, store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> bool {
        let other = Self { delimiter, ..self.clone() };
        let Ok(text) = other.text(store, &file.location).await else { return false };
        let sample = CsvSample::read(&other, text, SAMPLE_RECORDS, SAMPLE_BYTES).await;
        sample.is_ok_and(|sample| sample.is_even && sample.names.len() > 1)
    }

    /// Returns the text of a file.
    pub(super) async fn text(&self, store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Text> {
        let declared = self.text.encoding.as_deref().and_then(|name| CharacterEncoding::for_label(name.as_bytes()));
        Text::open(store, path, self.compression, declared).await
    }
}

/// Returns the format that the name of a file implies.
pub fn format_of(name: &str) -> Option<FileFormat> {
    let formats = [FileFormat::Parquet, FileFormat::Csv, FileFormat::Json, FileFormat::Arrow];
    formats.into_iter().find(|format| has_extension(name, *format))
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
