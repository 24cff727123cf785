//! What the values of a sample tell: how many there are, how wide they are, which occur most often.

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

/// How many of the most frequent values are kept.
const FREQUENT: usize = 20;
/// Columns of more values keep those only that hold at least [`FREQUENT_SHARE`] of the rows.
const FEW: u64 = 100;
const FREQUENT_SHARE: f64 = 0.005;
/// Columns whose values occur less often than this on average have none that is worth counting.
const REPEATS: u64 = 4;

/// What a sample tells of one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sampled {
    pub(super) distinct: DistinctCounts,
    pub(super) rows: u64,
    pub(super) nulls: u64,
    /// Bytes of the values that are not NULL.
    pub(super) bytes: Option<u64>,
    pub(super) frequent: Vec<(StatisticValue, f64)>,
    pub(super) min: Option<StatisticValue>,
    pub(super) max: Option<StatisticValue>,
}

impl Sampled {
    /// Looks at the column at `position` of the sample.
    ///
    /// Values are counted one by one. A sketch such as HyperLogLog would save memory that the sample's bounds limit
    /// already, and its error of 1 % is not one of 1 % after extrapolation: a key of which it sees 99 of 100 values
    /// looks like a foreign key with a tenth of them.
    ///
    /// # Errors
    /// Types that DataFusion does not count.
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

/// How often each value of a column occurs.
struct Counts {
    groups: Box<dyn GroupValues>,
    /// By group; one of them may be that of NULL.
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

    /// How many values there are, and how many of them differ, NULL aside.
    fn values_and_distinct(&self) -> (u64, u64) {
        (self.rows - self.nulls, self.rows_of.len() as u64 - u64::from(self.nulls > 0))
    }

    /// The values that occur most often, with their share of the rows.
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

/// The column's values in the first half of each run, and in the second.
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

/// The least and the greatest value.
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
