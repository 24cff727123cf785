//! `printf(pattern, value, …)`, as in DuckDB: the conversions of C, with the types of the values known.

mod conversion;

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use portolan_catalog::sql_type;

use self::conversion::{Conversion, Kind, Part, parts};
use super::refused;

/// The largest integer up to which floats have every integer.
const MOST_EXACT: u64 = 1 << 53;

/// Returns the function.
pub(super) fn function() -> Arc<ScalarUDF> {
    let what = "Returns the pattern, with the values in the places of %s, %d, %x, %o, %f, %e and %g.";
    Arc::new(ScalarUDF::new_from_impl(Printf {
        signature: Signature::variadic_any(Volatility::Immutable),
        documentation: Documentation::builder(DOC_SECTION_STRING, what, "printf(pattern, value, …)").build(),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Printf {
    signature: Signature,
    documentation: Documentation,
}

/// The values of an argument.
struct Values {
    array: ArrayRef,
    /// The NULLs, also those of an argument whose type is unknown.
    nulls: Option<NullBuffer>,
    numbers: Numbers,
    /// The values as text, once a row needs them.
    texts: OnceCell<ArrayRef>,
}

/// The values of an argument as numbers.
enum Numbers {
    /// `Int64`
    Signed(ArrayRef),
    /// `UInt64`
    Unsigned(ArrayRef),
    /// `Float64`
    Floats(ArrayRef),
    None,
}

impl Values {
    fn of(array: ArrayRef) -> Result<Self> {
        if array.data_type().is_nested() {
            return Err(refused(format!("`printf` takes no lists and structs, got {}", sql_type(array.data_type()))));
        }
        let numbers = match array.data_type() {
            DataType::UInt64 => Numbers::Unsigned(array.clone()),
            integers if integers.is_integer() => Numbers::Signed(cast(&array, &DataType::Int64)?),
            numbers if numbers.is_numeric() => Numbers::Floats(cast(&array, &DataType::Float64)?),
            _ => Numbers::None,
        };
        Ok(Self { nulls: array.logical_nulls(), array, numbers, texts: OnceCell::new() })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn text(&self, row: usize) -> Result<&str> {
        let texts = match self.texts.get() {
            Some(texts) => texts,
            None => {
                let texts = cast(&self.array, &DataType::Utf8)?;
                self.texts.get_or_init(|| texts)
            }
        };
        Ok(texts.as_string::<i32>().value(row))
    }

    /// Writes the value of a row, which is not NULL.
    fn write(&self, row: usize, conversion: &Conversion<'_>, out: &mut String) -> Result<()> {
        let wrong = |wanted: &str| {
            let given = sql_type(self.array.data_type());
            refused(format!("`{}` of `printf` takes {wanted}, got {given}", conversion.text))
        };
        match conversion.kind {
            Kind::Text => conversion.text(self.text(row)?, out),
            Kind::Decimal => match &self.numbers {
                Numbers::Signed(numbers) => {
                    let number = numbers.as_primitive::<Int64Type>().value(row);
                    conversion.integer(number < 0, &number.unsigned_abs().to_string(), out);
                }
                Numbers::Unsigned(numbers) => {
                    conversion.integer(false, &numbers.as_primitive::<UInt64Type>().value(row).to_string(), out);
                }
                _ => return Err(wrong("an integer")),
            },
            Kind::Unsigned(print) => {
                let number = match &self.numbers {
                    Numbers::Signed(numbers) => u64::try_from(numbers.as_primitive::<Int64Type>().value(row)).ok(),
                    Numbers::Unsigned(numbers) => Some(numbers.as_primitive::<UInt64Type>().value(row)),
                    _ => None,
                };
                let number = number.ok_or_else(|| wrong("an integer that is not negative"))?;
                conversion.integer(false, &print(number), out);
            }
            Kind::Fixed | Kind::Scientific | Kind::General => {
                let number = match &self.numbers {
                    Numbers::Floats(numbers) => Some(numbers.as_primitive::<Float64Type>().value(row)),
                    Numbers::Signed(numbers) => {
                        let number = numbers.as_primitive::<Int64Type>().value(row);
                        (number.unsigned_abs() <= MOST_EXACT).then_some(number as f64)
                    }
                    Numbers::Unsigned(numbers) => {
                        let number = numbers.as_primitive::<UInt64Type>().value(row);
                        (number <= MOST_EXACT).then_some(number as f64)
                    }
                    Numbers::None => None,
                };
                conversion.float(number.ok_or_else(|| wrong("a number of a float's digits"))?, out);
            }
        }
        Ok(())
    }
}

/// Writes one row; `None` if the value of a conversion is NULL.
fn printed(parts: &[Part<'_>], values: &[Values], row: usize) -> Result<Option<String>> {
    let mut out = String::new();
    let mut values = values.iter();
    for part in parts {
        let conversion = match part {
            Part::Text(text) => {
                out.push_str(text);
                continue;
            }
            Part::Conversion(conversion) => conversion,
        };
        let Some(value) = values.next() else {
            return Err(refused(format!("`printf` has no value for `{}`", conversion.text)));
        };
        if value.is_null(row) {
            return Ok(None);
        }
        value.write(row, conversion, &mut out)?;
    }
    match values.len() {
        0 => Ok(Some(out)),
        1 => Err(refused("`printf` has one value more than its pattern has conversions".to_owned())),
        more => Err(refused(format!("`printf` has {more} values more than its pattern has conversions"))),
    }
}

/// Writes all rows. `is_constant` is true if all patterns are the same.
fn print(arguments: &[ArrayRef], is_constant: bool) -> Result<ArrayRef> {
    let Some((patterns, values)) = arguments.split_first() else {
        return Err(refused("`printf` takes a pattern, and values".to_owned()));
    };
    let patterns = cast(patterns, &DataType::Utf8)?;
    let patterns = patterns.as_string::<i32>();
    let values = values.iter().map(|array| Values::of(array.clone())).collect::<Result<Vec<_>>>()?;
    let understood = |pattern| parts(pattern).map_err(refused);
    let constant = match is_constant && patterns.len() > 0 && patterns.is_valid(0) {
        true => Some(understood(patterns.value(0))?),
        false => None,
    };
    let rows = (0..patterns.len()).map(|row| match &constant {
        _ if patterns.is_null(row) => Ok(None),
        Some(parts) => printed(parts, &values, row),
        None => printed(&understood(patterns.value(row))?, &values, row),
    });
    Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
}

impl ScalarUDFImpl for Printf {
    fn name(&self) -> &str {
        "printf"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        make_scalar_function(|arguments| print(arguments, is_constant), vec![])(&args.args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
