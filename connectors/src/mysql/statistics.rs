//! The statistics that the server keeps of a table: its size, the distinct values of its indexes, and their ends.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use mysql_async::Value;
use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::metadata;
use super::session::Session;
use super::values::{date_of, number, text, time_of, timestamp_of};
use crate::databases::{DescribedTable, TableStatistics};
use crate::error::Result;
use crate::source::Footprint;
use crate::sql::quoted_name;

/// The largest number of columns whose smallest and largest values are read.
const MAX_COLUMNS: usize = 32;

/// Returns the state of a table's data; `None` if the server does not know when it changed last. InnoDB forgets the time
/// when the server starts, and the time has no fractions of seconds.
pub(super) async fn footprint(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Option<Footprint>> {
    let table = metadata::table(session, schema, name).await?;
    Ok(table.filter(|table| table.is_settled).and_then(|table| {
        let bytes = table.bytes?;
        Some(Footprint { bytes, version: format!("{} {bytes}", table.changed?) })
    }))
}

/// Returns the statistics of a table; `None` for a view. The numbers of rows and of distinct values are the server's
/// estimates.
pub(super) async fn statistics(
    session: &mut Session,
    schema: Option<&str>,
    name: &str,
    from: &str,
    described: &DescribedTable,
) -> Result<Option<TableStatistics>> {
    let Some(table) = metadata::table(session, schema, name).await?.filter(|table| !table.is_view) else {
        return Ok(None);
    };
    let mut columns = BTreeMap::new();
    for (column, distinct) in indexed(session, schema, name).await? {
        let known = described.columns.iter().find(|known| known.name == column);
        let Some(Ok(data_type)) = known.map(|known| &known.data_type) else { continue };
        if columns.len() == MAX_COLUMNS {
            break;
        }
        let (min, max) = ends(session, from, &column, data_type).await?;
        columns.insert(column, ColumnStatistics { distinct, min, max, ..ColumnStatistics::default() });
    }
    Ok(Some(TableStatistics { rows: table.rows, bytes: table.bytes, columns }))
}

/// Returns the first columns of the indexes, each with the number of distinct values that its index has.
async fn indexed(session: &mut Session, schema: Option<&str>, name: &str) -> Result<Vec<(String, Option<u64>)>> {
    let rows = session
        .rows(
            "SELECT TABLE_NAME, COLUMN_NAME, MAX(CARDINALITY) FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? AND SEQ_IN_INDEX = 1 AND SUB_PART IS NULL \
             AND INDEX_TYPE = 'BTREE' GROUP BY TABLE_NAME, COLUMN_NAME",
            vec![schema.map_or(Value::NULL, Value::from), name.into()],
        )
        .await?;
    let rows = rows.iter().filter(|row| text(row, 0).as_deref() == Some(name));
    Ok(rows.filter_map(|row| Some((text(row, 1)?, number(row, 2).filter(|distinct| *distinct > 0)))).collect())
}

/// Returns the smallest and the largest value of an indexed column. The server finds them at the ends of the index. The
/// ends of strings follow a collation, so they are unknown here.
async fn ends(
    session: &mut Session,
    from: &str,
    column: &str,
    data_type: &DataType,
) -> Result<(Option<StatisticValue>, Option<StatisticValue>)> {
    let column = format!("t.{}", quoted_name(column, session.flavor().dialect()));
    let query = format!("SELECT MIN({column}), MAX({column}) FROM {from} AS t");
    let rows = session.rows(&query, vec![]).await?;
    let end = |i| {
        rows.first()
            .and_then(|row| row.as_ref(i))
            .and_then(|value| statistic(value, data_type))
            .map(StatisticValue::Number)
    };
    Ok((end(0), end(1)))
}

/// Returns a number, a date or a time on the scale of statistics.
fn statistic(value: &Value, data_type: &DataType) -> Option<f64> {
    match (value, data_type) {
        (value, DataType::Date32) => date_of(value).map(f64::from),
        (value, DataType::Timestamp(..)) => timestamp_of(value).map(|micros| micros as f64 / 1e6),
        (value, DataType::Time64(_)) => time_of(value).map(|micros| micros as f64 / 1e6),
        (Value::Int(value), _) => Some(*value as f64),
        (Value::UInt(value), _) => Some(*value as f64),
        (Value::Float(value), _) => Some(f64::from(*value)),
        (Value::Double(value), _) => Some(*value),
        // Decimals are text.
        (Value::Bytes(bytes), DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            std::str::from_utf8(bytes).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn dates_are_days_and_timestamps_are_seconds() {
        let midnight = Value::Date(1970, 1, 3, 0, 0, 0, 0);
        assert_eq!(statistic(&midnight, &DataType::Date32), Some(2.0));
        assert_eq!(statistic(&midnight, &DataType::Timestamp(TimeUnit::Microsecond, None)), Some(172_800.0));
        assert_eq!(statistic(&Value::Bytes(b"12.50".to_vec()), &DataType::Decimal128(9, 2)), Some(12.5));
        assert_eq!(statistic(&Value::Bytes(b"12".to_vec()), &DataType::Utf8), None);
        assert_eq!(statistic(&Value::Date(0, 0, 0, 0, 0, 0, 0), &DataType::Date32), None);
    }
}
