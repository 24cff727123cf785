//! JSON in strings: the functions of `datafusion-functions-json` under the names that DuckDB and PostgreSQL have for
//! them. A value in a document is a string: with its quotes, or as plain text.
//!
//! The functions do not check the whole document. Where a document is not JSON, or has no such value, the result is
//! NULL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion_functions_json::udfs::{json_as_text_udf, json_get_json_udf, json_length_udf};
use portolan_catalog::sql_string;

/// The function of `->`.
pub(super) const EXTRACT: &str = "json_extract";
/// The function of `->>`.
pub(super) const EXTRACT_TEXT: &str = "json_extract_string";

/// Returns the functions.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of = |name, aliases: &[&str], function, syntax: &str, what: &str| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let documentation = Documentation::builder(DOC_SECTION_STRING, what, syntax).build();
        Arc::new(ScalarUDF::new_from_impl(JsonFunction { name, aliases, function, documentation }))
    };
    vec![
        of(
            EXTRACT,
            &["json_extract_path"],
            json_get_json_udf(),
            "json_extract(document, path)",
            "Returns a value in a JSON document as JSON. The path is a key, a position from 0, or a string such as \
             $.items[0].name.",
        ),
        of(
            EXTRACT_TEXT,
            &["json_extract_path_text"],
            json_as_text_udf(),
            "json_extract_string(document, path)",
            "Returns a value in a JSON document as text. The path is as in json_extract.",
        ),
        of(
            "json_length",
            &[],
            json_length_udf(),
            "json_length(document[, path])",
            "Returns the number of items of an array in a JSON document, or of keys of an object.",
        ),
    ]
}

/// A function of the library, under another name and without the metadata of its results. The metadata would be a
/// difference between two plans for the same columns.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: &'static str,
    aliases: Vec<String>,
    function: Arc<ScalarUDF>,
    documentation: Documentation,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // The type of a parameter is not known before it has a value.
        let known = |data_type: &DataType| if data_type.is_null() { DataType::Utf8 } else { data_type.clone() };
        self.function.return_type(&types.iter().map(known).collect::<Vec<_>>())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for argument in &mut args.args {
            if argument.data_type().is_null() {
                *argument = argument.cast_to(&DataType::Utf8, None)?;
            }
        }
        self.function.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Reads a path such as `$.items[0]."first name"`: returns its keys and positions as literals of SQL.
///
/// # Errors
/// The reason why the path is invalid.
pub(super) fn steps(path: &str) -> std::result::Result<Vec<String>, String> {
    let invalid = |what: &str| {
        format!("the JSON path `{path}` is invalid: {what}; a path looks like `$.items[0].name` or `$.\"first name\"`")
    };
    let mut rest = path.strip_prefix('$').ok_or_else(|| invalid("it does not start with `$`"))?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix(".\"") {
            let (key, after) = quoted.split_once('"').ok_or_else(|| invalid("a double quote is not closed"))?;
            steps.push(sql_string(key));
            rest = after;
        } else if let Some(key) = rest.strip_prefix('.') {
            let (key, after) = key.split_at(key.find(['.', '[']).unwrap_or(key.len()));
            if key.is_empty() || key.contains('*') {
                return Err(invalid("expected a key after the point"));
            }
            steps.push(sql_string(key));
            rest = after;
        } else if let Some(position) = rest.strip_prefix('[') {
            let (position, after) = position.split_once(']').ok_or_else(|| invalid("a `[` is not closed"))?;
            // DuckDB counts from the end with a `#`.
            let number = position.strip_prefix('#').filter(|from| from.starts_with('-')).unwrap_or(position);
            let number: i64 = number.parse().map_err(|_| invalid("expected a position between `[` and `]`"))?;
            steps.push(number.to_string());
            rest = after;
        } else {
            return Err(invalid("expected `.` or `[`"));
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::steps;

    #[test]
    fn a_path_is_keys_and_positions() {
        for (path, expected) in [
            ("$", &[][..]),
            ("$.a", &["'a'"]),
            ("$.a.b[0][12].c", &["'a'", "'b'", "0", "12", "'c'"]),
            ("$[-1]", &["-1"]),
            ("$[#-2].x", &["-2", "'x'"]),
            ("$.\"first name\".\"a.b\"", &["'first name'", "'a.b'"]),
            ("$.it's", &["'it''s'"]),
        ] {
            assert_eq!(steps(path).unwrap(), expected, "{path}");
        }
        for (path, says) in [
            ("a", "start with"),
            ("$a", "expected `.`"),
            ("$.", "expected a key"),
            ("$..a", "expected a key"),
            ("$.*", "expected a key"),
            ("$[*]", "expected a position"),
            ("$[1", "not closed"),
            ("$.\"a", "not closed"),
        ] {
            let error = steps(path).unwrap_err();
            assert!(error.contains(says), "{path}: {error}");
        }
    }
}
