//! `nullif` of floats. The comparison that the function of DataFusion 55.2 calls keeps -0.0 and 0.0 apart.

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::compute::kernels::cmp::eq;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::utils::{normalize_float_zero, take_function_args};
use datafusion::functions::core;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

/// Returns the function, under its own name.
pub(in crate::upstream) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(NullIf(core::nullif()))));
    FUNCTION.clone()
}

/// DataFusion's function, except for floats.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NullIf(Arc<ScalarUDF>);

impl ScalarUDFImpl for NullIf {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.0.return_type(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first().is_some_and(|value| value.data_type().is_floating()) {
            true => make_scalar_function(of_floats, vec![])(&args.args),
            false => self.0.invoke_with_args(args),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

fn of_floats(args: &[ArrayRef]) -> Result<ArrayRef> {
    let [value, other] = take_function_args("nullif", args)?;
    let equal = eq(&normalize_float_zero(value), &normalize_float_zero(other))?;
    Ok(nullif(value, &equal)?)
}
