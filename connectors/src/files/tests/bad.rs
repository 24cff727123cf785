//! Ports that are refused when they are opened, and reads that fail. Each error names the port, the place or the file.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, MapArray, RecordBatch, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int32Type};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use portolan_catalog::FileFormat;

use super::{COLUMNS, Fixture, batch, ours, rows, write_parquet};
use crate::error::ErrorKind;
use crate::files::{FileSources, SourceOptions};

/// Runs `sql` and checks that it fails as a site that cannot be read, naming the port and `file`. Returns the error that
/// the owner sees.
async fn fails_at(context: &SessionContext, sql: &str, file: &str) -> String {
    let error = rows(context, sql).await.expect_err("it runs");
    named(&error, file)
}

fn named(error: &datafusion::error::DataFusionError, file: &str) -> String {
    named_as(ErrorKind::SiteUnavailable, error, file)
}

/// Runs `sql` and checks that it fails as a fault of the data, naming the port and `file`. Returns the error that the
/// owner sees.
pub(super) async fn faulty_at(context: &SessionContext, sql: &str, file: &str) -> String {
    let error = rows(context, sql).await.expect_err("it runs");
    named_as(ErrorKind::InvalidData, &error, file)
}

fn named_as(kind: ErrorKind, error: &datafusion::error::DataFusionError, file: &str) -> String {
    let error = ours(error);
    let text = error.owner_chain();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains("port sales.orders.orders"), "{text}");
    assert!(text.contains(file), "{text}");
    let others = error.chain();
    assert!(others.contains("port sales.orders.orders") && !others.contains('/'), "{others}");
    text
}

#[tokio::test]
async fn a_lacking_column_is_told_with_its_place_and_the_nearest_name() {
    let fixture = Fixture::new(FileFormat::Parquet, "o.parquet", &[("id", "integer"), ("prise", "number"), ("x", "")]);
    fixture.parquet("o.parquet", &batch(&[1]));
    let refused = fixture.refused().await;
    let expected = "orders.odcs.yaml:7: prise: column `prise` is not in the source; did you mean `price`?\n\
                    orders.odcs.yaml:7: x: column `x` is not in the source";
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_type_of_another_family_is_refused() {
    let fixture = Fixture::new(FileFormat::Parquet, "o.parquet", &[("id", "string"), ("price", "date")]);
    fixture.parquet("o.parquet", &batch(&[1]));
    let refused = fixture.refused().await;
    assert!(
        refused.contains("orders.odcs.yaml:7: id: column `id` is string here and Int64 in the source"),
        "{refused}"
    );
    assert!(refused.contains("price"), "{refused}");
}

#[tokio::test]
async fn a_place_without_data_is_refused() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "nowhere/o.parquet", COLUMNS);
    let refused = fixture.refused().await;
    assert!(refused.starts_with("orders.odcs.yaml:7: servers[0]: "), "{refused}");
    assert!(refused.contains("nowhere/o.parquet"), "{refused}");
    fixture.files().location = "*.parquet".to_owned();
    assert!(fixture.refused().await.contains("there is no Parquet file at *.parquet"));
    fixture.files().location = "ftp://host/x".to_owned();
    assert!(fixture.refused().await.contains("`ftp://` is not known"));
    fixture.files().location = "s3://key:hunter2@bucket/x".to_owned();
    let refused = fixture.refused().await;
    assert!(refused.contains("credentials") && !refused.contains("hunter2"), "{refused}");
    fixture.files().location = "https://host/x.csv?sig=hunter2".to_owned();
    let refused = fixture.refused().await;
    assert!(refused.contains("without query") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    for i in 0..4 {
        fixture.parquet(&format!("{i}.parquet"), &batch(&[i]));
    }
    let with = |max_files| {
        FileSources::new(HashMap::from([("lake".to_owned(), SourceOptions { max_files, ..Default::default() })]))
    };
    let refused = fixture.open_with(&with(3)).await.err().unwrap().to_string();
    assert!(refused.contains("more than 3 files"), "{refused}");
    let (_, context) = fixture.open_with(&with(4)).await.unwrap();
    fixture.parquet("5.parquet", &batch(&[5]));
    assert!(fails_at(&context, "SELECT * FROM t", "more than 4 files").await.contains("max_files"));
}

#[tokio::test]
async fn corrupt_files_are_refused_when_the_port_is_opened() {
    for (format, name, content) in [
        (FileFormat::Parquet, "o.parquet", "garbage that is no Parquet file at all"),
        (FileFormat::Parquet, "o.parquet", ""),
        (FileFormat::Arrow, "o.arrow", "garbage that is no Arrow file at all"),
        (FileFormat::Arrow, "o.arrow", ""),
        (FileFormat::Json, "o.json", "{\"id\": 1"),
        (FileFormat::Json, "o.json", "garbage"),
        (FileFormat::Csv, "o.csv.gz", "garbage that is no gzip"),
    ] {
        let fixture = Fixture::new(format, name, COLUMNS);
        let path = fixture.write(name, content);
        let refused = fixture.refused().await;
        assert!(refused.contains(path.canonicalize().unwrap().to_str().unwrap()), "{name} {content}: {refused}");
    }
}

#[tokio::test]
async fn a_file_that_is_corrupted_later_is_named_among_others() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    for i in 0..5 {
        fixture.parquet(&format!("{i}.parquet"), &batch(&[i]));
    }
    let (_, context) = fixture.open().await.unwrap();
    let whole = fs::read(fixture.path("3.parquet")).unwrap();
    for bad in [&whole[..whole.len() / 2], b"garbage".as_slice(), b""] {
        fixture.write("3.parquet", bad);
        fails_at(&context, "SELECT sum(price) FROM t", "/3.parquet").await;
    }
    fixture.write("3.parquet", &whole);
    rows(&context, "SELECT sum(price) FROM t").await.unwrap();
}

#[tokio::test]
async fn corrupt_pages_below_a_good_footer_name_the_file() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    for i in 0..3 {
        // Two rows: the footer describes a column with one value completely, and its pages are not read.
        fixture.parquet(&format!("{i}.parquet"), &batch(&[i, i + 10]));
    }
    let (_, context) = fixture.open().await.unwrap();
    let mut bytes = fs::read(fixture.path("1.parquet")).unwrap();
    for byte in &mut bytes[4..60] {
        *byte = 0xff;
    }
    fixture.write("1.parquet", &bytes);
    fails_at(&context, "SELECT id, name FROM t", "/1.parquet").await;
}

#[tokio::test]
async fn files_that_vanish_are_named() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    for i in 0..3 {
        write_parquet(&fixture.write(&format!("{i}.parquet"), ""), &batch(&[i, i + 10]));
    }
    let (_, context) = fixture.open().await.unwrap();
    // The file is removed between listing and reading.
    let plan = context.sql("SELECT id FROM t").await.unwrap().create_physical_plan().await.unwrap();
    fs::remove_file(fixture.path("2.parquet")).unwrap();
    let error = collect(plan, context.task_ctx()).await.unwrap_err();
    assert!(named(&error, "/2.parquet").contains("is gone"));
    // All files are removed: an empty result would be wrong.
    fs::remove_file(fixture.path("0.parquet")).unwrap();
    fs::remove_file(fixture.path("1.parquet")).unwrap();
    fails_at(&context, "SELECT id FROM t", "there is no Parquet file").await;
}

#[tokio::test]
async fn a_file_that_is_replaced_after_planning_is_refused() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    fixture.parquet("a.parquet", &batch(&[1, 11]));
    let (_, context) = fixture.open().await.unwrap();
    let sql = "SELECT id FROM t ORDER BY id";
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    // A file of the same layout: the old footer would describe the new pages.
    let new = fixture.parquet("replacement", &batch(&[3, 13]));
    fs::rename(new, fixture.path("a.parquet")).unwrap();
    let error = collect(plan, context.task_ctx()).await.unwrap_err();
    assert!(named(&error, "/a.parquet").contains("it has changed since the query was planned"));
    assert_eq!(rows(&context, sql).await.unwrap(), "| 3  |\n| 13 |");
}

#[tokio::test]
async fn a_single_file_that_vanished_is_named() {
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    fixture.write("o.csv", "id,name,price\n1,a,2\n");
    let (_, context) = fixture.open().await.unwrap();
    fs::remove_file(fixture.path("o.csv")).unwrap();
    fails_at(&context, "SELECT id FROM t", "o.csv").await;
}

#[tokio::test]
async fn a_csv_value_or_row_that_does_not_fit_is_an_error() {
    let fixture = Fixture::new(FileFormat::Csv, ".", &[("id", "integer"), ("day", "timestamp")]);
    fixture.write("a.csv", "id,day,secret\n1,2024-01-01,s\n");
    fixture.write("b.csv", "id,day,secret\n2,2024-01-01,s\n");
    let (_, context) = fixture.open().await.unwrap();
    for (bad, sql) in [
        ("id,day,secret\nx,2024-01-01,hidden\n", "SELECT id FROM t"),
        ("id,day,secret\n2,someday,hidden\n", "SELECT * FROM t"),
        ("id,day,secret\n2,2024-01-01,s\n3\n", "SELECT id FROM t"),
        ("id,day,secret\n2,2024-01-01,s,4\n", "SELECT id FROM t"),
        ("id,secret\n2,s\n", "SELECT id FROM t"),
        ("secret,more\ns,m\n", "SELECT count(*) FROM t"),
        ("id,day,secret\n2,2024-01-01,\"s\n", "SELECT id FROM t"),
    ] {
        fixture.write("b.csv", bad);
        let message = faulty_at(&context, sql, "/b.csv").await;
        assert!(!message.contains("hidden"), "{message}");
    }
}

#[tokio::test]
async fn a_json_value_that_does_not_fit_is_an_error() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer")]);
    fixture.write("a.json", "{\"id\":1}\n");
    let path = fixture.write("b.json", "{\"id\":2}\n");
    let (_, context) = fixture.open().await.unwrap();
    for bad in ["{\"id\":\"x\"}\n", "{\"id\":[1]}\n", "{\"id\":\n", "nonsense\n"] {
        fs::write(&path, bad).unwrap();
        faulty_at(&context, "SELECT id FROM t", "/b.json").await;
    }
    // The port opens: other numbers of the column may be integers.
    fs::write(&path, "{\"id\":1.5}\n").unwrap();
    let (_, context) = fixture.open().await.unwrap();
    let message = faulty_at(&context, "SELECT id FROM t", "/b.json").await;
    assert!(message.ends_with("line 1, column `id`: expected an integer of 64 bits, got `1.5`"), "{message}");
}

#[tokio::test]
async fn a_json_number_is_whole_by_its_digits() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("i", "integer")]);
    let path = fixture.write("a.json", "{\"i\":1}\n");
    let (_, context) = fixture.open().await.unwrap();
    for (text, value) in [
        ("5.0", "5"),
        ("-0.0", "0"),
        ("0e-400", "0"),
        ("1e3", "1000"),
        ("1.5e1", "15"),
        ("1500E-2", "15"),
        ("-1.50E+02", "-150"),
        ("0.0025e4", "25"),
        ("9007199254740993.0", "9007199254740993"),
        ("9.007199254740993e15", "9007199254740993"),
        ("-9223372036854775808.000", "-9223372036854775808"),
        ("1e18", "1000000000000000000"),
    ] {
        fs::write(&path, format!("{{\"i\":{text}}}\n")).unwrap();
        let read = rows(&context, "SELECT i FROM t").await.unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(read.trim_matches(['|', ' ']), value, "{text}");
    }
    for text in ["4503599627370497.25", "2.00000000000000001", "1e-400", "15e-2", "9223372036854775808.0", "1e19"] {
        fs::write(&path, format!("{{\"i\":{text}}}\n")).unwrap();
        let message = faulty_at(&context, "SELECT i FROM t", "/a.json").await;
        assert!(message.contains(&format!("expected an integer of 64 bits, got `{text}`")), "{message}");
    }
    for text in ["1e400", "-1e99999999999"] {
        fs::write(&path, format!("{{\"i\":{text}}}\n")).unwrap();
        let message = faulty_at(&context, "SELECT i FROM t", "/a.json").await;
        assert!(message.contains("number out of range"), "{message}");
    }
}

#[tokio::test]
async fn an_error_of_the_query_is_not_blamed_on_the_file() {
    let fixture = Fixture::new(FileFormat::Parquet, "o.parquet", COLUMNS);
    fixture.parquet("o.parquet", &batch(&[1]));
    let (_, context) = fixture.open().await.unwrap();
    for sql in ["SELECT CAST(name AS INT) FROM t", "SELECT id / 0 FROM t", "SELECT id FROM t WHERE id / 0 = 1"] {
        let error = rows(&context, sql).await.unwrap_err().to_string();
        assert!(!error.contains("o.parquet"), "{error}");
    }
}

#[tokio::test]
async fn partitions_that_do_not_fit_are_refused() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "data", &[("year", "integer"), ("id", "integer")]);
    fixture.parquet("data/year=2023/a.parquet", &batch(&[1]));
    let (_, context) = fixture.open().await.unwrap();
    fixture.parquet("data/year=soon/b.parquet", &batch(&[2]));
    assert!(fails_at(&context, "SELECT id FROM t", "/b.parquet").await.contains("`soon`"));
    fixture.parquet("data/c.parquet", &batch(&[3]));
    fs::remove_dir_all(fixture.path("data/year=soon")).unwrap();
    fails_at(&context, "SELECT id FROM t", "/c.parquet").await;
    assert!(fixture.refused().await.contains("different partition columns"));
    fs::remove_file(fixture.path("data/c.parquet")).unwrap();
    fixture.files().partition_columns = vec!["month".to_owned()];
    assert!(fixture.refused().await.contains("`month`"));
}

#[tokio::test]
async fn a_delta_table_is_not_read_as_plain_files() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", COLUMNS);
    fixture.parquet("data/a.parquet", &batch(&[1]));
    fixture.write("data/_delta_log/00000000000000000000.json", "{}");
    assert!(fixture.refused().await.contains("Delta table"));
}

#[tokio::test]
async fn columns_of_two_types_name_both_files() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", &[("id", "")]);
    fixture.parquet("a.parquet", &batch(&[1]));
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    fixture.parquet("b.parquet", &RecordBatch::try_from_iter([("id", ids)]).unwrap());
    let refused = fixture.refused().await;
    assert!(refused.contains("a.parquet") && refused.contains("b.parquet") && refused.contains("`id`"), "{refused}");
}

#[tokio::test]
async fn csv_without_header_must_have_as_many_columns_as_declared() {
    let mut fixture = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    fixture.files().has_header = false;
    fixture.write("o.csv", "1,a\n");
    assert!(fixture.refused().await.contains("2 columns and the contract declares 3"));
}

/// Returns columns of one or two values of each type.
fn columns() -> Vec<ArrayRef> {
    let decimal = |p, s| Arc::new(Decimal128Array::from(vec![123]).with_precision_and_scale(p, s).unwrap()) as ArrayRef;
    let dictionary: DictionaryArray<Int32Type> = vec!["a", "b"].into_iter().collect();
    vec![
        Arc::new(Int8Array::from(vec![1])),
        Arc::new(Int32Array::from(vec![1])),
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(UInt8Array::from(vec![1])),
        Arc::new(UInt64Array::from(vec![1])),
        Arc::new(Float32Array::from(vec![0.5])),
        Arc::new(Float64Array::from(vec![0.1])),
        decimal(10, 2),
        decimal(10, 4),
        decimal(38, 2),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(dictionary),
        Arc::new(BinaryArray::from_vec(vec![b"\xff"])),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Date32Array::from(vec![1])),
        Arc::new(TimestampMillisecondArray::from(vec![1])),
        Arc::new(TimestampMicrosecondArray::from(vec![1])),
        Arc::new(TimestampNanosecondArray::from(vec![1])),
        Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
        Arc::new(Time64MicrosecondArray::from(vec![1])),
    ]
}

/// Lists, by position, the types of [`columns`] as which each column can be read.
const WIDER: [&[usize]; 20] = [
    &[0, 1, 2, 5, 6, 7, 8, 9],
    &[1, 2, 6, 9],
    &[2, 6, 9],
    &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    &[4, 6, 9],
    &[5, 6],
    &[6],
    &[7, 9],
    &[8],
    &[9],
    &[10, 11],
    &[10, 11],
    &[12],
    &[13],
    &[14],
    &[15, 16, 17],
    &[16, 17],
    &[17],
    &[18],
    &[19],
];

#[tokio::test]
async fn a_file_that_comes_later_is_read_without_loss_or_not_at_all() {
    let columns = columns();
    for (i, first) in columns.iter().enumerate() {
        let fixture = Fixture::new(FileFormat::Parquet, ".", &[("c", "")]);
        fixture.parquet("a.parquet", &RecordBatch::try_from_iter([("c", first.clone())]).unwrap());
        let (_, context) = fixture.open().await.unwrap();
        for (j, second) in columns.iter().enumerate() {
            fixture.parquet("b.parquet", &RecordBatch::try_from_iter([("c", second.clone())]).unwrap());
            let read = rows(&context, "SELECT count(*) FROM t WHERE c IS NOT NULL").await;
            let types = format!("{} as {}", second.data_type(), first.data_type());
            if WIDER[j].contains(&i) {
                let count = first.len() + second.len();
                assert!(read.unwrap_or_else(|e| panic!("{types}: {e}")).starts_with(&format!("| {count} ")), "{types}");
            } else {
                let message = named(&read.expect_err(&types), "/b.parquet");
                assert!(message.contains("column `c` is ") && message.contains(" in the port"), "{types}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn an_arrow_file_that_changes_its_type_after_planning_is_refused() {
    let fixture = Fixture::new(FileFormat::Arrow, ".", &[("c", "integer")]);
    let path = fixture.write("a.arrow", []);
    let write = |column: ArrayRef| {
        let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let mut writer =
            arrow::ipc::writer::FileWriter::try_new(fs::File::create(&path).unwrap(), &rows.schema()).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
    };
    write(Arc::new(Int64Array::from(vec![1])));
    let (_, context) = fixture.open().await.unwrap();
    let plan = context.sql("SELECT c FROM t").await.unwrap().create_physical_plan().await.unwrap();
    write(Arc::new(Float64Array::from(vec![2.7])));
    let message = named(&collect(plan, context.task_ctx()).await.unwrap_err(), "/a.arrow");
    assert!(message.contains("column `c`: it is Float64 here and Int64 in the port"), "{message}");
    // A narrower type is read.
    write(Arc::new(Int64Array::from(vec![1])));
    let plan = context.sql("SELECT c FROM t").await.unwrap().create_physical_plan().await.unwrap();
    write(Arc::new(Int32Array::from(vec![7])));
    let batches = collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(batches[0].column(0).as_ref(), &Int64Array::from(vec![7]) as &dyn Array);
}

/// Returns a column of one map, from `k` to a struct of these columns.
fn map_of_struct(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let value: ArrayRef = Arc::new(structs(columns));
    let key: ArrayRef = Arc::new(StringArray::from(vec!["k"]));
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("key", key.data_type().clone(), false)), key),
        (Arc::new(Field::new("value", value.data_type().clone(), true)), value),
    ]);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    Arc::new(MapArray::new(field, OffsetBuffer::from_lengths([1]), entries, None, false))
}

fn structs(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    let fields =
        columns.into_iter().map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
    StructArray::from(fields.collect::<Vec<_>>())
}

#[tokio::test]
async fn maps_of_structs_with_other_fields_are_refused() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", &[("c", "object")]);
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
    let file = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        fixture.parquet(name, &RecordBatch::try_from_iter([("c", map_of_struct(columns))]).unwrap());
    };
    // Structs with the same fields are widened.
    file("a.parquet", vec![("a", narrow.clone())]);
    file("b.parquet", vec![("a", wide.clone())]);
    let (_, context) = fixture.open().await.unwrap();
    let read = rows(&context, "SELECT c FROM t").await.unwrap();
    assert!(read.contains("{k: {a: 1}}") && read.contains("{k: {a: 5000000000}}"), "{read}");
    file("c.parquet", vec![("a", wide.clone()), ("b", narrow.clone())]);
    let message = fails_at(&context, "SELECT c FROM t", "/c.parquet").await;
    assert!(message.contains("column `c` is Map(") && message.contains(" in the port"), "{message}");
    let refused = fixture.refused().await;
    assert!(refused.contains("column `c` is Map("), "{refused}");
}

#[tokio::test]
async fn json_records_of_other_keys_are_refused_however_many_there_are() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer")]);
    fixture.write("a.json", "{\"id\":1}\n");
    let (_, context) = fixture.open().await.unwrap();
    fixture.write("b.json", "{\"price\":1}\n".repeat(3000));
    assert!(faulty_at(&context, "SELECT count(*) FROM t", "/b.json").await.contains("none of the port's columns"));
    // Without records, no value can be wrong.
    fixture.write("b.json", "\n\n");
    assert_eq!(rows(&context, "SELECT id FROM t").await.unwrap(), "| 1  |");
}

#[tokio::test]
async fn files_that_differ_in_what_nobody_asks_for_are_read() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", &[("id", "integer")]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let number: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
    for (name, other) in [("a.parquet", text), ("b.parquet", number)] {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        fixture.parquet(name, &RecordBatch::try_from_iter([("other", other), ("id", id)]).unwrap());
    }
    assert_eq!(fixture.query("SELECT sum(id) AS s FROM t").await, "| 2 |");
}
