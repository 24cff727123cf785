//! Tests of the comparison: results that are equal, and results that differ in one way each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringViewArray};

use super::*;

type Row<'a> = (i64, i128, &'a str, f64);

fn table(rows: &[Row]) -> (SchemaRef, Vec<RecordBatch>) {
    let column = |array: ArrayRef| array;
    let batch = RecordBatch::try_from_iter([
        ("id", column(Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()))),
        (
            "amount",
            column(Arc::new(
                Decimal128Array::from_iter_values(rows.iter().map(|r| r.1)).with_precision_and_scale(15, 2).unwrap(),
            )),
        ),
        ("name", column(Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.2))))),
        ("score", column(Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3))))),
    ])
    .unwrap();
    (batch.schema(), vec![batch])
}

fn check(expected: &[Row], actual: &[Row], order: &Order) -> Result<(), Difference> {
    let (expected, actual) = (table(expected), table(actual));
    compare((&expected.0, &expected.1), (&actual.0, &actual.1), order)
}

const ROWS: [Row; 4] = [(1, 100, "a", 0.5), (2, 200, "b", 1.5), (2, 300, "c", 2.5), (3, 400, "d", f64::NAN)];

fn by_id(limit: Option<usize>) -> Order {
    Order::Sorted { keys: vec![0], limit }
}

#[test]
fn equal_results_are_equal() {
    for order in [Order::Any, Order::Exact, by_id(None)] {
        check(&ROWS, &ROWS, &order).unwrap();
        check(&[], &[], &order).unwrap();
    }
}

#[test]
fn a_dropped_row_is_found() {
    for order in [Order::Any, Order::Exact, by_id(None)] {
        let difference = check(&ROWS, &ROWS[1..], &order).unwrap_err();
        assert_eq!(difference.to_string(), "expected 4 rows, got 3\n  - 1 | 1.00 | a | 0.5");
    }
}

#[test]
fn a_row_that_came_twice_in_the_place_of_another_is_found() {
    let doubled = [ROWS[0], ROWS[0], ROWS[2], ROWS[3]];
    let difference = check(&ROWS, &doubled, &Order::Any).unwrap_err();
    assert_eq!(
        difference.to_string(),
        "1 rows are missing and 1 are unexpected\n  - 2 | 2.00 | b | 1.5\n  + 1 | 1.00 | a | 0.5"
    );
}

#[test]
fn a_decimal_off_by_its_last_digit_is_found() {
    let mut changed = ROWS;
    changed[2].1 += 1;
    for order in [Order::Any, Order::Exact, by_id(None)] {
        check(&ROWS, &changed, &order).unwrap_err();
    }
}

#[test]
fn order_counts_where_the_query_orders() {
    let mut swapped = ROWS;
    swapped.swap(0, 1);
    check(&ROWS, &swapped, &Order::Any).unwrap();
    assert!(check(&ROWS, &swapped, &by_id(None)).unwrap_err().to_string().starts_with("row 1 differs"));
    let mut tied = ROWS;
    tied.swap(1, 2);
    check(&ROWS, &tied, &by_id(None)).unwrap();
    check(&ROWS, &tied, &Order::Exact).unwrap_err();
}

#[test]
fn only_the_rows_that_tie_at_the_cut_are_free() {
    let expected = &ROWS[..3];
    let mut actual = ROWS;
    actual[2].2 = "z";
    check(expected, &actual[..3], &by_id(None)).unwrap_err();
    check(expected, &actual[..3], &by_id(Some(3))).unwrap();
    check(expected, &actual[..3], &by_id(Some(4))).unwrap_err();
    actual[0].2 = "z";
    check(expected, &actual[..3], &by_id(Some(3))).unwrap_err();
}

#[test]
fn floats_have_a_tolerance_and_nothing_more() {
    let mut close = ROWS;
    close[1].3 *= 1.0 + 1e-12;
    check(&ROWS, &close, &Order::Any).unwrap();
    close[1].3 = 1.5 + 1e-6;
    check(&ROWS, &close, &Order::Any).unwrap_err();
    close[1].3 = f64::INFINITY;
    check(&ROWS, &close, &Order::Any).unwrap_err();
    close[1].3 = f64::NAN;
    check(&ROWS, &close, &Order::Any).unwrap_err();
}

#[test]
fn nulls_differ_from_every_value() {
    let floats = |values: Vec<Option<f64>>| {
        let batch = RecordBatch::try_from_iter([("x", Arc::new(Float64Array::from(values)) as ArrayRef)]).unwrap();
        (batch.schema(), vec![batch])
    };
    let (nulls, zeros, nans) = (floats(vec![None]), floats(vec![Some(0.0)]), floats(vec![Some(f64::NAN)]));
    compare((&nulls.0, &nulls.1), (&nulls.0, &nulls.1), &Order::Any).unwrap();
    compare((&nulls.0, &nulls.1), (&zeros.0, &zeros.1), &Order::Any).unwrap_err();
    compare((&nulls.0, &nulls.1), (&nans.0, &nans.1), &Order::Any).unwrap_err();
}

#[test]
fn columns_are_compared_by_name_and_type_but_not_by_layout() {
    let one = |name: &str, array: ArrayRef| {
        let batch = RecordBatch::try_from_iter([(name, array)]).unwrap();
        (batch.schema(), vec![batch])
    };
    let plain = one("x", Arc::new(StringArray::from(vec!["a"])));
    let view = one("x", Arc::new(StringViewArray::from(vec!["a"])));
    let renamed = one("y", Arc::new(StringArray::from(vec!["a"])));
    let number = one("x", Arc::new(Int64Array::from(vec![1])));
    compare((&plain.0, &plain.1), (&view.0, &view.1), &Order::Exact).unwrap();
    for other in [renamed, number] {
        let difference = compare((&plain.0, &plain.1), (&other.0, &other.1), &Order::Any).unwrap_err();
        assert!(difference.to_string().starts_with("the columns differ"), "{difference}");
    }
}

#[test]
fn a_column_may_have_a_tolerance_of_its_own() {
    let floats = |value: f64| {
        let columns: [(&str, ArrayRef); 2] = [
            ("a", Arc::new(Float64Array::from_iter_values([value]))),
            ("b", Arc::new(Float64Array::from_iter_values([value]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        (batch.schema(), vec![batch])
    };
    let (third, rounded) = (floats(1.0 / 3.0), floats(0.3333));
    let within = |tolerances: &[f64]| {
        compare_within((&third.0, &third.1), (&rounded.0, &rounded.1), &Order::Any, tolerances).is_ok()
    };
    assert!(within(&[0.0001, 0.0001]));
    assert!(!within(&[0.0001]));
    assert!(!within(&[0.0001, 0.00001]));
}
