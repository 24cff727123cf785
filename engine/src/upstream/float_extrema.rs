//! `min` and `max` of floats by group, in the order in which all other operators compare floats.
//!
//! The grouped accumulators of DataFusion 55.2 compare floats partially and start with the largest finite number
//! ([#24432](https://github.com/apache/datafusion/issues/24432),
//! [#13415](https://github.com/apache/datafusion/issues/13415)). So `max` of NaN and 1 is 1 or NaN, depending on the
//! order of the rows. `max` of -Infinity alone is -1.7976931348623157e308. Without groups, NaN is the largest value.
//! The accumulators of this module compare integers in the order of the floats: -Infinity < … < -0.0 < 0.0 < … < NaN.
//!
//! DataFusion also takes a running `max` for a column in the order `NULLS LAST`, although NULLs come first in it. So
//! `ORDER BY` of such a column does not sort. Here the functions claim no order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};

/// Returns `min` and `max`, which replace DataFusion's.
pub(super) fn functions() -> [Arc<AggregateUDF>; 2] {
    [min_udaf(), max_udaf()].map(|function| Arc::new(AggregateUDF::new_from_impl(Extremum(function))))
}

/// DataFusion's function, with our own grouped accumulator for floats.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extremum(Arc<AggregateUDF>);

impl AggregateUDFImpl for Extremum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.0.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.0.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let floats = args.return_field.data_type().clone();
        let Some(integers) = integers_of(&floats) else { return self.0.create_groups_accumulator(args) };
        let return_field = Arc::new(Field::new(args.return_field.name(), integers, true));
        let inner = self.0.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(InTotalOrder { inner, floats }))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn is_descending(&self) -> Option<bool> {
        self.0.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.0.value_from_stats(args)
    }

    /// A running value is NULL before the first value, and larger or smaller afterwards. No order of DataFusion's is that.
    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

/// Compares floats as integers.
struct InTotalOrder {
    inner: Box<dyn GroupsAccumulator>,
    floats: DataType,
}

impl InTotalOrder {
    fn floats(&self, integers: Vec<ArrayRef>) -> Vec<ArrayRef> {
        integers.iter().map(|array| swapped(array, &self.floats)).collect()
    }
}

impl GroupsAccumulator for InTotalOrder {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(&integers(values), groups, filter, total)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(&integers(values), groups, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(swapped(&self.inner.evaluate(emit_to)?, &self.floats))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let state = self.inner.state(emit_to)?;
        Ok(self.floats(state))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(self.floats(self.inner.convert_to_state(&integers(values), filter)?))
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

fn integers_of(floats: &DataType) -> Option<DataType> {
    match floats {
        DataType::Float16 => Some(DataType::Int16),
        DataType::Float32 => Some(DataType::Int32),
        DataType::Float64 => Some(DataType::Int64),
        _ => None,
    }
}

fn integers(floats: &[ArrayRef]) -> Vec<ArrayRef> {
    let of = |array: &ArrayRef| integers_of(array.data_type()).map_or_else(|| array.clone(), |to| swapped(array, &to));
    floats.iter().map(of).collect()
}

/// Arrow's floats of 16 bits.
pub(super) type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// Converts floats to integers in the same order, or such integers back to floats: inverts all bits of a negative
/// number but the sign.
fn swapped(array: &ArrayRef, to: &DataType) -> ArrayRef {
    let of_16 = |bits: i16| bits ^ (((bits >> 15) as u16) >> 1) as i16;
    let of_32 = |bits: i32| bits ^ (((bits >> 31) as u32) >> 1) as i32;
    let of_64 = |bits: i64| bits ^ (((bits >> 63) as u64) >> 1) as i64;
    match (array.data_type(), to) {
        (DataType::Float16, _) => {
            Arc::new(array.as_primitive::<Float16Type>().unary::<_, Int16Type>(|v| of_16(v.to_bits() as i16)))
        }
        (DataType::Float32, _) => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Int32Type>(|v| of_32(v.to_bits() as i32)))
        }
        (DataType::Float64, _) => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int64Type>(|v| of_64(v.to_bits() as i64)))
        }
        (DataType::Int16, DataType::Float16) => {
            Arc::new(array.as_primitive::<Int16Type>().unary::<_, Float16Type>(|v| F16::from_bits(of_16(v) as u16)))
        }
        (DataType::Int32, DataType::Float32) => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Float32Type>(|v| f32::from_bits(of_32(v) as u32)))
        }
        (DataType::Int64, DataType::Float64) => {
            Arc::new(array.as_primitive::<Int64Type>().unary::<_, Float64Type>(|v| f64::from_bits(of_64(v) as u64)))
        }
        _ => array.clone(),
    }
}
