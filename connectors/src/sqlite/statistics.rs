//! Statistics without reading all rows, where SQLite has them: from `sqlite_stat1`, and the ends of indexes.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};
use portolan_catalog::{ColumnStatistics, StatisticValue};
use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;

use super::describe::reference;
use super::link::Link;
use super::schema::{self, EntryKind, Index};
use super::stop::Stop;
use super::values::times::{parse_date, parse_timestamp};
use crate::databases::{DescribedColumn, DescribedTable, TableStatistics};
use crate::sql::{ColumnUsage, SQLITE, quoted_name};

/// The longest time to count rows. A table with more rows is not counted.
const COUNT_TIME: Duration = Duration::from_secs(1);
/// The length of the longest string in statistics, in bytes.
const MAX_TEXT: usize = 256;

/// Returns the statistics of a table; `None` for a view.
///
/// # Errors
/// The file cannot be read.
pub(super) fn statistics(
    link: &mut Link,
    stop: &Stop,
    name: &str,
    described: &DescribedTable,
) -> rusqlite::Result<Option<TableStatistics>> {
    link.begin()?;
    let entries = schema::entries(&link.connection)?;
    let Some(entry) = entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)) else { return Ok(None) };
    if entry.kind != EntryKind::Table {
        return Ok(None);
    }
    let indexes = schema::indexes(&link.connection, &entry.name)?;
    let analyzed = analyzed(link, &entry.name)?;
    let from = quoted_name(&entry.name, &SQLITE);
    let rows = match analyzed.values().find_map(|numbers| numbers.first()) {
        Some(rows) => Some(*rows),
        None => {
            let count =
                || link.connection.query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get::<_, i64>(0));
            stop.within(COUNT_TIME, count)?.map(i64::cast_unsigned)
        }
    };
    let mut columns = BTreeMap::new();
    for column in &described.columns {
        let leading = |index: &&Index| index.columns.first() == Some(&column.name);
        let index = indexes.iter().find(leading);
        let mut known = ColumnStatistics {
            nulls: (!column.nullable).then_some(0),
            distinct: if column.unique && !column.nullable { rows } else { distinct(index, &analyzed) },
            ..ColumnStatistics::default()
        };
        let is_key = described.primary_key == [column.name.clone()];
        if index.is_some() || is_key {
            known.min = end(link, &from, column, "min")?;
            known.max = end(link, &from, column, "max")?;
        }
        if known != ColumnStatistics::default() {
            columns.insert(column.name.clone(), known);
        }
    }
    Ok(Some(TableStatistics { rows, bytes: None, columns }))
}

/// Returns the numbers of `ANALYZE` by index: the rows, and the rows with equal values of the first columns.
fn analyzed(link: &Link, table: &str) -> rusqlite::Result<BTreeMap<String, Vec<u64>>> {
    let exists = "SELECT 1 FROM sqlite_schema AS s WHERE s.name = 'sqlite_stat1'";
    if link.connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT coalesce(s.idx, ''), s.stat FROM sqlite_stat1 AS s WHERE s.tbl = ?1 COLLATE NOCASE AND typeof(s.stat) = 'text'";
    let rows = schema::collect(&link.connection, sql, [table], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let numbers = |text: &str| text.split(' ').map_while(|number| number.parse().ok()).collect();
    Ok(rows.into_iter().map(|(index, text)| (index, numbers(&text))).collect())
}

/// Returns the number of distinct values of an index's first column.
fn distinct(index: Option<&Index>, analyzed: &BTreeMap<String, Vec<u64>>) -> Option<u64> {
    match analyzed.get(&index?.name)?.as_slice() {
        [rows, equal, ..] if *equal > 0 => Some((rows / equal).max(1)),
        _ => None,
    }
}

/// Returns the smallest or the greatest value of a column with an index. A column whose values are not all of its type has
/// none.
fn end(link: &Link, from: &str, column: &DescribedColumn, function: &str) -> rusqlite::Result<Option<StatisticValue>> {
    let c = reference(&column.name);
    let is_stored = column.sql == c || column.sql.strip_prefix(&c).is_some_and(|rest| rest.starts_with(" /*"));
    let (true, ColumnUsage::All, Ok(data_type)) = (is_stored, column.usage, &column.data_type) else { return Ok(None) };
    let sql = format!("SELECT {function}({c}) FROM {from} AS t");
    link.connection.query_row(&sql, [], |row| Ok(value(row.get_ref(0)?, data_type)))
}

fn value(value: ValueRef<'_>, data_type: &DataType) -> Option<StatisticValue> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let number = match (value, data_type) {
        (ValueRef::Integer(value), _) => value as f64,
        (ValueRef::Real(value), _) if value.is_finite() => value,
        (ValueRef::Text(bytes), DataType::Date32) => f64::from(parse_date(text(bytes)?)?),
        (ValueRef::Text(bytes), DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            let (seconds, nanos) = parse_timestamp(text(bytes)?)?;
            seconds as f64 + nanos as f64 / 1e9
        }
        (ValueRef::Text(bytes), DataType::Utf8) if bytes.len() <= MAX_TEXT => {
            return Some(StatisticValue::Text(text(bytes)?.to_owned()));
        }
        _ => return None,
    };
    Some(StatisticValue::Number(number))
}
