//! Random rows of the governed port, the same rows with other hidden ones, and the visible rows alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::policies::RandomPolicies;
use crate::ways::table;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// NULL.
    Null,
    /// A number.
    Int(i64),
    /// A string.
    Text(String),
    /// A day since 1970-01-01.
    Date(i32),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Int,
    /// Strings.
    Text,
    /// Days.
    Date,
}

/// A row, with a value for each of the [`COLUMNS`].
pub type Row = Vec<Value>;

/// The columns, with their types. The first one identifies a row: it is neither masked nor hidden.
pub const COLUMNS: [(&str, Kind); 6] = [
    ("id", Kind::Int),
    ("dept", Kind::Text),
    ("level", Kind::Int),
    ("salary", Kind::Int),
    ("name", Kind::Text),
    ("born", Kind::Date),
];

const BATCHES: usize = 5;
const BATCH_ROWS: usize = 80;
/// The attempts to find another hidden row in the place of one.
const ATTEMPTS: usize = 30;
/// The share of the rows of each batch that policies keep. Below a fifth, DataFusion evaluates conditions one by one.
const KEPT: std::ops::RangeInclusive<usize> = BATCH_ROWS * 3 / 10..=BATCH_ROWS * 7 / 10;

/// Returns the batches of the port.
pub fn rows(random: &mut StdRng) -> Vec<Vec<Row>> {
    let mut next = 0;
    let mut batch = || -> Vec<Row> {
        let rows = (0..BATCH_ROWS).map(|_| {
            next += 1;
            row(random, next)
        });
        rows.collect()
    };
    (0..BATCHES).map(|_| batch()).collect()
}

fn row(random: &mut StdRng, id: i64) -> Row {
    let or_null = |random: &mut StdRng, value: Value| if random.random_bool(0.1) { Value::Null } else { value };
    let dept = (*["a", "b", "c"].choose(random).unwrap()).to_owned();
    let (level, salary) = (random.random_range(0..10), random.random_range(-3..60));
    let name = match random.random_range(0..4) {
        0 => format!("{:015}", random.random_range(0..1000)),
        _ => format!("person-{}-{}", random.random_range(0..200), random.random_range(0..10_000)),
    };
    let born = random.random_range(0..9000);
    vec![
        Value::Int(id),
        or_null(random, Value::Text(dept)),
        or_null(random, Value::Int(level)),
        or_null(random, Value::Int(salary)),
        or_null(random, Value::Text(name)),
        or_null(random, Value::Date(born)),
    ]
}

/// True if policies keep some rows of each batch, and hide some.
pub fn are_balanced(batches: &[Vec<Row>], policies: &RandomPolicies) -> bool {
    batches.iter().all(|rows| KEPT.contains(&rows.iter().filter(|row| policies.shows(row)).count()))
}

/// Returns the rows with other hidden rows in the places of the hidden ones: none, one or two for each.
pub fn swapped(batches: &[Vec<Row>], policies: &RandomPolicies, random: &mut StdRng) -> Vec<Vec<Row>> {
    let mut change = |found: &Row| -> Vec<Row> {
        if policies.shows(found) {
            return vec![found.clone()];
        }
        let number = random.random_range(0..=2);
        let other = |_| {
            let id = -random.random_range(1..1_000_000);
            let other = (0..ATTEMPTS).map(|_| row(random, id)).find(|other| !policies.shows(other));
            other.unwrap_or_else(|| found.clone())
        };
        (0..number).map(other).collect()
    };
    batches.iter().map(|rows| rows.iter().flat_map(&mut change).collect()).collect()
}

/// Returns the visible rows, with masked values. Hidden columns are NULL.
pub fn visible(batches: &[Vec<Row>], policies: &RandomPolicies) -> Vec<Vec<Row>> {
    let of_batch = |rows: &Vec<Row>| -> Vec<Row> {
        rows.iter().filter(|row| policies.shows(row)).map(|row| policies.masked(row)).collect()
    };
    batches.iter().map(of_batch).collect()
}

/// Returns the rows as batches of Arrow.
pub fn batches(batches: &[Vec<Row>]) -> Vec<RecordBatch> {
    batches.iter().map(|rows| batch(rows)).collect()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |(at, (name, kind)): (usize, &(&'static str, Kind))| -> (&'static str, ArrayRef) {
        let values = rows.iter().map(|row| &row[at]);
        let array: ArrayRef = match kind {
            Kind::Int => Arc::new(values.map(Value::int).collect::<Int64Array>()),
            Kind::Text => Arc::new(values.map(Value::text).collect::<StringArray>()),
            Kind::Date => Arc::new(values.map(Value::day).collect::<Date32Array>()),
        };
        (*name, array)
    };
    table(COLUMNS.iter().enumerate().map(column).collect())
}

impl Value {
    /// Returns the number, if the value is one.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// Returns the string, if the value is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// Returns the day, if the value is one.
    pub fn day(&self) -> Option<i32> {
        if let Self::Date(value) = self { Some(*value) } else { None }
    }
}
