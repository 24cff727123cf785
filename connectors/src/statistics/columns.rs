//! Statistics of the columns of a sample: the number and the width of the values, and the most frequent values.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::{Accumulator, AggregateUDF, EmitTo};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use portolan_catalog::StatisticValue;

use super::distinct::DistinctCounts;
use super::sample::Sample;
use super::value::statistic_value;
use super::width::bytes_of;

/// The number of the most frequent values that are kept.
const FREQUENT: usize = 20;
/// Columns with more values keep only values with at least [`FREQUENT_SHARE`] of the rows.
const FEW: u64 = 100;
const FREQUENT_SHARE: f64 = 0.005;
/// If the values of a column occur less often than this on average, no frequent values are kept.
const REPEATS: u64 = 4;

/// The statistics of one column of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sampled {
    pub(super) distinct: DistinctCounts,
    pub(super) rows: u64,
    pub(super) nulls: u64,
    /// The size of the values that are not NULL, in bytes.
    pub(super) bytes: Option<u64>,
    pub(super) frequent: Vec<(StatisticValue, f64)>,
    pub(super) min: Option<StatisticValue>,
    pub(super) max: Option<StatisticValue>,
}

impl Sampled {
    /// Computes the statistics of the column at `position` of the sample.
    ///
    /// Distinct values are counted exactly. A sketch such as HyperLogLog would save memory, but the sample's bounds
    /// already limit it. The sketch's error of 1 % would grow with extrapolation: a key of which it counts 99 of 100
    /// values looks like a foreign key with a tenth of the values.
    ///
    /// # Errors
    /// DataFusion cannot count values of this type.
    pub(super) fn new(sample: &Sample, position: usize, field: &FieldRef) -> Result<Self> {
        let (first, second) = halves(sample, position);
        let mut counts = Counts::new(field)?;
        counts.add(&first)?;
        let half = counts.values_and_distinct();
        counts.add(&second)?;
        let whole = counts.values_and_distinct();
        let arrays: Vec<ArrayRef> = first.into_iter().chain(second).collect();
        let (min, max) = if sample.complete { range(&arrays, field)? } else { (None, None) };
        Ok(Self {
            distinct: DistinctCounts { half, whole },
            rows: counts.rows,
            nulls: counts.nulls,
            bytes: arrays.iter().map(|a| bytes_of(a)).sum(),
            frequent: if whole.1 > 0 && whole.1 * REPEATS <= whole.0 { counts.frequent()? } else { vec![] },
            min,
            max,
        })
    }
}

/// The number of rows of each value of a column.
struct Counts {
    groups: Box<dyn GroupValues>,
    /// The rows of each group. One group may be that of NULL.
    rows_of: Vec<u64>,
    rows: u64,
    nulls: u64,
}

impl Counts {
    fn new(field: &FieldRef) -> Result<Self> {
        let groups = new_group_values(schema_of(field), &GroupOrdering::None)?;
        Ok(Self { groups, rows_of: vec![], rows: 0, nulls: 0 })
    }

    fn add(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let mut groups = vec![];
        for array in arrays {
            self.groups.intern(std::slice::from_ref(array), &mut groups)?;
            self.rows_of.resize(self.groups.len(), 0);
            for group in &groups {
                self.rows_of[*group] += 1;
            }
            self.rows += array.len() as u64;
            self.nulls += array.logical_null_count() as u64;
        }
        Ok(())
    }

    /// Returns the number of values and the number of distinct values, without NULL.
    fn values_and_distinct(&self) -> (u64, u64) {
        (self.rows - self.nulls, self.rows_of.len() as u64 - u64::from(self.nulls > 0))
    }

    /// Returns the most frequent values, each with its share of the rows.
    fn frequent(mut self) -> Result<Vec<(StatisticValue, f64)>> {
        let is_few = self.rows_of.len() as u64 <= FEW;
        let Some(values) = self.groups.emit(EmitTo::All)?.pop() else { return Ok(vec![]) };
        let mut order: Vec<usize> = (0..values.len().min(self.rows_of.len())).collect();
        order.sort_by_key(|group| Reverse(self.rows_of[*group]));
        let mut frequent = vec![];
        for group in order.into_iter().filter(|group| !values.is_null(*group)).take(FREQUENT) {
            let share = self.rows_of[group] as f64 / self.rows as f64;
            if !is_few && share < FREQUENT_SHARE {
                break;
            }
            if let Some(value) = statistic_value(&ScalarValue::try_from_array(&values, group)?) {
                frequent.push((value, share));
            }
        }
        Ok(frequent)
    }
}

/// Returns the column's values in the first half of each run, and in the second half.
fn halves(sample: &Sample, position: usize) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
    let (mut first, mut second) = (vec![], vec![]);
    for run in &sample.runs {
        let rows: usize = run.iter().map(|b| b.num_rows()).sum();
        let mut left = rows / 2;
        for batch in run {
            let array = batch.column(position);
            let split = left.min(array.len());
            left -= split;
            if split > 0 {
                first.push(array.slice(0, split));
            }
            if split < array.len() {
                second.push(array.slice(split, array.len() - split));
            }
        }
    }
    (first, second)
}

/// Returns the smallest and the largest value.
fn range(arrays: &[ArrayRef], field: &FieldRef) -> Result<(Option<StatisticValue>, Option<StatisticValue>)> {
    let (mut min, mut max) = (accumulator(min_udaf(), field)?, accumulator(max_udaf(), field)?);
    for array in arrays {
        min.update_batch(std::slice::from_ref(array))?;
        max.update_batch(std::slice::from_ref(array))?;
    }
    Ok((statistic_value(&min.evaluate()?), statistic_value(&max.evaluate()?)))
}

fn accumulator(function: Arc<AggregateUDF>, field: &FieldRef) -> Result<Box<dyn Accumulator>> {
    let column = Arc::new(Column::new(field.name(), 0));
    let aggregate = AggregateExprBuilder::new(function, vec![column]).schema(schema_of(field)).alias(field.name());
    aggregate.build()?.create_accumulator()
}

fn schema_of(field: &FieldRef) -> SchemaRef {
    Arc::new(Schema::new(vec![field.clone()]))
}
