//! Functions and statements of DuckDB and PostgreSQL: values written by hand, in every way that the planner knows. What
//! DuckDB has too is compared with DuckDB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use portolan_engine::{ErrorKind, SETTINGS};
use portolan_testbed::compare::Order;
use portolan_tests::duckdb::{DuckDb, PortFiles, compare_with_duckdb};
use portolan_tests::mesh::within;
use portolan_tests::python::python;
use portolan_tests::ways::{Ways, lines, table, write_parquet};

const PERSON: &str =
    r#"{"name":"Ann","age":42,"tags":["x","y"],"address":{"city":"Bern","zip code":3011},"none":null,"it's":true}"#;
const LIST: &str = r#"[1,2,{"k":"v"}]"#;

/// Returns `east.samples.a`: a number, a day, a moment and a text. The second day is before 1970.
fn days() -> RecordBatch {
    let column = |array: ArrayRef| array;
    table(vec![
        ("id", column(Arc::new(Int64Array::from(vec![1, 2, 3])))),
        // 2024-02-29 and 1969-12-31.
        ("d", column(Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None])))),
        // 2024-02-29 13:45:56.789012, and a microsecond before 1970.
        ("t", column(Arc::new(TimestampMicrosecondArray::from(vec![Some(1_709_214_356_789_012), Some(-1), None])))),
        ("s", column(Arc::new(StringArray::from(vec![Some("ab"), Some("c"), None])))),
    ])
}

/// Returns `west.samples.b`: a number and a document.
fn documents() -> RecordBatch {
    let column = |array: ArrayRef| array;
    table(vec![
        ("id", column(Arc::new(Int64Array::from(vec![1, 2, 3, 4])))),
        ("doc", column(Arc::new(StringArray::from(vec![Some(PERSON), Some(LIST), None, Some("no document")])))),
    ])
}

async fn mesh() -> Ways {
    Ways::of_tables(&[("east", "a", days()), ("west", "b", documents())]).await
}

/// Statements that DuckDB has too.
const OF_DUCKDB: &[(&str, &[&str])] = &[
    (
        "SELECT id, year(d), month(d), day(d), quarter(d), week(d), dayofyear(d), dayofweek(d), isodow(d), isoyear(d) \
         FROM east.samples.a",
        &[
            "1|2024|2|29|1|9|60|4|4|2024",
            "2|1969|12|31|4|1|365|3|3|1970",
            "3|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
        ],
    ),
    (
        "SELECT id, hour(t), minute(t), second(t), millisecond(t), microsecond(t) FROM east.samples.a",
        &["1|13|45|56|56789|56789012", "2|23|59|59|59999|59999999", "3|NULL|NULL|NULL|NULL|NULL"],
    ),
    (
        "SELECT id, last_day(d), last_day(t), dayname(d), monthname(d) FROM east.samples.a",
        &[
            "1|2024-02-29|2024-02-29|Thursday|February",
            "2|1969-12-31|1969-12-31|Wednesday|December",
            "3|NULL|NULL|NULL|NULL",
        ],
    ),
    ("SELECT last_day(DATE '2023-02-01'), last_day(DATE '2024-12-31')", &["2023-02-28|2024-12-31"]),
    (
        "SELECT id, date_diff('year', d, DATE '2024-03-01'), date_diff('month', d, DATE '2024-03-01'), \
         date_diff('day', d, DATE '2024-03-01'), date_diff('hour', t, TIMESTAMP '2024-02-29 14:00:00'), \
         datediff('quarter', d, DATE '2024-04-01') FROM east.samples.a",
        &["1|0|1|1|1|1", "2|55|651|19784|474783|218", "3|NULL|NULL|NULL|NULL|NULL"],
    ),
    (
        "SELECT date_diff('second', TIMESTAMP '2024-01-01 00:00:00.9', TIMESTAMP '2024-01-01 00:00:01.1'), \
         date_diff('day', TIMESTAMP '2024-01-02 01:00:00', TIMESTAMP '2024-01-01 23:00:00')",
        &["1|-1"],
    ),
    (
        "SELECT id, strftime(t, '%Y-%m-%d %H:%M:%S.%f'), strftime(d, '%d/%m/%Y'), \
         strftime(t, '%A, %-d %B %Y - %I:%M:%S %p'), strftime(t, '%j %U %W %V %G %u %w %y %g %%') FROM east.samples.a",
        &[
            "1|2024-02-29 13:45:56.789012|29/02/2024|Thursday, 29 February 2024 - 01:45:56 PM|060 08 09 09 2024 4 4 24 789 %",
            "2|1969-12-31 23:59:59.999999|31/12/1969|Wednesday, 31 December 1969 - 11:59:59 PM|365 52 52 01 1970 3 3 69 999 %",
            "3|NULL|NULL|NULL|NULL",
        ],
    ),
    (
        "SELECT strftime(DATE '2024-02-29', '%x %X'), strftime(TIMESTAMP '2024-02-29 01:02:03', '%c')",
        &["2024-02-29 00:00:00|2024-02-29 01:02:03"],
    ),
    (
        "SELECT strptime('29.02.2024 13:45', '%d.%m.%Y %H:%M'), strptime('2024-02-29', '%Y-%m-%d'), \
         strptime('2024-02-29 01:45:56.500000 PM', '%Y-%m-%d %I:%M:%S.%f %p')",
        &["2024-02-29T13:45:00|2024-02-29T00:00:00|2024-02-29T13:45:56.500"],
    ),
    (
        "SELECT id, printf('%05d;%-4s;%.2f;%x', id, s, CAST(id AS DOUBLE) / 2, id + 9) FROM east.samples.a",
        &["1|00001;ab  ;0.50;a", "2|00002;c   ;1.00;b", "3|NULL"],
    ),
    (
        "SELECT id, printf('%g|%.3g', CAST(id AS DOUBLE) / 8, CAST(id AS DOUBLE) * 12345.0) FROM east.samples.a",
        &["1|0.125|1.23e+04", "2|0.25|2.47e+04", "3|0.375|3.7e+04"],
    ),
    ("SELECT id, format('{} is {}', s, id) FROM east.samples.a", &["1|ab is 1", "2|c is 2", "3|NULL"]),
    (
        "SELECT group_concat(s ORDER BY s), group_concat(s, '-' ORDER BY s DESC), count_if(id > 1), mod(7, 3) \
         FROM east.samples.a",
        &["ab,c|c-ab|2|1"],
    ),
    (
        "SELECT id, json_extract_string(doc, 'name'), json_extract(doc, 'tags'), json_extract_string(doc, '$.tags[1]'), \
         json_extract(doc, '$.address.city'), json_extract_string(doc, '$.address.\"zip code\"') FROM west.samples.b \
         WHERE id < 4",
        &[r#"1|Ann|["x","y"]|y|"Bern"|3011"#, "2|NULL|NULL|NULL|NULL|NULL", "3|NULL|NULL|NULL|NULL|NULL"],
    ),
    ("SELECT json_extract_string(doc, '$[2].k'), json_extract(doc, '$[0]') FROM west.samples.b WHERE id = 2", &["v|1"]),
    (
        "SELECT a.id, year(a.d), json_extract_string(b.doc, 'name') FROM east.samples.a AS a JOIN west.samples.b AS b \
         ON a.id = b.id WHERE year(a.d) = 2024",
        &["1|2024|Ann"],
    ),
    ("FROM east.samples.a SELECT id WHERE month(d) = 12", &["2"]),
    ("SELECT if(id > 1, 'many', 'one'), lcase('Ab') FROM east.samples.a", &["one|ab", "many|ab", "many|ab"]),
    ("SELECT list_value(1, 2)[1], list_first([3, 4]), list_last([3, 4]), len('abc'), len([7, 8])", &["1|3|4|3|2"]),
    ("SELECT id, len(s), len([id, id + 1]) FROM east.samples.a", &["1|2|2", "2|1|2", "3|NULL|2"]),
];

/// Statements with another meaning in DuckDB, or without one.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "SELECT id, to_char(d, 'YYYY-MM'), to_char(t, 'DD.MM.YYYY HH24:MI:SS.US'), \
         to_char(t, 'FMDD FMMonth YYYY, HH12:MI AM'), to_char(t, '%Y/%m') FROM east.samples.a",
        &[
            "1|2024-02|29.02.2024 13:45:56.789012|29 February 2024, 01:45 PM|2024/02",
            "2|1969-12|31.12.1969 23:59:59.999999|31 December 1969, 11:59 PM|1969/12",
            "3|NULL|NULL|NULL|NULL",
        ],
    ),
    (
        "SELECT to_char(d, 'YYYY') AS y, count(*) FROM east.samples.a GROUP BY to_char(d, 'YYYY')",
        &["1969|1", "2024|1", "NULL|1"],
    ),
    ("SELECT id FROM east.samples.a WHERE to_char(d, 'YYYY-MM') = '2024-02'", &["1"]),
    (
        "SELECT id, to_char(d, CASE WHEN id = 1 THEN 'YYYY' ELSE '%d' END) FROM east.samples.a",
        &["1|2024", "2|31", "3|NULL"],
    ),
    (
        "SELECT to_date('29 FEB 2024', 'DD Mon YYYY'), to_timestamp('2024-02-29 01:45 pm', 'YYYY-MM-DD HH12:MI PM'), \
         to_date('2024-02-29', '%Y-%m-%d'), to_date('29/02/24', 'DD/MM/YY')",
        &["2024-02-29|2024-02-29T13:45:00|2024-02-29|2024-02-29"],
    ),
    ("SELECT date_format(d, '%Y-%m') FROM east.samples.a WHERE id = 1", &["2024-02"]),
    ("SELECT date_diff(day, d, '2024-03-02') FROM east.samples.a WHERE id = 1", &["2"]),
    ("SELECT id, format('%s=%s', s, id) FROM east.samples.a", &["1|ab=1", "2|c=2", "3|=3"]),
    (
        "SELECT doc ->> 'name', doc -> 'name', doc -> 'address' ->> 'city', doc ->> 'none', doc -> 'none', \
         doc ->> '$.\"it''s\"', doc ->> 'missing' FROM west.samples.b WHERE id = 1",
        &[r#"Ann|"Ann"|Bern|NULL|null|true|NULL"#],
    ),
    (
        "SELECT doc -> 0, doc ->> -1, doc -> 2 ->> 'k', json_length(doc) FROM west.samples.b WHERE id = 2",
        &[r#"1|{"k":"v"}|v|3"#],
    ),
    ("SELECT id FROM west.samples.b WHERE doc ->> 'name' = 'Ann' AND CAST(doc ->> 'age' AS INT) > 41", &["1"]),
    (
        "SELECT id, doc ->> 'name' || '!' FROM west.samples.b WHERE doc ->> 'name' IS NULL",
        &["2|NULL", "3|NULL", "4|NULL"],
    ),
    ("SELECT id FROM east.samples.a ORDER BY id FETCH FIRST 2 ROWS ONLY", &["1", "2"]),
    ("SELECT current_user", &["anonymous"]),
    ("SELECT user, t.user FROM (SELECT 'ann' AS user) AS t", &["ann|ann"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_of_other_databases_have_their_values() {
    within(900, async {
        let ways = mesh().await;
        for (sql, expected) in OF_DUCKDB.iter().chain(OTHERS) {
            ways.gives(sql, expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_has_the_same_values() {
    within(300, async {
        let Some(python) = python() else {
            eprintln!("SKIPPED: without DuckDB, the values of the functions are NOT compared with DuckDB's");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let ports = [("east.samples.a", days()), ("west.samples.b", documents())].map(|(name, rows)| {
            let file = folder.path().join(format!("{name}.parquet"));
            write_parquet(&file, &rows);
            PortFiles { name: name.to_owned(), files: vec![file] }
        });
        let duckdb = DuckDb::start(&python, &["SET threads = 1"], &ports).await.unwrap();
        let ways = mesh().await;
        for (sql, _) in OF_DUCKDB {
            let theirs = duckdb.query(sql).await.unwrap_or_else(|e| panic!("DuckDB: {e}\n{sql}"));
            let ours = ways.in_one_process(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
            compare_with_duckdb(&theirs, &ours, &Order::Any).unwrap_or_else(|how| panic!("{how}\n{sql}"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_refused() {
    within(600, async {
        let ways = mesh().await;
        for (sql, kind, says) in [
            ("SELECT to_char(d, 'Month') FROM east.samples.a", ErrorKind::InvalidQuery, "write `FMMonth`"),
            ("SELECT to_char(d, s) FROM east.samples.a", ErrorKind::InvalidQuery, "`ab` is no field"),
            ("SELECT to_char(d, '%Q') FROM east.samples.a", ErrorKind::InvalidQuery, "`%Q` is no field"),
            ("SELECT strftime(d, 'YYYY-MM') FROM east.samples.a", ErrorKind::InvalidQuery, "to_char reads"),
            ("SELECT date_format(d, 'yyyy-MM') FROM east.samples.a", ErrorKind::InvalidQuery, "to_char reads"),
            ("SELECT strptime('2024-01-01 15', '%Y-%m-%d %H')", ErrorKind::InvalidQuery, "hours and minutes"),
            ("SELECT to_timestamp('2024-01-01 15', '%Y-%m-%d %H')", ErrorKind::InvalidQuery, "hours and minutes"),
            (
                "SELECT to_timestamp('2024-01-01 10:20.5', 'YYYY-MM-DD HH24:MI.US')",
                ErrorKind::InvalidQuery,
                "a fraction of a second needs seconds",
            ),
            ("SELECT date_diff('week', d, d) FROM east.samples.a", ErrorKind::InvalidQuery, "for the Mondays"),
            ("SELECT date_diff('day', id, d) FROM east.samples.a", ErrorKind::InvalidQuery, "dates and timestamps"),
            ("SELECT printf('%d', s) FROM east.samples.a", ErrorKind::InvalidQuery, "takes an integer"),
            ("SELECT printf('%s') FROM east.samples.a", ErrorKind::InvalidQuery, "no value for `%s`"),
            ("SELECT printf('%999d', id) FROM east.samples.a", ErrorKind::InvalidQuery, "at most 256"),
            ("SELECT doc -> '$.a[' FROM west.samples.b", ErrorKind::InvalidQuery, "the JSON path `$.a[`"),
            ("SELECT FROM east.samples.a", ErrorKind::InvalidQuery, "SELECT *"),
            ("SELECT TOP 5 * FROM east.samples.a", ErrorKind::Unsupported, "write LIMIT 5"),
            ("SELECT list_filter([1, 2], x -> x > 1)", ErrorKind::Unsupported, "lambda"),
            ("SET TIME ZONE 'Europe/Berlin'", ErrorKind::Unsupported, "AT TIME ZONE"),
            ("SHOW CREATE TABLE east.samples.a", ErrorKind::Unsupported, "`DESCRIBE east.samples.a`"),
            ("SHOW search_path", ErrorKind::Unsupported, "SHOW schema shows"),
            ("SHOW tabels", ErrorKind::Unsupported, "did you mean `SHOW tables`?"),
            ("SHOW FULL TABLES", ErrorKind::Unsupported, "SHOW accepts ALL"),
            ("SHOW PROCESSLIST", ErrorKind::Unsupported, "mesh.queries"),
            ("SHOW TABLES FROM eats", ErrorKind::NotFound, "did you mean `east`?"),
            ("SHOW SCHEMAS FROM eats", ErrorKind::NotFound, "did you mean `east`?"),
            ("CREATE INDEX i ON t (a)", ErrorKind::Unsupported, "CREATE INDEX is not supported"),
        ] {
            ways.refuses(sql, kind, &[says]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn show_lists_what_there_is() {
    within(300, async {
        let ways = mesh().await;
        let shown = async |sql: &str| {
            let (_, batches) = ways.in_one_process(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
            lines(&batches)
        };
        for (sql, expected) in [
            ("SHOW CATALOGS", &["east", "portolan", "west"][..]),
            ("SHOW DATABASES LIKE 'e%'", &["east"]),
            ("SHOW SCHEMAS", &["east|samples", "portolan|mesh", "west|samples"]),
            ("SHOW SCHEMAS FROM west", &["west|samples"]),
            ("SHOW TABLES FROM east", &["east|samples|a|BASE TABLE"]),
            ("SHOW TABLES IN west.samples", &["west|samples|b|BASE TABLE"]),
            ("SHOW TABLES FROM samples", &["east|samples|a|BASE TABLE", "west|samples|b|BASE TABLE"]),
            ("SHOW TABLES FROM samples ILIKE 'B%'", &["west|samples|b|BASE TABLE"]),
            ("SHOW TABLES FROM mesh LIKE 'port%'", &["portolan|mesh|ports|VIEW"]),
            ("SHOW TIME ZONE", &["timezone|UTC"]),
            ("SHOW timezone", &["timezone|UTC"]),
            ("SHOW FUNCTIONS LIKE 'year'", &["year|SCALAR|The year.|year(at)"]),
        ] {
            let found = shown(sql).await;
            let same = found.iter().zip(expected).all(|(found, expected)| found == expected);
            assert!(same && found.len() == expected.len(), "{sql}: {found:?}");
        }
        let settings = shown("SHOW ALL").await;
        let mut names: Vec<&str> = settings.iter().map(|row| row.split('|').next().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, SETTINGS);
        let described = shown("DESCRIBE SELECT year(d) AS y, s FROM east.samples.a").await;
        assert!(described.len() == 2 && described[0].starts_with("y|"), "{described:?}");
        let described = shown("DESCRIBE east.samples.a").await;
        let types: Vec<_> = described.iter().filter_map(|row| row.split('|').nth(1)).collect();
        assert!(types.contains(&"DATE") && types.contains(&"VARCHAR") && !types.contains(&"Date32"), "{described:?}");
        assert!(shown("SHOW TABLES").await.iter().all(|row| !row.contains("information_schema")));

        let functions = shown("SHOW FUNCTIONS").await;
        let names: Vec<String> =
            functions.iter().map(|row| row.splitn(3, '|').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert!(names.is_sorted(), "{names:?}");
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
        for name in ["date_part SCALAR", "year SCALAR", "sum AGGREGATE", "rank WINDOW", "strftime SCALAR"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        for sql in ["SET TIME ZONE 'UTC'", "SET timezone = 'utc'", "SET TIME ZONE LOCAL"] {
            assert!(shown(sql).await.is_empty(), "{sql}");
        }
    })
    .await;
}
