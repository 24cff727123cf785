//! Files that no contract describes: their columns, types and rows, and the files that are refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use portolan_catalog::FileFormat;
use tempfile::TempDir;

use super::{batch, ours, repeated, rows, write_arrow, write_parquet};
use crate::error::{Error, ErrorKind};
use crate::files::{FileSources, LocalFileOptions};

/// Opens `location` in a folder, as table `t` of a session.
async fn open(folder: &Path, location: &str, options: LocalFileOptions) -> Result<SessionContext, Error> {
    let runtime = Arc::new(RuntimeEnv::default());
    let options = LocalFileOptions { base: folder.to_owned(), ..options };
    let table = FileSources::default().open_local(location, &options, &runtime).await?;
    let context = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), runtime);
    context.register_table("t", table).unwrap();
    Ok(context)
}

async fn opened(folder: &Path, location: &str) -> SessionContext {
    open(folder, location, LocalFileOptions::default()).await.unwrap()
}

async fn refused(folder: &Path, location: &str) -> Error {
    open(folder, location, LocalFileOptions::default()).await.err().expect("the files open")
}

async fn types(context: &SessionContext) -> Vec<(String, DataType)> {
    let schema = context.table_provider("t").await.unwrap().schema();
    schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn parquet(folder: &Path, name: &str, batch: &RecordBatch) {
    write(folder, name, "");
    write_parquet(&folder.join(name), batch);
}

fn int(value: i32) -> ArrayRef {
    Arc::new(Int32Array::from(vec![value]))
}

#[tokio::test]
async fn csv_has_the_columns_of_its_header_and_the_types_of_its_values() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "o.csv", "id,Name,price,day,ok,none\n1,a,0.5,2024-02-29,true,\n2,,3,2024-03-01,false,\n");
    let context = opened(folder.path(), "o.csv").await;
    let expected = [
        ("id", DataType::Int64),
        ("Name", DataType::Utf8),
        ("price", DataType::Float64),
        ("day", DataType::Date32),
        ("ok", DataType::Boolean),
        ("none", DataType::Utf8),
    ];
    assert_eq!(types(&context).await, expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    let all = rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap();
    assert_eq!(
        all,
        "| 1  | a    | 0.5   | 2024-02-29 | true  |      |\n| 2  |      | 3.0   | 2024-03-01 | false |      |"
    );
}

#[tokio::test]
async fn csv_of_other_forms_is_read() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "o.tsv", "id\tname\n1\ta,b\n");
    assert_eq!(rows(&opened(folder.path(), "o.tsv").await, "SELECT * FROM t").await.unwrap(), "| 1  | a,b  |");
    write(folder.path(), "data", "1;x\n2;y\n");
    let options = LocalFileOptions {
        format: Some(FileFormat::Csv),
        delimiter: Some(b';'),
        has_header: false,
        ..LocalFileOptions::default()
    };
    let context = open(folder.path(), "data", options).await.unwrap();
    let sum = "SELECT sum(column_1) AS s, max(column_2) AS m FROM t";
    assert_eq!(rows(&context, sum).await.unwrap(), "| 3 | y |");
}

#[tokio::test]
async fn another_delimiter_is_found_if_no_comma_separates_anything() {
    let folder = TempDir::new().unwrap();
    for (text, expected) in [
        ("id;price\n1;1,50\n2;7,25\n", "| 1  | 1,50  |\n| 2  | 7,25  |"),
        ("id\tname\n1\ta;b\n", "| 1  | a;b  |"),
        ("\"id\"|\"a;b\"\r\n1|\"x|y\"\r\n", "| 1  | x|y |"),
        // A comma in the first line decides.
        ("id,a;b\n1,2;3\n", "| 1  | 2;3 |"),
    ] {
        write(folder.path(), "o.csv", text);
        assert_eq!(rows(&opened(folder.path(), "o.csv").await, "SELECT * FROM t").await.unwrap(), expected, "{text}");
    }
    // Two delimiters, or records of different lengths: nothing shows that there is more than one column.
    for (text, name) in
        [("a;b|c\n1;2|3\n", "a;b|c"), ("a;b\n1;2\n3\n", "a;b"), ("note\nx; y\n", "note"), ("a;b\n1;\"2\"3\n", "a;b")]
    {
        write(folder.path(), "o.csv", text);
        let found = types(&opened(folder.path(), "o.csv").await).await;
        assert_eq!(found, [(name.to_owned(), DataType::Utf8)], "{text}");
    }
    write(folder.path(), "o.csv", "1;x\n2;y\n");
    let options = LocalFileOptions { has_header: false, ..LocalFileOptions::default() };
    let context = open(folder.path(), "o.csv", options).await.unwrap();
    assert_eq!(rows(&context, "SELECT * FROM t WHERE column_1 = 2").await.unwrap(), "| 2        | y        |");
    let options = LocalFileOptions { delimiter: Some(b','), ..LocalFileOptions::default() };
    let context = open(folder.path(), "o.csv", options).await.unwrap();
    assert_eq!(types(&context).await, [("1;x".to_owned(), DataType::Utf8)]);
}

#[tokio::test]
async fn records_of_another_length_get_the_options_of_read_csv() {
    let folder = TempDir::new().unwrap();
    for (record, expected) in
        [("1,2,3", "is a quote missing, or is there another delimiter?"), ("1", "another delimiter?")]
    {
        write(folder.path(), "o.csv", &format!("id,name\n1,a\n{record}\n"));
        let error = rows(&opened(folder.path(), "o.csv").await, "SELECT * FROM t").await.unwrap_err();
        let said = ours(&error).owner_chain();
        assert!(said.contains("line 3: expected 2 values") && said.contains(expected), "{said}");
        assert!(said.contains("delim = ';'") && !said.contains("portolan."), "{said}");
    }
}

#[tokio::test]
async fn json_lines_and_parquet_are_read() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "o.jsonl", "{\"id\":1,\"tags\":[\"a\"]}\n{\"id\":2,\"who\":{\"os\":\"x\"}}\n");
    let sql = "SELECT id, tags, who['os'] AS os FROM t ORDER BY id";
    assert_eq!(
        rows(&opened(folder.path(), "o.jsonl").await, sql).await.unwrap(),
        "| 1  | [a]  |    |\n| 2  |      | x  |"
    );
    parquet(folder.path(), "o.parquet", &batch(&[1, 2]));
    let absolute = folder.path().join("o.parquet").display().to_string();
    let context = opened(Path::new(""), &absolute).await;
    assert_eq!(rows(&context, "SELECT * FROM t WHERE id = 2").await.unwrap(), "| 2  | n2   | 1.0   |");
}

#[tokio::test]
async fn several_files_are_one_table_with_the_columns_of_all() {
    let folder = TempDir::new().unwrap();
    parquet(folder.path(), "data/a.parquet", &batch(&[1]));
    let columns: Vec<(&str, ArrayRef)> =
        vec![("extra", Arc::new(Int32Array::from(vec![7]))), ("id", Arc::new(Int32Array::from(vec![2])))];
    parquet(folder.path(), "data/b.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    let context = opened(folder.path(), "data/*.parquet").await;
    let all = rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 1  | n1   | 0.5   |       |\n| 2  |      |       | 7     |");
}

#[tokio::test]
async fn csv_files_have_their_columns_in_any_order() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "data/a.csv", "id,name\n1,a\n");
    write(folder.path(), "data/b.csv", "extra,id\n7,2\n");
    let context = opened(folder.path(), "data/*.csv").await;
    let all = rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 1  | a    |       |\n| 2  |      | 7     |");
    // The columns of files after the first ones, too.
    for file in 0..20 {
        write(folder.path(), &format!("data/c{file:02}.csv"), "id\n3\n");
    }
    write(folder.path(), "data/d.csv", "late,id\nx,4\n");
    let context = opened(folder.path(), "data/*.csv").await;
    let all = rows(&context, "SELECT count(*) AS n, max(late) AS late FROM t").await.unwrap();
    assert_eq!(all, "| 23 | x    |");
}

#[tokio::test]
async fn folders_with_values_are_columns() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("run=3");
    parquet(&data, "year=2023/day=2023-05-06/code=a/x.parquet", &batch(&[1]));
    parquet(&data, "year=2024/day=2024-07-08/code=7/x.parquet", &batch(&[2]));
    let context = opened(&data, "**/*.parquet").await;
    let named = types(&context).await.split_off(3);
    let expected = [("year", DataType::Int64), ("day", DataType::Date32), ("code", DataType::Utf8)];
    assert_eq!(named, expected.map(|(name, data_type)| (name.to_owned(), data_type)));
    let all = rows(&context, "SELECT id, year, day, code FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 1  | 2023 | 2023-05-06 | a    |\n| 2  | 2024 | 2024-07-08 | 7    |");
    assert_eq!(rows(&context, "SELECT id FROM t WHERE year = 2024").await.unwrap(), "| 2  |");
    parquet(folder.path(), "zip/zip=01067/month=01/x.parquet", &batch(&[1]));
    parquet(folder.path(), "zip/zip=80331/month=12/x.parquet", &batch(&[2]));
    let context = opened(folder.path(), "zip/**/*.parquet").await;
    let all = rows(&context, "SELECT id, zip, month FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 1  | 01067 | 1     |\n| 2  | 80331 | 12    |");
    // The first file is in no such folder.
    parquet(folder.path(), "mixed/a.parquet", &batch(&[1]));
    parquet(folder.path(), "mixed/year=2024/b.parquet", &batch(&[2]));
    let error = refused(folder.path(), "mixed/**/*.parquet").await;
    assert!(error.context().ends_with("b.parquet lie in folders of different partition columns"), "{error}");
}

#[tokio::test]
async fn files_that_are_no_table_are_refused() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    parquet(at, "mixed/a.parquet", &batch(&[1]));
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(StringArray::from(vec!["x"])))];
    parquet(at, "mixed/b.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    write(at, "csv/a.csv", "id,name\n1,a\n");
    write(at, "empty.csv", "");
    write(at, "broken.parquet", "no Parquet");
    let cases = [
        ("mixed/*.parquet", "column `id` is Int64 in"),
        ("empty.csv", "empty.csv has no columns"),
        ("broken.parquet", "broken.parquet cannot be read"),
        ("s3://bucket/o.parquet", "expected a path on this machine, got a URL of `s3://`"),
        ("mixed", "`mixed`: expected an extension such as `.parquet`"),
    ];
    for (location, expected) in cases {
        let error = refused(at, location).await;
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{location}: {error}");
        assert!(error.to_string().contains(expected), "{location}: {error}");
        assert!(!error.to_string().contains("port"), "no port is concerned: {error}");
    }
    for location in ["nothing.csv", "csv/*.tsv"] {
        let error = refused(at, location).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{location}: {error}");
    }
}

#[tokio::test]
async fn messages_about_files_without_a_contract_name_no_contract() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    write("header.csv", b"id,n\xe4me\n1,a\n");
    write("value.csv", b"id,name\n1,\xe4\n");
    // The last character is half a character.
    write("utf16.csv", b"\xff\xfea\0\n\0\0");
    let value = rows(&opened(at, "value.csv").await, "SELECT name FROM t").await.unwrap_err();
    let header = refused(at, "header.csv").await.to_string();
    for (said, expected) in [
        (&header, "line 1: expected a header in UTF-8, got other bytes; if the file is in another encoding"),
        (&header, "convert it to UTF-8"),
        (&ours(&value).owner_chain(), "line 2, column `name`: expected text in UTF-8, got other bytes; if the file is"),
        (&ours(&value).owner_chain(), "convert it to UTF-8"),
        (&refused(at, "utf16.csv").await.to_string(), "the byte order mark at the beginning of the file names this"),
        (&refused(at, "*.parquet").await.to_string(), "there is no Parquet file at "),
    ] {
        assert!(said.contains(expected) && !said.contains("contract") && !said.contains("declared"), "{said}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_the_sample_is_an_error_with_its_file_and_column() {
    let folder = TempDir::new().unwrap();
    let sampled = (0..2000).map(|i| format!("{i},a\n")).collect::<String>();
    write(folder.path(), "o.csv", &format!("id,name\n{sampled}x,b\n"));
    let context = opened(folder.path(), "o.csv").await;
    let error = rows(&context, "SELECT sum(id) FROM t").await.unwrap_err();
    let said = ours(&error).owner_chain();
    assert!(said.starts_with("file /") && said.contains("o.csv") && said.contains("column `id`"), "{said}");
}

#[tokio::test]
async fn a_key_that_only_later_records_have_is_a_column() {
    let folder = TempDir::new().unwrap();
    let sampled = (0..2000).map(|i| format!("{{\"id\":{i},\"o\":{{\"a\":1}}}}\n")).collect::<String>();
    let late = "{\"id\":7.5,\"late\":1,\"o\":{\"b\":2}}";
    let context_of = async |name: &str, text: String| {
        write(folder.path(), name, &text);
        let context = opened(folder.path(), name).await;
        let names: Vec<String> = types(&context).await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["id", "o", "late"], "{name}");
        let sql = "SELECT count(*) AS n, max(late) AS l, sum(o['a']) AS a, sum(o['b']) AS b FROM t WHERE id >= 7";
        assert_eq!(rows(&context, sql).await.unwrap(), "| 1994 | 1 | 1993 | 2 |", "{name}");
        let sql = "SELECT id FROM t WHERE late = 1";
        assert_eq!(rows(&context, sql).await.unwrap(), "| 7.5 |", "{name}");
    };
    context_of("o.jsonl", format!("{sampled}{late}")).await;
    context_of("o.json", format!("[{}{late}]", sampled.replace('\n', ",\n"))).await;
    // Also in files after the first ones.
    for file in 0..20 {
        write(folder.path(), &format!("d/{file:02}.jsonl"), "{\"id\":1}\n");
    }
    write(folder.path(), "d/20.jsonl", "{\"late\":\"x\",\"id\":2}\n");
    let context = opened(folder.path(), "d/*.jsonl").await;
    assert_eq!(rows(&context, "SELECT count(*) AS n, max(late) AS late FROM t").await.unwrap(), "| 21 | x    |");
}

#[tokio::test]
async fn json_that_a_person_could_read_has_its_columns_in_order() {
    let folder = TempDir::new().unwrap();
    let text = "[\n  {\n    \"id\": 1,\n    \"b\": [{\"y\": 1,\n \"x\": 2}]\n  },\n  {\n    \"a\": null,\n    \"id\": 2\n  }\n]\n";
    write(folder.path(), "o.json", text);
    let context = opened(folder.path(), "o.json").await;
    let all = rows(&context, "SELECT * FROM t ORDER BY id").await.unwrap();
    assert_eq!(all, "| 1  | [{y: 1, x: 2}] |   |\n| 2  |                |   |");
}

#[tokio::test]
async fn integers_that_a_double_would_round_are_read_in_full() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "o.jsonl", "{\"n\":1.5,\"u\":18446744073709551615}\n{\"n\":9007199254740993,\"u\":1}\n");
    let all = rows(&opened(folder.path(), "o.jsonl").await, "SELECT n, u FROM t ORDER BY n").await.unwrap();
    assert_eq!(all, "| 1.5              | 18446744073709551615 |\n| 9007199254740993 | 1                    |");
    // After the sample, such a value is an error, and never another one.
    let sampled = "1.5\n".repeat(2000);
    write(folder.path(), "o.csv", &format!("n\n{sampled}9007199254740993\n"));
    let error = rows(&opened(folder.path(), "o.csv").await, "SELECT max(n) FROM t").await.unwrap_err();
    let said = ours(&error).owner_chain();
    assert!(
        said.contains("line 2002, column `n`: expected a number, got `9007199254740993`; a DOUBLE would round it"),
        "{said}"
    );
}

#[tokio::test]
async fn a_name_that_two_columns_share_is_reported_once() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "o.csv", "a,b,a\n1,2,3\n");
    let error = refused(folder.path(), "o.csv").await;
    assert_eq!(error.context(), "the source has more than one column `a`");
    parquet(folder.path(), "o.parquet", &repeated(false));
    assert_eq!(refused(folder.path(), "o.parquet").await.context(), "the source has more than one column `a`");
    write_arrow(&folder.path().join("o.arrow"), &repeated(false), false);
    assert_eq!(refused(folder.path(), "o.arrow").await.context(), "the source has more than one column `a`");
    write_arrow(&folder.path().join("s.arrow"), &repeated(true), true);
    assert_eq!(refused(folder.path(), "s.arrow").await.context(), "the source has more than one column `a`");
    // Also if their types differ, and if only a later file has them.
    parquet(folder.path(), "types.parquet", &repeated(true));
    let error = refused(folder.path(), "types.parquet").await;
    let says = "types.parquet: expected columns of different names, got several columns `a` of different types";
    assert!(error.context().ends_with(says), "{error}");
    parquet(folder.path(), "later/a.parquet", &RecordBatch::try_from_iter([("a", int(1))]).unwrap());
    parquet(folder.path(), "later/b.parquet", &repeated(false));
    let error = refused(folder.path(), "later/*.parquet").await;
    assert!(error.context().contains("b.parquet: it has more than one column `a`"), "{error}");
}

#[tokio::test]
async fn files_outside_of_the_folders_are_refused() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "in/o.csv", "id\n1\n");
    write(folder.path(), "out/o.csv", "id\n1\n");
    let sources = FileSources::default().within(vec![folder.path().join("in")], vec![]);
    let options = LocalFileOptions { base: folder.path().join("in"), ..LocalFileOptions::default() };
    let runtime = Arc::new(RuntimeEnv::default());
    sources.open_local("o.csv", &options, &runtime).await.unwrap();
    let error = sources.open_local("../out/o.csv", &options, &runtime).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("leads out of the root"), "{error}");
}

#[tokio::test]
async fn files_that_come_later_are_read() {
    let folder = TempDir::new().unwrap();
    parquet(folder.path(), "a.parquet", &batch(&[1]));
    let context = opened(folder.path(), "*.parquet").await;
    parquet(folder.path(), "b.parquet", &batch(&[2]));
    assert_eq!(rows(&context, "SELECT sum(id) AS s FROM t").await.unwrap(), "| 3 |");
}

/// Returns the estimated number of rows of a file with this content.
async fn estimated(name: &str, content: &str) -> Option<usize> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), name, content);
    estimated_in(folder.path(), name).await
}

async fn estimated_in(folder: &Path, location: &str) -> Option<usize> {
    let table = opened(folder, location).await.table_provider("t").await.unwrap();
    table.statistics().and_then(|statistics| statistics.num_rows.get_value().copied())
}

#[tokio::test]
async fn the_rows_of_text_are_estimated_from_its_beginning() {
    assert_eq!(estimated("o.csv", "id,name\n1,a\n2,b\n").await, Some(2));
    assert_eq!(estimated("o.csv", "id,name\n1,a\n2,b").await, Some(2));
    assert_eq!(estimated("o.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}").await, Some(3));
    // An array on one line, and on one line for each part.
    let array = r#"[{"id":1,"a":[{"b":1}]},{"id":2},{"id":3}]"#;
    assert_eq!(estimated("o.json", array).await, Some(3));
    assert_eq!(estimated("o.json", &format!("\u{feff}{array}\n")).await, Some(3));
    assert_eq!(estimated("o.json", &array.replace(',', "\n,\n")).await, Some(3));
    // More than is read.
    let rows = estimated("o.csv", &("id,name\n".to_owned() + &"1234567,abcdefgh\n".repeat(100_000))).await.unwrap();
    assert!((90_000..110_000).contains(&rows), "{rows}");
    let long = format!("[{}{{\"id\":1}}]", "{\"id\":1234567,\"name\":\"abcdefgh\"},".repeat(100_000));
    let rows = estimated("o.json", &long).await.unwrap();
    assert!((90_000..110_000).contains(&rows), "{rows}");
}

#[tokio::test]
async fn the_rows_of_parquet_are_estimated_from_some_footers() {
    let folder = TempDir::new().unwrap();
    for file in 0..8 {
        parquet(folder.path(), &format!("{file}.parquet"), &batch(&[1, 2, 3]));
    }
    assert_eq!(estimated_in(folder.path(), "0.parquet").await, Some(3));
    assert_eq!(estimated_in(folder.path(), "*.parquet").await, Some(24));
}
