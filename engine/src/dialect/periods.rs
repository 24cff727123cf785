//! `date_diff(part, start, end)`: the number of times that a period begins between two points in time, as in DuckDB and
//! in `datediff` of several databases. It is written here because each of its arguments is read twice in the functions
//! of DataFusion that say the same: nested calls would double at each level.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use portolan_catalog::sql_type;

use super::refused;

const NAME: &str = "date_diff";
const MICROSECONDS_OF_DAY: i64 = 86_400_000_000;
/// The time zones in which a day begins as it does without a zone.
const UTC: [&str; 5] = ["UTC", "Etc/UTC", "+00:00", "+00", "Z"];

/// Returns the function.
pub(super) fn function() -> Arc<ScalarUDF> {
    let what = "Returns how often a year, a quarter, a month, a day, an hour, a minute, a second, a millisecond or a \
                microsecond begins after the start, up to the end.";
    Arc::new(ScalarUDF::new_from_impl(DateDiff {
        signature: Signature::any(3, Volatility::Immutable),
        aliases: vec!["datediff".to_owned()],
        documentation: Documentation::builder(DOC_SECTION_DATETIME, what, "date_diff(part, start, end)").build(),
    }))
}

/// True for the name of a part of a date.
pub(super) fn is_part(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    Period::of(name).is_ok()
        || matches!(lower.as_str(), "week" | "weeks" | "dow" | "doy" | "epoch" | "isodow" | "isoyear")
}

/// Checks that the function counts these periods.
///
/// # Errors
/// The reason why it does not.
pub(super) fn check(part: &str) -> Result<(), String> {
    Period::of(part).map(|_| ())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateDiff {
    signature: Signature,
    aliases: Vec<String>,
    documentation: Documentation,
}

/// A period.
#[derive(Clone, Copy)]
enum Period {
    /// A number of months.
    Months(i64),
    /// A number of microseconds.
    Microseconds(i64),
}

impl Period {
    fn of(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        Ok(match lower.strip_suffix('s').unwrap_or(&lower) {
            "year" => Self::Months(12),
            "quarter" => Self::Months(3),
            "month" => Self::Months(1),
            "day" => Self::Microseconds(MICROSECONDS_OF_DAY),
            "hour" => Self::Microseconds(3_600_000_000),
            "minute" => Self::Microseconds(60_000_000),
            "second" => Self::Microseconds(1_000_000),
            "millisecond" => Self::Microseconds(1_000),
            "microsecond" => Self::Microseconds(1),
            "week" => {
                return Err(format!(
                    "databases count weeks in different ways: write `{NAME}('day', start, end) / 7` for the weeks \
                     between, or `{NAME}('day', date_trunc('week', start), date_trunc('week', end)) / 7` for the Mondays"
                ));
            }
            _ => {
                return Err(format!(
                    "`{NAME}` counts years, quarters, months, days, hours, minutes, seconds, milliseconds and \
                     microseconds, got `{name}`"
                ));
            }
        })
    }

    /// Returns the number of the period in which each value is.
    fn numbers(self, values: &ArrayRef) -> Result<Int64Array> {
        match self {
            Self::Months(months) => {
                let (years, months_of_year) =
                    (date_part(values.as_ref(), DatePart::Year)?, date_part(values.as_ref(), DatePart::Month)?);
                let months_of_year = months_of_year.as_primitive::<Int32Type>();
                let number = |row: usize, year: i32| {
                    (i64::from(year) * 12 + i64::from(months_of_year.value(row)) - 1).div_euclid(months)
                };
                let years = years.as_primitive::<Int32Type>().iter().enumerate();
                Ok(years.map(|(row, year)| year.map(|year| number(row, year))).collect())
            }
            Self::Microseconds(length) => Ok(microseconds(values)?.unary(|at| at.div_euclid(length))),
        }
    }

    /// Returns how many periods begin between the starts and the ends.
    fn differences(self, moments: &[ArrayRef]) -> Result<ArrayRef> {
        let [starts, ends] = moments else { return Err(refused(format!("`{NAME}` takes a start and an end"))) };
        let difference = |(start, end): (Option<i64>, Option<i64>)| match (start, end) {
            (Some(start), Some(end)) => match end.checked_sub(start) {
                Some(difference) => Ok(Some(difference)),
                None => Err(refused(format!("the result of `{NAME}` does not fit into BIGINT"))),
            },
            _ => Ok(None),
        };
        let (starts, ends) = (self.numbers(starts)?, self.numbers(ends)?);
        Ok(Arc::new(starts.iter().zip(ends.iter()).map(difference).collect::<Result<Int64Array>>()?))
    }
}

/// Returns the type in which the function reads a value.
fn moment(data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Date32 | DataType::Timestamp(_, None) => Ok(data_type.clone()),
        DataType::Date64 => Ok(DataType::Date32),
        DataType::Timestamp(_, Some(zone)) if UTC.contains(&zone.as_ref()) => Ok(data_type.clone()),
        DataType::Timestamp(_, Some(zone)) => Err(refused(format!(
            "`{NAME}` counts in UTC, and a timestamp has the time zone `{zone}`: write `to_local_time(…)`"
        ))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        other => Err(refused(format!("`{NAME}` takes dates and timestamps, got {}", sql_type(other)))),
    }
}

/// Returns dates and timestamps as microseconds since 1970. Parts of a microsecond are cut towards the past.
fn microseconds(values: &ArrayRef) -> Result<Int64Array> {
    // A date becomes its number of days. Every timestamp becomes the number of its units.
    let units = cast(values, &DataType::Int64)?;
    let units = units.as_primitive::<Int64Type>();
    let times = |factor: i64| {
        let in_range = |at: i64| at.checked_mul(factor);
        let out_of_range = || refused(format!("`{NAME}` reads timestamps of which microseconds fit into BIGINT"));
        units.try_unary::<_, Int64Type, _>(|at| in_range(at).ok_or_else(out_of_range))
    };
    match values.data_type() {
        DataType::Date32 => times(MICROSECONDS_OF_DAY),
        DataType::Timestamp(TimeUnit::Second, _) => times(1_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => times(1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(units.clone()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(units.unary(|at| at.div_euclid(1_000))),
        other => Err(refused(format!("`{NAME}` takes dates and timestamps, got {}", sql_type(other)))),
    }
}

impl ScalarUDFImpl for DateDiff {
    fn name(&self) -> &str {
        NAME
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.iter().skip(1).try_for_each(|data_type| moment(data_type).map(|_| ()))?;
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [part, from, to] = args.args.as_slice() else {
            return Err(refused(format!(
                "`{NAME}` takes a part, a start and an end, got {} arguments",
                args.args.len()
            )));
        };
        let ColumnarValue::Scalar(part) = part else {
            return Err(refused(format!("the part of `{NAME}` is a literal, such as 'day'")));
        };
        let Some(part) = part.try_as_str().flatten() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Int64(None)));
        };
        let period = Period::of(part).map_err(refused)?;
        let moments = [from, to].map(|value| value.cast_to(&moment(&value.data_type())?, None));
        let moments = moments.into_iter().collect::<Result<Vec<_>>>()?;
        make_scalar_function(|moments| period.differences(moments), vec![])(&moments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Date32Array, TimestampMicrosecondArray, TimestampNanosecondArray};

    use super::*;

    fn numbers(part: &str, values: ArrayRef) -> Vec<Option<i64>> {
        Period::of(part).unwrap().numbers(&values).unwrap().iter().collect()
    }

    /// A period before 1970 is counted down, not towards zero.
    #[test]
    fn moments_are_in_numbered_periods() {
        // 1969-12-31, 1970-01-01, 1970-02-01, NULL.
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(-1), Some(0), Some(31), None]));
        assert_eq!(numbers("day", days.clone()), [Some(-1), Some(0), Some(31), None]);
        assert_eq!(numbers("hours", days.clone()), [Some(-24), Some(0), Some(744), None]);
        assert_eq!(numbers("MONTH", days.clone()), [Some(23_639), Some(23_640), Some(23_641), None]);
        assert_eq!(numbers("quarter", days.clone()), [Some(7_879), Some(7_880), Some(7_880), None]);
        assert_eq!(numbers("year", days), [Some(1_969), Some(1_970), Some(1_970), None]);
        // One microsecond before and after 1970.
        let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1), None]));
        assert_eq!(numbers("second", moments.clone()), [Some(-1), Some(0), None]);
        assert_eq!(numbers("millisecond", moments.clone()), [Some(-1), Some(0), None]);
        assert_eq!(numbers("microsecond", moments), [Some(-1), Some(1), None]);
        let moments: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1, 999]));
        assert_eq!(numbers("microsecond", moments), [Some(-1), Some(0)]);
    }

    #[test]
    fn other_periods_are_refused() {
        for (part, says) in [("week", "Mondays"), ("century", "got `century`"), ("", "got ``")] {
            let error = check(part).unwrap_err();
            assert!(error.contains(says), "{part}: {error}");
        }
    }
}
