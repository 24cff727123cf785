//! `len(x)`: the characters of a string, or the items of a list, as in DuckDB. DataFusion's `length` counts the
//! characters of a list that is printed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::functions::unicode::character_length;
use datafusion::functions_nested::length::array_length_udf;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use portolan_catalog::sql_type;

use super::refused;

/// Returns the function.
pub(super) fn function() -> Arc<ScalarUDF> {
    let what = "Returns the number of characters of a string, or of items of a list.";
    Arc::new(ScalarUDF::new_from_impl(Length {
        signature: Signature::any(1, Volatility::Immutable),
        documentation: Documentation::builder(DOC_SECTION_STRING, what, "len(x)").build(),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
    documentation: Documentation,
}

/// True for a list, and false for a string.
fn is_list(data_type: &DataType) -> Result<bool> {
    match data_type {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Ok(true),
        DataType::Dictionary(_, values) if values.is_string() => Ok(false),
        DataType::Null => Ok(false),
        text if text.is_string() => Ok(false),
        other => Err(refused(format!("`len` takes a string or a list, got {}", sql_type(other)))),
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        "len"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.iter().try_for_each(|data_type| is_list(data_type).map(|_| ()))?;
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(refused(format!("`len` takes one argument, got {}", args.args.len())));
        };
        let (function, value) = match is_list(&value.data_type())? {
            true => (array_length_udf(), value.clone()),
            false => (character_length(), value.cast_to(&DataType::Utf8View, None)?),
        };
        args.args = vec![value];
        // The implementation itself, because it promises another type.
        function.inner().invoke_with_args(args)?.cast_to(&DataType::Int64, None)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
