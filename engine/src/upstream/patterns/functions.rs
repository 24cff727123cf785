//! Functions that translate patterns in columns or parameters.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::{ESCAPE, Translate, escape_character};

/// Returns a function of a pattern and its escape character.
pub(super) fn function(name: &'static str, translate: Translate) -> Arc<ScalarUDF> {
    let signature = Signature::one_of(vec![TypeSignature::String(1), TypeSignature::String(2)], Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Pattern { name, translate, signature }))
}

#[derive(Debug)]
struct Pattern {
    name: &'static str,
    translate: Translate,
    signature: Signature,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Pattern {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let strings =
            arrays.iter().map(|array| Ok(cast(array, &DataType::Utf8)?)).collect::<Result<Vec<ArrayRef>>>()?;
        let mut columns = strings.iter().filter_map(|array| array.as_any().downcast_ref::<StringArray>());
        let Some(patterns) = columns.next() else {
            return Err(DataFusionError::Internal(format!("expected a string as the pattern of `{}`", self.name)));
        };
        let escapes = columns.next();
        let translated = (0..patterns.len()).map(|row| self.row(patterns, escapes, row));
        let translated: ArrayRef = Arc::new(translated.collect::<Result<StringArray>>()?);
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&translated, 0)?),
            false => ColumnarValue::Array(translated),
        })
    }
}

impl Pattern {
    fn row(&self, patterns: &StringArray, escapes: Option<&StringArray>, row: usize) -> Result<Option<String>> {
        if patterns.is_null(row) || escapes.is_some_and(|escapes| escapes.is_null(row)) {
            return Ok(None);
        }
        let invalid = |what: String| DataFusionError::Execution(what);
        let escape = match escapes {
            Some(escapes) => escape_character(escapes.value(row)).map_err(invalid)?,
            None => Some(ESCAPE),
        };
        (self.translate)(patterns.value(row), escape).map(Some).map_err(invalid)
    }
}
