//! Correct rows for the kinds of queries for which DataFusion 55.2 returns wrong rows or an error: one file for each kind of fault.
//! The expected values are written by hand, and each query runs in every way that the planner knows. The book's page on
//! the differences from DataFusion lists the kinds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_filters;
mod branch_types;
mod changing_files;
mod column_bounds;
mod compared_casts;
mod csv_line_breaks;
mod decimals;
mod distinct_limits;
mod empty_groups;
mod equal_names;
mod false_orders;
mod file_order;
mod float_extrema;
mod folders;
mod footers;
mod functional_dependencies;
mod generated_names;
mod group_filters;
mod growth;
mod inferred_filters;
mod integer_overflow;
mod lost_sorts;
mod missing_columns;
mod nan_signs;
mod nested_loops;
mod not_in;
mod odd_columns;
mod patterns;
mod set_operations;
mod sources;
mod subquery_places;
mod text_values;
mod three_valued;
mod timestamps;
mod unordered_casts;
mod unrelated_types;
mod using_joins;
mod volatile;
mod widening;
mod years;
mod zero_signs;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use portolan_tests::ways::{Ways, table};

/// Starts a mesh with `east.samples.a` (columns `id` and `x`) and `west.samples.b` (columns `id` and `v`).
async fn two_owners() -> Ways {
    let column = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let a = table(vec![
        ("id", column(vec![Some(1), Some(2), Some(3), None])),
        ("x", column(vec![Some(1), None, Some(3), Some(2)])),
    ]);
    let b = table(vec![("id", column(vec![Some(1), Some(1), Some(3)])), ("v", column(vec![Some(1), None, Some(5)]))]);
    Ways::of_tables(&[("east", "a", a), ("west", "b", b)]).await
}
