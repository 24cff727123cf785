//! Functions of one argument whose column has the type and the name of the argument's. They are in plans for physical
//! planning only, so that no other node has to know them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Returns the function of a name that computes one array from another of the same type and length.
pub(super) fn function(name: &'static str, compute: fn(&ArrayRef) -> ArrayRef) -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(SameColumn { name, compute, signature }))
}

#[derive(Debug)]
struct SameColumn {
    name: &'static str,
    compute: fn(&ArrayRef) -> ArrayRef,
    signature: Signature,
}

// Addresses do not identify functions, so the name does.
impl PartialEq for SameColumn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for SameColumn {}

impl Hash for SameColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for SameColumn {
    fn name(&self) -> &str {
        self.name
    }

    /// Returns the name of the argument's column, so that a plan's columns keep their names. A cast has the name of its
    /// operand, and a join may need the operand's column as well.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match args {
            [cast @ (Expr::Cast(_) | Expr::TryCast(_))] => format!("{}({cast})", self.name),
            [value] => value.schema_name().to_string(),
            _ => self.name.to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [value] => Ok(value.clone()),
            fields => plan_err!("expected one argument of `{}`, got {}", self.name, fields.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let compute = |arrays: &[ArrayRef]| match arrays {
            [array] => Ok((self.compute)(array)),
            arrays => plan_err!("expected one argument of `{}`, got {}", self.name, arrays.len()),
        };
        make_scalar_function(compute, vec![])(&args.args)
    }
}
