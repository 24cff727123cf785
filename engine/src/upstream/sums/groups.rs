//! The sums of many groups.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::ArrowPrimitiveType;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::NullState;

use super::{SumTypes, Wide, narrow};

/// Sums of values of `I`, added up in `W`.
#[derive(Debug)]
pub(super) struct Groups<I, W: ArrowPrimitiveType> {
    totals: Vec<W::Native>,
    /// The groups that had a value.
    seen: NullState,
    overflowed: bool,
    types: SumTypes,
    input: PhantomData<fn() -> I>,
}

impl<I, W: ArrowPrimitiveType> Groups<I, W> {
    pub(super) fn new(types: SumTypes) -> Self {
        Self { totals: vec![], seen: NullState::new(), overflowed: false, types, input: PhantomData }
    }

    fn add<T>(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, count: usize)
    where
        T: ArrowPrimitiveType + Send,
        T::Native: Into<W::Native>,
        W::Native: Wide,
    {
        self.totals.resize(count, W::default_value());
        let (totals, overflowed) = (self.totals.as_mut_slice(), &mut self.overflowed);
        self.seen.accumulate(groups, values.as_primitive::<T>(), filter, count, |group, value| {
            totals[group].accumulate(value.into(), overflowed);
        });
    }

    fn totals(&mut self, emit_to: EmitTo) -> Result<PrimitiveArray<W>> {
        if self.overflowed {
            return Err(self.types.overflow());
        }
        let totals = emit_to.take_needed(&mut self.totals);
        let nulls = self.seen.build(emit_to);
        Ok(PrimitiveArray::<W>::new(totals.into(), nulls).with_data_type(self.types.wide.clone()))
    }
}

impl<I, W> GroupsAccumulator for Groups<I, W>
where
    I: ArrowPrimitiveType + Send,
    W: ArrowPrimitiveType + Send,
    I::Native: Into<W::Native>,
    W::Native: Wide,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        values.iter().for_each(|values| self.add::<I>(values, groups, filter, count));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        states.iter().for_each(|totals| self.add::<W>(totals, groups, None, count));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrow(&self.totals(emit_to)?, &self.types.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.totals(emit_to)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let excluded = filter.map(|filter| match filter.null_count() {
            0 => NullBuffer::new(filter.values().clone()),
            _ => NullBuffer::new(prep_null_mask_filter(filter).values().clone()),
        });
        let state = |values: &ArrayRef| {
            let values = values.as_primitive::<I>();
            let nulls = NullBuffer::union(values.nulls(), excluded.as_ref());
            let totals = values.values().iter().map(|&value| value.into()).collect::<Vec<W::Native>>();
            let totals = PrimitiveArray::<W>::new(totals.into(), nulls);
            Arc::new(totals.with_data_type(self.types.wide.clone())) as ArrayRef
        };
        Ok(values.iter().map(state).collect())
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<W::Native>() + self.seen.size()
    }
}
