//! Compares two results of one query: as multisets, or in the order of the query's `ORDER BY`. Values are compared
//! exactly, decimals included. Floating-point numbers are compared with a relative tolerance of 1e-9, because sums in
//! another order of addition differ in their last digits.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The difference of two floating-point numbers that is tolerated, relative to the larger one.
pub const FLOAT_TOLERANCE: f64 = 1e-9;
/// The number of differing rows that are shown.
const SHOWN: usize = 5;

/// The order of the rows of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// None: the rows are a multiset.
    Any,
    /// The rows are sorted by these columns (from 0, outermost first). Rows that are equal in all of them may be in any
    /// order. If `limit` cut the result, the last run of equal rows may have any of the rows that tie. In this run,
    /// only the sort columns are compared.
    Sorted {
        /// The columns.
        keys: Vec<usize>,
        /// The query's `LIMIT`; `None` also if no rows tie at the limit.
        limit: Option<usize>,
    },
    /// Row by row.
    Exact,
}

/// The difference between two results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    what: String,
    expected: Vec<String>,
    actual: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for (sign, rows) in [("-", &self.expected), ("+", &self.actual)] {
            for row in rows.iter().take(SHOWN) {
                write!(f, "\n  {sign} {row}")?;
            }
            if rows.len() > SHOWN {
                write!(f, "\n  {sign} … {} more", rows.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Difference {}

/// Compares `actual` with `expected`. Nullability and the memory layout of strings are ignored.
///
/// # Errors
/// The difference: columns, row counts, or the first rows that only one of the results has.
pub fn compare(
    (expected_schema, expected): (&SchemaRef, &[RecordBatch]),
    (actual_schema, actual): (&SchemaRef, &[RecordBatch]),
    order: &Order,
) -> Result<(), Difference> {
    compare_within((expected_schema, expected), (actual_schema, actual), order, &[])
}

/// Compares as [`compare`] does, with an absolute tolerance for each column of floating-point numbers: column `i` has
/// `tolerances[i]`. Columns beyond the end of `tolerances` have none.
///
/// # Errors
/// As [`compare`].
pub fn compare_within(
    (expected_schema, expected): (&SchemaRef, &[RecordBatch]),
    (actual_schema, actual): (&SchemaRef, &[RecordBatch]),
    order: &Order,
    tolerances: &[f64],
) -> Result<(), Difference> {
    let expected = Table::new(expected_schema, expected, tolerances)?;
    let actual = Table::new(actual_schema, actual, tolerances)?;
    if expected.columns != actual.columns {
        return Err(Difference {
            what: "the columns differ".into(),
            expected: vec![expected.columns.join(", ")],
            actual: vec![actual.columns.join(", ")],
        });
    }
    let (rows, other_rows) = (expected.batch.num_rows(), actual.batch.num_rows());
    match order {
        _ if rows != other_rows => {
            let mut difference = compare_multisets(&expected, 0..rows, &actual, 0..other_rows)
                .err()
                .unwrap_or_else(|| Difference { what: String::new(), expected: vec![], actual: vec![] });
            difference.what = format!("expected {rows} rows, got {other_rows}");
            Err(difference)
        }
        Order::Any => compare_multisets(&expected, 0..rows, &actual, 0..rows),
        Order::Exact => compare_rows(&expected, &actual, &(0..expected.batch.num_columns()).collect::<Vec<_>>()),
        Order::Sorted { keys, limit } => {
            compare_rows(&expected, &actual, keys)?;
            for run in runs(&expected, keys)? {
                let cut = run.end == rows && limit.is_some_and(|limit| rows >= limit);
                if !cut {
                    compare_multisets(&expected, run.clone(), &actual, run)?;
                }
            }
            Ok(())
        }
    }
}

/// A result prepared for comparison: one batch, its exact columns as comparable rows, and its floats.
struct Table {
    columns: Vec<String>,
    batch: RecordBatch,
    exact: Rows,
    floats: Vec<Floats>,
    /// The absolute tolerance of each column.
    tolerances: Vec<f64>,
}

/// A column of floating-point numbers, and the absolute tolerance of its values.
struct Floats {
    values: Vec<Option<f64>>,
    tolerance: f64,
}

impl Table {
    fn new(schema: &SchemaRef, batches: &[RecordBatch], tolerances: &[f64]) -> Result<Self, Difference> {
        let batch = concat_batches(schema, batches).map_err(broken)?;
        let columns = batch.columns().iter().map(normalised).collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let fields =
            columns.iter().zip(schema.fields()).map(|(c, f)| Field::new(f.name(), c.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let tolerances = (0..columns.len()).map(|i| tolerances.get(i).copied().unwrap_or(0.0)).collect();
        let batch = RecordBatch::try_new_with_options(schema.into(), columns, &options).map_err(broken)?;
        Self::comparable(batch, tolerances)
    }

    /// Returns the same rows with these columns only.
    fn project(&self, columns: &[usize]) -> Result<Self, Difference> {
        let tolerances = columns.iter().filter_map(|&i| self.tolerances.get(i).copied()).collect();
        Self::comparable(self.batch.project(columns).map_err(broken)?, tolerances)
    }

    fn comparable(batch: RecordBatch, tolerances: Vec<f64>) -> Result<Self, Difference> {
        // A constant column, because there may be no other exact one.
        let mut exact: Vec<ArrayRef> = vec![std::sync::Arc::new(BooleanArray::from(vec![false; batch.num_rows()]))];
        let mut floats = vec![];
        for (column, &tolerance) in batch.columns().iter().zip(&tolerances) {
            match as_floats(column) {
                Some(values) => floats.push(Floats { values, tolerance }),
                None => exact.push(column.clone()),
            }
        }
        let fields = exact.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let rows = RowConverter::new(fields).and_then(|c| c.convert_columns(&exact)).map_err(broken)?;
        let columns = batch.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        Ok(Self { columns, batch, exact: rows, floats, tolerances })
    }

    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let exact = self.exact.row(row).data().cmp(other.exact.row(other_row).data());
        let floats = self
            .floats
            .iter()
            .zip(&other.floats)
            .map(|(a, b)| compare_floats(a.values[row], b.values[other_row], a.tolerance));
        floats.fold(exact, Ordering::then)
    }

    fn sorted(&self, rows: Range<usize>) -> Vec<usize> {
        let mut rows = rows.collect::<Vec<_>>();
        rows.sort_by(|&a, &b| {
            let floats = self
                .floats
                .iter()
                .map(|Floats { values, .. }| values[a].unwrap_or(f64::NAN).total_cmp(&values[b].unwrap_or(f64::NAN)));
            floats.fold(self.exact.row(a).data().cmp(self.exact.row(b).data()), Ordering::then)
        });
        rows
    }

    fn show(&self, rows: &[usize]) -> Vec<String> {
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let formatters: Vec<_> =
            self.batch.columns().iter().flat_map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
        rows.iter()
            .map(|&row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join(" | "))
            .collect()
    }
}

fn broken(error: arrow::error::ArrowError) -> Difference {
    Difference { what: format!("a result cannot be read: {error}"), expected: vec![], actual: vec![] }
}

/// Returns the values in one layout for each kind of value. Types that cannot be compared become strings.
fn normalised(column: &ArrayRef) -> arrow::error::Result<ArrayRef> {
    let plain = match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => return normalised(&cast(column, value)?),
        other if RowConverter::supports_fields(&[SortField::new(other.clone())]) => return Ok(column.clone()),
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let text = (0..column.len()).map(|i| column.is_valid(i).then(|| formatter.value(i).to_string()));
            return Ok(std::sync::Arc::new(text.collect::<StringArray>()));
        }
    };
    cast(column, &plain)
}

fn as_floats(column: &ArrayRef) -> Option<Vec<Option<f64>>> {
    match column.data_type() {
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().iter().collect()),
        DataType::Float32 => Some(column.as_primitive::<Float32Type>().iter().map(|v| v.map(f64::from)).collect()),
        _ => None,
    }
}

fn compare_floats(a: Option<f64>, b: Option<f64>, tolerance: f64) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => {
            let apart = tolerance.max(FLOAT_TOLERANCE * a.abs().max(b.abs()));
            let close = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= apart;
            // With an infinite bound, any two numbers would be close.
            let finite = (a.is_finite() && b.is_finite()) || a == b || (a.is_nan() && b.is_nan());
            if close && finite { Ordering::Equal } else { a.total_cmp(&b) }
        }
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// Compares these columns row by row.
fn compare_rows(expected: &Table, actual: &Table, columns: &[usize]) -> Result<(), Difference> {
    let (keys, other_keys) = (expected.project(columns)?, actual.project(columns)?);
    match (0..keys.batch.num_rows()).find(|&row| keys.compare(row, &other_keys, row).is_ne()) {
        None => Ok(()),
        Some(row) => Err(Difference {
            what: format!("row {} differs", row + 1),
            expected: expected.show(&[row]),
            actual: actual.show(&[row]),
        }),
    }
}

/// Returns the runs of rows that are equal in these columns.
fn runs(table: &Table, columns: &[usize]) -> Result<Vec<Range<usize>>, Difference> {
    let keys = table.project(columns)?;
    let mut runs = vec![];
    let mut start = 0;
    for row in 1..=keys.batch.num_rows() {
        if row == keys.batch.num_rows() || keys.compare(row - 1, &keys, row).is_ne() {
            runs.push(start..row);
            start = row;
        }
    }
    Ok(runs)
}

fn compare_multisets(
    expected: &Table,
    rows: Range<usize>,
    actual: &Table,
    other_rows: Range<usize>,
) -> Result<(), Difference> {
    let (rows, other_rows) = (expected.sorted(rows), actual.sorted(other_rows));
    let (mut missing, mut extra) = (vec![], vec![]);
    let (mut i, mut j) = (0, 0);
    while i < rows.len() && j < other_rows.len() {
        match expected.compare(rows[i], actual, other_rows[j]) {
            Ordering::Equal => (i, j) = (i + 1, j + 1),
            Ordering::Less => {
                missing.push(rows[i]);
                i += 1;
            }
            Ordering::Greater => {
                extra.push(other_rows[j]);
                j += 1;
            }
        }
    }
    missing.extend(&rows[i..]);
    extra.extend(&other_rows[j..]);
    // Floats that are nearly equal may have sorted differently on the two sides.
    if !expected.floats.is_empty() {
        missing.retain(|&row| match extra.iter().position(|&other| expected.compare(row, actual, other).is_eq()) {
            Some(found) => {
                extra.swap_remove(found);
                false
            }
            None => true,
        });
    }
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(Difference {
        what: format!("{} rows are missing and {} are unexpected", missing.len(), extra.len()),
        expected: expected.show(&missing),
        actual: actual.show(&extra),
    })
}

#[cfg(test)]
mod tests;
