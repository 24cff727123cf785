//! `sum(DISTINCT …)`.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

use super::{SumTypes, adding, narrow, wide_type};

/// Returns an accumulator that gets distinct values from DataFusion's, and adds them up exactly.
pub(super) fn of(values: Box<dyn Accumulator>, result: DataType) -> Box<dyn Accumulator> {
    Box::new(Distinct { values, result })
}

#[derive(Debug)]
struct Distinct {
    /// The state is a list of the values, in the result's type.
    values: Box<dyn Accumulator>,
    result: DataType,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.values.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.values.state()?;
        let total = wide_type(&self.result)
            .and_then(|wide| adding(&self.result, SumTypes { wide, result: self.result.clone() }));
        let ([ScalarValue::List(list)], Some(mut total)) = (state.as_slice(), total) else {
            return exec_err!("expected a list of distinct values to add up, got {state:?}");
        };
        total.update_batch(&[list.value(0)])?;
        total.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.values.state()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }
}

/// The sum of the distinct values of a sliding window.
#[derive(Debug, Default)]
pub(super) struct Sliding {
    /// The number of occurrences of each value in the window.
    counts: HashMap<i64, usize>,
    total: i128,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values.iter().flat_map(|values| values.as_primitive::<Int64Type>()).flatten() {
            let count = self.counts.entry(value).or_insert(0);
            if *count == 0 {
                self.total += i128::from(value);
            }
            *count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values.iter().flat_map(|values| values.as_primitive::<Int64Type>()).flatten() {
            match self.counts.get_mut(&value) {
                Some(1) => {
                    self.counts.remove(&value);
                    self.total -= i128::from(value);
                }
                Some(count) => *count -= 1,
                None => return exec_err!("expected a value of the window, got {value}"),
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        exec_err!("expected rows of a window, got states")
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = (!self.counts.is_empty()).then_some(self.total);
        let total = ScalarValue::Decimal128(total, DECIMAL128_MAX_PRECISION, 0);
        ScalarValue::try_from_array(&narrow(&total.to_array()?, &DataType::Int64)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        exec_err!("expected rows of a window, got a request for its state")
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i64, usize)>()
    }
}
