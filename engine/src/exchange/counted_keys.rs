//! The exact statistics of join keys among counted rows, which the planner uses when it plans the rest again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, RecordBatch};
use datafusion::common::ScalarValue;
use portolan_catalog::{ColumnStatistics, StatisticValue};
use portolan_connectors::statistic_value;

use crate::plan::MAX_LISTED_KEYS;

/// The largest number of rows whose keys are counted one by one: this takes some milliseconds.
const MAX_ROWS: usize = 1 << 16;

/// Returns the statistics of the columns at these positions in all rows of a fragment. A column whose values have no
/// statistics is not in the result, and no column is if there are too many rows. What comes with a batch is ignored.
pub(super) fn counted_keys<T>(
    batches: &[(RecordBatch, T)],
    positions: &BTreeSet<usize>,
) -> BTreeMap<usize, ColumnStatistics> {
    let rows: usize = batches.iter().map(|(batch, _)| batch.num_rows()).sum();
    if rows == 0 || rows > MAX_ROWS {
        return BTreeMap::new();
    }
    let counted = positions.iter().map(|position| Some((*position, of_column(batches, *position, rows)?)));
    counted.flatten().collect()
}

fn of_column<T>(batches: &[(RecordBatch, T)], position: usize, rows: usize) -> Option<ColumnStatistics> {
    let mut values: Vec<StatisticValue> = Vec::with_capacity(rows);
    for (batch, _) in batches {
        let column = batch.columns().get(position).filter(|column| !column.data_type().is_nested())?;
        for row in 0..column.len() {
            let value = ScalarValue::try_from_array(column, row).ok()?;
            if !value.is_null() {
                values.push(statistic_value(&value)?);
            }
        }
    }
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let (min, max) = (values.first().cloned(), values.last().cloned());
    let distinct = values.chunk_by(|a, b| a == b).count();
    let mut frequent: Vec<(StatisticValue, f64)> = vec![];
    if distinct <= MAX_LISTED_KEYS {
        let of_value = |same: &[StatisticValue]| Some((same.first()?.clone(), same.len() as f64 / rows as f64));
        frequent.extend(values.chunk_by(|a, b| a == b).filter_map(of_value));
        frequent.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    let nulls = Some((rows - values.len()) as u64);
    Some(ColumnStatistics { distinct: Some(distinct as u64), nulls, min, max, width: None, frequent })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(numbers: impl IntoIterator<Item = Option<i64>>) -> (RecordBatch, usize) {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(numbers));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..numbers.len()).map(|row| format!("t{row}"))));
        (RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap(), 0)
    }

    #[test]
    fn number_range_and_shares_are_exact() {
        let batches = [batch([Some(7), None, Some(3)]), batch([Some(7)])];
        let counted = counted_keys(&batches, &BTreeSet::from([0]));
        let number = StatisticValue::Number;
        let expected = ColumnStatistics {
            distinct: Some(2),
            nulls: Some(1),
            min: Some(number(3.0)),
            max: Some(number(7.0)),
            width: None,
            frequent: vec![(number(7.0), 0.5), (number(3.0), 0.25)],
        };
        assert_eq!(counted, BTreeMap::from([(0, expected)]));
        let texts = counted_keys(&batches[..1], &BTreeSet::from([1, 2]));
        assert_eq!(texts.keys().collect::<Vec<_>>(), [&1], "there is no column at position 2");
        assert_eq!(texts[&1].max, Some(StatisticValue::Text("t2".into())));
    }

    #[test]
    fn values_are_listed_and_rows_are_read_up_to_a_bound() {
        let counted = |rows: usize| counted_keys(&[batch((0..rows as i64).map(Some))], &BTreeSet::from([0]));
        let listed = |rows: usize| counted(rows)[&0].frequent.len();
        assert_eq!((listed(MAX_LISTED_KEYS), listed(MAX_LISTED_KEYS + 1)), (MAX_LISTED_KEYS, 0));
        assert_eq!(counted(MAX_ROWS)[&0].distinct, Some(MAX_ROWS as u64));
        assert!(counted(MAX_ROWS + 1).is_empty());
        assert!(counted(0).is_empty());
    }
}
