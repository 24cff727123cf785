#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use arrow::array::Array;
use arrow::datatypes::Field;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::functions::regex::{regexp_count, regexp_instr, regexp_replace};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use datafusion::scalar::ScalarValue;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ErrorKind;
use crate::execution::errors::from_datafusion;
use crate::functions::kinds::kind;

const NO_TEXT: ScalarValue = ScalarValue::Utf8(None);
const NO_NUMBER: ScalarValue = ScalarValue::Int64(None);

fn s(text: &str) -> ScalarValue {
    ScalarValue::from(text)
}

fn n(number: i64) -> ScalarValue {
    ScalarValue::Int64(Some(number))
}

/// Calls our search and DataFusion's function.
fn both(function: &ScalarUDF, args: Vec<ColumnarValue>, rows: usize) -> [Result<Vec<String>, String>; 2] {
    let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
    let to = function.return_type(&types).unwrap();
    let search = kind(function.name()).unwrap().search.unwrap();
    let ours = search(&Arguments::of(&args).unwrap(), rows, &to, &WorkMeter::default());
    let call = ScalarFunctionArgs {
        args,
        arg_fields: types.into_iter().map(|t| Arc::new(Field::new("a", t, true))).collect(),
        number_rows: rows,
        return_field: Arc::new(Field::new("r", to, true)),
        config_options: Arc::default(),
    };
    let theirs = function.invoke_with_args(call).and_then(|value| value.into_array(rows));
    [ours, theirs].map(|result| result.map(|array| texts(&array)).map_err(|e| e.strip_backtrace()))
}

fn texts(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let values = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    (0..array.len()).map(|row| values.value(row).to_string()).collect()
}

/// Tests rows one by one, as constants, and those with the same number of arguments together, as columns.
fn have_values(function: &ScalarUDF, rows: &[(Vec<ScalarValue>, &str)]) {
    for text in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        let typed = |value: &ScalarValue| match value {
            ScalarValue::Utf8(_) => value.cast_to(&text).unwrap(),
            other => other.clone(),
        };
        for (row, expected) in rows {
            let args = row.iter().map(|value| ColumnarValue::Scalar(typed(value))).collect();
            let [ours, theirs] = both(function, args, 1);
            assert_eq!(ours, Ok(vec![(*expected).to_owned()]), "{row:?}");
            assert_eq!(theirs, ours, "{row:?}");
        }
        for arity in 2..=6 {
            let rows: Vec<_> = rows.iter().filter(|(row, _)| row.len() == arity).collect();
            if rows.is_empty() {
                continue;
            }
            let column = |place: usize| {
                let values = rows.iter().map(|(row, _)| typed(&row[place]));
                ScalarValue::iter_to_array(values).unwrap()
            };
            let args = (0..arity).map(|place| ColumnarValue::Array(column(place))).collect();
            let [ours, theirs] = both(function, args, rows.len());
            let expected: Vec<String> = rows.iter().map(|(_, expected)| (*expected).to_owned()).collect();
            assert_eq!(ours, Ok(expected));
            assert_eq!(theirs, ours);
        }
    }
}

fn fail_alike(function: &ScalarUDF, rows: &[Vec<ScalarValue>]) {
    for row in rows {
        let [ours, theirs] = both(function, row.iter().cloned().map(ColumnarValue::Scalar).collect(), 1);
        assert!(ours.is_err(), "{row:?}: {ours:?}");
        assert_eq!(ours, theirs, "{row:?}");
    }
}

#[test]
fn counts_are_those_of_datafusion() {
    have_values(
        &regexp_count(),
        &[
            (vec![s("abcabc"), s("abc")], "2"),
            (vec![s("abc"), s("")], "4"),
            (vec![s(""), s("")], "1"),
            (vec![s("abc"), s("x*")], "4"),
            (vec![s("aab"), s("a*")], "2"),
            (vec![s("éé"), s("")], "3"),
            (vec![s("a\nb"), s("a.b")], "0"),
            (vec![NO_TEXT, s("a")], "NULL"),
            (vec![s("a"), NO_TEXT], "NULL"),
            (vec![s("abc"), s("b"), n(2)], "1"),
            (vec![s("abc"), s("b"), n(3)], "0"),
            // The search sees no text before its start.
            (vec![s("aab"), s("^a"), n(2)], "1"),
            (vec![s("abc"), s("$"), n(4)], "1"),
            (vec![s("abc"), s("$"), n(5)], "0"),
            (vec![s("éab"), s("."), n(2)], "2"),
            (vec![s("abc"), s("b"), NO_NUMBER], "NULL"),
            (vec![s("abcAbAbc"), s("abc"), n(2), s("i")], "1"),
            (vec![s("aA"), s("a"), n(1), s("")], "1"),
            (vec![s("a\nb\nc"), s("^.$"), n(1), s("m")], "3"),
            (vec![s("a\nb"), s("a.b"), n(1), s("s")], "1"),
            (vec![s("ab a b"), s("a b"), n(1), s("x")], "1"),
            (vec![s("aA"), s("A"), n(1), NO_TEXT], "NULL"),
        ],
    );
    fail_alike(
        &regexp_count(),
        &[
            vec![s("a"), s("a"), n(0)],
            vec![s("a"), s("a"), n(1), s("g")],
            vec![s("a"), s("(")],
            vec![s("a"), s("a"), n(1), s("q")],
        ],
    );
}

#[test]
fn positions_are_those_of_datafusion() {
    have_values(
        &regexp_instr(),
        &[
            (vec![s("ABCDEF"), s("C(.)(..)")], "3"),
            (vec![s("abc"), s("x")], "0"),
            (vec![s("éab"), s("b")], "3"),
            (vec![NO_TEXT, s("b")], "NULL"),
            (vec![s("éab"), s("b"), n(3)], "3"),
            (vec![s("abc"), s("b"), n(5)], "0"),
            (vec![s("abc"), s("$"), n(4)], "4"),
            (vec![s("abcabc"), s("c"), n(1), n(2)], "6"),
            (vec![s("abcabc"), s("c"), n(1), n(3)], "0"),
            (vec![s("aaa"), s(""), n(2), n(2)], "3"),
            (vec![s("abc"), s("b"), n(1), NO_NUMBER], "NULL"),
            (vec![s("ABC"), s("b"), n(1), n(1), s("i")], "2"),
            (vec![s("ABCDEF"), s("C(.)(..)"), n(1), n(1), s(""), n(2)], "5"),
            (vec![s("ABCDEF"), s("C(.)(..)"), n(1), n(1), s("i"), n(0)], "3"),
            (vec![s("ABCDEF"), s("C(.)(..)"), n(1), n(1), s("i"), n(3)], "0"),
            (vec![s("ABCABC"), s("C"), n(1), n(2), s("i"), n(-1)], "6"),
        ],
    );
    fail_alike(
        &regexp_instr(),
        &[
            vec![s("a"), s("a"), n(0)],
            vec![s("a"), s("a"), n(1), n(0)],
            vec![s("a"), s("a"), n(1), n(1), s("g")],
            vec![s("a"), s("(")],
        ],
    );
}

#[test]
fn replacements_are_those_of_datafusion() {
    have_values(
        &regexp_replace(),
        &[
            (vec![s("abab"), s("b"), s("x")], "axab"),
            (vec![NO_TEXT, s("b"), s("x")], "NULL"),
            (vec![s("foobarbaz"), s("b(..)"), s(r"X\1Y"), s("g")], "fooXarYXazY"),
            (vec![s("foobarbaz"), s("b(..)"), s(r"X\\1Y"), s("g")], "fooXarYXazY"),
            (vec![s("aBc"), s("(b|d)"), s(r"Ab\1a"), s("i")], "aAbBac"),
            (vec![s("abc"), s(""), s("-"), s("g")], "-a-b-c-"),
            (vec![s(""), s(""), s("x"), s("g")], "x"),
            (vec![s("abc"), s("x"), s("y"), s("g")], "abc"),
            (vec![s("aab"), s("a*"), s("x"), s("g")], "xbx"),
            (vec![s("aab"), s("a*?"), s("x"), s("g")], "xaxaxbx"),
            (vec![s("éé"), s(""), s("-"), s("g")], "-é-é-"),
            (vec![s("aAaA"), s("a"), s("x"), s("gi")], "xxxx"),
            (vec![s("a1b22"), s("[0-9]+"), s("<$0>"), s("g")], "a<1>b<22>"),
            (vec![s("john smith"), s(r"(?P<f>\w+) (?P<l>\w+)"), s("$l $f"), s("g")], "smith john"),
            // `$1x` is a group with the name `1x`, and there is none.
            (vec![s("ab"), s("(a)"), s("$1x"), s("g")], "b"),
            (vec![s("ab"), s("(a)"), s(r"\1x"), s("g")], "axb"),
            (vec![s("abab"), s("(a)|(b)"), s(r"[\1\2]"), s("g")], "[a][b][a][b]"),
            (vec![s("a\nb"), s("^"), s("> "), s("gm")], "> a\n> b"),
            (vec![s("a\nb"), s("a.b"), s("x"), s("gs")], "x"),
            (vec![s("ab"), s("a b"), s("x"), s("gx")], "x"),
            (vec![s("abab"), s("b$"), s(""), s("g")], "aba"),
            (vec![s("a"), NO_TEXT, s("x"), s("g")], "NULL"),
            (vec![s("a"), s("a"), NO_TEXT, s("g")], "NULL"),
            (vec![s("a"), s("a"), s("x"), NO_TEXT], "NULL"),
        ],
    );
    fail_alike(&regexp_replace(), &[vec![s("a"), s("("), s("x"), s("g")], vec![s("a"), s("a"), s("x"), s("")]]);
}

/// Each search for the next match goes over the rest of the text, so that all of them would take minutes.
#[test]
fn searches_end_at_the_deadline() {
    let text = ColumnarValue::Scalar(ScalarValue::from("A".repeat(1_000_000)));
    let pattern = ColumnarValue::Scalar(s(".*[^A-Z]|[A-Z]"));
    let calls = [
        ("regexp_count", vec![], DataType::Int64),
        ("regexp_instr", vec![n(1), n(900_000)], DataType::Int64),
        ("regexp_replace", vec![s("x"), s("g")], DataType::Utf8),
        ("regexp_replace", vec![s(r"\0"), s("g")], DataType::Utf8),
    ];
    for (function, more, to) in calls {
        let args: Vec<ColumnarValue> =
            [text.clone(), pattern.clone()].into_iter().chain(more.into_iter().map(ColumnarValue::Scalar)).collect();
        let started = Instant::now();
        let deadline = started + Duration::from_millis(100);
        let meter = WorkMeter::new(Arc::new(UnboundedMemoryPool::default()), deadline, CancellationToken::new());
        let search = kind(function).unwrap().search.unwrap();
        let error = search(&Arguments::of(&args).unwrap(), 1, &to, &meter).unwrap_err();
        assert_eq!(from_datafusion(&error).kind(), ErrorKind::DeadlineExceeded, "{function}");
        assert!(started.elapsed() < Duration::from_secs(20), "{function}");
    }
}
