//! `avg` of durations. DataFusion 55.2 adds them up in 64 bits with wrapping arithmetic: 107,000 spans of a day, in
//! nanoseconds, have a negative average. The function of this module divides a sum of 128 bits by a count. Other types
//! use DataFusion's function, which adds up decimals in a wider type. See
//! <https://github.com/apache/datafusion/issues/24894>.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::{SumTypes, WIDE_INTEGER, adding, adding_groups, input_type};

static AVG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(AggregateUDF::new_from_impl(ExactAvg(Avg::new()))));

/// Returns the function that every node has.
pub(super) fn function() -> Arc<AggregateUDF> {
    AVG.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactAvg(Avg);

impl AggregateUDFImpl for ExactAvg {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let input = input_type(&args);
        match adding(input, sums()) {
            Some(sum) if is_duration(input) && !args.is_distinct => {
                let result = input.clone();
                Ok(Box::new(Average { sum, count: count_udaf().accumulator(args)?, result }))
            }
            _ => self.0.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct || !args.input_fields.iter().any(|f| is_duration(f.data_type())) {
            return self.0.state_fields(args);
        }
        let field = |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![field("sum", WIDE_INTEGER), field("count", DataType::Int64)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let input = input_type(&args);
        match adding_groups(input, sums()) {
            Some(sums) if is_duration(input) => {
                let result = input.clone();
                Ok(Box::new(Averages { sums, counts: count_udaf().create_groups_accumulator(args)?, result }))
            }
            _ => self.0.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_expr()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

fn is_duration(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(_))
}

/// Totals that are divided before they must fit.
fn sums() -> SumTypes {
    SumTypes { wide: WIDE_INTEGER, result: WIDE_INTEGER }
}

/// Returns quotients in the result's type, rounded towards zero as by DataFusion. NULL if there was no value.
fn quotients(sums: &dyn Array, counts: &dyn Array, result: &DataType) -> Result<ArrayRef> {
    let sums = sums.as_primitive::<Decimal128Type>().iter();
    let quotients = sums.zip(counts.as_primitive::<Int64Type>()).map(|(sum, count)| {
        let quotient = sum?.checked_div(i128::from(count?))?;
        i64::try_from(quotient).ok()
    });
    Ok(cast(&quotients.collect::<Int64Array>(), result)?)
}

#[derive(Debug)]
struct Average {
    sum: Box<dyn Accumulator>,
    count: Box<dyn Accumulator>,
    result: DataType,
}

impl Accumulator for Average {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sum.update_batch(values)?;
        self.count.update_batch(values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sum.retract_batch(values)?;
        self.count.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else { return exec_err!("expected sums and counts, got {} states", states.len()) };
        self.sum.merge_batch(std::slice::from_ref(sums))?;
        self.count.merge_batch(std::slice::from_ref(counts))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sum, count) = (self.sum.evaluate()?.to_array()?, self.count.evaluate()?.to_array()?);
        ScalarValue::try_from_array(&quotients(&sum, &count, &self.result)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok([self.sum.state()?, self.count.state()?].concat())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.size() + self.count.size()
    }
}

struct Averages {
    sums: Box<dyn GroupsAccumulator>,
    counts: Box<dyn GroupsAccumulator>,
    result: DataType,
}

impl GroupsAccumulator for Averages {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.sums.update_batch(values, groups, filter, count)?;
        self.counts.update_batch(values, groups, filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let [sums, counts] = states else { return exec_err!("expected sums and counts, got {} states", states.len()) };
        self.sums.merge_batch(std::slice::from_ref(sums), groups, count)?;
        self.counts.merge_batch(std::slice::from_ref(counts), groups, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        quotients(&self.sums.evaluate(emit_to)?, &self.counts.evaluate(emit_to)?, &self.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok([self.sums.state(emit_to)?, self.counts.state(emit_to)?].concat())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok([self.sums.convert_to_state(values, filter)?, self.counts.convert_to_state(values, filter)?].concat())
    }

    fn size(&self) -> usize {
        self.sums.size() + self.counts.size()
    }
}
