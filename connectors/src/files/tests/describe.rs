//! Descriptions of files that no contract describes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use portolan_catalog::{FileFormat, FileSource};
use tempfile::TempDir;

use super::write_parquet;
use crate::error::{Error, ErrorKind};
use crate::files::{FileSources, FoundFiles, format_of};

async fn describe(folder: &Path, location: &str, format: FileFormat) -> Result<FoundFiles, Error> {
    FileSources::default().describe("files", &FileSource::new(location, folder, format), &Arc::default()).await
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Writes a file with the columns `id` and `name`, of which only `name` may be NULL if `id_is_required`.
fn parquet(folder: &Path, name: &str, id_is_required: bool) {
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int32, !id_is_required), Field::new("name", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    write(folder, name, "");
    write_parquet(&folder.join(name), &RecordBatch::try_new(Arc::new(schema), columns).unwrap());
}

#[tokio::test]
async fn a_column_is_required_if_no_file_can_hold_a_null_in_it() {
    let folder = TempDir::new().unwrap();
    parquet(folder.path(), "t/a.parquet", true);
    let found = describe(folder.path(), "t", FileFormat::Parquet).await.unwrap();
    let columns: Vec<_> = found.columns.iter().map(|c| (c.name.as_str(), c.data_type.clone(), c.is_required)).collect();
    assert_eq!(columns, [("id", DataType::Int32, true), ("name", DataType::Utf8View, false)]);
    assert_eq!((found.files, found.beginning.len()), (1, 0));

    parquet(folder.path(), "t/b.parquet", false);
    let found = describe(folder.path(), "t", FileFormat::Parquet).await.unwrap();
    assert_eq!((found.files, found.columns[0].is_required), (2, false));
}

#[tokio::test]
async fn folders_name_columns() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "t/year=2024/month=01/a.jsonl", "{\"n\": 1, \"year\": 7}\n");
    write(folder.path(), "t/year=2025/month=02/b.jsonl", "{\"n\": 2}\n");
    let found = describe(folder.path(), "t", FileFormat::Json).await.unwrap();
    let folders: Vec<_> = found.partitions.iter().map(|c| (c.name.as_str(), c.logical_type.as_deref())).collect();
    assert_eq!(folders, [("year", Some("integer")), ("month", Some("integer"))]);
    let names: Vec<_> = found.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["n", "year"]);
    // The column is not missing without a word if the first file is in no such folder.
    write(folder.path(), "t/a.jsonl", "{\"n\": 3}\n");
    let found = describe(folder.path(), "t", FileFormat::Json).await.unwrap();
    let folders: Vec<_> = found.partitions.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(folders, ["year", "month"]);
}

#[tokio::test]
async fn a_description_of_csv_has_its_first_text() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "t/a.csv", "");
    write(folder.path(), "t/b.csv", "id;name\n1;x\n");
    let found = describe(folder.path(), "t/b.csv", FileFormat::Csv).await.unwrap();
    assert_eq!((found.beginning.as_slice(), found.is_whole), (b"id;name\n1;x\n".as_slice(), true));
    assert!(found.columns.is_empty());

    write(folder.path(), "long.csv", &"x\n".repeat(1 << 20));
    let found = describe(folder.path(), "long.csv", FileFormat::Csv).await.unwrap();
    assert_eq!((found.beginning.len(), found.is_whole), (1 << 20, false));
}

#[tokio::test]
async fn files_that_do_not_exist_are_not_found() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "t/a.csv", "id\n1\n");
    let missing = describe(folder.path(), "t", FileFormat::Parquet).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{}", missing.owner_chain());
    assert_eq!(describe(folder.path(), "u.csv", FileFormat::Csv).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn names_imply_formats() {
    assert_eq!(format_of("a/b.parquet"), Some(FileFormat::Parquet));
    assert_eq!(format_of("b.CSV.gz"), Some(FileFormat::Csv));
    assert_eq!(format_of("s3://lake/*.ndjson"), Some(FileFormat::Json));
    assert_eq!(format_of("x.feather"), Some(FileFormat::Arrow));
    assert_eq!(format_of("x.xlsx"), None);
}
