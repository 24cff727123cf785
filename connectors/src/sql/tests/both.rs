//! Two tables in DataFusion and in SQLite, with values that databases tell apart in other ways.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::{ColumnUsage, SQLITE, SqlColumn, SqlTable, query};

/// The two databases with the same tables.
pub(super) struct Both {
    session: SessionContext,
    sqlite: Connection,
}

const NAMES: [Option<&str>; 16] = [
    Some("a"),
    Some("A"),
    Some("a "),
    Some("é"),
    Some("e\u{301}"),
    Some("ß"),
    Some("ss"),
    Some(""),
    Some(" "),
    None,
    Some("abc"),
    Some("ab\nc"),
    Some("50%_\\[*]?"),
    Some("O'Neil"),
    Some("💩x"),
    Some("12"),
];
const IDS: [i64; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const BIG: [Option<i64>; 16] = [
    Some(i64::MAX),
    Some(i64::MIN),
    Some(0),
    None,
    Some(-1),
    Some(1),
    Some(7),
    Some(-7),
    Some(9_007_199_254_740_993),
    Some(9_007_199_254_740_992),
    Some(2),
    Some(2),
    None,
    Some(12),
    Some(-12),
    Some(100),
];
const SMALL: [Option<i32>; 16] = [
    Some(i32::MAX),
    Some(i32::MIN),
    Some(0),
    Some(1),
    None,
    Some(-1),
    Some(7),
    Some(-7),
    Some(3),
    Some(3),
    None,
    Some(2),
    Some(5),
    Some(12),
    Some(-12),
    Some(100),
];
const WEIGHTS: [Option<f64>; 16] = [
    Some(0.0),
    Some(1.5),
    Some(-1.5),
    None,
    Some(f64::INFINITY),
    Some(f64::NEG_INFINITY),
    Some(0.1),
    Some(1e300),
    Some(5e-324),
    Some(2.0),
    Some(2.0),
    Some(9_007_199_254_740_992.0),
    Some(-0.25),
    None,
    Some(100.0),
    Some(12.0),
];
/// Days since 1970: the years 1, 1900, 1970, 2000, 2024, 9999.
const DAYS: [Option<i32>; 16] = [
    Some(-719_162),
    Some(-25_567),
    Some(0),
    Some(-1),
    Some(11_016),
    Some(19_782),
    None,
    Some(2_932_896),
    Some(1),
    Some(365),
    Some(366),
    Some(10_957),
    Some(0),
    None,
    Some(19_783),
    Some(59),
];
const OPEN: [Option<bool>; 16] = {
    let (yes, no) = (Some(true), Some(false));
    [yes, no, None, yes, no, None, yes, yes, no, no, None, None, yes, no, yes, no]
};

impl Both {
    pub(super) fn new() -> Self {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(IDS.to_vec()))),
            ("big", Arc::new(Int64Array::from(BIG.to_vec()))),
            ("small", Arc::new(Int32Array::from(SMALL.to_vec()))),
            ("weight", Arc::new(Float64Array::from(WEIGHTS.to_vec()))),
            ("name", Arc::new(StringArray::from(NAMES.to_vec()))),
            ("other", Arc::new(StringArray::from(NAMES.iter().rev().copied().collect::<Vec<_>>()))),
            ("day", Arc::new(Date32Array::from(DAYS.to_vec()))),
            ("open", Arc::new(BooleanArray::from(OPEN.to_vec()))),
        ];
        let right: Vec<(&str, ArrayRef)> = vec![
            (
                "k",
                Arc::new(Int64Array::from(vec![Some(2), Some(2), None, Some(7), Some(100), Some(-12), Some(0), None])),
            ),
            (
                "label",
                Arc::new(StringArray::from(vec![
                    Some("a"),
                    Some("A "),
                    None,
                    Some("É"),
                    Some("é"),
                    Some("a"),
                    Some("ß"),
                    Some(""),
                ])),
            ),
            ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4), Some(4), Some(1), None, Some(8)]))),
        ];
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        let sqlite = Connection::open_in_memory().unwrap();
        for (table, columns) in [("t", columns), ("u", right)] {
            let batch =
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
            copy(&sqlite, table, &batch);
            session.register_batch(table, batch).unwrap();
        }
        Self { session, sqlite }
    }

    /// Checks that a statement has the same rows.
    pub(super) async fn check(&self, statement: &str) {
        let plan = self.session.sql(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        let plan = self.session.state().optimize(plan.logical_plan()).unwrap();
        let sql = query(&plan, &SQLITE, &|scan| Some(sqlite_table(scan.table_name.table(), &scan.source.schema())))
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal}\n{plan}"))
            .text;
        let batches = self.session.sql(statement).await.unwrap().collect().await;
        let batches = batches.unwrap_or_else(|e| panic!("{statement}: {e}"));
        let mut expected: Vec<Vec<String>> = batches.iter().flat_map(lines).collect();
        let found = self.rows(&sql, plan.schema().as_arrow());
        let mut found = found.unwrap_or_else(|e| panic!("{statement}: {e}\n{sql}"));
        if !statement.contains("ORDER BY") {
            expected.sort();
            found.sort();
        }
        assert_eq!(found, expected, "{statement}\n{sql}");
    }

    /// Checks a condition: as a column, as a filter, and as a filter that it negates.
    pub(super) async fn condition(&self, condition: &str) {
        self.check(&format!("SELECT id, ({condition}) AS r FROM t")).await;
        self.check(&format!("SELECT id FROM t WHERE {condition}")).await;
        self.check(&format!("SELECT id FROM t WHERE NOT ({condition})")).await;
    }

    pub(super) async fn conditions(&self, conditions: &[&str]) {
        for condition in conditions {
            self.condition(condition).await;
        }
    }

    pub(super) async fn values(&self, expressions: &[&str]) {
        for expression in expressions {
            self.check(&format!("SELECT id, {expression} AS r FROM t")).await;
        }
    }

    fn rows(&self, sql: &str, schema: &Schema) -> rusqlite::Result<Vec<Vec<String>>> {
        let mut statement = self.sqlite.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut lines = vec![];
        while let Some(row) = rows.next()? {
            let cells = schema.fields().iter().enumerate().map(|(i, field)| Ok(shown(&row.get(i)?, field.data_type())));
            lines.push(cells.collect::<rusqlite::Result<_>>()?);
        }
        Ok(lines)
    }
}

fn sqlite_table(name: &str, schema: &Schema) -> Arc<SqlTable> {
    let column =
        |name: &String| SqlColumn { name: name.clone(), sql: format!("t.\"{name}\""), usage: ColumnUsage::All };
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    Arc::new(SqlTable { from: format!("\"{name}\""), columns, has_ranges: false, is_stored: true })
}

/// Copies a table into SQLite. The declared types and collations are those that mislead.
fn copy(sqlite: &Connection, table: &str, batch: &RecordBatch) {
    let schema = batch.schema();
    let declared = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => format!("\"{}\" TEXT COLLATE NOCASE", field.name()),
        DataType::Float64 => format!("\"{}\" REAL", field.name()),
        DataType::Date32 => format!("\"{}\" DATE", field.name()),
        DataType::Boolean => format!("\"{}\" BOOLEAN", field.name()),
        _ => format!("\"{}\" INTEGER", field.name()),
    });
    let declared = declared.collect::<Vec<_>>().join(", ");
    sqlite.execute_batch(&format!("CREATE TABLE \"{table}\" ({declared})")).unwrap();
    let marks = vec!["?"; batch.num_columns()].join(", ");
    for row in 0..batch.num_rows() {
        let values = batch.columns().iter().map(|column| stored(column, row));
        let values = rusqlite::params_from_iter(values.collect::<Vec<_>>());
        sqlite.execute(&format!("INSERT INTO \"{table}\" VALUES ({marks})"), values).unwrap();
    }
}

fn stored(column: &ArrayRef, row: usize) -> Value {
    let text = || array_value_to_string(column, row).unwrap();
    match column.data_type() {
        _ if column.is_null(row) => Value::Null,
        DataType::Utf8 | DataType::Date32 => Value::Text(text()),
        DataType::Float64 => Value::Real(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Integer(column.as_boolean().value(row).into()),
        _ => Value::Integer(text().parse().unwrap()),
    }
}

/// Returns a value of SQLite as the reader would, in words.
fn shown(value: &Value, data_type: &DataType) -> String {
    match (value, data_type) {
        (Value::Null, _) => "NULL".to_owned(),
        (Value::Integer(value), DataType::Boolean) if matches!(value, 0 | 1) => (*value == 1).to_string(),
        (Value::Integer(value), data_type) if data_type.is_integer() => value.to_string(),
        (Value::Real(value), DataType::Float64) => format!("{value:?}"),
        (Value::Text(value), data_type) if data_type.is_string() => format!("'{value}'"),
        (Value::Text(value), DataType::Date32) => value.clone(),
        (value, data_type) => panic!("SQLite returned {value:?} for {data_type}"),
    }
}

fn lines(batch: &RecordBatch) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        _ if column.is_null(row) => "NULL".to_owned(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => column.as_primitive::<Date32Type>().value_as_date(row).unwrap().to_string(),
        data_type if data_type.is_string() => format!("'{}'", array_value_to_string(column, row).unwrap()),
        _ => array_value_to_string(column, row).unwrap(),
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}
