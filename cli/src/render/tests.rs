#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, NullArray, StringArray,
};
use arrow::datatypes::Int64Type;
use unicode_width::UnicodeWidthStr;

use super::*;

fn batch() -> RecordBatch {
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("Ärmel"), None, Some("a\u{1b}[31m\nb")]));
    let count: ArrayRef = Arc::new(Int64Array::from(vec![7, 1234, 0]));
    RecordBatch::try_from_iter([("name", name), ("count", count)]).unwrap()
}

/// Draws a whole result.
fn drawn(batches: &[RecordBatch], expanded: Expanded, width: Option<usize>) -> String {
    let view = View { expanded, ..View::default() };
    let mut drawing = Drawing::new(batches[0].schema(), view, width);
    let mut text: String = batches.iter().map(|batch| drawing.draw(std::slice::from_ref(batch)).unwrap()).collect();
    text.push_str(&drawing.end(None, None).unwrap());
    text
}

#[test]
fn a_table_is_drawn() {
    let text = drawn(&[batch()], Expanded::Off, None);
    let expected = [
        " name           │ count",
        "────────────────┼───────",
        " Ärmel          │     7",
        " NULL           │  1234",
        r" a\u{1b}[31m\nb │     0",
        "(3 rows)",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn null_is_a_word_and_the_empty_string_is_empty() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None]));
    let untyped: ArrayRef = Arc::new(NullArray::new(2));
    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]));
    let rows = RecordBatch::try_from_iter_with_nullable([("t", text, true), ("u", untyped, true), ("l", lists, true)]);
    let table = drawn(&[rows.unwrap()], Expanded::Off, None);
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).take(2).map(|line| line.split('│').map(str::trim).collect()).collect();
    assert_eq!(rows, [["", "NULL", "[1, NULL]"], ["NULL", "NULL", "NULL"]]);
}

#[test]
fn text_that_misleads_is_escaped() {
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a\u{202e}b", "x\u{200b}y"]));
    let batch = RecordBatch::try_from_iter([("n\u{9b}1m", name)]).unwrap();
    let table =
        [Expanded::Off, Expanded::On].map(|expanded| drawn(std::slice::from_ref(&batch), expanded, None)).concat();
    for escape in [r"n\u{9b}1m", r"a\u{202e}b", r"x\u{200b}y"] {
        assert_eq!(table.matches(escape).count(), if escape.starts_with('n') { 3 } else { 2 }, "{table}");
    }
    assert!(portolan_catalog::is_printable(&table.replace('\n', "")), "{table}");
}

#[test]
fn what_is_cut_fills_its_column() {
    for text in [
        "a longer text",
        "表表表表表",
        "👨\u{200d}👩\u{200d}👧 is a family",
        "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
    ] {
        assert_eq!(fit(text, 6, false).width(), 6, "{text}");
        assert!(fit(text, 6, false).contains('…'), "{text}");
    }
}

#[test]
fn text_is_cut_to_fit_the_terminal_and_marked() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a text that is much too long for the terminal"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1_234_567_890]));
    let batch = RecordBatch::try_from_iter([("text", text), ("number", number)]).unwrap();
    let table = drawn(&[batch], Expanded::Off, Some(40));
    assert!(table.lines().take(3).all(|line| line.width() <= 40), "{table}");
    assert!(table.contains(" a text that is much too… │ 1234567890\n"), "{table}");
    assert!(table.ends_with("(1 row; … marks what is cut: `\\x` shows everything)\n"), "{table}");
}

#[test]
fn later_rows_widen_columns_of_numbers_and_no_others() {
    let batch = |number: i64, text: &str| {
        let (numbers, texts) = (Int64Array::from(vec![number]), StringArray::from(vec![text]));
        let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(numbers)), ("t", Arc::new(texts))];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let table = drawn(&[batch(7, "abc"), batch(1_234_567, "abcdef")], Expanded::Off, Some(80));
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[2..4], [" 7 │ abc", " 1234567 │ ab…"], "{table}");
    // A number that is wider than the terminal is cut in any case.
    let table = drawn(&[batch(7, "abc"), batch(1_234_567_890_123, "abc")], Expanded::Off, Some(16));
    assert!(table.contains("\n 123456789… │ abc\n"), "{table}");
}

#[test]
fn a_file_gets_every_value_in_full() {
    let rows = ["short", "a value in a later batch that is longer than the column"].map(|text| {
        let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
        RecordBatch::try_from_iter([("text", text)]).unwrap()
    });
    let table = drawn(&rows, Expanded::Off, None);
    assert!(table.contains("longer than the column\n") && !table.contains('…'), "{table}");
    let table = drawn(&rows, Expanded::Off, Some(80));
    assert!(table.contains('…') && table.contains("marks what is cut"), "{table}");
}

/// A row with the columns of TPC-H's `lineitem`.
fn lineitem() -> RecordBatch {
    let number = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let decimal =
        |value: i128| Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(15, 2).unwrap()) as ArrayRef;
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let date = |value: i32| Arc::new(Date32Array::from(vec![value])) as ArrayRef;
    RecordBatch::try_from_iter([
        ("l_orderkey", number(524_612)),
        ("l_partkey", number(17_950)),
        ("l_suppkey", number(951)),
        ("l_linenumber", number(2)),
        ("l_quantity", decimal(3100)),
        ("l_extendedprice", decimal(5_790_645)),
        ("l_discount", decimal(6)),
        ("l_tax", decimal(3)),
        ("l_returnflag", text("R")),
        ("l_linestatus", text("F")),
        ("l_shipdate", date(8400)),
        ("l_commitdate", date(8410)),
        ("l_receiptdate", date(8420)),
        ("l_shipinstruct", text("TAKE BACK RETURN")),
        ("l_shipmode", text("REG AIR")),
        ("l_comment", text("special packages sleep quickly along the furious ideas")),
    ])
    .unwrap()
}

#[test]
fn a_wide_table_fits_terminals_of_every_width() {
    for width in 20..=260 {
        let table = drawn(&[lineitem()], Expanded::Off, Some(width));
        let lines: Vec<_> = table.lines().take(3).collect();
        assert!(lines.iter().all(|line| line.width() <= width), "{width}\n{table}");
        // No number and no date is cut: what is shown of them is one of the values.
        let known = ["524612", "17950", "951", "2", "31.00", "57906.45", "0.06", "0.03", "R", "F", "REG AIR"];
        for cell in lines[2].split('│').map(str::trim).filter(|cell| !cell.contains('…')) {
            let is_known = known.contains(&cell) || cell.starts_with("199") && cell.len() == 10;
            assert!(is_known || cell.starts_with("TAKE") || cell.starts_with("special"), "{width}: {cell}\n{table}");
        }
    }
}

#[test]
fn columns_in_the_middle_are_omitted_and_counted() {
    for (width, hidden) in [(80, true), (120, true), (200, false)] {
        let table = drawn(&[lineitem()], Expanded::Off, Some(width));
        let lines: Vec<_> = table.lines().collect();
        let shown = lines[0].split('│').count();
        assert!(lines[0].starts_with(" l_ord"), "{table}");
        assert!(lines[0].contains("│ l_comment"), "{table}");
        assert_eq!(lines[0].contains("│ … │"), hidden, "{table}");
        assert_eq!(lines[2].contains("│ … │"), hidden, "{table}");
        assert_eq!(lines[1].chars().filter(|c| *c == '┼').count(), shown - 1, "{table}");
        let counted = format!("{} of 16 columns do not fit", 16 - shown + 1);
        assert_eq!(lines[3].contains(&counted), hidden, "{table}");
        assert!(lines[3].contains("`\\x` shows everything"), "{table}");
    }
}

#[test]
fn a_table_that_fits_says_nothing_of_omissions() {
    let table = drawn(&[lineitem()], Expanded::Off, Some(400));
    assert!(!table.contains('…') && table.ends_with("(1 row)\n"), "{table}");
}

#[test]
fn rows_are_drawn_as_blocks() {
    let mut drawing = Drawing::new(batch().schema(), View { expanded: Expanded::On, ..View::default() }, Some(10));
    let text = drawing.draw(&[batch()]).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("─ row 1 ─") && lines[6].starts_with("─ row 3 ─"), "{text}");
    assert_eq!([lines[1], lines[2]], ["name  │ Ärmel", "count │ 7"]);
    let text = drawing.draw(&[batch()]).unwrap();
    assert!(text.starts_with("─ row 4 ─"), "{text}");
}

#[test]
fn auto_chooses_blocks_if_lines_do_not_fit() {
    assert!(drawn(&[lineitem()], Expanded::Auto, Some(120)).starts_with("─ row 1 ─"));
    assert!(drawn(&[lineitem()], Expanded::Auto, Some(400)).starts_with(" l_orderkey"));
    assert!(drawn(&[lineitem()], Expanded::Auto, None).starts_with(" l_orderkey"));
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100)]));
    let single = RecordBatch::try_from_iter([("one", long)]).unwrap();
    assert!(drawn(&[single], Expanded::Auto, Some(40)).starts_with(" one"));
}

#[test]
fn a_result_has_a_title_notes_and_a_time() {
    let view = View { title: "about\n".into(), notes: "notes\n".into(), ..View::default() };
    let mut drawing = Drawing::new(batch().schema(), view, None);
    let empty = RecordBatch::new_empty(batch().schema());
    assert_eq!(drawing.draw(&[empty]).unwrap(), "");
    let text = drawing.end(Some(Duration::from_millis(12)), Some("a remark")).unwrap();
    assert!(text.starts_with("about\n name │ count\n"), "{text}");
    assert!(text.ends_with("(0 rows, 12 ms; a remark)\nnotes\n"), "{text}");
}

#[test]
fn numbers_stand_at_the_right() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 10.25]));
    let table = drawn(&[RecordBatch::try_from_iter([("f", floats)]).unwrap()], Expanded::Off, None);
    assert!(table.contains("\n   1.5\n 10.25\n"), "{table}");
}
