//! SQLite files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// The form of instants: the one that SQLite's own functions return, with microseconds.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// Returns the type of a column that holds the values exactly.
pub(super) fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => "INTEGER",
        DataType::Float64 => "REAL",
        // The numbers of SQLite have no digits behind the point.
        _ => "TEXT",
    }
}

/// Adds rows to a table.
pub(super) fn load(connection: &mut Connection, table: &str, rows: &RecordBatch) {
    let places = vec!["?"; rows.num_columns()].join(", ");
    let transaction = connection.transaction().unwrap();
    {
        let mut insert = transaction.prepare(&format!("INSERT INTO {table} VALUES ({places})")).unwrap();
        let columns: Vec<Vec<Value>> = rows.columns().iter().map(values).collect();
        for row in 0..rows.num_rows() {
            let values = columns.iter().map(|column| column[row].clone());
            insert.execute(params_from_iter(values)).unwrap_or_else(|e| panic!("{table}, row {row}: {e}"));
        }
    }
    transaction.commit().unwrap();
}

fn values(column: &ArrayRef) -> Vec<Value> {
    let options = FormatOptions::default().with_timestamp_format(Some(INSTANT)).with_timestamp_tz_format(Some(INSTANT));
    let text = ArrayFormatter::try_new(column, &options).unwrap();
    let value = |row: usize| match column.data_type() {
        _ if column.is_null(row) => Value::Null,
        DataType::Boolean => Value::Integer(column.as_boolean().value(row).into()),
        DataType::Int16 => Value::Integer(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Real(column.as_primitive::<Float64Type>().value(row)),
        _ => Value::Text(text.value(row).to_string()),
    };
    (0..column.len()).map(value).collect()
}
