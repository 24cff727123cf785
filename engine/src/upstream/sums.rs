//! `sum` is exact or fails. DataFusion 55.2 wraps around.
//!
//! DataFusion adds up integers, durations and decimals in their own type with wrapping arithmetic.
//! `SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)` returns -9223372036854775808, and 107,000 days of
//! nanoseconds wrap a sum of durations. The function of this module adds up values of at most 64 bits in 128 bits, and
//! decimals with a check. It fails only if the total does not fit the result's type. So neither the order of rows nor
//! their partitions decide whether a query fails. Partial states have the wide type as well: states stay within one
//! process. Floats use DataFusion's function. <https://github.com/apache/datafusion/issues/17539>
//!
//! If the planner splits a sum of BIGINT over owners, its parts are wide as well: `sum_wide` computes an owner's part,
//! and `sum_narrow` adds up parts. Only the total must fit.
//!
//! `sum(x + 1)` is rewritten to `sum(x) + 1 * count(x)` for floats only: either may overflow if the other does not.

mod averages;
mod distinct;
mod groups;
mod intervals;
mod total;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field, FieldRef, Int64Type, TimeUnit, UInt64Type, i256,
};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, Volatility,
};

use super::overflow::checked::name_of;

/// Builds an accumulator for a type of values and the type of their sum; `None` for types that do not overflow.
macro_rules! for_type {
    ($input:expr, $accumulator:ident :: new($types:expr)) => {{
        macro_rules! build {
            ($values:ty, $wide:ty) => {
                Some(Box::new($accumulator::<$values, $wide>::new($types)) as Box<_>)
            };
        }
        match $input {
            DataType::Int64 => build!(Int64Type, Decimal128Type),
            DataType::UInt64 => build!(UInt64Type, Decimal128Type),
            DataType::Duration(TimeUnit::Second) => build!(DurationSecondType, Decimal128Type),
            DataType::Duration(TimeUnit::Millisecond) => build!(DurationMillisecondType, Decimal128Type),
            DataType::Duration(TimeUnit::Microsecond) => build!(DurationMicrosecondType, Decimal128Type),
            DataType::Duration(TimeUnit::Nanosecond) => build!(DurationNanosecondType, Decimal128Type),
            DataType::Decimal32(..) => build!(Decimal32Type, Decimal128Type),
            DataType::Decimal64(..) => build!(Decimal64Type, Decimal128Type),
            DataType::Decimal128(..) => build!(Decimal128Type, Decimal128Type),
            DataType::Decimal256(..) => build!(Decimal256Type, Decimal256Type),
            _ => None,
        }
    }};
}

static SUMS: LazyLock<[Arc<AggregateUDF>; 3]> = LazyLock::new(|| {
    [Extent::Whole, Extent::Part, Extent::OfParts].map(|e| Arc::new(AggregateUDF::new_from_impl(ExactSum::new(e))))
});

/// Returns `sum`, as every node knows it.
pub(crate) fn sum_udaf() -> Arc<AggregateUDF> {
    SUMS[0].clone()
}

/// Returns the functions that add up BIGINT in parts: first the function of a part, then the one that adds up parts.
pub(crate) fn in_parts() -> (Arc<AggregateUDF>, Arc<AggregateUDF>) {
    (SUMS[1].clone(), SUMS[2].clone())
}

/// Returns the functions that every node has.
pub(super) fn functions() -> impl Iterator<Item = Arc<AggregateUDF>> {
    SUMS.iter().cloned().chain([averages::function()])
}

/// The kind of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extent {
    Whole,
    Part,
    OfParts,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    extent: Extent,
    signature: Signature,
    plain: Sum,
}

impl ExactSum {
    fn new(extent: Extent) -> Self {
        let plain = Sum::new();
        let signature = match extent {
            Extent::Whole => plain.signature().clone(),
            Extent::Part => Signature::exact(vec![DataType::Int64], Volatility::Immutable),
            Extent::OfParts => Signature::exact(vec![WIDE_INTEGER], Volatility::Immutable),
        };
        Self { extent, signature, plain }
    }

    fn types(&self, input: &DataType) -> Result<Option<SumTypes>> {
        let Some(wide) = wide_type(input) else { return Ok(None) };
        Ok(Some(SumTypes { wide, result: self.return_type(std::slice::from_ref(input))? }))
    }

    /// Returns an accumulator of values of a type; `None` for types that do not overflow.
    fn exact(&self, input: &DataType) -> Result<Option<Box<dyn Accumulator>>> {
        Ok(match (input, self.types(input)?) {
            (DataType::Interval(_), _) => Some(intervals::of(input)?),
            (_, Some(types)) => adding(input, types),
            _ => None,
        })
    }
}

/// Returns an accumulator of values of a type whose sums have other types.
fn adding(input: &DataType, types: SumTypes) -> Option<Box<dyn Accumulator>> {
    use total::Total;
    for_type!(input, Total::new(types))
}

/// Returns an accumulator as [`adding`] does, for many groups.
fn adding_groups(input: &DataType, types: SumTypes) -> Option<Box<dyn GroupsAccumulator>> {
    use groups::Groups;
    for_type!(input, Groups::new(types))
}

/// The type in which integers are added up.
const WIDE_INTEGER: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        match self.extent {
            Extent::Whole => self.plain.name(),
            Extent::Part => "sum_wide",
            Extent::OfParts => "sum_narrow",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.extent {
            Extent::Whole => self.plain.return_type(types),
            Extent::Part => Ok(WIDE_INTEGER),
            Extent::OfParts => Ok(DataType::Int64),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let input = input_type(&args);
        if args.is_distinct {
            let result = args.return_field.data_type().clone();
            let values = self.plain.accumulator(args)?;
            return Ok(if wide_type(&result).is_some() { distinct::of(values, result) } else { values });
        }
        match self.exact(input)? {
            Some(exact) => Ok(exact),
            None => self.plain.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match args.input_fields.first().and_then(|f| wide_type(f.data_type())) {
            Some(wide) if !args.is_distinct => {
                Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), wide, true))])
            }
            _ => self.plain.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && !matches!(input_type(&args), DataType::Interval(_))
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let input = input_type(&args);
        match self.types(input)?.and_then(|types| adding_groups(input, types)) {
            Some(exact) => Ok(exact),
            None => self.plain.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match (args.is_distinct, input_type(&args)) {
            (true, DataType::Int64) => Ok(Box::new(distinct::Sliding::default())),
            (true, _) => self.plain.create_sliding_accumulator(args),
            // The accumulator also subtracts the values that leave the window.
            (false, input) => match self.exact(input)? {
                Some(exact) => Ok(exact),
                None => self.plain.create_sliding_accumulator(args),
            },
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.plain.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.plain.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.plain.documentation()
    }

    /// A running sum is NULL before the first value. No order of DataFusion's is that.
    fn set_monotonicity(&self, _: &DataType) -> SetMonotonicity {
        SetMonotonicity::NotMonotonic
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        argument: &Expr,
        operator: Operator,
        literal: &Expr,
        argument_is_left: bool,
    ) -> Result<Option<Expr>> {
        match literal {
            Expr::Literal(value, _) if value.data_type().is_floating() => {
                self.plain.simplify_expr_op_literal(function, argument, operator, literal, argument_is_left)
            }
            _ => Ok(None),
        }
    }

    fn value_from_stats(&self, _args: &StatisticsArgs) -> Option<ScalarValue> {
        // Statistics may also be the result of wrapping arithmetic.
        None
    }
}

fn input_type<'a>(args: &AccumulatorArgs<'a>) -> &'a DataType {
    args.expr_fields.first().map_or(&DataType::Null, |f| f.data_type())
}

/// Returns the type in which values of a type are added up; `None` for types that do not overflow.
fn wide_type(input: &DataType) -> Option<DataType> {
    match input {
        DataType::Int64 | DataType::UInt64 | DataType::Duration(_) => Some(WIDE_INTEGER),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        DataType::Decimal256(_, scale) => Some(DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale)),
        _ => None,
    }
}

/// The types of a sum, for one type of values.
#[derive(Debug)]
struct SumTypes {
    wide: DataType,
    result: DataType,
}

impl SumTypes {
    fn overflow(&self) -> DataFusionError {
        overflow(&self.result)
    }
}

/// A number type in which values are added up.
trait Wide: ArrowNativeTypeOp {
    /// Adds a value. Sets `overflowed` if even the wide type does not hold the total.
    fn accumulate(&mut self, value: Self, overflowed: &mut bool);
}

impl Wide for i128 {
    #[inline]
    fn accumulate(&mut self, value: Self, overflowed: &mut bool) {
        // Without a branch: this is the inner loop of decimal sums.
        let (total, wrapped) = self.overflowing_add(value);
        *self = total;
        *overflowed |= wrapped;
    }
}

impl Wide for i256 {
    #[inline]
    fn accumulate(&mut self, value: Self, overflowed: &mut bool) {
        match self.checked_add(value) {
            Some(total) => *self = total,
            None => *overflowed = true,
        }
    }
}

/// Converts totals to the result's type.
///
/// # Errors
/// A total that does not fit.
fn narrow(totals: &dyn Array, result: &DataType) -> Result<ArrayRef> {
    let failed = |_: ArrowError| overflow(result);
    Ok(match result {
        DataType::Decimal128(precision, scale) => {
            let totals =
                totals.as_primitive::<Decimal128Type>().clone().with_precision_and_scale(*precision, *scale)?;
            totals.validate_decimal_precision(*precision).map_err(failed)?;
            Arc::new(totals)
        }
        DataType::Decimal256(precision, scale) => {
            let totals =
                totals.as_primitive::<Decimal256Type>().clone().with_precision_and_scale(*precision, *scale)?;
            totals.validate_decimal_precision(*precision).map_err(failed)?;
            Arc::new(totals)
        }
        DataType::Decimal32(precision, scale) => {
            let totals = fitted::<Decimal32Type>(totals, result)?.with_precision_and_scale(*precision, *scale)?;
            totals.validate_decimal_precision(*precision).map_err(failed)?;
            Arc::new(totals)
        }
        DataType::Decimal64(precision, scale) => {
            let totals = fitted::<Decimal64Type>(totals, result)?.with_precision_and_scale(*precision, *scale)?;
            totals.validate_decimal_precision(*precision).map_err(failed)?;
            Arc::new(totals)
        }
        DataType::UInt64 => Arc::new(fitted::<UInt64Type>(totals, result)?),
        DataType::Int64 => Arc::new(fitted::<Int64Type>(totals, result)?),
        // Durations have 64 bits as well.
        other => cast(&fitted::<Int64Type>(totals, result)?, other)?,
    })
}

/// Converts totals of 128 bits to a smaller type.
fn fitted<T>(totals: &dyn Array, result: &DataType) -> Result<PrimitiveArray<T>>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let fit = |total| T::Native::try_from(total).map_err(|_| overflow(result));
    totals.as_primitive::<Decimal128Type>().try_unary(fit)
}

fn overflow(result: &DataType) -> DataFusionError {
    DataFusionError::Execution(match result {
        DataType::Duration(_) | DataType::Interval(_) => format!(
            "overflow: a `sum` does not fit {result}; add up a smaller unit of time, as a number of DECIMAL(38, 0) or DOUBLE"
        ),
        other if other.is_integer() => format!(
            "integer overflow: a `sum` does not fit {}; CAST its argument to DECIMAL(38, 0) or DOUBLE",
            name_of(other)
        ),
        other => {
            format!("decimal overflow: a `sum` does not fit {other}; CAST its argument to a smaller scale or DOUBLE")
        }
    })
}

#[cfg(test)]
mod tests;
