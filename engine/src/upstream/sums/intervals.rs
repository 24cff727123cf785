//! Sums of intervals, which DataFusion 55.2 adds up with wrapping arithmetic.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::overflow;

/// Returns an accumulator of intervals of one kind.
pub(super) fn of(input: &DataType) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Intervals { total: ScalarValue::new_zero(input)?, count: 0 }))
}

#[derive(Debug)]
struct Intervals {
    total: ScalarValue,
    count: usize,
}

impl Intervals {
    fn each(
        &mut self,
        columns: &[ArrayRef],
        operation: impl Fn(&ScalarValue, ScalarValue) -> Result<ScalarValue>,
    ) -> Result<usize> {
        let mut count = 0;
        for values in columns {
            for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
                let value = ScalarValue::try_from_array(values, row)?;
                self.total = operation(&self.total, value).map_err(|_| overflow(&self.total.data_type()))?;
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Accumulator for Intervals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += self.each(values, |total, value| total.add_checked(value))?;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= self.each(values, |total, value| total.sub_checked(value))?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.count {
            0 => ScalarValue::try_new_null(&self.total.data_type()),
            _ => Ok(self.total.clone()),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
