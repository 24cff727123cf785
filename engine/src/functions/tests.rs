#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions, array_value_to_string};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;

use super::cost::{Arguments, Cost};
use super::kinds::{ACCOUNTED, BOUNDED, LINEAR, OVER_ITEMS, PER_ROW, kind};
use super::*;
use crate::{Engine, ErrorKind, Limits, upstream};

/// A new function of DataFusion has to be put into one of the lists.
#[test]
fn every_function_is_in_one_list() {
    let state = upstream::state_builder().build();
    let bounded = BOUNDED.iter().map(|kind| kind.name);
    let listed: Vec<&str> = bounded.chain(LINEAR.iter().copied()).collect();
    let names: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(names.len(), listed.len(), "a function is listed twice");
    let operators = [operators::CONCATENATE, operators::LIKE, operators::MATCH];
    let scalar: BTreeSet<&str> = state.scalar_functions().values().map(|f| f.name()).chain(operators).collect();
    same(&scalar, &names);
    same(&state.aggregate_functions().values().map(|f| f.name()).collect(), &ACCOUNTED.iter().copied().collect());
    same(&state.window_functions().values().map(|f| f.name()).collect(), &PER_ROW.iter().copied().collect());
    same(&state.higher_order_functions().values().map(|f| f.name()).collect(), &OVER_ITEMS.iter().copied().collect());
}

fn same(registered: &BTreeSet<&str>, listed: &BTreeSet<&str>) {
    let unknown: Vec<_> = registered.difference(listed).collect();
    let gone: Vec<_> = listed.difference(registered).collect();
    assert!(unknown.is_empty() && gone.is_empty(), "in no list: {unknown:?}; listed, but gone: {gone:?}");
}

fn text(value: &str) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::from(value))
}

fn number(value: i64) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Int64(Some(value)))
}

fn cost(function: &str, arguments: &[ColumnarValue], row: usize) -> Cost {
    (kind(function).unwrap().estimate)(&Arguments::of(arguments).unwrap())(row)
}

#[test]
fn costs_are_those_of_the_result() {
    assert_eq!(cost("repeat", &[text("abc"), number(5)], 0), Cost::string(15));
    assert_eq!(cost("repeat", &[text("abc"), number(-5)], 0), Cost::string(0));
    assert_eq!(cost("repeat", &[text("abc"), number(i64::MAX)], 0), Cost::string(u64::MAX));
    assert_eq!(cost("range", &[number(10)], 0), Cost::list(11, 88));
    assert_eq!(cost("range", &[number(i64::MIN), number(i64::MAX)], 0).made, u64::MAX);
    assert_eq!(cost("range", &[number(10), number(0), number(-2)], 0).made, 6);
    assert_eq!(cost("range", &[number(10), number(0), number(2)], 0), Cost::default());
    let null = ColumnarValue::Scalar(ScalarValue::Int64(None));
    assert_eq!(cost("range", &[number(0), null, number(1)], 0), Cost::default());
    assert_eq!(cost("lpad", &[text("a"), number(7), text("é")], 0), Cost::list(7, 29));
    assert_eq!(cost("concat", &[text("ab"), text("cde"), text("")], 0), Cost::string(5));
    assert_eq!(cost("levenshtein", &[text("abcd"), text("abc")], 0), Cost::time(12));
    assert_eq!(cost("replace", &[text("aaaa"), text("a"), text("bb")], 0), Cost::string(4 + 5 * 2));
    // Only the matches of a long text are counted.
    let long = "a".repeat(100_000);
    assert_eq!(cost("replace", &[text(&long), text("b"), text("cc")], 0), Cost::string(100_000));
    let rows: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("abcd")]));
    let times: ArrayRef = Arc::new(Int64Array::from(vec![2, 3, 4]));
    let arguments = [ColumnarValue::Array(rows), ColumnarValue::Array(times)];
    let costs: Vec<u64> = (0..3).map(|row| cost("repeat", &arguments, row).bytes).collect();
    assert_eq!(costs, [4, 0, 16]);
    let repeated = cost("regexp_like", &[text("abc"), text("(a{100}){1000}")], 0);
    assert_eq!(repeated, Cost::time(3 * (100_000 / 16)));
    // Counts side by side add up.
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    assert!(cost("regexp_like", &[text("abc"), text(uuid)], 0).work < 100);
    // Without a limit, a match may go to the end of the text, and so may the search for the next one.
    let document = text(&"x".repeat(4 << 20));
    let all = |pattern: &str| cost("regexp_count", &[document.clone(), text(pattern)], 0);
    for (pattern, may_be_long) in [("<b>", false), ("<[^>]{0,8}>", false), ("<[^>]+>", true), ("(?x) a{ 2, }", true)] {
        let Cost { work, searches, .. } = all(pattern);
        assert!(work < 100_000_000, "a document is not refused: {pattern}");
        assert_eq!(searches > 1_000_000_000, may_be_long, "{pattern}");
    }
    // With a limit, a search goes on for the length of the longest match.
    assert_eq!(all("a(?:b{0,300}c)?").searches, (4 << 10) * 302 * (302 / 16));
    let replace = |more: &[ColumnarValue]| {
        let mut call = vec![document.clone(), text("<[^>]+>"), text("12345")];
        call.extend_from_slice(more);
        cost("regexp_replace", &call, 0)
    };
    assert_eq!(replace(&[]).searches, 0);
    assert!(replace(&[text("gi")]).searches > 1_000_000_000);
    // The shortest match has three bytes.
    assert_eq!(replace(&[text("g")]).made, (4 << 20) + ((4 << 20) / 3 + 1) * 5);
}

/// The size of a pattern is what the library makes of it.
#[test]
fn patterns_cost_what_the_library_reads() {
    let work = |pattern: &str, flags: &str| {
        let text = text(&"x".repeat(1_600));
        cost("regexp_like", &[text, self::text(pattern), self::text(flags)], 0).work / 100
    };
    assert_eq!(work("k{16}", "s"), 16);
    assert_eq!(work("k{16}", "i"), 8 * 16, "the sign of the kelvin is a k, too");
    assert_eq!(work("(a[)]){160}", "s"), 320, "the parenthesis is no end of the group");
    assert_eq!(work("a{ 160 }", "x"), 160);
    assert_eq!(work("a", "s:(b{160})c"), 160, "flags may hide a pattern");
    assert_eq!(work("(", "s"), 16, "this is no pattern");
    assert_eq!(cost("regexp_like", &[text("a"), text(&"\\pL".repeat(10_000))], 0), Cost::time(u64::MAX));
    assert_eq!(cost("regexp_like", &[text("a"), text(&"[a]".repeat(1_000))], 0), Cost::time(u64::MAX));
    assert_eq!(cost("regexp_match", &[text("abcd"), text("[(](a)(?:b)")], 0).bytes, 2 * 4);
    let like = |pattern: &str| cost(operators::LIKE, &[text("a"), text(pattern)], 0).work;
    assert_eq!(like(&"%_".repeat(300_000)), u64::MAX);
    assert_eq!(like(&format!("a{}_b", "a".repeat(600_000))), u64::MAX);
    assert_eq!(like(&format!("%{}%", "a".repeat(600_000))), 600_002 / 16, "this is compared");
}

/// These functions return a small multiple of their arguments. Calls that contain one another multiply it.
#[test]
fn costs_of_functions_that_nest_are_those_of_the_result() {
    assert_eq!(cost("encode", &[text("abcd"), text("hex")], 0), Cost::string(2 * (4 + 3)));
    assert_eq!(cost("overlay", &[text("abcd"), text("xy"), number(1), number(0)], 0), Cost::string(2 * 4 + 2));
    let list = |items: &[i64]| {
        let items: Vec<ScalarValue> = items.iter().map(|item| ScalarValue::from(*item)).collect();
        ColumnarValue::Scalar(ScalarValue::List(ScalarValue::new_list_nullable(&items, &DataType::Int64)))
    };
    // Three lists of three items each.
    let zipped = cost("arrays_zip", &[list(&[1, 2, 3]), list(&[1]), list(&[])], 0);
    assert_eq!(zipped, Cost::list(9, (3 + 1) * 8 + 9 * 16));
    // A chain of structs doubles its value at each level.
    assert_eq!(cost("struct", &[list(&[1, 2]), text("abc")], 0), Cost::list(0, 2 * 8 + 3));
    // Each item of one list is compared with each of the other, and so are their bytes.
    let long = [ScalarValue::from("x".repeat(160)), ScalarValue::from("y".repeat(160))];
    let long = ColumnarValue::Scalar(ScalarValue::List(ScalarValue::new_list_nullable(&long, &DataType::Utf8)));
    assert_eq!(cost("array_has_all", &[long.clone(), long], 0), Cost::time(2 * (2 + 2 * (16 + 160) / 16)));
    // The function finds a part in one pass only in a column of texts.
    let part = text(&"a".repeat(32));
    let texts = ColumnarValue::Array(Arc::new(StringArray::from(vec!["a".repeat(64)])));
    assert_eq!(cost("strpos", &[text(&"a".repeat(64)), part.clone()], 0), Cost::time(64 * 2));
    assert_eq!(cost("strpos", &[texts, part], 0), Cost::time(0));
    // The whole match and two groups may each be the text.
    assert_eq!(cost("regexp_match", &[text("abcd"), text("(a)(b)")], 0).bytes, 3 * 4);
}

/// Floats have no exponent in these texts, so that some have hundreds of digits.
#[test]
fn texts_of_lists_are_not_longer_than_estimated() {
    let state = upstream::state_builder().build();
    let function = state.scalar_functions()["array_to_string"].clone();
    let floats = [1e300, f64::MIN, f64::MIN_POSITIVE, 5e-324, -1.0 / 81_000.0, 0.1, 0.0, f64::NAN, 12.5];
    let interval = IntervalMonthDayNano::new(-i32::MAX, -i32::MAX, -i64::MAX);
    let others = [
        ScalarValue::from(f32::MAX),
        ScalarValue::from(f32::from_bits(1)),
        ScalarValue::from(i64::MIN),
        ScalarValue::from(u64::MAX),
        ScalarValue::from(false),
        ScalarValue::from("éé"),
        ScalarValue::Decimal128(Some(-1), 38, 38),
        ScalarValue::Decimal128(Some(i128::from(i64::MIN)), 20, 2),
        ScalarValue::IntervalMonthDayNano(Some(interval)),
        ScalarValue::TimestampMicrosecond(Some(-62_135_596_799_999_999), Some("+14:00".into())),
        ScalarValue::DurationNanosecond(Some(-i64::MAX)),
        ScalarValue::Time64Nanosecond(Some(1)),
        ScalarValue::Date32(Some(-1)),
    ];
    for value in floats.map(ScalarValue::from).into_iter().chain(others) {
        let data_type = value.data_type();
        let items = [value.clone(), ScalarValue::try_new_null(&data_type).unwrap(), value.clone()];
        let list = ScalarValue::List(ScalarValue::new_list_nullable(&items, &data_type));
        let args = vec![ColumnarValue::Scalar(list), text(", "), text("NULL")];
        let estimated = cost("array_to_string", &args, 0).made;
        let arg_fields = args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
        let return_field = Arc::new(Field::new("r", DataType::Utf8, true));
        let config_options = Arc::default();
        let call = ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options };
        let array = function.invoke_with_args(call).unwrap().into_array(1).unwrap();
        let written = array_value_to_string(&array, 0).unwrap().len() as u64;
        assert!(written <= estimated, "{value}: {written} bytes, estimated as {estimated}");
        assert!(estimated < written + 300, "{value}: {written} bytes, estimated as {estimated}");
    }
    let lists = DataType::new_list(DataType::Int64, true);
    let none = vec![ScalarValue::try_new_null(&lists).unwrap(); 3];
    let list = ColumnarValue::Scalar(ScalarValue::List(ScalarValue::new_list_nullable(&none, &lists)));
    assert_eq!(cost("array_to_string", &[list, text(","), text("none")], 0).made, 3 * 5, "none,none,none");
}

#[test]
fn the_constants_of_one_statement_are_bounded_together() {
    let meter = WorkMeter::default();
    assert!(!meter.plans(65_537, 0), "one constant is too large");
    assert!(!meter.plans(0, 1_000_001), "one constant takes too long");
    let planned = (0..100).filter(|_| meter.plans(64 << 10, 0)).count();
    assert_eq!(planned, 16, "1 MiB for all");
    assert!(!meter.plans(1, 0));
}

/// The values are those of PostgreSQL and DuckDB, where they have the function.
#[tokio::test]
async fn bounded_calls_have_the_values_of_the_functions() {
    let engine = engine(64 << 20, 20);
    let over = "FROM (VALUES ('ab'), (NULL), ('')) t(b)";
    for (expression, expected) in [
        ("concat('x', b)", ["xab", "x", "x"]),
        ("'x' || b", ["xab", "NULL", "x"]),
        ("b || NULL", ["NULL", "NULL", "NULL"]),
        ("repeat(b, 2)", ["abab", "NULL", ""]),
        ("repeat(b, -1)", ["", "NULL", ""]),
        ("lpad(b, 3, 'xy')", ["xab", "NULL", "xyx"]),
        ("replace(b, 'a', 'éé')", ["ééb", "NULL", ""]),
        ("encode(arrow_cast(b, 'Binary'), 'hex')", ["6162", "NULL", ""]),
        ("overlay(b PLACING 'zz' FROM 1 FOR 1)", ["zzb", "NULL", "zz"]),
        ("b ~ ('^' || b)", ["true", "NULL", "true"]),
        ("b LIKE b || '%'", ["true", "NULL", "true"]),
        ("b NOT LIKE concat('_', b)", ["true", "NULL", "true"]),
        ("levenshtein(b, 'abc')", ["1", "NULL", "3"]),
        ("array_to_string([b, 'c'], ',', '-')", ["ab,c", "-,c", ",c"]),
        ("range(CAST(length(b) AS BIGINT))", ["[0, 1]", "NULL", "[]"]),
        ("lpad('a', 3, 'b')", ["bba", "bba", "bba"]),
        ("make_array()", ["[]", "[]", "[]"]),
        ("struct(b, 1)", ["{c0: ab, c1: 1}", "{c0: NULL, c1: 1}", "{c0: , c1: 1}"]),
        ("named_struct('x', b)", ["{x: ab}", "{x: NULL}", "{x: }"]),
        ("named_struct('x', 1)['x']", ["1", "1", "1"]),
        ("struct(b, 'c')['c0']", ["ab", "NULL", ""]),
    ] {
        let batches = run(&engine, &format!("SELECT {expression} {over}")).await.unwrap();
        let options = FormatOptions::default().with_null("NULL");
        let mut values = vec![];
        for batch in &batches {
            let column = ArrayFormatter::try_new(batch.column(0).as_ref(), &options).unwrap();
            values.extend((0..batch.num_rows()).map(|row| column.value(row).to_string()));
        }
        assert_eq!(values, expected, "{expression}");
        let none = run(&engine, &format!("SELECT {expression} {over} WHERE b = 'none'")).await.unwrap();
        assert!(none.iter().all(|batch| batch.num_rows() == 0), "{expression}");
    }
}

async fn run(engine: &Engine, sql: &str) -> crate::Result<Vec<RecordBatch>> {
    Box::pin(engine.sql(sql)).await?.try_collect().await
}

fn engine(query_memory: usize, seconds: u64) -> Engine {
    let query_timeout = Duration::from_secs(seconds);
    Engine::builder().limits(Limits { query_memory, query_timeout, ..Limits::default() }).build().unwrap()
}

/// Statements of a few bytes that ended the process, or held its threads for minutes.
#[tokio::test]
async fn hostile_statements_are_refused() {
    let engine = engine(64 << 20, 20);
    for sql in [
        "SELECT range(0, 10000000000)",
        "SELECT generate_series(1, 1000000000000)",
        "SELECT generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second')",
        "SELECT array_repeat(random(), cast(1000000000 + random() AS BIGINT))",
        "SELECT sum(length(replace(repeat('a', 100000), 'a', repeat('b', 100000))))",
        "SELECT length(repeat('x', 1000 * 1000 * 2000))",
        "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
        "SELECT max(cardinality(range(0, value * 2000))) FROM generate_series(1, 100000)",
        "SELECT max(length(lpad('x', value * 100000, 'y'))) FROM generate_series(1, 100000)",
        "SELECT count(*) FROM generate_series(1, 100000) WHERE cardinality(array_repeat(1, value * 100000)) < 0",
        "SELECT array_resize([1], 2000000000, 2)",
        // The parts of these steps go in both directions.
        "SELECT generate_series(DATE '2020-01-01', DATE '2020-01-02', INTERVAL '1 month -31 days')",
        "SELECT range(DATE '2023-01-29', DATE '2000-01-01', INTERVAL '1 month -30 days')",
        "SELECT range(DATE '2020-01-01', DATE '2000-01-01', INTERVAL '1 day -48 hours')",
        "SELECT array_repeat(arrow_cast(arrow_cast(repeat('x', 65536), 'Binary'), 'FixedSizeBinary(65536)'), 1000000)",
        "SELECT array_repeat(map(['a'], [repeat('x', 1000000)]), 160000)",
        "SELECT repeat('a', 10000000) ~~ repeat('%a', 5000)",
        "SELECT repeat('a', 16000000) ~ '((.{0,100}){0,90}){0,9}[b-z0-9]'",
        "SELECT length(array_to_string(array_repeat(repeat('a', 1000), 100000), 'b'))",
        "SELECT length(array_to_string(array_repeat(1e300, 100000), ','))",
        "SELECT length(array_to_string(array_repeat(CAST(NULL AS BIGINT[]), 100000), ',', repeat('x', 1000)))",
        "SELECT length(to_char(now(), repeat('%A', 8000000)))",
        "SELECT repeat('a', 1000000) ~ repeat('(a|b)*c', 20000)",
        "SELECT repeat('a', 1000000) ~ '((.{0,100}[)]?){0,90}){0,9}[b-z0-9]'",
        "SELECT regexp_like(repeat('a', 1000000), 'a', 's:((.{0,100}){0,90}){0,9}[b-z0-9]')",
        "SELECT 'a' ~ repeat('\\pL', 5000000)",
        "SELECT regexp_count('a', repeat('[a]', 1000000))",
        "SELECT repeat('a', 1000000) LIKE repeat('%a', 200000)",
        "SELECT strpos(repeat('a', 10000000), repeat('a', 100000) || 'b')",
        "SELECT array_has_all(array_repeat(repeat('a', 10000) || 'b', 2000), array_repeat(repeat('a', 10001), 2000))",
        "WITH a AS (SELECT repeat('x', 1000000) s), b AS (SELECT s || s || s || s AS s FROM a), \
         c AS (SELECT s || s || s || s AS s FROM b), d AS (SELECT s || s || s || s AS s FROM c) SELECT length(s) FROM d",
        "WITH a AS (SELECT repeat('x', 10000000) s), b AS (SELECT struct(s, s, s) AS s FROM a), \
         c AS (SELECT struct(s, s, s) AS s FROM b) SELECT s FROM c",
        "WITH a AS (SELECT range(1000000) s), b AS (SELECT array_concat(s, s, s, s) AS s FROM a), \
         c AS (SELECT array_concat(s, s, s, s, s) AS s FROM b) SELECT cardinality(s) FROM c",
    ] {
        let error = run(&engine, sql).await.expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{sql}: {error}");
    }
    assert_eq!(engine.inner().accounts.memory.held(), 0);
}

/// The results for one row are in memory at the same time, and each of them alone would fit.
#[tokio::test]
async fn the_results_for_one_row_count_together() {
    let engine = engine(64 << 20, 20);
    let columns = |n: usize| (0..n).map(|i| format!("repeat('x', {})", 6_000_000 + i)).collect::<Vec<_>>().join(", ");
    for sql in [
        format!("SELECT {}", columns(20)),
        format!("SELECT length(concat({}))", columns(20)),
        format!("SELECT {} FROM generate_series(1, 2)", columns(20).replace("'x'", "CAST(value AS VARCHAR)")),
    ] {
        let error = run(&engine, &sql).await.expect_err("120 MB");
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    }
    run(&engine, &format!("SELECT {}", columns(5))).await.unwrap();
    assert_eq!(engine.inner().accounts.memory.held(), 0);
}

/// Each call may return three times its text, and returns little.
#[tokio::test]
async fn results_keep_what_they_take_and_not_their_estimates() {
    let engine = engine(64 << 20, 20);
    let calls: Vec<_> = (1..=30).map(|i| format!("regexp_match(s, '(y)|(z)|x{{{i}}}')")).collect();
    let texts = "SELECT repeat('x', 1000000 + value) AS s FROM generate_series(1, 1)";
    run(&engine, &format!("SELECT {} FROM ({texts})", calls.join(", "))).await.unwrap();
    assert_eq!(engine.inner().accounts.memory.held(), 0);
}

/// A batch whose rows are expensive is cut, and rows that fit one after the other are answered.
#[tokio::test]
async fn expensive_rows_run_a_few_at_a_time() {
    let engine = engine(128 << 20, 60);
    for (sql, expected) in [
        ("SELECT sum(length(repeat('x', value + 100000))) FROM generate_series(1, 20000)", "2200010000"),
        ("SELECT sum(cardinality(range(0, value + 10000))) FROM generate_series(1, 20000)", "400010000"),
        (
            "SELECT count(*) FROM generate_series(1, 10000) WHERE length(lpad('x', value * 10, 'y')) = value * 10",
            "10000",
        ),
        (
            "SELECT count(*) FROM generate_series(1, 5000) a WHERE regexp_like(repeat('ab1', 200), \
             '(.*)(.*)(.*)(.*)[0-9]x' || value)",
            "0",
        ),
        ("SELECT sum(length('x' || repeat('y', value))) FROM generate_series(1, 1000)", "501500"),
    ] {
        let rows = run(&engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let value = array_value_to_string(rows[0].column(0), 0).unwrap();
        assert_eq!(value, expected, "{sql}");
    }
    assert_eq!(engine.inner().accounts.memory.held(), 0);
}

/// Each common table expression makes a type of two of the one before.
#[tokio::test]
async fn types_that_double_are_refused() {
    let engine = engine(64 << 20, 20);
    let chain = |levels: usize, call: &str| {
        let next = |level: usize| format!("c{} AS (SELECT {call} AS y FROM c{level})", level + 1);
        format!("WITH c0 AS (SELECT 1 AS y), {}", (0..levels).map(next).collect::<Vec<_>>().join(", "))
    };
    let started = Instant::now();
    for call in ["struct(y, y)", "named_struct('a', y, 'b', y)", "map([y], [y])", "arrays_zip([y], [y])"] {
        let error = run(&engine, &format!("{} SELECT * FROM c40", chain(40, call))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{call}: {error}");
        assert!(error.context().contains("10000 fields"), "{call}: {error}");
    }
    let twelve = chain(12, "struct(y, y)");
    let error = run(&engine, &format!("{twelve} SELECT struct(y, y)['c0'] IS NULL FROM c12")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.context().contains("a call of `struct` would return a type that"), "{error}");
    let rows = run(&engine, &format!("{twelve} SELECT y IS NULL FROM c12")).await.unwrap();
    assert_eq!(array_value_to_string(rows[0].column(0), 0).unwrap(), "false");
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// `generate_series` in a FROM accepts the timestamps that literals are, and returns such timestamps.
#[tokio::test]
async fn series_of_timestamps_are_tables() {
    let series = "SELECT * FROM range(arrow_cast('2020-01-01', 'Timestamp(Microsecond, None)'), \
                  arrow_cast('2020-01-02', 'Timestamp(Microsecond, None)'), INTERVAL '1 day')";
    let error = SessionContext::new().sql(series).await.expect_err("DataFusion accepts it: no conversion is needed");
    assert!(error.to_string().contains("First argument must be a timestamp"), "{error}");
    let engine = engine(64 << 20, 20);
    for (series, unit, expected) in [
        (
            "generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-03', INTERVAL '1 day')",
            TimeUnit::Microsecond,
            vec!["2020-01-01T00:00:00", "2020-01-02T00:00:00", "2020-01-03T00:00:00"],
        ),
        (
            "RANGE(TIMESTAMP '2020-01-31', TIMESTAMP '2020-04-01', INTERVAL '1 month') AS t(m)",
            TimeUnit::Microsecond,
            vec!["2020-01-31T00:00:00", "2020-02-29T00:00:00", "2020-03-29T00:00:00"],
        ),
        (
            "generate_series(TIMESTAMP '2020-01-02', TIMESTAMP '2020-01-01', INTERVAL '-12 hours')",
            TimeUnit::Microsecond,
            vec!["2020-01-02T00:00:00", "2020-01-01T12:00:00", "2020-01-01T00:00:00"],
        ),
        (
            "range(DATE '2020-01-01', DATE '2020-01-02', INTERVAL '12 hours')",
            TimeUnit::Microsecond,
            vec!["2020-01-01T00:00:00", "2020-01-01T12:00:00"],
        ),
        ("range(TIMESTAMP '2020-01-01', CAST(NULL AS TIMESTAMP), INTERVAL '1 day')", TimeUnit::Microsecond, vec![]),
        (
            "range(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-01 00:00:00.000000002', INTERVAL '1 nanosecond')",
            TimeUnit::Nanosecond,
            vec!["2020-01-01T00:00:00", "2020-01-01T00:00:00.000000001"],
        ),
        (
            "generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-01 00:00:00.000001', \
             INTERVAL '250 nanoseconds' + INTERVAL '250 nanoseconds')",
            TimeUnit::Nanosecond,
            vec!["2020-01-01T00:00:00", "2020-01-01T00:00:00.000000500", "2020-01-01T00:00:00.000001"],
        ),
    ] {
        let batches =
            run(&engine, &format!("SELECT * FROM {series}")).await.unwrap_or_else(|e| panic!("{series}: {e}"));
        let mut values = vec![];
        for batch in &batches {
            assert_eq!(*batch.column(0).data_type(), DataType::Timestamp(unit, None), "{series}");
            values.extend((0..batch.num_rows()).map(|row| array_value_to_string(batch.column(0), row).unwrap()));
        }
        assert_eq!(values, expected, "{series}");
    }
    let sql = "SELECT count(*) FROM range(TIMESTAMP '2020-01-01', TIMESTAMP '2021-01-01', INTERVAL '1 day') d \
               WHERE d.value >= TIMESTAMP '2020-12-01'";
    let rows = run(&engine, sql).await.unwrap();
    assert_eq!(array_value_to_string(rows[0].column(0), 0).unwrap(), "31");
    for (from, to) in [("2020-01-01", "9999-12-31"), ("0001-01-01", "2020-01-01")] {
        let far = format!("SELECT * FROM generate_series(TIMESTAMP '{from}', TIMESTAMP '{to}', INTERVAL '1 year')");
        let error = run(&engine, &far).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error}");
        assert!(error.context().contains("1678 to 2261"), "{error}");
    }
    for (step, expected) in [("", "3 arguments"), (", INTERVAL '0 days'", "cannot be zero"), (", 5", "an interval")] {
        let series = format!("SELECT * FROM range(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-02'{step})");
        let error = run(&engine, &series).await.unwrap_err();
        assert!(error.context().contains(expected) && !error.context().contains("1678"), "{error}");
    }
}

/// DataFusion evaluates the arguments of table functions while it plans.
#[tokio::test]
async fn arguments_of_table_functions_are_bounded() {
    let engine = engine(64 << 20, 20);
    let started = Instant::now();
    for argument in [
        "length(repeat('x', 2000000000))",
        "levenshtein(repeat('ab', 30000), repeat('ba', 30000))",
        "cardinality(range(0, 100000000))",
    ] {
        for from in ["range", "LATERAL generate_series"] {
            let sql = format!("SELECT * FROM {from}(CAST({argument} AS BIGINT))");
            let error = run(&engine, &sql).await.expect_err(&sql);
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{sql}: {error}");
            assert!(error.context().contains("little time and memory"), "{sql}: {error}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let sql = "SELECT count(*), max(r.value) FROM range(CAST(length(repeat('x', 1000)) AS BIGINT)) r";
    let rows = run(&engine, sql).await.unwrap();
    assert_eq!(array_value_to_string(rows[0].column(0), 0).unwrap(), "1000");
    assert_eq!(array_value_to_string(rows[0].column(1), 0).unwrap(), "999");
    let rows = run(&engine, "SELECT count(*) FROM LATERAL public.generate_series(1, 3)").await.unwrap();
    assert_eq!(array_value_to_string(rows[0].column(0), 0).unwrap(), "3");
}

/// The deadline ends a query in time, also between two pieces of one batch.
#[tokio::test]
async fn the_deadline_holds_within_a_batch() {
    let engine = engine(1 << 30, 1);
    let started = Instant::now();
    let slow = "SELECT count(*) FROM generate_series(1, 100000) WHERE \
                levenshtein(repeat('ab', 3000), repeat('ba', 3000) || value) > 0";
    assert_eq!(run(&engine, slow).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// The deadline also ends a search for the matches in one text, which would take minutes.
#[tokio::test]
async fn the_deadline_holds_within_a_row() {
    let engine = engine(1 << 30, 1);
    for sql in [
        "SELECT regexp_count(repeat('A', 1000000), '.*[^A-Z]|[A-Z]')",
        "SELECT regexp_count(repeat('a', 3000000), 'a(?:a{0,5000}b)?')",
        "SELECT sum(length(regexp_replace(repeat('A', 1000000 + value), '.*[^A-Z]|[A-Z]', '', 'g'))) \
         FROM generate_series(1, 2)",
    ] {
        let started = Instant::now();
        let error = run(&engine, sql).await.expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{sql}: {error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{sql}");
    }
}

/// A search for all matches in a large text is not refused, as long as it is fast.
#[tokio::test]
async fn large_texts_are_searched() {
    let engine = engine(256 << 20, 60);
    for (sql, expected) in [
        ("SELECT regexp_count(repeat('<a href>x', 300000), '<[^>]+>')", "300000"),
        ("SELECT length(regexp_replace(repeat('<a href>x', 300000), '<[^>]+>', '', 'g'))", "300000"),
        ("SELECT regexp_instr(repeat('<a href>x', 300000), '<[^>]+>', 1, 300000)", "2699992"),
    ] {
        let rows = run(&engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let value = array_value_to_string(rows[0].column(0), 0).unwrap();
        assert_eq!(value, expected, "{sql}");
    }
}

/// DataFusion would read a literal pattern while it plans.
#[tokio::test]
async fn literal_patterns_are_bounded() {
    let engine = engine(64 << 20, 20);
    let pattern = "\\pL".repeat(10_000);
    for call in [format!("'a' ~ '{pattern}'"), format!("regexp_like('a', '{pattern}')")] {
        let error = run(&engine, &format!("SELECT {call}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        assert!(error.context().contains("too large"), "{error}");
    }
}

/// Small constants are still worked out before a query runs, so that filters stay simple.
#[tokio::test]
async fn small_constants_are_planned() {
    let engine = engine(64 << 20, 20);
    let plan = "EXPLAIN VERBOSE SELECT * FROM mesh.domains WHERE domain = concat('a', repeat('b', 2))";
    let rows = run(&engine, plan).await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    assert!(text.contains("abb"), "{text}");
}
