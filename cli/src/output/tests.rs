#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn batch() -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a,\"b\"", "ü"]));
    let price: ArrayRef = Arc::new(Decimal128Array::from(vec![1050, -7]).with_precision_and_scale(15, 2).unwrap());
    RecordBatch::try_from_iter_with_nullable([("id", id, true), ("name", name, true), ("price", price, true)]).unwrap()
}

/// Writes `batches` as `format` and returns the file's content.
fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut output = Output::new(format, Some(&path)).unwrap();
    let mut writer = output.begin(&batch().schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    assert!(!path.exists());
    output.finish().unwrap();
    std::fs::read(&path).unwrap()
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches)).unwrap()
}

#[test]
fn csv_has_one_line_of_names() {
    let twice = [batch(), batch()];
    let rows = "1,\"a,\"\"b\"\"\",10.50\n,ü,-0.07\n";
    assert_eq!(text(Format::Csv, &twice), format!("id,name,price\n{rows}{rows}"));
    assert_eq!(text(Format::Csv, &[]), "id,name,price\n");
}

#[test]
fn csv_tells_null_from_the_empty_string() {
    let strings: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("a\r\nb"), Some("\""), Some(" x ")]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), None, Some(2), Some(3)]));
    let rows = RecordBatch::try_from_iter_with_nullable([("s", strings, true), ("n", numbers, true)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut output = Output::new(Format::Csv, Some(&path)).unwrap();
    let mut writer = output.begin(&rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    output.finish().unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, "s,n\n\"\",\n,1\n\"a\r\nb\",\n\"\"\"\",2\n x ,3\n");
}

#[test]
fn csv_holds_no_nested_values() {
    let lists = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some([Some(1)])]);
    let rows = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut output = Output::new(Format::Csv, Some(&folder.path().join("out"))).unwrap();
    let mut writer = output.begin(&rows.schema()).unwrap();
    let error = writer.write(&rows).unwrap_err().owner_chain();
    assert!(error.contains("column `l`") && error.contains("cast the column"), "{error}");
}

#[test]
fn json_has_an_object_a_line() {
    let lines = text(Format::Json, &[batch()]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["name"], "a,\"b\"");
    assert!(rows[1]["id"].is_null() && rows[1].get("id").is_some());
    assert_eq!(text(Format::Json, &[]), "");
}

#[test]
fn arrow_and_parquet_come_back_as_they_went() {
    for batches in [vec![batch(), batch()], vec![]] {
        let reader = StreamReader::try_new(std::io::Cursor::new(written(Format::Arrow, &batches)), None).unwrap();
        assert_eq!(reader.schema(), batch().schema());
        assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), batches);

        let bytes = bytes::Bytes::from(written(Format::Parquet, &batches));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let rows: usize = reader.map(|b| b.unwrap().num_rows()).sum();
        assert_eq!(rows, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    }
}

#[test]
fn a_table_counts_its_rows() {
    let table = text(Format::Table, &[batch(), batch()]);
    assert!(table.starts_with(" id "), "{table}");
    assert!(table.ends_with("\n(4 rows)\n"), "{table}");
    assert_eq!(table.matches("name").count(), 1);
    assert!(text(Format::Table, &[]).ends_with("(0 rows)\n"));
}

#[test]
fn a_result_that_is_not_whole_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    std::fs::write(&path, "before").unwrap();
    let mut output = Output::new(Format::Csv, Some(&path)).unwrap();
    let mut writer = output.begin(&batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    drop(writer);
    drop(output);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn two_results_do_not_fit_into_one_parquet_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut output = Output::new(Format::Parquet, Some(&folder.path().join("out"))).unwrap();
    output.begin(&batch().schema()).unwrap().finish().unwrap();
    assert!(output.begin(&batch().schema()).is_err());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Output::new(Format::Csv, Some(Path::new("/nowhere/at/all.csv"))).err().unwrap();
    assert!(error.owner_chain().contains("/nowhere/at/all.csv"), "{}", error.owner_chain());
}

#[test]
fn a_plan_for_programs_is_written_bare() {
    let row = |kind: &str, plan: &str| {
        let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        RecordBatch::try_from_iter([("plan_type", column(kind)), ("plan", column(plan))]).unwrap()
    };
    assert_eq!(text(Format::Table, &[row("svg", "<svg>\n</svg>\n")]), "<svg>\n</svg>\n");
    // In a file, a document is as the node sent it.
    assert_eq!(text(Format::Table, &[row("json", "{\"a\": \"\u{9b}\"}")]), "{\"a\": \"\u{9b}\"}\n");
    let page = text(Format::Table, &[row("placement", "Sort")]);
    assert!(page.contains("Sort") && page.ends_with("(1 row)\n"), "{page}");
}
