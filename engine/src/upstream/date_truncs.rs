//! `date_trunc` of constants before 1970, and of the first instants that a type can hold.
//!
//! DataFusion 55.2 rounds a constant before 1970 up to the next millisecond or microsecond (`general_date_trunc`), and a value
//! of a column down. For columns, it subtracts without a check (`general_date_trunc_array_fine_granularity`): the day of
//! 1677-09-21 in nanoseconds is in 2262. A debug build panics, also at the values below NULLs: `max` without a value leaves the
//! first instant there. Here, a constant is truncated as a column is, an instant of the first day is an error, and the values
//! below NULLs are zero.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Returns the function, under DataFusion's name.
pub(super) fn date_trunc() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(DateTrunc(datetime::date_trunc()))));
    FUNCTION.clone()
}

/// DataFusion's function, except for the instants that it truncates wrongly.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc(Arc<ScalarUDF>);

/// Returns the instants with zeros below the NULLs.
///
/// # Errors
/// An instant is too early.
fn checked(instants: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, _) = instants.data_type() else { return Ok(instants.clone()) };
    let (day, advice) = match unit {
        TimeUnit::Second => (86_400, ""),
        TimeUnit::Millisecond => (86_400_000, ": cast it to `TIMESTAMP(0)` first"),
        TimeUnit::Microsecond => (86_400_000_000, ": cast it to `TIMESTAMP(3)` first"),
        TimeUnit::Nanosecond => (86_400_000_000_000, ": cast it to `TIMESTAMP(6)` first"),
    };
    // The day of an earlier instant may not fit.
    let second_day = i64::MIN + day;
    let numbers = cast(instants, &DataType::Int64)?;
    let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
    if numbers.values().iter().all(|number| *number >= second_day) {
        return Ok(instants.clone());
    }
    if let Some(row) = numbers.iter().position(|number| number.is_some_and(|n| n < second_day)) {
        // An instant far outside of the calendar has no text, and is a number in the message.
        let options = FormatOptions::default().with_display_error(false);
        let text = ArrayFormatter::try_new(instants, &options)?.value(row).try_to_string();
        let instant = text.unwrap_or_else(|_| numbers.value(row).to_string());
        return exec_err!("`date_trunc` cannot truncate {instant}: its type cannot hold the start of this day{advice}");
    }
    Ok(cast(&numbers.iter().collect::<Int64Array>(), instants.data_type())?)
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.0.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (instants, is_constant) = match args.args.as_slice() {
            [_, value] if !matches!(value.data_type(), DataType::Timestamp(..)) => {
                return self.0.invoke_with_args(args);
            }
            [_, ColumnarValue::Array(instants)] => (instants.clone(), false),
            [_, ColumnarValue::Scalar(instant)] => (instant.to_array()?, true),
            _ => return self.0.invoke_with_args(args),
        };
        args.number_rows = instants.len();
        args.args[1] = ColumnarValue::Array(checked(&instants)?);
        match self.0.invoke_with_args(args)? {
            ColumnarValue::Array(truncated) if is_constant => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&truncated, 0)?))
            }
            truncated => Ok(truncated),
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.0.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}
