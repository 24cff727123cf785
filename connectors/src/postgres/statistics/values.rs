//! The statistics of a column as the planner uses them.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use portolan_catalog::{ColumnStatistics, StatisticValue};

use crate::statistics::statistic_value;

/// The largest number of frequent values of a column.
const MAX_FREQUENT: usize = 32;
/// The difference between the width of a string in Arrow and in PostgreSQL: an offset takes four bytes, and the header of
/// a short value one.
const TEXT_WIDTH: f64 = 3.0;

/// The statistics of a column of one table in `pg_stats`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ColumnFacts {
    /// True if it is about all rows, and not those of one part.
    pub(super) is_of_all: bool,
    /// The number of rows of the part.
    pub(super) rows: Option<f64>,
    /// The share of NULL.
    pub(super) null_share: f64,
    /// The average width of a value in bytes.
    pub(super) width: f64,
    /// The number of distinct values; negative: the share of the rows.
    pub(super) distinct: f64,
    /// The most frequent values and their shares.
    pub(super) frequent: Vec<Option<String>>,
    pub(super) shares: Vec<f32>,
    /// Values between groups of the same size. The first and the last are the bounds of all other values.
    pub(super) bounds: Vec<Option<String>>,
}

/// Returns the facts about all rows: those that the database has, or else those of the parts together.
pub(super) fn combined(mut facts: Vec<ColumnFacts>) -> Option<ColumnFacts> {
    if let Some(of_all) = facts.iter().rposition(|facts| facts.is_of_all) {
        return Some(facts.swap_remove(of_all));
    }
    if facts.len() == 1 {
        return facts.pop();
    }
    let rows = facts.iter().map(|part| part.rows).sum::<Option<f64>>().filter(|rows| *rows > 0.0)?;
    let average = |of: fn(&ColumnFacts) -> f64| {
        facts.iter().map(|part| of(part) * part.rows.unwrap_or_default()).sum::<f64>() / rows
    };
    // Parts may have the same values, so that the largest number is the safest.
    let distinct = facts
        .iter()
        .map(|part| number_of_distinct(part, part.rows))
        .max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    Some(ColumnFacts {
        is_of_all: true,
        rows: Some(rows),
        null_share: average(|part| part.null_share),
        width: average(|part| part.width),
        distinct: distinct.flatten().unwrap_or_default(),
        frequent: vec![],
        shares: vec![],
        bounds: facts.iter().flat_map(|part| part.frequent.iter().chain(&part.bounds).cloned()).collect(),
    })
}

/// Returns the statistics of a column of this type in a table with that many rows.
pub(super) fn statistics_of(facts: &ColumnFacts, data_type: &DataType, rows: Option<f64>) -> ColumnStatistics {
    let values = |texts: &[Option<String>]| values(texts, data_type);
    let frequent = values(&facts.frequent);
    // A string has the order of the database's collation, which is not that of a node.
    let numbers = values(&facts.bounds).into_iter().chain(frequent.clone()).flatten();
    let numbers: Vec<f64> =
        numbers.filter_map(|value| if let StatisticValue::Number(n) = value { Some(n) } else { None }).collect();
    let bound = |of: fn(f64, f64) -> f64| numbers.iter().copied().reduce(of).map(StatisticValue::Number);
    let shares = facts.shares.iter().copied().map(f64::from);
    let width = match data_type {
        DataType::Utf8 | DataType::Binary => facts.width + TEXT_WIDTH,
        DataType::Boolean => 1.0,
        other => other.primitive_width().map_or(facts.width, |width| width as f64),
    };
    ColumnStatistics {
        distinct: number_of_distinct(facts, rows).map(|number| number.round() as u64),
        nulls: rows.map(|rows| (facts.null_share * rows).round() as u64),
        min: bound(f64::min),
        max: bound(f64::max),
        width: Some(width),
        frequent: frequent
            .into_iter()
            .zip(shares)
            .filter_map(|(value, share)| Some((value?, share)))
            .take(MAX_FREQUENT)
            .collect(),
    }
}

/// Returns the number of distinct values. Zero means that the database does not know it.
fn number_of_distinct(facts: &ColumnFacts, rows: Option<f64>) -> Option<f64> {
    match facts.distinct {
        share if share < 0.0 => rows.map(|rows| -share * rows),
        0.0 => None,
        number => Some(number),
    }
}

/// Returns values of this type.
fn values(texts: &[Option<String>], data_type: &DataType) -> Vec<Option<StatisticValue>> {
    let texts: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
    // A value that has another notation becomes NULL.
    let Ok(values) = cast(&texts, data_type) else { return vec![] };
    let value = |row| statistic_value(&ScalarValue::try_from_array(&values, row).ok()?);
    (0..values.len()).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn shares_become_numbers_of_rows() {
        let facts = ColumnFacts {
            null_share: 0.25,
            width: 4.0,
            distinct: -0.5,
            frequent: texts(&["7", "3"]),
            shares: vec![0.5, 0.125],
            bounds: texts(&["-1", "4", "6"]),
            ..ColumnFacts::default()
        };
        let statistics = statistics_of(&facts, &DataType::Int32, Some(200.0));
        let expected = ColumnStatistics {
            distinct: Some(100),
            nulls: Some(50),
            min: Some(StatisticValue::Number(-1.0)),
            max: Some(StatisticValue::Number(7.0)),
            width: Some(4.0),
            frequent: vec![(StatisticValue::Number(7.0), 0.5), (StatisticValue::Number(3.0), 0.125)],
        };
        assert_eq!(statistics, expected);
        let unknown = statistics_of(&facts, &DataType::Int32, None);
        assert_eq!((unknown.distinct, unknown.nulls), (None, None));
    }

    #[test]
    fn dates_are_days_and_strings_have_no_bounds() {
        let facts =
            ColumnFacts { distinct: 3.0, bounds: texts(&["1970-01-02", "1970-01-11"]), ..ColumnFacts::default() };
        let dates = statistics_of(&facts, &DataType::Date32, None);
        assert_eq!((dates.min, dates.max), (Some(StatisticValue::Number(1.0)), Some(StatisticValue::Number(10.0))));
        let strings = statistics_of(&facts, &DataType::Utf8, None);
        assert_eq!((strings.min, strings.max, strings.distinct), (None, None, Some(3)));
    }

    #[test]
    fn parts_are_combined_unless_all_rows_are_known() {
        let part = |rows, null_share, distinct| ColumnFacts {
            rows: Some(rows),
            null_share,
            distinct,
            ..ColumnFacts::default()
        };
        let both = combined(vec![part(100.0, 0.5, -1.0), part(300.0, 0.1, 20.0)]);
        let both = both.map(|facts| (facts.rows, (facts.null_share * 1000.0).round(), facts.distinct));
        assert_eq!(both, Some((Some(400.0), 200.0, 100.0)));
        let all = ColumnFacts { is_of_all: true, ..part(400.0, 0.2, 30.0) };
        assert_eq!(combined(vec![part(100.0, 0.5, -1.0), all.clone()]), Some(all));
        assert_eq!(combined(vec![ColumnFacts::default(), ColumnFacts::default()]), None);
    }
}
