//! CSV and JSON as people have them: notations, encodings, headers that differ, and the faults of their values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use futures::StreamExt;
use portolan_catalog::{FileFormat, TimePattern};

use super::bad::faulty_at;
use super::{Fixture, rows};
use crate::data_fault::{CheckLimits, DataReport};
use crate::files::{FileSources, SourceOptions};
use crate::source::SourceOpener;

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

fn german_date() -> Option<TimePattern> {
    let (text, description) = ("dd.MM.yyyy".to_owned(), "[day].[month].[year]".to_owned());
    Some(TimePattern { text, description, has_time: false })
}

const CUSTOMERS: &[(&str, &str)] =
    &[("id", "integer"), ("since", "date"), ("credit_limit", "number"), ("newsletter", "boolean"), ("note", "string")];

/// Returns a port over customers as a German spreadsheet writes them.
fn customers() -> Fixture {
    let mut fixture = Fixture::new(FileFormat::Csv, ".", CUSTOMERS);
    fixture.files().delimiter = Some(b';');
    fixture.format("id").name_in_file = Some("Customer ID".to_owned());
    fixture.format("since").pattern = german_date();
    let limit = fixture.format("credit_limit");
    limit.name_in_file = Some("Credit Limit".to_owned());
    limit.data_type = Some(DataType::Decimal128(10, 2));
    limit.has_decimal_comma = true;
    limit.thousands_separator = Some('.');
    let newsletter = fixture.format("newsletter");
    (newsletter.true_values, newsletter.false_values) = (words(&["ja"]), words(&["nein"]));
    for (column, _) in CUSTOMERS {
        fixture.format(column).null_values = words(&["NULL", ""]);
    }
    fixture
}

#[tokio::test]
async fn a_spreadsheet_is_read_as_its_contract_says() {
    let fixture = customers();
    let text = "\u{feff}Customer ID;since;Credit Limit;newsletter;note\r\n\
                1;24.08.2017;1400,50;ja;\"a; \"\"b\"\"\r\nc\"\r\n\
                2;NULL;1.234,50;nein;\r\n\
                3;01.01.1970;NULL;NULL;NULL\r\n";
    fixture.write("customers.csv", text);
    let (opened, context) = fixture.open().await.unwrap();
    let types: Vec<&DataType> = opened.schema.fields().iter().map(|f| f.data_type()).collect();
    let expected = [DataType::Int64, DataType::Date32, DataType::Decimal128(10, 2), DataType::Boolean, DataType::Utf8];
    assert_eq!(types, expected.iter().collect::<Vec<_>>());
    let sql = "SELECT id, since, credit_limit, newsletter FROM t ORDER BY id";
    let read = rows(&context, sql).await.unwrap();
    assert_eq!(
        read,
        "| 1  | 2017-08-24 | 1400.50      | true       |\n\
         | 2  |            | 1234.50      | false      |\n\
         | 3  | 1970-01-01 |              |            |"
    );
    assert_eq!(rows(&context, "SELECT length(note) AS n FROM t WHERE note IS NOT NULL").await.unwrap(), "| 9 |");
    // A filter compares the published values, and not the text of the file.
    assert_eq!(rows(&context, "SELECT id FROM t WHERE credit_limit > 1300 AND newsletter").await.unwrap(), "| 1  |");
    assert_eq!(rows(&context, "SELECT count(*) AS c FROM t WHERE since < DATE '1971-01-01'").await.unwrap(), "| 1 |");
    assert_eq!(rows(&context, "SELECT sum(credit_limit) AS s FROM t").await.unwrap(), "| 2635.00 |");
}

#[tokio::test]
async fn a_fault_names_the_line_the_column_and_the_value() {
    let fixture = customers();
    fixture.write("a.csv", "Customer ID;since;Credit Limit;newsletter;note\n1;24.08.2017;1;ja;x\n");
    let (_, context) = fixture.open().await.unwrap();
    let header = "note;since;newsletter;Credit Limit;Customer ID\n";
    for (text, sql, expected) in [
        (
            "\"a\nb\";24.08.2017;ja;1;1\n\n\"\";2017-08-24;ja;1;2\n",
            "SELECT since FROM t",
            "line 5, column `since`: expected a date of the form `dd.MM.yyyy`, got `2017-08-24`",
        ),
        (
            "x;24.08.2017;ja;1400.50;1\n",
            "SELECT credit_limit FROM t",
            "line 2, column `credit_limit` (`Credit Limit` in the file): expected a number of type DECIMAL(10,2) with `,` \
             before its fraction and `.` between thousands, got `1400.50`",
        ),
        (
            "x;24.08.2017;yes;1;1\n",
            "SELECT newsletter FROM t",
            "line 2, column `newsletter`: expected `ja` (true) or `nein` (false), got `yes`; `portolan.trueValues` and \
             `portolan.falseValues` list other words",
        ),
        ("x;24.08.2017;ja;1\n", "SELECT id FROM t", "line 2: expected 5 values, got 4 values; "),
        ("x;24.08.2017;ja;1;1;\n", "SELECT id FROM t", "line 2: expected 5 values, got 6 values; is a quote missing?"),
        ("x;24.08.2017;ja;1;1\n\"y;24.08.2017;ja;1;2\n", "SELECT id FROM t", "line 3: expected a closing quote"),
    ] {
        fixture.write("b.csv", header.to_owned() + text);
        let message = faulty_at(&context, sql, "/b.csv").await;
        assert!(message.contains(expected), "{message}");
    }
    // A query that does not read a column does not check it.
    fixture.write("b.csv", header.to_owned() + "x;never;ja;1;2\n");
    assert_eq!(rows(&context, "SELECT max(id) AS m FROM t").await.unwrap(), "| 2 |");
}

#[tokio::test]
async fn a_value_of_a_classified_column_is_not_shown() {
    let mut fixture = customers();
    fixture.port.columns[1].classification = Some("restricted".to_owned());
    fixture.write("a.csv", "Customer ID;since;Credit Limit;newsletter;note\n1;secret;1;ja;x\n");
    let (_, context) = fixture.open().await.unwrap();
    let message = faulty_at(&context, "SELECT since FROM t", "/a.csv").await;
    assert!(message.contains("line 2, column `since`") && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn columns_are_found_by_the_header_of_each_file() {
    let mut fixture = Fixture::new(FileFormat::Csv, ".", &[("id", "integer"), ("name", "string"), ("extra", "number")]);
    fixture.port.columns[2].nullable = true;
    fixture.write("a.csv", "id,name\n1,a\n");
    fixture.write("b.csv", "more,extra,name,id\nx,0.5,b,2\n");
    let (_, context) = fixture.open().await.unwrap();
    let all = "SELECT * FROM t ORDER BY id";
    assert_eq!(rows(&context, all).await.unwrap(), "| 1  | a    |       |\n| 2  | b    | 0.5   |");
    // A file gains a column that no contract names, and another order, while the port is open.
    fixture.write("a.csv", "name,channel,id\na,web,1\nc,shop,3\n");
    assert_eq!(
        rows(&context, all).await.unwrap(),
        "| 1  | a    |       |\n| 2  | b    | 0.5   |\n| 3  | c    |       |"
    );
    let counted = rows(&context, "SELECT count(*) AS c, count(extra) AS e FROM t").await.unwrap();
    assert_eq!(counted, "| 3 | 1 |");
}

#[tokio::test]
async fn a_column_that_only_a_late_file_has_is_found() {
    let mut fixture = Fixture::new(FileFormat::Csv, ".", &[("id", "integer"), ("late", "number")]);
    fixture.port.columns[1].nullable = true;
    for day in 10..40 {
        fixture.write(&format!("{day}.csv"), "id\n1\n");
    }
    fixture.write("40.csv", "late,id\n0.5,2\n");
    assert_eq!(fixture.query("SELECT count(*) AS c, sum(late) AS s FROM t").await, "| 31 | 0.5 |");
    std::fs::remove_file(fixture.path("40.csv")).unwrap();
    assert!(fixture.refused().await.contains("column `late` is not in the source"));
}

#[tokio::test]
async fn a_wrong_delimiter_is_guessed() {
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", &[("id", "integer"), ("name", "string")]);
    fixture.write("o.csv", "id;name\n1;a\n");
    let refused = fixture.refused().await;
    assert!(refused.contains("the one column `id;name`: is `;` the delimiter? `portolan.delimiter`"), "{refused}");
}

#[tokio::test]
async fn rows_of_another_length_are_read_if_the_contract_allows_them() {
    let mut fixture = Fixture::new(FileFormat::Csv, "o.csv", &[("id", "integer"), ("note", "string")]);
    fixture.files().text.allows_short_rows = true;
    fixture.files().text.allows_long_rows = true;
    fixture.format("note").null_values = words(&["NULL"]);
    fixture.write("o.csv", "id,note\n1,a,b,c\n2\n3,\n");
    let read = fixture.query("SELECT id, note, note IS NULL AS n FROM t ORDER BY id").await;
    assert_eq!(read, "| 1  | a    | false |\n| 2  |      | true  |\n| 3  |      | false |");
    fixture.files().has_header = false;
    fixture.write("o.csv", "1,a,b\n2\n");
    assert_eq!(fixture.query("SELECT count(note) AS c, sum(id) AS s FROM t").await, "| 1 | 3 |");
}

#[tokio::test]
async fn quotes_escapes_and_comments_are_those_of_the_contract() {
    let mut fixture = Fixture::new(FileFormat::Csv, "o.csv", &[("id", "integer"), ("note", "string")]);
    let text = &mut fixture.files().text;
    (text.quote, text.escape, text.comment) = (Some(b'\''), Some(b'\\'), Some(b'#'));
    fixture.write("o.csv", "# written by hand\nid,note\n1,'it\\'s, \"so\"'\n# 2,x\n3,\"y\n");
    assert_eq!(fixture.query("SELECT * FROM t ORDER BY id").await, "| 1  | it's, \"so\" |\n| 3  | \"y         |");
    let text = &mut fixture.files().text;
    (text.quote, text.escape, text.comment) = (None, None, None);
    fixture.write("o.csv", "id,note\n1,\"a\n");
    assert_eq!(fixture.query("SELECT note FROM t").await, "| \"a   |");
}

#[tokio::test]
async fn a_quote_in_an_unexpected_place_is_an_error() {
    let mut fixture = Fixture::new(FileFormat::Csv, "o.csv", &[("id", "integer"), ("note", "string")]);
    let header = "id,note\n1,\"a\"\n";
    fixture.write("o.csv", header);
    let (_, context) = fixture.open().await.unwrap();
    let closing =
        "line 3: expected a delimiter or the end of the line after a closing quote, got another character; a quote";
    for text in ["2,\"say \\\"hi\\\"\"\n", "2,\"b\"c\n3,d\n", "2,\"b\" \n"] {
        fixture.write("o.csv", header.to_owned() + text);
        for sql in ["SELECT note FROM t", "SELECT count(*) AS c FROM t"] {
            let message = faulty_at(&context, sql, "/o.csv").await;
            assert!(message.contains(closing), "{text}: {message}");
        }
    }
    // A quote within a value without quotes stands for itself.
    fixture.write("o.csv", header.to_owned() + "2,12\" disk\n");
    assert_eq!(rows(&context, "SELECT note FROM t WHERE id = 2").await.unwrap(), "| 12\" disk |");

    fixture.files().text.escape = Some(b'\\');
    fixture.write("o.csv", header.to_owned() + "2,\"say \\\"hi\\\" \\\\\"\n3,C:\\temp\n");
    let (_, context) = fixture.open().await.unwrap();
    let read = rows(&context, "SELECT note FROM t WHERE id > 1 ORDER BY id").await.unwrap();
    assert_eq!(read, "| say \"hi\" \\ |\n| C:\\temp    |");
    // Some programs write a line break as `\n`, and others do not escape the backslash of a path.
    fixture.write("o.csv", header.to_owned() + "2,\"C:\\new\"\n");
    let message = faulty_at(&context, "SELECT note FROM t", "/o.csv").await;
    assert!(message.contains("line 3: expected a quote, or the character of `portolan.escape` again"), "{message}");
}

/// Returns a text in UTF-16 with a byte order mark.
fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn text_has_the_encoding_of_the_contract_or_of_its_mark() {
    let csv = "id,name\n1,Größe €\n";
    let json = "{\"id\":1,\"name\":\"Größe €\"}\n";
    // The euro sign of windows-1252 is no character of ISO 8859-1.
    let latin = |text: &str| -> Vec<u8> {
        text.chars().map(|c| if c == '€' { 0x80 } else { u8::try_from(u32::from(c)).unwrap() }).collect()
    };
    for (format, name, text) in [(FileFormat::Csv, "o.csv", csv), (FileFormat::Json, "o.json", json)] {
        let mut fixture = Fixture::new(format, name, &[("id", "integer"), ("name", "string")]);
        fixture.write(name, utf16(text));
        assert_eq!(fixture.query("SELECT * FROM t").await, "| 1  | Größe € |", "UTF-16");
        fixture.write(name, format!("\u{feff}{text}"));
        assert_eq!(fixture.query("SELECT * FROM t").await, "| 1  | Größe € |", "UTF-8");
        fixture.write(name, latin(text));
        fixture.files().text.encoding = Some("windows-1252".to_owned());
        assert_eq!(fixture.query("SELECT * FROM t").await, "| 1  | Größe € |", "windows-1252");
        fixture.files().text.encoding = Some("Shift_JIS".to_owned());
        fixture.write(name, [text.as_bytes(), b"\xff\xff\n".as_slice()].concat());
        assert!(fixture.refused().await.contains("expected text in Shift_JIS, got other bytes"));
    }
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", &[("id", "integer"), ("name", "string")]);
    fixture.write("o.csv", latin(csv));
    let (_, context) = fixture.open().await.unwrap();
    let message = faulty_at(&context, "SELECT name FROM t", "/o.csv").await;
    assert!(message.contains("line 2, column `name`: expected text in UTF-8, got other bytes; if"), "{message}");
    assert_eq!(rows(&context, "SELECT id FROM t").await.unwrap(), "| 1  |");
}

#[tokio::test]
async fn a_json_array_is_read_like_lines() {
    let columns = &[("id", "integer"), ("name", "string")];
    let mut fixture = Fixture::new(FileFormat::Json, ".", columns);
    fixture.format("name").name_in_file = Some("Full Name".to_owned());
    fixture.port.columns[1].nullable = true;
    fixture.write("a.json", "[{\"id\":1,\"Full Name\":\"a]},{\"},\n {\"Full Name\":\"b\",\"id\":2.0}\n]\n");
    fixture.write("b.json", "{\"id\":3,\"Full Name\":\"c\"}\n");
    fixture.write("c.json", " [ ] ");
    let (_, context) = fixture.open().await.unwrap();
    let all = "SELECT * FROM t ORDER BY id";
    assert_eq!(rows(&context, all).await.unwrap(), "| 1  | a]},{ |\n| 2  | b     |\n| 3  | c     |");
    for (text, expected) in [
        ("[{\"id\":1},\n{\"id\":\"x\"}]", "line 2, column `id`: expected an integer of 64 bits, got `x`"),
        ("[{\"id\":1},\n{\"id\":2}\n", "expected `]` after the objects, got the end of the file"),
        ("[{\"id\":1}\n{\"id\":2}]", "line 2: expected `,` or `]` after an object"),
        ("[{\"id\":1},\n{\"id\":[2]}]", "line 2, column `id`: expected a single value, got `[2]`"),
        ("{\"id\":1}\n{\"id\":tru}\n", "line 2: expected a JSON object, got text that is none"),
        ("{\"id\":1}\n{\"id\":2\n", "line 2: expected a JSON object, got text that is none: the file ends within it"),
    ] {
        fixture.write("b.json", text);
        let message = faulty_at(&context, "SELECT id FROM t", "/b.json").await;
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_an_error() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer")]);
    fixture.write("a.json", "{\"id\":1}\n");
    let (opened, context) = fixture.open().await.unwrap();
    let none = "expected a JSON object, got text that is none";
    for (text, expected) in [
        ("{\"id\":1,\"l\":[1 2]}\n", format!("line 1: {none}: expected `,` or `]`")),
        ("[{\"id\":1},\n{\"id\":2 \"l\":[]}]", format!("line 2: {none}: expected `,` or `}}`")),
        ("{\"id\":1}\n\n{\"id\":2,\"s\":1-2}", format!("line 3: {none}: expected `,` or `}}`")),
        (
            "{\"id\":1}\n{\"id\":2,\n\"id\":3}\n",
            "line 2: expected a JSON object, got one that has the key `id` twice".to_owned(),
        ),
    ] {
        fixture.write("b.json", text);
        let message = faulty_at(&context, "SELECT id FROM t", "/b.json").await;
        assert!(message.contains(&expected), "{text}: {message}");
    }
    fixture.write("b.json", "{\"id\":7,\"id\":8}\n{\"id\":9}\n{\"id\":[1 2]}\n");
    let limits = CheckLimits { rows: None, faults: 100 };
    let report = FileSources::default().check_data(&opened, &context.runtime_env(), limits).await.unwrap().unwrap();
    let lines: Vec<Option<u64>> = report.faults.iter().map(|fault| fault.line).collect();
    assert_eq!((report.rows, lines), (2, vec![Some(1), Some(3)]));
}

#[tokio::test]
async fn a_first_record_can_be_larger_than_the_sample() {
    let long = "x".repeat(5 << 20);
    let mut fixture = Fixture::new(FileFormat::Csv, ".", &[("id", "integer"), ("name", "string")]);
    fixture.files().has_header = false;
    fixture.write("a.csv", format!("1,{long}\n2,y\n"));
    let sql = "SELECT id, length(name) AS n FROM t ORDER BY id";
    assert_eq!(fixture.query(sql).await, "| 1  | 5242880 |\n| 2  | 1       |");
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer"), ("name", "string")]);
    fixture.write("a.json", format!("{{\"id\":1,\"name\":\"{long}\"}}\n{{\"id\":2,\"name\":\"y\"}}\n"));
    assert_eq!(fixture.query(sql).await, "| 1  | 5242880 |\n| 2  | 1       |");
}

#[tokio::test]
async fn an_array_of_many_objects_is_not_cut_into_ranges() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer")]);
    let objects: Vec<String> = (0..5000).map(|i| format!("{{\"id\":{i}}}")).collect();
    fixture.write("a.json", format!("[{}]", objects.join(",\n")));
    let context = fixture.open_in_ranges().await;
    let counted = rows(&context, "SELECT count(*) AS c, sum(id) AS s FROM t").await.unwrap();
    assert_eq!(counted, "| 5000 | 12497500 |");
}

#[tokio::test]
async fn a_fault_in_a_range_has_the_line_of_the_file() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer")]);
    let mut lines: Vec<String> = (1..=5000).map(|i| format!("{{\"id\":{i}}}")).collect();
    lines[4320] = "{\"id\":\"x\"}".to_owned();
    fixture.write("a.json", lines.join("\n"));
    let context = fixture.open_in_ranges().await;
    let message = faulty_at(&context, "SELECT sum(id) FROM t", "/a.json").await;
    assert!(message.contains("line 4321, column `id`"), "{message}");
}

#[tokio::test]
async fn nested_documents_have_the_types_of_the_contract() {
    let mut fixture = Fixture::new(FileFormat::Json, "o.json", &[("id", "integer"), ("address", "object")]);
    let fields = vec![Field::new("zip", DataType::Utf8, true), Field::new("since", DataType::Date32, true)];
    fixture.format("address").data_type = Some(DataType::Struct(fields.into()));
    let text =
        "{\"id\":1,\"address\":{\"zip\":1234,\"since\":\"2024-01-31\",\"more\":{}}}\n{\"id\":2,\"address\":null}\n";
    fixture.write("o.json", text);
    let (_, context) = fixture.open().await.unwrap();
    let read =
        rows(&context, "SELECT id, address['zip'] AS zip, address['since'] AS d FROM t ORDER BY id").await.unwrap();
    assert_eq!(read, "| 1  | 1234 | 2024-01-31 |\n| 2  |      |            |");
    fixture.write("o.json", "{\"id\":1,\"address\":{\"since\":\"soon\"}}\n");
    let message = faulty_at(&context, "SELECT address FROM t", "/o.json").await;
    assert!(
        message.contains("line 1, column `address`: expected a date such as `2024-01-31` at `.since`"),
        "{message}"
    );
}

#[tokio::test]
async fn a_column_of_parquet_may_have_another_name_in_sql() {
    let mut fixture = Fixture::new(FileFormat::Parquet, ".", &[("key", "integer"), ("name", "string")]);
    fixture.format("key").name_in_file = Some("id".to_owned());
    fixture.parquet("a.parquet", &super::batch(&[1, 2]));
    fixture.parquet("b.parquet", &super::batch(&[3]));
    let (opened, context) = fixture.open().await.unwrap();
    assert_eq!(opened.schema.field(0).name(), "key");
    assert_eq!(
        rows(&context, "SELECT name, key FROM t WHERE key > 1 ORDER BY key").await.unwrap(),
        "| n2   | 2   |\n| n3   | 3   |"
    );
    assert_eq!(rows(&context, "SELECT max(key) AS m, count(*) AS c FROM t").await.unwrap(), "| 3 | 3 |");
    fixture.format("key").name_in_file = Some("ident".to_owned());
    let refused = fixture.refused().await;
    assert!(refused.contains("column `ident`, the `physicalName` of `key`, is not in the source"), "{refused}");
}

#[tokio::test]
async fn rows_are_added_with_the_names_of_the_files() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "data/", &[("key", "integer")]);
    fixture.format("key").name_in_file = Some("id".to_owned());
    fixture.parquet("data/a.parquet", &super::batch(&[1]));
    let options = SourceOptions { writers: vec!["*".to_owned()], ..SourceOptions::default() };
    let sources = FileSources::new(HashMap::from([("lake".to_owned(), options)]));
    let (opened, context) = fixture.open_with(&sources).await.unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    let added = RecordBatch::try_from_iter([("key", keys)]).unwrap();
    let count = opened.writer.unwrap().append(futures::stream::iter([Ok(added)]).boxed()).await.unwrap();
    assert_eq!(count, 1);
    assert_eq!(rows(&context, "SELECT key FROM t ORDER BY key").await.unwrap(), "| 1   |\n| 2   |");
}

#[tokio::test]
async fn a_folder_may_have_another_name_and_notation() {
    let mut fixture = Fixture::new(FileFormat::Csv, ".", &[("day", "date"), ("id", "integer")]);
    let day = fixture.format("day");
    day.name_in_file = Some("tag".to_owned());
    day.pattern = german_date();
    fixture.write("tag=24.08.2017/a.csv", "id\n1\n");
    fixture.write("tag=25.08.2017/b.csv", "id\n2\n");
    let (_, context) = fixture.open().await.unwrap();
    assert_eq!(rows(&context, "SELECT * FROM t WHERE day > DATE '2017-08-24'").await.unwrap(), "| 2017-08-25 | 2  |");
}

async fn checked(fixture: &Fixture, rows: Option<u64>, faults: usize) -> DataReport {
    let (opened, context) = fixture.open().await.unwrap();
    let limits = CheckLimits { rows, faults };
    FileSources::default().check_data(&opened, &context.runtime_env(), limits).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_check_finds_all_faults_of_all_files() {
    let fixture = customers();
    let header = "Customer ID;since;Credit Limit;newsletter;note\n";
    fixture
        .write("a.csv", header.to_owned() + "1;24.08.2017;1;ja;x\nx;2017;1;ja;y\n3;24.08.2017;1\n4;NULL;1,505;yes;z\n");
    fixture.write("b.csv", header.to_owned() + "5;24.08.2017;1;ja;x\n6;bad;1;ja;y\n");
    let report = checked(&fixture, None, 100).await;
    let found: Vec<_> = report
        .faults
        .iter()
        .map(|f| (f.file.ends_with("/a.csv"), f.line, f.column.as_deref(), f.value.as_deref()))
        .collect();
    let id = Some("`id` (`Customer ID` in the file)");
    let limit = Some("`credit_limit` (`Credit Limit` in the file)");
    assert_eq!(
        found,
        [
            (true, Some(3), id, Some("x")),
            (true, Some(3), Some("`since`"), Some("2017")),
            (true, Some(4), None, None),
            (true, Some(5), limit, Some("1,505")),
            (true, Some(5), Some("`newsletter`"), Some("yes")),
            (false, Some(3), Some("`since`"), Some("bad")),
        ]
    );
    assert_eq!((report.rows, report.files, report.is_complete, report.has_more_faults), (5, 2, true, false));
    let some = checked(&fixture, None, 2).await;
    assert_eq!((some.faults.len(), some.is_complete), (2, false));
    let sample = checked(&fixture, Some(1), 100).await;
    assert_eq!((sample.rows, sample.faults.len(), sample.is_complete), (1, 0, false));
}

#[tokio::test]
async fn a_check_of_json_goes_on_after_a_line_that_is_no_json() {
    let fixture = Fixture::new(FileFormat::Json, ".", &[("id", "integer"), ("n", "number")]);
    let lines = [
        "{\"id\":1,\"n\":1}",
        "{\"id\":\"x\",\"n\":\"y\"}",
        "nonsense",
        "{\"id\":[1],\"n\":2}",
        "{\"id\":2,\"n\":0.5}",
    ];
    fixture.write("a.json", lines[0]);
    let (opened, context) = fixture.open().await.unwrap();
    fixture.write("a.json", lines.join("\n"));
    let limits = CheckLimits { rows: None, faults: 100 };
    let report = FileSources::default().check_data(&opened, &context.runtime_env(), limits).await.unwrap().unwrap();
    let found: Vec<_> = report.faults.iter().map(|f| (f.line, f.column.as_deref())).collect();
    assert_eq!(found, [(Some(2), Some("`id`")), (Some(2), Some("`n`")), (Some(3), None), (Some(4), Some("`id`"))]);
    assert!(report.is_complete);
}

#[tokio::test]
async fn a_comment_hides_no_rows_after_a_carriage_return() {
    let mut fixture = Fixture::new(FileFormat::Csv, ".", &[("name", "string")]);
    fixture.files().text.comment = Some(b'#');
    fixture.write("a.csv", "name\r\na\r\n# note\r\nb\r\n");
    let (_, context) = fixture.open().await.unwrap();
    assert_eq!(rows(&context, "SELECT name FROM t ORDER BY name").await.unwrap(), "| a    |\n| b    |");
    for text in ["name\ra\r# note\rb\rc\r", "name\ra\r# note\rb\rc\nd\n"] {
        fixture.write("a.csv", text);
        let message = faulty_at(&context, "SELECT name FROM t", "/a.csv").await;
        assert!(message.contains("expected a line feed after a comment, got a carriage return alone"), "{message}");
    }
}
