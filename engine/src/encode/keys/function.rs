//! The function that tests for keys in a plan: `portolan_in_keys(a, b)` is true for rows that have one of the keys, and
//! false for all others, including NULLs. SQL cannot call it: only a fragment binds it to its keys.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{KeyTest, SentKeys, same_values};

const IN_KEYS: &str = "portolan_in_keys";
const IN_BLOOM: &str = "portolan_in_bloom";

/// A function that is true if a row has one of the keys.
#[derive(Debug)]
pub(crate) struct InKeys {
    pub(crate) keys: Arc<SentKeys>,
    signature: Signature,
}

impl InKeys {
    pub(crate) fn new(keys: Arc<SentKeys>) -> Self {
        let signature = Signature::any(keys.test.types().len(), Volatility::Immutable);
        Self { keys, signature }
    }

    /// Returns the function of a call; `None` if the call is of another function.
    pub(crate) fn of(call: &ScalarFunction) -> Option<&Self> {
        call.func.inner().downcast_ref()
    }

    /// Returns a call with these columns.
    pub(crate) fn call(keys: Arc<SentKeys>, columns: Vec<Expr>) -> Expr {
        ScalarUDF::from(Self::new(keys)).call(columns)
    }
}

/// True if the keys are the same. Within a process, they are usually the same object.
impl PartialEq for InKeys {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) || self.keys.packed == other.keys.packed
    }
}

impl Eq for InKeys {}

impl Hash for InKeys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // This distinguishes most keys, and does not read megabytes each time that plans are compared.
        self.keys.packed.len().hash(state);
        self.keys.packed.first_chunk::<64>().hash(state);
    }
}

impl ScalarUDFImpl for InKeys {
    fn name(&self) -> &str {
        match self.keys.test {
            KeyTest::Exact(_) => IN_KEYS,
            KeyTest::Bloom { .. } => IN_BLOOM,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let types = self.keys.test.types();
        if types.len() != given.len() || !types.iter().zip(given).all(|(a, b)| same_values(a, b)) {
            return plan_err!("{} compares {types:?}, not {given:?}", self.name());
        }
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(self.keys.test.contains(&columns, rows)?)))
    }
}
