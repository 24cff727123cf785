//! The function that masks a column in a plan: `portolan_mask(value)`. SQL cannot call it: only a policy puts it into a
//! plan. Its mask is not an argument, so that no pass over expressions can replace the mask.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::identity::identity;
use super::{Mask, Salt, mask};

const NAME: &str = "portolan_mask";

/// A function that masks its only argument. The result has the type of the argument.
#[derive(Debug)]
pub(crate) struct MaskFunction {
    mask: Mask,
    /// The salt of the query or the key of the principal, if the mask takes one.
    salt: Option<Salt>,
    signature: Signature,
}

impl MaskFunction {
    /// Returns the function of a mask. It keeps the salt of the query only if the mask takes one.
    ///
    /// # Errors
    /// The mask takes a salt, and there is none.
    pub(crate) fn try_new(mask: Mask, salt: Option<&Salt>) -> Result<Self> {
        let salt = salt.filter(|_| mask.takes_salt()).cloned();
        if mask.takes_salt() && salt.is_none() {
            return plan_err!("expected a salt for the mask `{mask}`, got none");
        }
        Ok(Self { mask, salt, signature: Signature::any(1, Volatility::Immutable) })
    }

    /// Returns a call for a column.
    ///
    /// # Errors
    /// The mask takes a salt, and there is none.
    pub(crate) fn call(mask: Mask, salt: Option<&Salt>, column: Expr) -> Result<Expr> {
        Ok(ScalarUDF::from(Self::try_new(mask, salt)?).call(vec![column]))
    }

    /// Returns the function of a call, if it masks.
    pub(crate) fn of(call: &ScalarFunction) -> Option<&Self> {
        let function: &dyn Any = call.func.inner().as_ref();
        function.downcast_ref()
    }

    /// Returns the identity of the hash of a column of this type; `None` if the mask does not hash.
    pub(crate) fn hash_identity(&self, data_type: &DataType) -> Option<String> {
        identity(self.mask, self.salt.as_ref(), data_type)
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(mask(self.mask, array, self.salt.as_ref().map(Salt::as_bytes))?)
    }
}

/// True if both functions return the same for the same value. Plans of two queries differ in their salts: a plan that
/// replaced an equal one would use the salt of another query.
impl PartialEq for MaskFunction {
    fn eq(&self, other: &Self) -> bool {
        self.mask == other.mask && self.salt == other.salt
    }
}

impl Eq for MaskFunction {}

impl Hash for MaskFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mask.hash(state);
    }
}

impl ScalarUDFImpl for MaskFunction {
    fn name(&self) -> &str {
        NAME
    }

    /// Names the mask, and never the salt: a column with two masks in one projection needs two names.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let columns: Vec<_> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{NAME}[{}]({})", self.mask, columns.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [data_type] = types else {
            return plan_err!("expected one argument of `{NAME}`, got {}", types.len());
        };
        match self.mask.fits(data_type) {
            Ok(()) => Ok(data_type.clone()),
            Err(reason) => plan_err!("{reason}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [value] = args.arg_fields else {
            return plan_err!("expected one argument of `{NAME}`, got {}", args.arg_fields.len());
        };
        self.return_type(&[value.data_type().clone()])?;
        let nullable = self.mask.nullable(value.is_nullable());
        Ok(Arc::new(value.as_ref().clone().with_nullable(nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(self.apply(array)?)),
            [ColumnarValue::Scalar(value)] => {
                let masked = self.apply(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&masked, 0)?))
            }
            values => plan_err!("expected one argument of `{NAME}`, got {}", values.len()),
        }
    }
}
