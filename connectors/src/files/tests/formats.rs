//! The rows that are read from each format, and their types.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::prelude::SessionContext;
use portolan_catalog::FileFormat;

use super::{COLUMNS, Fixture, batch, ours, rows};

fn types(schema: &arrow::datatypes::Schema) -> Vec<(String, DataType)> {
    schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
}

#[tokio::test]
async fn parquet_shows_the_declared_columns_in_their_order() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "o.parquet", &[("price", "number"), ("id", "integer")]);
    fixture.parquet("o.parquet", &batch(&[1, 2]));
    let (opened, context) = fixture.open().await.unwrap();
    let expected = vec![("price".to_owned(), DataType::Float64), ("id".to_owned(), DataType::Int64)];
    assert_eq!(types(&opened.schema), expected);
    assert_eq!(opened.schema, opened.provider.schema());
    assert!(opened.schema.fields().iter().all(|f| f.is_nullable()), "`required` is not checked, so not relied on");
    assert_eq!(rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap(), "| 0.5   | 1  |\n| 1.0   | 2  |");
    assert_eq!(rows(&context, "SELECT id FROM t WHERE price > 0.5").await.unwrap(), "| 2  |");
    fixture.files().location = fixture.path("o.parquet").display().to_string();
    assert_eq!(fixture.query("SELECT count(*) FROM t").await, "| 2        |");
}

#[tokio::test]
async fn a_scan_knows_its_row_count() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    fixture.parquet("a.parquet", &batch(&[1, 2]));
    fixture.parquet("b.parquet", &batch(&[3]));
    let (_, context) = fixture.open().await.unwrap();
    let plan = context.sql("SELECT id FROM t").await.unwrap().create_physical_plan().await.unwrap();
    let shown =
        datafusion::physical_plan::displayable(plan.as_ref()).set_show_statistics(true).indent(false).to_string();
    assert!(shown.contains("Rows=Exact(3)"), "{shown}");
}

#[tokio::test]
async fn a_folder_is_read_without_hidden_and_foreign_files() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", COLUMNS);
    fixture.parquet("data/a.parquet", &batch(&[1]));
    fixture.parquet("data/deeper/b.PARQUET", &batch(&[2]));
    fixture.parquet("data/_c.parquet", &batch(&[3]));
    fixture.parquet("data/.d.parquet", &batch(&[4]));
    fixture.parquet("data/_temporary/e.parquet", &batch(&[5]));
    fixture.write("data/README.md", "not data");
    fixture.write("data/_SUCCESS", "");
    assert_eq!(fixture.query("SELECT id FROM t ORDER BY id").await, "| 1  |\n| 2  |");
}

#[tokio::test]
async fn a_glob_chooses_files() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "data/2024-*.parquet", COLUMNS);
    fixture.parquet("data/2024-01.parquet", &batch(&[1]));
    fixture.parquet("data/2024-02.parquet", &batch(&[2]));
    fixture.parquet("data/2023-02.parquet", &batch(&[3]));
    fixture.parquet("data/deep/2024-03.parquet", &batch(&[4]));
    fixture.write("data/2024-notes.txt", "not data");
    assert_eq!(fixture.query("SELECT id FROM t ORDER BY id").await, "| 1  |\n| 2  |");
    fixture.files().location = "data/**/2024-0[34].parquet".to_owned();
    assert_eq!(fixture.query("SELECT id FROM t ORDER BY id").await, "| 4  |");
}

#[tokio::test]
async fn files_that_come_later_are_read() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    fixture.parquet("a.parquet", &batch(&[1]));
    let (_, context) = fixture.open().await.unwrap();
    assert_eq!(rows(&context, "SELECT sum(id) FROM t").await.unwrap(), "| 1         |");
    fixture.parquet("b.parquet", &batch(&[2]));
    assert_eq!(rows(&context, "SELECT sum(id) FROM t").await.unwrap(), "| 3         |");
    fs::remove_file(fixture.path("a.parquet")).unwrap();
    assert_eq!(rows(&context, "SELECT sum(id) FROM t").await.unwrap(), "| 2         |");
}

/// Replaces a Parquet file by one of the same size and time. The file's inode differs, and so does the store's tag.
fn replace_at_the_same_time(fixture: &Fixture, name: &str, rows: &RecordBatch) {
    let path = fixture.path(name);
    let before = fs::metadata(&path).unwrap();
    let new = fixture.parquet("replacement", rows);
    assert_eq!(fs::metadata(&new).unwrap().len(), before.len());
    fs::File::options().write(true).open(&new).unwrap().set_modified(before.modified().unwrap()).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_new_version_of_the_same_size_and_time_is_read() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", &[("v", "integer")]);
    let rows_of = |value: i64| {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value; 3]));
        RecordBatch::try_from_iter([("v", column)]).unwrap()
    };
    fixture.parquet("a.parquet", &rows_of(7));
    let (_, context) = fixture.open().await.unwrap();
    // The cache holds the footer of schema inference only.
    replace_at_the_same_time(&fixture, "a.parquet", &rows_of(8));
    assert_eq!(rows(&context, "SELECT v AS value FROM t").await.unwrap(), "| 8     |\n| 8     |\n| 8     |");
    assert_eq!(rows(&context, "SELECT max(v) AS m FROM t").await.unwrap(), "| 8 |");
    // The caches hold the footer and the statistics of a scan.
    replace_at_the_same_time(&fixture, "a.parquet", &rows_of(9));
    assert_eq!(rows(&context, "SELECT v AS value FROM t").await.unwrap(), "| 9     |\n| 9     |\n| 9     |");
    assert_eq!(rows(&context, "SELECT max(v) AS m FROM t").await.unwrap(), "| 9 |");
    assert_eq!(rows(&context, "SELECT count(*) AS c FROM t WHERE v = 9").await.unwrap(), "| 3 |");
    assert_eq!(rows(&context, "SELECT count(*) AS c FROM t WHERE v = 8").await.unwrap(), "| 0 |");
}

#[tokio::test]
async fn a_column_that_some_files_lack_is_null_there() {
    let mut fixture = Fixture::new(FileFormat::Parquet, ".", &[("id", "integer"), ("extra", "integer")]);
    fixture.port.columns[1].nullable = true;
    fixture.parquet("a.parquet", &batch(&[1]));
    let columns: Vec<(&str, ArrayRef)> =
        vec![("extra", Arc::new(Int32Array::from(vec![7]))), ("id", Arc::new(Int64Array::from(vec![2])))];
    fixture.parquet("b.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    assert_eq!(fixture.query("SELECT id, extra FROM t ORDER BY id").await, "| 1  |       |\n| 2  | 7     |");
}

#[tokio::test]
async fn csv_takes_its_types_from_the_contract() {
    let columns = &[
        ("n", "number"),
        ("id", "integer"),
        ("code", "string"),
        ("day", "date"),
        ("at", "timestamp"),
        ("ok", "boolean"),
        ("guess", ""),
    ];
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", columns);
    let text = "id,code,unknown,day,at,ok,n,guess\n1,007,x,2024-02-29,2024-02-29T12:00:00,true,1,5\n2,,y,,,,,\n";
    fixture.write("o.csv", text);
    let (opened, context) = fixture.open().await.unwrap();
    let expected = [
        DataType::Float64,
        DataType::Int64,
        DataType::Utf8,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Boolean,
        DataType::Int64,
    ];
    assert_eq!(opened.schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>(), expected);
    let first = rows(&context, "SELECT * FROM t WHERE id = 1").await.unwrap();
    assert_eq!(first, "| 1.0 | 1  | 007  | 2024-02-29 | 2024-02-29T12:00:00 | true | 5     |");
    assert_eq!(rows(&context, "SELECT n, day FROM t WHERE id = 2").await.unwrap(), "|   |     |");
}

#[tokio::test]
async fn csv_without_header_and_with_another_delimiter() {
    let mut fixture = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    fixture.files().has_header = false;
    fixture.files().delimiter = Some(b'|');
    fixture.write("o.csv", "1|\"a|b\"|0.5\n2|\"line\nbreak\"|1\n");
    assert_eq!(fixture.query("SELECT id, price FROM t ORDER BY id").await, "| 1  | 0.5   |\n| 2  | 1.0   |");
    assert_eq!(fixture.query("SELECT name FROM t WHERE id = 1").await, "| a|b  |");
}

/// Returns compressed text: one member of a file.
async fn compressed(fixture: &Fixture, compression: CompressionTypeVariant, text: &str) -> Vec<u8> {
    let path = fixture.write("member", []);
    let file = object_store::path::Path::from_filesystem_path(&path).unwrap();
    let writer = object_store::buffered::BufWriter::new(Arc::new(object_store::local::LocalFileSystem::new()), file);
    let mut writer = FileCompressionType::from(compression).convert_async_writer(writer).unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut writer, text.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut writer).await.unwrap();
    fs::read(path).unwrap()
}

#[tokio::test]
async fn text_may_be_compressed() {
    use CompressionTypeVariant::{BZIP2, GZIP, XZ, ZSTD};
    for (extension, compression) in [("gz", GZIP), ("zst", ZSTD), ("bz2", BZIP2), ("xz", XZ)] {
        for (format, name, first, second) in [
            (FileFormat::Csv, "o.csv", "id,name,price\n1,a,2\n", "2,b,3\n"),
            (
                FileFormat::Json,
                "o.jsonl",
                "{\"id\":1,\"name\":\"a\",\"price\":2}\n",
                "{\"id\":2,\"name\":\"b\",\"price\":3}\n",
            ),
        ] {
            let fixture = Fixture::new(format, ".", COLUMNS);
            let name = format!("{name}.{extension}");
            let first = compressed(&fixture, compression, first).await;
            fixture.write(&name, &first);
            let all = "SELECT * FROM t ORDER BY id";
            assert_eq!(fixture.query(all).await, "| 1  | a    | 2.0   |", "{name}");
            // `pbzip2`, `pzstd` and `cat` write several members, one after the other.
            let both = [first, compressed(&fixture, compression, second).await].concat();
            fixture.write(&name, &both);
            assert_eq!(fixture.query(all).await, "| 1  | a    | 2.0   |\n| 2  | b    | 3.0   |", "{name}");
            // A file that was cut short is an error, and not fewer rows.
            fixture.write(&name, &both[..both.len() - 1]);
            let refused = fixture.refused().await;
            assert!(refused.contains(&name) && refused.contains("cannot be read"), "{refused}");
        }
    }
}

#[tokio::test]
async fn json_lines() {
    let fixture =
        Fixture::new(FileFormat::Json, "o.jsonl", &[("price", "number"), ("id", "integer"), ("tags", "array")]);
    fixture.write("o.jsonl", "{\"id\":1,\"tags\":[\"a\"],\"price\":2,\"other\":{}}\n{\"id\":2,\"price\":0.5}\n");
    assert_eq!(fixture.query("SELECT * FROM t ORDER BY id").await, "| 2.0   | 1  | [a]  |\n| 0.5   | 2  |      |");
}

#[tokio::test]
async fn arrow_files() {
    let fixture = Fixture::new(FileFormat::Arrow, ".", COLUMNS);
    let path = fixture.write("o.arrow", []);
    let rows = batch(&[1, 2]);
    let file = fs::File::create(path).unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(file, &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    assert_eq!(fixture.query("SELECT * FROM t WHERE id = 2").await, "| 2  | n2   | 1.0   |");
}

async fn scanned(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn hive_folders_are_columns_and_prune() {
    let columns = &[("year", "integer"), ("id", "integer"), ("region", "string")];
    let fixture = Fixture::new(FileFormat::Parquet, "data", columns);
    fixture.parquet("data/year=2023/region=north%20sea/a.parquet", &batch(&[1]));
    fixture.parquet("data/year=2024/region=south/b.parquet", &batch(&[2]));
    fixture.parquet("data/year=2024/region=__HIVE_DEFAULT_PARTITION__/c.parquet", &batch(&[3]));
    let (opened, context) = fixture.open().await.unwrap();
    assert_eq!(opened.schema.field(0).data_type(), &DataType::Int64);
    let all = rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 2023 | 1  | north sea |\n| 2024 | 2  | south     |\n| 2024 | 3  |           |");
    assert_eq!(rows(&context, "SELECT id FROM t WHERE year = 2024 AND region IS NULL").await.unwrap(), "| 3  |");
    assert_eq!(rows(&context, "SELECT id FROM t WHERE region <> 'south'").await.unwrap(), "| 1  |");
    assert_eq!(rows(&context, "SELECT id FROM t WHERE year > 3000").await.unwrap(), "");
    assert_eq!(
        rows(&context, "SELECT count(region), max(region), max(year) FROM t").await.unwrap().matches("south").count(),
        1
    );
    let counts = rows(&context, "SELECT count(region) FROM t").await.unwrap();
    assert!(counts.starts_with("| 2 "), "{counts}");
    let plan = scanned(&context, "SELECT id FROM t WHERE year = 2023").await;
    assert!(plan.contains("year=2023") && !plan.contains("year=2024"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
}

#[tokio::test]
async fn hive_folders_work_below_a_glob_and_with_csv() {
    let columns = &[("id", "integer"), ("day", "date"), ("name", "string")];
    let mut fixture = Fixture::new(FileFormat::Csv, "data/day=2024-*/*.csv", columns);
    fixture.files().partition_columns = vec!["day".to_owned()];
    fixture.write("data/day=2024-02-29/a.csv", "id,name\n1,x\n");
    fixture.write("data/day=2023-02-28/a.csv", "id,name\n2,y\n");
    assert_eq!(fixture.query("SELECT * FROM t").await, "| 1  | 2024-02-29 | x    |");
}

#[tokio::test]
async fn a_date_in_a_folder_has_no_time_of_day() {
    let columns = &[("id", "integer"), ("day", "date"), ("name", "string")];
    let fixture = Fixture::new(FileFormat::Csv, "data", columns);
    fixture.write("data/day=2024-02-29T000000/a.csv", "id,name\n1,x\n");
    let (_, context) = fixture.open().await.unwrap();
    assert_eq!(rows(&context, "SELECT * FROM t").await.unwrap(), "| 1  | 2024-02-29 | x    |");
    fixture.write("data/day=2024-02-29T120000/a.csv", "id,name\n2,y\n");
    let error = rows(&context, "SELECT * FROM t").await.unwrap_err();
    let message = ours(&error).owner_chain();
    assert!(message.contains("`2024-02-29T120000` in folder `day=…` is no Date32"), "{message}");
}

#[tokio::test]
async fn a_folder_of_an_empty_file_gives_no_value() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", &[("year", "integer"), ("id", "integer")]);
    fixture.parquet("data/year=2023/a.parquet", &batch(&[1]));
    fixture.parquet("data/year=2024/b.parquet", &batch(&[]));
    assert_eq!(fixture.query("SELECT max(year) FROM t").await, "| 2023        |");
}

#[tokio::test]
async fn undeclared_folders_are_no_columns() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", COLUMNS);
    fixture.parquet("data/year=2023/a.parquet", &batch(&[1]));
    fixture.parquet("data/b.parquet", &batch(&[2]));
    assert_eq!(fixture.query("SELECT id FROM t ORDER BY id").await, "| 1  |\n| 2  |");
}

async fn rows_in_ranges(fixture: &Fixture, sql: &str) -> String {
    let context = fixture.open_in_ranges().await;
    let plan = scanned(&context, sql).await;
    assert!(plan.contains("4 groups"), "{plan}");
    rows(&context, sql).await.unwrap()
}

#[tokio::test]
async fn json_and_arrow_are_read_in_ranges() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer"), ("name", "string")]);
    let lines: String = (0..5000).map(|i| format!("{{\"name\":\"n{i}\",\"id\":{i}}}\n")).collect();
    fixture.write("a.json", lines);
    let sql = "SELECT count(*) AS c, sum(id) AS s, count(DISTINCT name) AS d FROM t";
    assert_eq!(rows_in_ranges(&fixture, sql).await, "| 5000 | 12497500 | 5000 |");

    let fixture = Fixture::new(FileFormat::Arrow, ".", &[("price", "number"), ("id", "integer")]);
    let file = fs::File::create(fixture.path("a.arrow")).unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(file, &batch(&[]).schema()).unwrap();
    for i in 0..50 {
        let ids: Vec<i64> = (100 * i..100 * (i + 1)).collect();
        writer.write(&batch(&ids)).unwrap();
    }
    writer.finish().unwrap();
    let sql = "SELECT count(*) AS c, sum(id) AS s, max(price) AS m FROM t";
    assert_eq!(rows_in_ranges(&fixture, sql).await, "| 5000 | 12497500 | 2499.5 |");
}

#[tokio::test]
async fn the_columns_of_arrow_streams_are_found_by_their_names() {
    let fixture = Fixture::new(FileFormat::Arrow, ".", &[("price", "number"), ("id", "integer")]);
    let rows = batch(&[1, 2]);
    let file = fs::File::create(fixture.path("a.arrow")).unwrap();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(file, &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    assert_eq!(fixture.query("SELECT id, price FROM t ORDER BY id").await, "| 1  | 0.5   |\n| 2  | 1.0   |");
    assert_eq!(fixture.query("SELECT count(*) FROM t").await, "| 2        |");
}
