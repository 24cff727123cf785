//! What the values of a sample tell: how many there are, how wide they are, which occur most often.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::{Accumulator, AggregateUDF, EmitTo};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use portolan_catalog::StatisticValue;

use super::distinct::Seen;
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
    pub(super) seen: Seen,
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
    /// # Errors
    /// Types that DataFusion does not count.
    pub(super) fn new(sample: &Sample, position: usize, field: &FieldRef) -> Result<Self> {
        let (first, second) = halves(sample, position);
        let (mut half, mut whole) = ((0, 0), (0, 0));
        // HyperLogLog: right to about 1 %, in 16 KiB a column however large the sample is.
        let mut distinct = accumulator(approx_distinct_udaf(), field)?;
        for (arrays, seen) in [(&first, &mut half), (&second, &mut whole)] {
            for array in arrays {
                distinct.update_batch(std::slice::from_ref(array))?;
            }
            *seen = (values(arrays), counted(distinct.evaluate()?)?);
        }
        whole.0 += half.0;
        // The sketch may see more values than there are.
        half.1 = half.1.min(half.0);
        whole.1 = whole.1.min(whole.0);
        let arrays: Vec<ArrayRef> = first.into_iter().chain(second).collect();
        let rows: usize = arrays.iter().map(Array::len).sum();
        let mut sampled = Self {
            seen: Seen { half, whole },
            rows: rows as u64,
            nulls: rows as u64 - whole.0,
            bytes: arrays.iter().map(|a| bytes_of(a)).sum(),
            frequent: vec![],
            min: None,
            max: None,
        };
        if whole.1 * REPEATS <= whole.0 {
            sampled.frequent = frequent(&arrays, field, rows)?;
        }
        if sample.complete {
            (sampled.min, sampled.max) = range(&arrays, field)?;
        }
        Ok(sampled)
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

fn values(arrays: &[ArrayRef]) -> u64 {
    arrays.iter().map(|a| (a.len() - a.logical_null_count()) as u64).sum()
}

fn counted(value: ScalarValue) -> Result<u64> {
    match value {
        ScalarValue::UInt64(count) => Ok(count.unwrap_or_default()),
        other => internal_err!("approx_distinct gave {other:?}"),
    }
}

/// The values that occur most often, with their share of `rows`.
fn frequent(arrays: &[ArrayRef], field: &FieldRef, rows: usize) -> Result<Vec<(StatisticValue, f64)>> {
    let mut groups = new_group_values(schema_of(field), &GroupOrdering::None)?;
    let (mut counts, mut indices): (Vec<u64>, Vec<usize>) = (vec![], vec![]);
    for array in arrays {
        groups.intern(std::slice::from_ref(array), &mut indices)?;
        counts.resize(groups.len(), 0);
        for i in &indices {
            counts[*i] += 1;
        }
    }
    let is_few = counts.len() as u64 <= FEW;
    let Some(values) = groups.emit(EmitTo::All)?.pop() else { return Ok(vec![]) };
    let mut order: Vec<usize> = (0..values.len().min(counts.len())).filter(|i| !values.is_null(*i)).collect();
    order.sort_by_key(|i| Reverse(counts[*i]));
    let mut frequent = vec![];
    for i in order.into_iter().take(FREQUENT) {
        let share = counts[i] as f64 / rows as f64;
        if !is_few && share < FREQUENT_SHARE {
            break;
        }
        if let Some(value) = statistic_value(&ScalarValue::try_from_array(&values, i)?) {
            frequent.push((value, share));
        }
    }
    Ok(frequent)
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
