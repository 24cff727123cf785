//! Runs the SQL rules of a contract. A query only reads: the engine has the ports of one domain, and changes none.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use portolan_catalog::PortRef;
use portolan_engine::{RecordBatch, Session, StatementKind};

use super::literal::{port_name, quoted_name};
use super::queries::texts_of;

/// Runs the query of a rule. Returns the only value as a number, or `None` for NULL, and as text.
///
/// # Errors
/// The reason why the rule is not checked.
pub(super) async fn run(
    session: &Session,
    query: &str,
    port: &PortRef,
    column: Option<&str>,
) -> Result<(Option<f64>, String), String> {
    let sql = completed(query, port, column);
    let statement = session.prepare(&sql).await.map_err(|error| error.owner_chain())?;
    if statement.kind() != StatementKind::Query {
        return Err("only a query that reads runs here".to_owned());
    }
    let mut rows = statement.execute(&[]).await.map_err(|error| error.owner_chain())?;
    let mut only: Option<RecordBatch> = None;
    while let Some(batch) = rows.try_next().await.map_err(|error| error.owner_chain())? {
        if batch.num_rows() == 0 {
            continue;
        }
        if only.is_some() || batch.num_rows() > 1 {
            return Err("expected one row, got more".to_owned());
        }
        only = Some(batch);
    }
    value(&only.ok_or_else(|| "expected one row, got none".to_owned())?)
}

/// Returns a query with the names of the port and the column in the places of the standard.
fn completed(query: &str, port: &PortRef, column: Option<&str>) -> String {
    let (port, column) = (port_name(port), column.map(quoted_name));
    let mut sql = query.trim().trim_end_matches(';').to_owned();
    for word in ["object", "table"] {
        sql = replaced(&sql, word, &port);
    }
    for word in ["property", "column"] {
        sql = column.as_ref().map_or_else(|| sql.clone(), |column| replaced(&sql, word, column));
    }
    sql
}

/// Replaces `${word}` and `{word}`.
fn replaced(sql: &str, word: &str, name: &str) -> String {
    sql.replace(&format!("${{{word}}}"), name).replace(&format!("{{{word}}}"), name)
}

/// Returns the only value of a row.
fn value(row: &RecordBatch) -> Result<(Option<f64>, String), String> {
    let [column] = row.columns() else {
        return Err(format!("expected one column, got {}", row.num_columns()));
    };
    let data_type = column.data_type();
    if !data_type.is_numeric() && !matches!(data_type, DataType::Boolean | DataType::Null) {
        return Err(format!("expected a number or a boolean, got a value of type {data_type}"));
    }
    let texts = texts_of(row, 1).map_err(|error| error.owner_chain())?;
    let text = texts.into_iter().flatten().next().unwrap_or_default();
    let number = cast(column, &DataType::Float64).map_err(|error| error.to_string())?;
    let number = number.as_primitive_opt::<Float64Type>().filter(|numbers| numbers.is_valid(0));
    Ok((number.map(|numbers| numbers.value(0)), text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_query_names_its_port_and_column() {
        let port = PortRef::new("sales", "orders", "orders");
        let (full, own) = ("\"sales\".\"orders\".\"orders\"", "\"id\"");
        for (query, column, expected) in [
            ("SELECT count({property}) FROM {object};", Some("id"), format!("SELECT count({own}) FROM {full}")),
            ("SELECT count(${column}) FROM ${table}\n", Some("id"), format!("SELECT count({own}) FROM {full}")),
            ("SELECT '{other}' FROM {object}", None, format!("SELECT '{{other}}' FROM {full}")),
        ] {
            assert_eq!(completed(query, &port, column), expected);
        }
    }

    #[test]
    fn a_result_is_a_number_or_a_boolean() {
        let row = |columns: Vec<ArrayRef>| {
            let named = columns.into_iter().enumerate().map(|(i, column)| (format!("c{i}"), column));
            RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap()
        };
        let number: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        assert_eq!(value(&row(vec![number.clone()])), Ok((Some(7.0), "7".to_owned())));
        let yes: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        assert_eq!(value(&row(vec![yes])), Ok((Some(1.0), "true".to_owned())));
        let null: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
        assert_eq!(value(&row(vec![null])), Ok((None, "NULL".to_owned())));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["7"]));
        assert!(value(&row(vec![text])).unwrap_err().contains("Utf8"));
        assert!(value(&row(vec![number.clone(), number])).unwrap_err().contains("one column, got 2"));
    }
}
