#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::functions::core::r#struct as struct_function;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr, NotExpr, cast, col, lit,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::column::KeyColumn;
use super::form::{Figures, LITERALS};
use super::restriction::{Body, Condition, Restriction};
use super::set::KeySet;
use crate::encode::keys::SQL_KEYS;
use crate::mesh::Link;
use crate::plan::Edge;
use portolan_connectors::KeyForm;

type Expr = Arc<dyn PhysicalExpr>;

fn schema() -> Schema {
    let field = |name, t| Field::new(name, t, true);
    Schema::new(vec![field("a", DataType::Int64), field("b", DataType::Utf8), field("c", DataType::Int32)])
}

fn column(name: &str) -> Expr {
    col(name, &schema()).unwrap()
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn and(left: Expr, right: Expr) -> Expr {
    binary(left, Operator::And, right)
}

fn between(least: i64, most: i64) -> Expr {
    and(binary(column("a"), Operator::GtEq, lit(least)), binary(column("a"), Operator::LtEq, lit(most)))
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn among(values: ArrayRef, negated: bool) -> Expr {
    Arc::new(InListExpr::try_new_from_array(column("a"), values, negated, &schema()).unwrap())
}

fn a() -> KeyColumn {
    KeyColumn { index: 0, cast: None }
}

fn keys(values: &[i64]) -> Condition {
    Condition::Keys { columns: vec![a()], values: vec![ints(values)] }
}

fn at_least(value: i64) -> Condition {
    Condition::AtLeast(a(), value.into())
}

fn at_most(value: i64) -> Condition {
    Condition::AtMost(a(), value.into())
}

fn all(conditions: &[Condition]) -> Restriction {
    Restriction { nulls: vec![], body: Body::All(conditions.to_vec()) }
}

fn of(expr: Expr) -> Restriction {
    Restriction::of(expr.as_ref())
}

/// Returns `CASE hash % 3 WHEN 0 THEN … ELSE false END`, the filter of a join in partitions.
fn partitions(branches: Vec<Expr>, otherwise: bool) -> Expr {
    let branches = branches.into_iter().enumerate().map(|(i, e)| (lit(i as i64), e)).collect();
    let hash = binary(column("a"), Operator::Modulo, lit(3_i64));
    Arc::new(CaseExpr::try_new(Some(hash), branches, Some(lit(otherwise))).unwrap())
}

#[test]
fn a_list_and_its_bounds_are_read() {
    let filter = and(between(1, 9), among(ints(&[9, 1, 1]), false));
    assert_eq!(of(filter.clone()), all(&[at_least(1), at_most(9), keys(&[9, 1, 1])]));
    let dynamic = DynamicFilterPhysicalExpr::new(vec![column("a")], lit(true));
    assert_eq!(Restriction::of(&dynamic), all(&[]));
    dynamic.update(filter).unwrap();
    assert_eq!(Restriction::of(&dynamic), all(&[at_least(1), at_most(9), keys(&[9, 1, 1])]));
}

#[test]
fn the_columns_are_those_of_the_filtered_scan() {
    let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![column("a")], lit(true)));
    let below = Schema::new(vec![Field::new("x", DataType::Utf8, true), Field::new("k", DataType::Int64, true)]);
    let moved = dynamic.clone().with_new_children(vec![col("k", &below).unwrap()]).unwrap();
    dynamic.update(between(1, 9)).unwrap();
    let k = KeyColumn { index: 1, cast: None };
    assert_eq!(of(moved), all(&[Condition::AtLeast(k.clone(), 1_i64.into()), Condition::AtMost(k, 9_i64.into())]));
}

#[test]
fn keys_of_several_columns_are_read() {
    let words: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let field = |name, t| Arc::new(Field::new(name, t, true));
    let (c0, c1) = (field("c0", DataType::Int64), field("c1", DataType::Utf8));
    let values = StructArray::from(vec![(c0.clone(), ints(&[1, 2])), (c1.clone(), words.clone())]);
    let together = ScalarFunctionExpr::new(
        "struct",
        struct_function(),
        vec![column("a"), column("b")],
        field("struct", DataType::Struct(vec![c0, c1].into())),
        Arc::new(ConfigOptions::default()),
    );
    let list = InListExpr::try_new_from_array(Arc::new(together), Arc::new(values), false, &schema()).unwrap();
    let columns = vec![a(), KeyColumn { index: 1, cast: None }];
    assert_eq!(of(Arc::new(list)), all(&[Condition::Keys { columns, values: vec![ints(&[1, 2]), words] }]));
}

#[test]
fn partitions_are_joined() {
    let branch = |least, most, values: &[i64]| and(between(least, most), among(ints(values), false));
    let two = partitions(vec![branch(1, 4, &[1, 4]), branch(2, 7, &[7, 2])], false);
    assert_eq!(of(two), all(&[at_least(1), at_most(7), keys(&[1, 4, 7, 2])]));
    let one_empty = partitions(vec![lit(false), branch(2, 7, &[2, 7])], false);
    assert_eq!(of(one_empty), all(&[at_least(2), at_most(7), keys(&[2, 7])]));
    // One partition has only bounds, one has no restriction, and one was cancelled.
    assert_eq!(of(partitions(vec![branch(1, 4, &[1]), between(0, 9)], false)), all(&[at_least(0), at_most(9)]));
    assert_eq!(of(partitions(vec![branch(1, 4, &[1]), lit(true)], false)), all(&[]));
    assert_eq!(of(partitions(vec![branch(1, 4, &[1])], true)), all(&[]));
    assert!(of(partitions(vec![lit(false), lit(false)], false)).rejects_all_rows());
}

#[test]
fn nulls_that_match_are_kept() {
    let null = |name| Arc::new(IsNullExpr::new(column(name))) as Expr;
    let either = binary(null("a"), Operator::Or, null("b"));
    let filter = binary(either, Operator::Or, among(ints(&[1]), false));
    let nulls = vec![a(), KeyColumn { index: 1, cast: None }];
    assert_eq!(of(filter), Restriction { nulls: nulls.clone(), body: Body::All(vec![keys(&[1])]) });
    let only_nulls = binary(null("a"), Operator::Or, lit(false));
    let read = of(only_nulls);
    assert_eq!(read, Restriction { nulls: nulls[..1].to_vec(), body: Body::Nothing });
    assert!(!read.rejects_all_rows());
}

#[test]
fn unknown_expressions_restrict_nothing() {
    let list = || among(ints(&[1]), false);
    for unknown in [
        Arc::new(NotExpr::new(list())) as Expr,
        among(ints(&[1]), true),
        binary(list(), Operator::Or, list()),
        binary(column("a"), Operator::Eq, column("c")),
        binary(column("a"), Operator::GtEq, lit(ScalarValue::Int64(None))),
        binary(column("a"), Operator::Lt, lit(1_i64)),
        binary(binary(column("a"), Operator::Plus, lit(1_i64)), Operator::GtEq, lit(1_i64)),
        lit(true),
        lit(ScalarValue::Boolean(None)),
    ] {
        assert_eq!(of(unknown.clone()), all(&[]), "{unknown}");
        assert_eq!(of(and(unknown, list())), all(&[keys(&[1])]));
    }
    let wider = cast(column("c"), &schema(), DataType::Int64).unwrap();
    let k = KeyColumn { index: 2, cast: Some(DataType::Int64) };
    assert_eq!(of(binary(wider, Operator::GtEq, lit(1_i64))), all(&[Condition::AtLeast(k, 1_i64.into())]));
}

#[test]
fn keys_are_sorted_and_distinct() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-1), Some(5), Some(5)]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some("x"), Some("x"), None, Some("x")]));
    let set = KeySet::new(&[a, b], &[DataType::Int64, DataType::Utf8View]).unwrap();
    assert_eq!((set.keys, set.columns[0].as_ref()), (2, ints(&[-1, 5]).as_ref()));
    assert_eq!(set.columns[1].data_type(), &DataType::Utf8View);
}

#[test]
fn keys_of_another_type_do_not_travel() {
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert!(KeySet::new(&[narrow], &[DataType::Int64]).unwrap_err().contains("Int32"));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
    assert!(KeySet::new(&[floats], &[DataType::Float64]).unwrap_err().contains("do not travel"));
}

fn edge() -> Edge {
    let link = Link { latency: Duration::from_millis(5), bandwidth: 1e7 };
    Edge { rows_whole: 1e6, row_bytes: 100.0, link, ..Edge::default() }
}

/// Returns the numbers of scattered keys among a million values.
fn figures(keys: usize) -> Figures {
    Figures {
        keys,
        key_bytes: 8.0,
        most_literals: LITERALS,
        span: Some(1e6),
        batch: Some(keys * 4 + 300),
        bloom: Some(keys * 3 / 2 + 400),
        probe_distinct: 1e6,
        matched: None,
        left: 1.0,
    }
}

#[test]
fn a_form_is_chosen_by_its_cost() {
    let form = |figures: Figures| figures.cheapest(&edge());
    assert_eq!(form(figures(3)), Some(KeyForm::Literals));
    assert_eq!(form(figures(5_000)), Some(KeyForm::Batch));
    // The Bloom filter lets one percent more of the rows pass and needs a fraction of the bytes. That pays for rows
    // this small.
    let slim = Edge { row_bytes: 8.0, ..edge() };
    assert_eq!(figures(400_000).cheapest(&slim), Some(KeyForm::Bloom));
    assert_eq!(form(figures(1_000_000)), None);
    // The statistics show that most of these keys are outside of the column's range.
    assert_eq!(form(Figures { matched: Some(0.001), ..figures(1_000_000) }), Some(KeyForm::Bloom));
    // Keys without gaps.
    assert_eq!(form(Figures { span: Some(5_000.0), ..figures(5_000) }), Some(KeyForm::Range));
    assert_eq!(form(Figures { batch: None, bloom: None, ..figures(5_000) }), None);
    // A query in SQL lists more keys.
    let in_sql = |keys| Figures { most_literals: SQL_KEYS, batch: None, bloom: None, ..figures(keys) };
    assert_eq!(form(in_sql(SQL_KEYS)), Some(KeyForm::Literals));
    assert_eq!(form(in_sql(SQL_KEYS + 1)), None);
    let unknown = Figures { probe_distinct: 0.0, ..figures(5_000) };
    assert_eq!(unknown.cheapest(&Edge { rows_whole: 0.0, ..edge() }), Some(KeyForm::Batch));
}

#[test]
fn scattered_keys_never_become_a_range_only() {
    for span in [None, Some(1e6), Some(1e12)] {
        assert_ne!(Figures { span, ..figures(5_000) }.cheapest(&edge()), Some(KeyForm::Range), "{span:?}");
    }
}
