//! The tables that every source and every site holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};

use super::types::typed_columns;
use crate::ways::table;

/// The names of the columns of the table `names`, in the order of the contract.
pub const NAMES: [&str; 7] = ["plain", "a b", "Upper", "say \"x\"", "order", "Größe", "a,b"];
/// The name of the table without rows.
pub const NOTHING: &str = "nothing";

/// A table: the name of the port, and the rows.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// The rows, with the columns in the order of the contract.
    pub rows: RecordBatch,
}

impl Table {
    /// Returns the table with the columns that `holds` accepts.
    #[must_use]
    pub fn with_columns(&self, holds: impl Fn(&str) -> bool) -> Self {
        let schema = self.rows.schema();
        let held = schema.fields().iter().enumerate().filter(|(_, field)| holds(field.name())).map(|(i, _)| i);
        let held: Vec<usize> = held.collect();
        Self { name: self.name, rows: self.rows.project(&held).unwrap() }
    }
}

fn bigints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Returns the table `types`: a column of each type.
pub fn types() -> Table {
    let columns = typed_columns();
    let typed = columns.iter().map(|column| (column.name, column.values.clone()));
    let ids = bigints(&[Some(1), Some(2), Some(3), Some(4), Some(5)]);
    Table { name: "types", rows: table([("id", ids)].into_iter().chain(typed).collect()) }
}

/// Returns the table `names`: columns whose names need quotes.
///
/// | plain | a b | Upper | say "x" | order | Größe | a,b |
/// |---|---|---|---|---|---|---|
/// | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
/// | 11 | 12 | 13 | 14 | 15 | 16 | 17 |
pub fn names() -> Table {
    let columns = NAMES.iter().zip(1..).map(|(name, i)| (*name, bigints(&[Some(i), Some(10 + i)])));
    Table { name: "names", rows: table(columns.collect()) }
}

/// Returns the table `items`.
///
/// | id | kind | qty | word |
/// |---|---|---|---|
/// | 1 | a | 10 | apple |
/// | 2 | a | NULL | Apricot |
/// | 3 | b | 5 | banana |
/// | 4 | NULL | 5 | a%b |
/// | 5 | c | -1 | NULL |
pub fn items() -> Table {
    let rows = table(vec![
        ("id", bigints(&[Some(1), Some(2), Some(3), Some(4), Some(5)])),
        ("kind", texts(&[Some("a"), Some("a"), Some("b"), None, Some("c")])),
        ("qty", bigints(&[Some(10), None, Some(5), Some(5), Some(-1)])),
        ("word", texts(&[Some("apple"), Some("Apricot"), Some("banana"), Some("a%b"), None])),
    ]);
    Table { name: "items", rows }
}

/// Returns the table `kinds`, which has names for some kinds of `items` and `readings`.
///
/// | name | label |
/// |---|---|
/// | a | first |
/// | b | second |
/// | d | fourth |
/// | NULL | none |
pub fn kinds() -> Table {
    let rows = table(vec![
        ("name", texts(&[Some("a"), Some("b"), Some("d"), None])),
        ("label", texts(&[Some("first"), Some("second"), Some("fourth"), Some("none")])),
    ]);
    Table { name: "kinds", rows }
}

/// Returns the table `nothing`, which has the columns of `items` and no row.
pub fn nothing() -> Table {
    Table { name: NOTHING, rows: items().rows.slice(0, 0) }
}

/// Returns the table `readings`, which has 60 rows. Row `i` has the id `i`, the `i % 3`-th of the kinds `a`, `b` and `c`,
/// the level `i % 10`, the price `i` and the weight `i / 2`.
pub fn readings() -> Table {
    let prices = Decimal128Array::from_iter_values((0..60).map(|i| i * 100)).with_precision_and_scale(15, 2).unwrap();
    let rows = table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..60))),
        ("kind", Arc::new(StringArray::from_iter_values((0..60_usize).map(|i| ["a", "b", "c"][i % 3])))),
        ("level", Arc::new(Int32Array::from_iter_values((0..60).map(|i| i % 10)))),
        ("price", Arc::new(prices)),
        ("weight", Arc::new(Float64Array::from_iter_values((0..60_i32).map(|i| f64::from(i) / 2.0)))),
    ]);
    Table { name: "readings", rows }
}
