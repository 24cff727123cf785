//! What a session's tables and views hold, and their bounds.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::execution::compact::compact;

fn rows(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)]).unwrap()
}

fn content(values: impl IntoIterator<Item = i64>) -> TableContent {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    TableContent::new(schema, &[rows(values)]).unwrap()
}

#[test]
fn memory_is_bounded_and_given_back() {
    let shared = Budget::new(20_000, "tables");
    let tables = SessionTables::new(shared.clone(), 10_000);
    tables.create("a", content(0..1000), Creation::New).unwrap();
    let error = tables.append("a", &content([]).schema, &[rows(0..1000)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(tables.snapshot()["a"].rows(), 1000);
    let other = SessionTables::new(shared.clone(), 20_000);
    assert_eq!(other.create("b", content(0..2000), Creation::New).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    assert!(tables.remove("a") && !tables.remove("a"));
    other.create("b", content(0..2000), Creation::New).unwrap();
    drop(other);
    tables.create("c", content(0..1000), Creation::New).unwrap();
}

#[test]
fn slices_of_a_batch_of_strings_count_once() {
    let texts = (0..80_000).map(|i| Some(format!("a string that is too long for a view {i}")));
    let texts: StringViewArray = texts.collect();
    let all = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap();
    let slices: Vec<_> = (0..10).map(|i| compact(&all.slice(i * 8000, 8000)).unwrap()).collect();
    // 16 bytes of a view, and the bytes of a string.
    let expected = 80_000 * (16 + 43);
    let content = TableContent::new(all.schema(), &slices).unwrap();
    assert!(content.bytes() < expected * 11 / 10, "{} bytes, expected {expected}", content.bytes());
    let few = TableContent::new(all.schema(), &[compact(&all.slice(7, 10)).unwrap()]).unwrap();
    assert!(few.bytes() < 10_000, "{} bytes", few.bytes());
    // Rows with memory of their own are not copied again.
    assert!(slices[0].column(0).to_data().ptr_eq(&content.batches[0].column(0).to_data()));
}

#[test]
fn what_is_no_row_is_bounded_too() {
    let tables = SessionTables::new(Budget::new(1 << 20, "tables"), 1 << 20);
    let error = tables.create(&"x".repeat(LONGEST_NAME + 1), content([]), Creation::New).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    tables.create(&"x".repeat(LONGEST_NAME), content([]), Creation::New).unwrap();
    let field = |n| Field::new(format!("c{n}"), DataType::Int8, true);
    let wide = Arc::new(Schema::new((0..=MOST_COLUMNS).map(field).collect::<Vec<_>>()));
    assert!(tables.create("wide", TableContent::new(wide, &[]).unwrap(), Creation::New).is_err());
}

fn view(text: &str) -> View {
    let schema = content([]).schema;
    View { text: text.to_owned(), catalog: None, schema: None, reads: BTreeSet::new(), columns: schema }
}

#[test]
fn tables_and_views_share_names_and_memory() {
    let shared = Budget::new(1 << 20, "tables");
    let tables = SessionTables::new(shared.clone(), 10_000);
    tables.create("t", content([1]), Creation::New).unwrap();
    assert!(tables.create_view("v", view("first"), Creation::New).unwrap());
    for how in [Creation::New, Creation::OrReplace] {
        assert_eq!(tables.create("v", content([1]), how).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(tables.create_view("t", view(""), how).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    assert!(!tables.create("v", content([1]), Creation::IfNotExists).unwrap());
    assert!(!tables.create_view("t", view(""), Creation::IfNotExists).unwrap());
    assert!(!tables.create_view("v", view("second"), Creation::IfNotExists).unwrap());
    assert_eq!(tables.views()["v"].text, "first");
    assert_eq!(tables.create_view("v", view(""), Creation::New).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(tables.create_view("v", view("second"), Creation::OrReplace).unwrap());
    assert_eq!(tables.views()["v"].text, "second");
    let error = tables.create_view("long", view(&"x".repeat(10_000)), Creation::New).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(tables.remove_view("v") && !tables.remove_view("v") && !tables.remove_view("t"));
    assert!(tables.remove("t") && tables.views().is_empty());
    assert_eq!(shared.usage().held, 0);
}

#[test]
fn names_and_changes() {
    let tables = SessionTables::new(Budget::new(1 << 20, "tables"), 1 << 20);
    tables.create("list", content([1]), Creation::New).unwrap();
    assert_eq!(tables.create("list", content([2]), Creation::New).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(!tables.create("list", content([2]), Creation::IfNotExists).unwrap());
    let seen = tables.snapshot()["list"].clone();
    assert_eq!(tables.append("list", &content([]).schema, &[rows([3, 4])]).unwrap(), 2);
    assert_eq!(tables.snapshot()["list"].batches.len(), 1);
    assert_eq!(tables.replace("list", &seen, content([])).unwrap_err().kind(), ErrorKind::InvalidQuery);
    let error = tables.append("lists", &content([]).schema, &[]).unwrap_err();
    assert!(error.context().contains("`list`"), "{error}");
    assert!(tables.create("list", content([9]), Creation::OrReplace).unwrap());
    assert_eq!(tables.snapshot()["list"].rows(), 1);
}
