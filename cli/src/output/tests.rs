#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Builder, Int64Array, Int64Builder, ListArray, MapBuilder, RecordBatch, StringArray,
    StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn batch() -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a,\"b\"", "ü"]));
    let price: ArrayRef = Arc::new(Decimal128Array::from(vec![1050, -7]).with_precision_and_scale(15, 2).unwrap());
    RecordBatch::try_from_iter_with_nullable([("id", id, true), ("name", name, true), ("price", price, true)]).unwrap()
}

/// Writes `batches`, which have the columns of `schema`, to a file of this name, and returns its content.
fn written_as(name: &str, chosen: Option<Format>, schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut output = Output::file(&path, chosen, Format::Table).unwrap();
    let mut writer = output.begin(schema, View::default()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    let rows = writer.finish(None).unwrap();
    assert_eq!(rows, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    assert!(!path.exists());
    output.finish().unwrap();
    std::fs::read(&path).unwrap()
}

/// Writes `batches` as `format` and returns the file's content.
fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    written_as("out", Some(format), &batch().schema(), batches)
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches)).unwrap()
}

/// What [`write_to`] writes as CSV.
const CSV: &str = "id,name,price\n1,\"a,\"\"b\"\"\",10.50\n,ü,-0.07\n";

/// Writes the rows of [`batch`] to this file.
fn write_to(path: &Path, chosen: Option<Format>) -> Result<()> {
    let mut output = Output::file(path, chosen, Format::Table)?;
    let mut writer = output.begin(&batch().schema(), View::default())?;
    writer.write(&batch())?;
    writer.finish(None)?;
    assert!(output.finish()?);
    Ok(())
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
    let written = String::from_utf8(written_as("out.csv", None, &rows.schema(), &[rows])).unwrap();
    assert_eq!(written, "s,n\n\"\",\n,1\n\"a\r\nb\",\n\"\"\"\",2\n x ,3\n");
}

/// Two rows with a list, a struct and a map, whose values are NULL in the second one.
fn nested() -> RecordBatch {
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]));
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x, \"y\""), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(2)]));
    let members = vec![(field("a", DataType::Utf8), texts), (field("b", DataType::Int64), numbers)];
    let object: ArrayRef = Arc::new(StructArray::from(members));
    let mut maps = MapBuilder::new(None, Int32Builder::new(), Int64Builder::new());
    maps.keys().append_value(7);
    maps.values().append_value(70);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    let map: ArrayRef = Arc::new(maps.finish());
    RecordBatch::try_from_iter_with_nullable([("l", list, true), ("s", object, true), ("m", map, true)]).unwrap()
}

#[test]
fn csv_has_json_text_for_nested_values() {
    let rows = nested();
    let written = String::from_utf8(written_as("out.csv", None, &rows.schema(), &[rows])).unwrap();
    let first = r#""[1,null]","{""a"":""x, \""y\"""",""b"":null}","{""7"":70}""#;
    assert_eq!(written, format!("l,s,m\n{first}\n,\"{{\"\"a\"\":null,\"\"b\"\":2}}\",\n"));
}

#[test]
fn every_format_holds_nested_values() {
    let rows = nested();
    let schema = rows.schema();
    let batches = [rows.clone()];
    let json = String::from_utf8(written_as("out.json", None, &schema, &batches)).unwrap();
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let expected = serde_json::json!({ "l": [1, null], "s": { "a": "x, \"y\"", "b": null }, "m": { "7": 70 } });
    assert_eq!(first, expected);
    let table = String::from_utf8(written_as("out.txt", None, &schema, &batches)).unwrap();
    assert!(table.contains("[1, NULL]") && table.contains("{a: x, \"y\", b: NULL}"), "{table}");
    assert!(table.contains("{7: 70}"), "{table}");
    let arrow = written_as("out.arrows", None, &schema, &batches);
    let mut read = StreamReader::try_new(std::io::Cursor::new(arrow), None).unwrap();
    assert_eq!(read.next().unwrap().unwrap(), rows);
    let parquet = bytes::Bytes::from(written_as("out.parquet", None, &schema, &batches));
    let mut read = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    assert_eq!(read.next().unwrap().unwrap().columns()[..2], rows.columns()[..2]);
}

#[test]
fn the_keys_of_nested_maps_become_strings() {
    let mut maps =
        MapBuilder::new(None, StringBuilder::new(), MapBuilder::new(None, Int64Builder::new(), Int64Builder::new()));
    maps.keys().append_value("outer");
    maps.values().keys().append_value(1);
    maps.values().values().append_null();
    maps.values().append(true).unwrap();
    maps.append(true).unwrap();
    let map: ArrayRef = Arc::new(maps.finish());
    let rows = RecordBatch::try_from_iter([("m", map)]).unwrap();
    let json = String::from_utf8(written_as("out.jsonl", None, &rows.schema(), &[rows])).unwrap();
    assert_eq!(json, "{\"m\":{\"outer\":{\"1\":null}}}\n");
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
fn the_ending_of_the_name_chooses_the_format() {
    let (schema, batches) = (batch().schema(), [batch()]);
    let arrow = written_as("out.arrow", None, &schema, &batches);
    let mut read = FileReader::try_new(std::io::Cursor::new(arrow), None).unwrap();
    assert_eq!(read.next().unwrap().unwrap(), batch());
    assert!(written_as("out.parquet", None, &schema, &batches).starts_with(b"PAR1"));
    assert!(written_as("out.csv", None, &schema, &batches).starts_with(b"id,name,price\n"));
    assert!(written_as("out.ndjson", None, &schema, &batches).starts_with(b"{\"id\":1,"));
    assert!(written_as("out.txt", None, &schema, &batches).starts_with(b" id "));
    let folder = tempfile::tempdir().unwrap();
    for (name, chosen) in [("out.parquet", Some(Format::Csv)), ("out.xlsx", None)] {
        assert!(Output::file(&folder.path().join(name), chosen, Format::Table).is_err(), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn a_device_is_written_to_and_not_replaced() {
    let mut output = Output::file(Path::new("/dev/null"), Some(Format::Csv), Format::Table).unwrap();
    let mut writer = output.begin(&batch().schema(), View::default()).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish(None).unwrap();
    output.finish().unwrap();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    let error = Output::file(Path::new("/tmp"), Some(Format::Csv), Format::Table).err().unwrap();
    assert!(error.to_string().contains("it is a folder"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn an_open_file_of_the_process_is_added_to() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let mut open = std::fs::File::create(&path).unwrap();
    writeln!(open, "before").unwrap();
    let name = format!("/proc/self/fd/{}", open.as_raw_fd());
    write_to(Path::new(&name), Some(Format::Csv)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("before\n{CSV}"));
}

#[test]
#[cfg(unix)]
fn a_link_stays_and_its_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("below")).unwrap();
    std::fs::write(path("below/known.csv"), "before").unwrap();
    for name in ["known.csv", "new.csv"] {
        std::os::unix::fs::symlink(Path::new("below").join(name), path(name)).unwrap();
        write_to(&path(name), None).unwrap();
        assert!(std::fs::symlink_metadata(path(name)).unwrap().is_symlink(), "{name}");
        assert_eq!(std::fs::read_to_string(path("below").join(name)).unwrap(), CSV, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn a_file_keeps_its_permissions() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    std::fs::write(&path, "before").unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    for expected in [0o600, 0o666] {
        std::fs::set_permissions(&path, Permissions::from_mode(expected)).unwrap();
        write_to(&path, None).unwrap();
        assert_eq!(mode(), expected);
    }
    std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    let error = write_to(&path, None).unwrap_err();
    assert!(error.to_string().ends_with("out.csv: the file is read-only"), "{error}");
    assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), mode()), (CSV, 0o444));
}

#[test]
fn without_a_result_a_file_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    std::fs::write(&path, "before").unwrap();
    assert!(!Output::file(&path, None, Format::Table).unwrap().finish().unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn formats_whose_columns_are_found_by_name_refuse_two_of_one_name() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Int64, true),
        Field::new("a", DataType::Utf8, true),
    ]));
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.json", "out.parquet", "out.csv", "out.arrow", "out.txt"] {
        let mut output = Output::file(&folder.path().join(name), None, Format::Table).unwrap();
        let refused = output.begin(&schema, View::default()).err().map(|error| error.to_string());
        let is_refused = ["out.json", "out.parquet"].contains(&name);
        assert_eq!(refused.is_some(), is_refused, "{name}");
        assert!(refused.is_none_or(|error| error.starts_with("two columns are called `a`")), "{name}");
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
    let mut output = Output::file(&path, None, Format::Table).unwrap();
    let mut writer = output.begin(&batch().schema(), View::default()).unwrap();
    writer.write(&batch()).unwrap();
    drop(writer);
    drop(output);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn two_results_do_not_fit_into_one_parquet_or_csv_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.parquet", "out.arrow", "out.csv"] {
        let mut output = Output::file(&folder.path().join(name), None, Format::Table).unwrap();
        output.begin(&batch().schema(), View::default()).unwrap().finish(None).unwrap();
        let error = output.begin(&batch().schema(), View::default()).err().unwrap();
        assert!(error.to_string().contains("only one result"), "{name}: {error}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Output::file(Path::new("/nowhere/at/all.csv"), None, Format::Table).err().unwrap();
    let expected = "cannot write /nowhere/at/all.csv: there is no folder /nowhere/at";
    assert_eq!(error.owner_chain(), expected);
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
    // The ending of the name may be that of the document. A chosen format is that of the rows.
    let json = [row("json", "{\"a\": 1}")];
    assert_eq!(written_as("plan.json", None, &json[0].schema(), &json), b"{\"a\": 1}\n");
    assert_eq!(written_as("plan.svg", None, &json[0].schema(), &json), b"{\"a\": 1}\n");
    assert!(text(Format::Json, &json).starts_with("{\"plan_type\":\"json\""));
    let page = text(Format::Table, &[row("placement", "Sort")]);
    assert!(page.contains("Sort") && page.ends_with("(1 row)\n"), "{page}");
}
