//! The functions with a pattern for dates: functions of DataFusion, which receive the pattern translated. The pattern
//! in a plan stays as it is written, so that each node translates it once.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::formats::Patterns;
use super::refused;

/// The patterns of a duration in `to_char`.
const OF_DURATION: [&str; 2] = ["ISO8601", "pretty"];

/// Returns the functions.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let config = ConfigOptions::default();
    let of = |name, function: &Arc<ScalarUDF>, patterns, syntax: &str, what: &str| {
        let documentation = Documentation::builder(DOC_SECTION_DATETIME, what, syntax).build();
        Arc::new(ScalarUDF::new_from_impl(Patterned { name, function: function.clone(), patterns, documentation }))
    };
    let (to_char, to_date) = (datetime::to_char(), datetime::to_date());
    let written = "Returns a date, a time or a timestamp as a string. ";
    let mut functions = vec![
        of(
            "to_char",
            &to_char,
            Patterns::ToChar,
            "to_char(value, pattern)",
            &format!("{written}The pattern is one of SQL, such as YYYY-MM-DD, or one with fields such as %Y-%m-%d."),
        ),
        of(
            "strftime",
            &to_char,
            Patterns::Strftime,
            "strftime(value, pattern)",
            &format!("{written}The pattern has fields such as %Y-%m-%d, as in DuckDB."),
        ),
        of(
            "date_format",
            &to_char,
            Patterns::DateFormat,
            "date_format(value, pattern)",
            &format!("{written}The pattern has the fields that mean the same in MySQL, such as %Y-%m-%d."),
        ),
        of(
            "strptime",
            &datetime::to_timestamp_micros(&config),
            Patterns::Strptime,
            "strptime(text, pattern)",
            "Reads a timestamp from a string. The pattern has fields such as %Y-%m-%d, as in DuckDB.",
        ),
        of(
            "to_date",
            &to_date,
            Patterns::ToDate,
            "to_date(value[, pattern, …])",
            "Reads a date from a string, by the first of the patterns that fits: one of SQL, such as YYYY-MM-DD, or one \
             with fields such as %Y-%m-%d.",
        ),
    ];
    for (name, function) in [
        ("to_timestamp", datetime::to_timestamp(&config)),
        ("to_timestamp_seconds", datetime::to_timestamp_seconds(&config)),
        ("to_timestamp_millis", datetime::to_timestamp_millis(&config)),
        ("to_timestamp_micros", datetime::to_timestamp_micros(&config)),
        ("to_timestamp_nanos", datetime::to_timestamp_nanos(&config)),
    ] {
        let syntax = format!("{name}(value[, pattern, …])");
        let what = "Reads a timestamp from a string or a number. The patterns are as in to_date.";
        functions.push(of(name, &function, Patterns::ToTimestamp, &syntax, what));
    }
    functions
}

/// A function of DataFusion, all of whose arguments but the first are patterns.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Patterned {
    name: &'static str,
    function: Arc<ScalarUDF>,
    patterns: Patterns,
    documentation: Documentation,
}

impl Patterned {
    fn translated(&self, pattern: &str) -> Result<String> {
        self.patterns.translate(pattern).map_err(|what| refused(format!("`{}`: {what}", self.name)))
    }

    /// Translates the patterns of an argument. An argument that is no string is left to the function.
    fn argument(&self, value: ColumnarValue) -> Result<ColumnarValue> {
        match value {
            ColumnarValue::Scalar(scalar) => Ok(ColumnarValue::Scalar(match scalar.try_as_str() {
                Some(Some(pattern)) => ScalarValue::from(self.translated(pattern)?),
                _ => scalar,
            })),
            ColumnarValue::Array(array) if array.data_type().is_string() => {
                let patterns = cast(&array, &DataType::Utf8)?;
                let translated = patterns.as_string::<i32>().iter();
                let translated = translated.map(|pattern| pattern.map(|pattern| self.translated(pattern)).transpose());
                let translated: ArrayRef = Arc::new(translated.collect::<Result<StringArray>>()?);
                Ok(ColumnarValue::Array(translated))
            }
            array @ ColumnarValue::Array(_) => Ok(array),
        }
    }

    /// Refuses the pattern of a duration that DataFusion would ignore.
    fn check_duration(&self, pattern: &ColumnarValue) -> Result<()> {
        let known = match pattern {
            ColumnarValue::Scalar(scalar) => match scalar.try_as_str().flatten() {
                Some(pattern) => OF_DURATION.iter().any(|known| known.eq_ignore_ascii_case(pattern)),
                None => scalar.is_null(),
            },
            ColumnarValue::Array(_) => false,
        };
        match known {
            true => Ok(()),
            false => {
                let [iso, pretty] = OF_DURATION;
                Err(refused(format!("`{}` prints a duration with the pattern '{iso}' or '{pretty}'", self.name)))
            }
        }
    }
}

impl ScalarUDFImpl for Patterned {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut arguments = args.args.into_iter();
        let Some(value) = arguments.next() else {
            return Err(refused(format!("`{}` takes a value, and patterns", self.name)));
        };
        let patterns: Vec<ColumnarValue> = arguments.collect();
        let patterns = match value.data_type() {
            DataType::Duration(_) => {
                patterns.iter().try_for_each(|pattern| self.check_duration(pattern))?;
                patterns
            }
            _ => patterns.into_iter().map(|pattern| self.argument(pattern)).collect::<Result<_>>()?,
        };
        args.args = [value].into_iter().chain(patterns).collect();
        self.function.invoke_with_args(args)
    }

    /// Refuses a pattern that is not understood before the query runs.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let is_duration = match args.first() {
            Some(value) => matches!(info.get_data_type(value)?, DataType::Duration(_)),
            None => false,
        };
        for pattern in args.iter().skip(1).filter(|_| !is_duration) {
            if let Expr::Literal(pattern, _) = pattern
                && let Some(pattern) = pattern.try_as_str().flatten()
            {
                self.translated(pattern)?;
            }
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
