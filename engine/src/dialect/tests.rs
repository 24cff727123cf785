#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use sqlparser::ast::{Expr, FunctionArguments};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::instead::{INSTEAD, WITH_LAMBDA};
use super::spellings::{SPELLINGS, StandsFor};
use crate::visit::find_expression;
use crate::{Engine, ErrorKind, Principal, upstream};

/// Returns the rows of a statement, with `|` between the values.
async fn rows(engine: &Engine, sql: &str) -> crate::Result<Vec<String>> {
    let stream = Box::pin(engine.session(Principal::new("ann")).sql(sql)).await?;
    let batches: Vec<_> = stream.try_collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in &batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap());
        let columns: Vec<_> = columns.collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            let values: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            values.join("|")
        }));
    }
    Ok(rows)
}

#[test]
fn every_spelling_has_one_place_for_each_argument() {
    for spelling in SPELLINGS {
        let StandsFor::Template(places, template) = spelling.stands_for else { continue };
        let parsed = Parser::new(&GenericDialect {}).try_with_sql(template).unwrap().parse_expr();
        assert!(parsed.is_ok(), "{}: {parsed:?}", spelling.name);
        // Nested calls would grow with each further place of an argument.
        assert_eq!(template.matches('$').count(), places, "{}", spelling.name);
        assert!((1..=places).all(|place| template.contains(&format!("${place}"))), "{}", spelling.name);
    }
}

#[test]
fn spellings_are_in_order_and_hide_no_function() {
    assert!(SPELLINGS.is_sorted_by_key(|spelling| spelling.name));
    assert!(INSTEAD.is_sorted());
    let state = upstream::state_builder().build();
    let spelled = SPELLINGS.iter().map(|spelling| spelling.name);
    let others = INSTEAD.iter().map(|(name, _)| *name);
    // These get a default separator, and the version of this node.
    let known: Vec<&str> = spelled
        .chain(others)
        .filter(|name| {
            state.scalar_functions().contains_key(*name)
                || state.aggregate_functions().contains_key(*name)
                || state.window_functions().contains_key(*name)
        })
        .collect();
    assert_eq!(known, ["string_agg", "version"]);
    for spelling in SPELLINGS {
        if let StandsFor::Function(other) = spelling.stands_for {
            let is_known =
                state.scalar_functions().contains_key(other) || state.aggregate_functions().contains_key(other);
            assert!(is_known, "{} stands for {other}", spelling.name);
        }
    }
    // `list_first` with one argument is the first item, as in DuckDB.
    let with_lambda = state.higher_order_functions().keys().map(String::as_str);
    let left: Vec<&str> = with_lambda.filter(|name| !WITH_LAMBDA.contains(name)).collect();
    assert_eq!(left, ["list_first"]);
}

#[test]
fn what_is_written_instead_exists() {
    let state = upstream::state_builder().build();
    let exists = |name: &str| {
        state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || SPELLINGS.iter().any(|spelling| spelling.name == name)
            || name == "unnest"
    };
    for (_, instead) in INSTEAD {
        let written = instead.split('`').nth(1).unwrap();
        let parser = Parser::new(&GenericDialect {});
        let expr = parser.try_with_sql(written).and_then(|mut parser| parser.parse_expr()).unwrap();
        let missing = find_expression(&expr, |expr| match expr {
            // The planner has an expression for a name without parentheses.
            Expr::Function(function) if function.args != FunctionArguments::None => {
                Some(function.name.to_string()).filter(|name| !exists(name))
            }
            _ => None,
        });
        assert_eq!(missing, None, "{instead}");
    }
}

#[test]
fn the_book_lists_every_function() {
    let book = include_str!("../../../docs/src/functions.md");
    let functions = super::functions();
    let names = functions.iter().map(|function| function.name());
    for name in SPELLINGS.iter().map(|spelling| spelling.name).chain(names) {
        assert!(book.contains(&format!("`{name}(")) || book.contains(&format!("`{name}`")), "{name}");
    }
}

/// The values are those of DuckDB or PostgreSQL, written by hand.
#[tokio::test]
async fn spelled_functions_have_the_values_of_other_databases() {
    let engine = Engine::builder().build().unwrap();
    let day = "DATE '2024-02-29'";
    let at = "TIMESTAMP '2024-02-29 13:45:56.789012'";
    for (expressions, expected) in [
        (format!("year({day}), month({day}), day({day}), quarter({day}), week({day})"), "2024|2|29|1|9"),
        (format!("dayofweek({day}), isodow({day}), dayofyear({day}), dayofmonth({day})"), "4|4|60|29"),
        ("dayofweek(DATE '2024-03-03'), isodow(DATE '2024-03-03')".into(), "0|7"),
        ("isoyear(DATE '2024-12-30'), weekofyear(DATE '2024-12-30')".into(), "2025|1"),
        (format!("hour({at}), minute({at}), second({at}), millisecond({at})"), "13|45|56|56789"),
        (format!("microsecond({at}), epoch(TIMESTAMP '1970-01-02 00:00:00')"), "56789012|86400.0"),
        (format!("dayname({day}), monthname({day}), date({at})"), "Thursday|February|2024-02-29"),
        (format!("last_day({day}), last_day(DATE '2023-12-01'), last_day({at})"), "2024-02-29|2023-12-31|2024-02-29"),
        ("YEAR('2024-05-06'), year(CAST(NULL AS DATE))".into(), "2024|NULL"),
        ("mod(-7, 3), mod(7, -3), ceiling(CAST(1.2 AS DOUBLE)), if(1 > 2, 'a', 'b')".into(), "-1|1|2.0|b"),
        ("len('é1'), strlen('é1'), lcase('ÄB'), ucase('a')".into(), "2|3|äb|A"),
        ("len([10, 20, 30]), len(['abc']), len([]), len(CAST(NULL AS VARCHAR)), len(NULL)".into(), "3|1|0|NULL|NULL"),
        ("list_value(1, 2), list_min([3, 1, 2]), struct_extract({'a': 5}, 'a')".into(), "[1, 2]|1|5"),
        ("list_first([3, 1, 2]), list_last([3, 1, 2])".into(), "3|2"),
        ("format('{} is {}', 'a', 1), format('%s=%s', 'a', NULL)".into(), "a is 1|a="),
        ("format('{}', CAST(NULL AS VARCHAR)), format('{}{} it''s {}', 1, 'x', true)".into(), "NULL|1x it's true"),
        (
            "current_user, session_user, current_catalog, current_database(), current_schema()".into(),
            "ann|ann|portolan|portolan|mesh",
        ),
        ("strftime('%d.%m.%Y', DATE '2024-02-29'), strftime(DATE '2024-02-29', '%Y')".into(), "29.02.2024|2024"),
        ("printf('%s', NULL), printf('%d-%d', 1, NULL), printf('%g', 0.5)".into(), "NULL|NULL|0.5"),
        ("localtimestamp = CAST(now() AS TIMESTAMP(6)), length(CAST(gen_random_uuid() AS VARCHAR))".into(), "true|36"),
    ] {
        let found =
            rows(&engine, &format!("SELECT {expressions}")).await.unwrap_or_else(|e| panic!("{expressions}: {e}"));
        assert_eq!(found, [expected], "{expressions}");
    }
    let version = rows(&engine, "SELECT version()").await.unwrap();
    assert_eq!(version, [format!("Portolan {}", env!("CARGO_PKG_VERSION"))]);
}

/// The results that the book's table of other meanings shows.
#[tokio::test]
async fn other_meanings_are_those_of_the_book() {
    let engine = Engine::builder().build().unwrap();
    let book = include_str!("../../../docs/src/functions.md");
    for (written, expected) in [
        ("7 / 2", "3"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("CAST(2.7 AS INT)", "2"),
        ("CAST('abcdef' AS VARCHAR(3))", "abcdef"),
        ("substr('hello', -3)", "hello"),
        ("list_sort([2, NULL, 1])", "[NULL, 1, 2]"),
        ("list_distinct([1, NULL])", "[1, NULL]"),
        ("to_hex(255)", "ff"),
        ("encode('a', 'base64')", "YQ"),
    ] {
        assert_eq!(rows(&engine, &format!("SELECT {written}")).await.unwrap(), [expected], "{written}");
        assert!(book.contains(&format!("| `{written}` | {expected}")), "{written}");
    }
    let ordered = rows(&engine, "SELECT x FROM (VALUES (1), (NULL)) t(x) ORDER BY x DESC").await.unwrap();
    assert_eq!(ordered, ["NULL", "1"]);
}

/// The type of a NULL, and of a parameter, is not known when a statement is planned.
#[tokio::test]
async fn documents_and_paths_may_be_null_or_parameters() {
    let engine = Engine::builder().build().unwrap();
    let nulls = "SELECT NULL -> 'a', '{\"a\":1}' ->> NULL, json_length(NULL)";
    assert_eq!(rows(&engine, nulls).await.unwrap(), ["NULL|NULL|NULL"]);
    let session = engine.session(Principal::new("ann"));
    let prepared = session.prepare("SELECT '{\"a\":\"x\"}' ->> $1").await.unwrap();
    for (path, expected) in [("a", Some("x")), ("b", None)] {
        let stream = prepared.execute(&[ScalarValue::from(path)]).await.unwrap();
        let batches: Vec<_> = stream.try_collect().await.unwrap();
        let found = ScalarValue::try_from_array(batches[0].column(0), 0).unwrap();
        assert_eq!(found.try_as_str().unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn spelled_aggregates_have_the_values_of_other_databases() {
    let engine = Engine::builder().build().unwrap();
    let over = "FROM (VALUES (1, 'a', true), (1, 'b', false), (2, NULL, NULL)) t(g, s, b)";
    for (sql, expected) in [
        (format!("SELECT group_concat(s ORDER BY s) {over}"), &["a,b"][..]),
        (format!("SELECT group_concat(s, '-' ORDER BY s DESC) {over}"), &["b-a"]),
        (format!("SELECT group_concat(s ORDER BY s SEPARATOR '; ') {over}"), &["a; b"]),
        (format!("SELECT string_agg(s ORDER BY s) {over}"), &["a,b"]),
        (format!("SELECT string_agg(s, ';') WITHIN GROUP (ORDER BY s DESC) {over}"), &["b;a"]),
        (format!("SELECT group_concat(DISTINCT s) WITHIN GROUP (ORDER BY s) {over}"), &["a,b"]),
        (format!("SELECT group_concat(s) FILTER (WHERE b) {over}"), &["a"]),
        (format!("SELECT count_if(b), count_if(b) FILTER (WHERE g = 2), count_if(NOT b) {over}"), &["1|0|1"]),
        (format!("SELECT g, count_if(s = 'a') OVER (PARTITION BY g) {over} ORDER BY g, s"), &["1|1", "1|1", "2|0"]),
        (format!("SELECT every(b), list(s ORDER BY s NULLS LAST) {over}"), &["false|[a, b, NULL]"]),
        ("SELECT variance(x) FROM (VALUES (1.0), (2.0), (3.0)) t(x)".into(), &["1.0"]),
        (format!("SELECT year(DATE '2024-01-01') AS y, count(*) {over} GROUP BY y"), &["2024|3"]),
    ] {
        let found = rows(&engine, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(found, expected, "{sql}");
    }
}

#[tokio::test]
async fn calls_without_a_meaning_say_what_to_write() {
    let engine = Engine::builder().build().unwrap();
    for (sql, kind, says) in [
        ("SELECT year()", ErrorKind::InvalidQuery, "write `year(at)` (line 1, column 8)"),
        ("SELECT\n date_add(DATE '2024-01-01', 1)", ErrorKind::InvalidQuery, "INTERVAL '1 day'` (line 2, column 2)"),
        (
            "SELECT GETDATE()",
            ErrorKind::InvalidQuery,
            "there is no function `getdate`: write `now()` (line 1, column 8)",
        ),
        ("SELECT datediff('2024-01-01', '2024-01-02')", ErrorKind::InvalidQuery, "date_diff('day', start, end)"),
        (
            "SELECT DATEDIFF(week, '2024-01-01', '2024-02-01')",
            ErrorKind::InvalidQuery,
            "for the Mondays (line 1, column 8)",
        ),
        ("SELECT date_diff('dow', DATE '2024-01-01', now())", ErrorKind::InvalidQuery, "got `dow` (line 1, column 8)"),
        (
            "SELECT date_diff(DATE '2024-02-01', DATE '2024-01-01', DAY)",
            ErrorKind::InvalidQuery,
            "takes the part first: write `date_diff('day', start, end)` (line 1, column 8)",
        ),
        (
            "SELECT date_trunc(a, MONTH) FROM (VALUES (now())) t(a)",
            ErrorKind::InvalidQuery,
            "write `date_trunc('month', at)`",
        ),
        ("SELECT mode(a) FROM (VALUES (1)) t(a)", ErrorKind::InvalidQuery, "there is no function `mode`: write"),
        ("SELECT printf('%d', 1.5)", ErrorKind::InvalidQuery, "`%d` of `printf` takes an integer, got DOUBLE"),
        ("SELECT printf('%d', 1, 2)", ErrorKind::InvalidQuery, "`printf` has one value more"),
        (
            "SELECT list_transform([1], x -> x + 1)",
            ErrorKind::Unsupported,
            "group the items again with `array_agg` (line 1, column 8)",
        ),
        ("SELECT year(DISTINCT DATE '2024-01-01')", ErrorKind::InvalidQuery, "no DISTINCT"),
        (
            "SELECT length([1, 2])",
            ErrorKind::InvalidQuery,
            "`length` takes a string, got a list: write `array_length(list)`",
        ),
        (
            "SELECT reverse(a) FROM (VALUES ([1])) t(a)",
            ErrorKind::InvalidQuery,
            "write `array_reverse(list)` (line 1, column 16)",
        ),
        ("SELECT len(12)", ErrorKind::InvalidQuery, "`len` takes a string or a list, got BIGINT"),
        ("SELECT mod(1, 2) OVER ()", ErrorKind::InvalidQuery, "no FILTER, OVER"),
        ("SELECT year(DATE '2024-01-01') IGNORE NULLS", ErrorKind::InvalidQuery, "takes no IGNORE NULLS"),
        ("SELECT json_extract('{}', '$.a') OVER ()", ErrorKind::InvalidQuery, "takes no OVER"),
        ("SELECT upper(DISTINCT 'a')", ErrorKind::InvalidQuery, "`upper` is no aggregate function"),
        (
            "SELECT a FROM (VALUES (1)) t(a) WHERE upper('a') FILTER (WHERE false) = 'A'",
            ErrorKind::InvalidQuery,
            "no FILTER",
        ),
        ("SELECT 2 ^ 3", ErrorKind::InvalidQuery, "write `power(a, b)`, or `(a | b) - (a & b)` (line 1, column 8)"),
        ("SELECT 0b11", ErrorKind::InvalidQuery, "`0b11` is no number"),
        ("SELECT current_database(1)", ErrorKind::InvalidQuery, "no arguments"),
        ("SELECT format('{:d}', 1)", ErrorKind::InvalidQuery, "printf"),
        ("SELECT FROM (VALUES (1)) t(a)", ErrorKind::InvalidQuery, "SELECT *"),
        ("SELECT TOP 5 * FROM (VALUES (1)) t(a)", ErrorKind::Unsupported, "write LIMIT 5"),
    ] {
        let error = rows(&engine, sql).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.chain().contains(says), "{sql}: {}", error.chain());
    }
}

#[tokio::test]
async fn clauses_of_other_databases_are_read() {
    let engine = Engine::builder().build().unwrap();
    for (sql, expected) in [
        ("SELECT a FROM (VALUES (3), (1), (2)) t(a) ORDER BY a FETCH FIRST 2 ROWS ONLY", &["1", "2"][..]),
        ("SELECT a FROM (VALUES (3), (1), (2)) t(a) ORDER BY a FETCH FIRST ROW ONLY", &["1"]),
        ("SELECT a FROM (VALUES (3), (1), (2)) t(a) ORDER BY a OFFSET 1 ROW FETCH NEXT 1 ROW ONLY", &["2"]),
        ("SELECT b FROM (VALUES (1)) u(b) WHERE EXISTS (SELECT FROM (VALUES (2)) t(a))", &["1"]),
        ("SELECT user FROM (VALUES ('ann')) t(user)", &["ann"]),
        ("FROM (VALUES (1)) t(a)", &["1"]),
        ("SELECT 1_000_000, -1_0.5_0, 1_0e1", &["1000000|-10.5|100.0"]),
        ("SELECT a FROM (VALUES (1), (2_000)) t(a) WHERE a > 1_999 LIMIT 1_0", &["2000"]),
        ("SELECT (6 | 3) - (6 & 3), power(2, 3)", &["5|8.0"]),
        (
            "SELECT CAST(1.7 AS CHARACTER VARYING(9)), '2024-02-29'::DATETIME, CAST('7' AS INT64), CAST(0.1 AS FLOAT(53))",
            &["1.7|2024-02-29T00:00:00|7|0.1"],
        ),
        (r"SELECT N'é', r'a\b', U&'\0041', 'a' = N'a'", &[r"é|a\b|A|true"]),
        ("SELECT datepart(YEAR, DATE '2024-02-29'), date_part(dow, DATE '2024-03-03')", &["2024|0"]),
        ("SELECT date_trunc(month, TIMESTAMP '2024-02-29 10:00:00')", &["2024-02-01T00:00:00"]),
        ("SELECT DATEDIFF(day, a, day) FROM (VALUES (DATE '2024-01-01', DATE '2024-01-03')) t(a, day)", &["2"]),
    ] {
        let found = rows(&engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(found, expected, "{sql}");
    }
}
