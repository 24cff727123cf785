//! The sum of one group, or of a sliding window.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::datatypes::ArrowPrimitiveType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::{SumTypes, Wide, narrow};

/// The sum of values of `I`, added up in `W`.
#[derive(Debug)]
pub(super) struct Total<I, W: ArrowPrimitiveType> {
    total: W::Native,
    /// The number of values: a sum of none is NULL.
    count: usize,
    overflowed: bool,
    types: SumTypes,
    input: PhantomData<fn() -> I>,
}

impl<I, W: ArrowPrimitiveType> Total<I, W>
where
    W::Native: Wide,
{
    pub(super) fn new(types: SumTypes) -> Self {
        Self { total: W::default_value(), count: 0, overflowed: false, types, input: PhantomData }
    }

    fn add<T>(&mut self, values: &ArrayRef)
    where
        T: ArrowPrimitiveType,
        T::Native: Into<W::Native>,
    {
        let values = values.as_primitive::<T>();
        let (total, overflowed) = (&mut self.total, &mut self.overflowed);
        match values.null_count() {
            0 => values.values().iter().for_each(|&value| total.accumulate(value.into(), overflowed)),
            _ => values.iter().flatten().for_each(|value| total.accumulate(value.into(), overflowed)),
        }
        self.count += values.len() - values.null_count();
    }

    fn total(&self) -> Result<PrimitiveArray<W>> {
        if self.overflowed {
            return Err(self.types.overflow());
        }
        let total = PrimitiveArray::<W>::from_iter([(self.count > 0).then_some(self.total)]);
        Ok(total.with_data_type(self.types.wide.clone()))
    }
}

impl<I, W> Accumulator for Total<I, W>
where
    I: ArrowPrimitiveType + Debug,
    W: ArrowPrimitiveType + Debug,
    I::Native: Into<W::Native>,
    W::Native: Wide,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.iter().for_each(|values| self.add::<I>(values));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.iter().for_each(|totals| self.add::<W>(totals));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for values in values {
            let values = values.as_primitive::<I>();
            for value in values.iter().flatten() {
                match self.total.sub_checked(value.into()) {
                    Ok(total) => self.total = total,
                    Err(_) => self.overflowed = true,
                }
            }
            self.count -= values.len() - values.null_count();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&narrow(&self.total()?, &self.types.result)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total: ArrayRef = Arc::new(self.total()?);
        Ok(vec![ScalarValue::try_from_array(&total, 0)?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
