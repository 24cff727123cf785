//! Functions for integer arithmetic that fail if the result does not fit. Every node has them.

use std::sync::{Arc, LazyLock};

use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// An operation of integers that may overflow. Division is checked by DataFusion itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

const OPERATIONS: [Operation; 4] = [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Negate];

static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
    OPERATIONS.map(|operation| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Checked { operation, signature }))
    })
});

/// Returns the functions that every node has.
pub(in crate::upstream) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    FUNCTIONS.iter().cloned()
}

/// Calls the function of an operation.
pub(super) fn call(operation: Operation, arguments: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(FUNCTIONS[operation as usize].clone(), arguments))
}

/// Returns the operation and its operands, if an expression is a call of one of the functions.
pub(super) fn parts(expr: &Expr) -> Option<(Operation, &[Expr])> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    func.inner().downcast_ref::<Checked>().map(|checked| (checked.operation, args.as_slice()))
}

impl Operation {
    /// Returns the operation of an operator, if the operator may overflow.
    pub(super) fn of(operator: Operator) -> Option<Self> {
        OPERATIONS.into_iter().find(|operation| operation.operator() == Some(operator))
    }

    /// Returns the operator of two operands; `None` for the operation of one operand.
    pub(super) fn operator(self) -> Option<Operator> {
        match self {
            Self::Add => Some(Operator::Plus),
            Self::Subtract => Some(Operator::Minus),
            Self::Multiply => Some(Operator::Multiply),
            Self::Negate => None,
        }
    }

    /// Returns the operand that does not change the other one, and whether it may be on the left.
    fn neutral(self, of: &DataType) -> Option<(Result<ScalarValue>, bool)> {
        match self {
            Self::Add => Some((ScalarValue::new_zero(of), true)),
            Self::Subtract => Some((ScalarValue::new_zero(of), false)),
            Self::Multiply => Some((ScalarValue::new_one(of), true)),
            Self::Negate => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::Negate => "checked_negate",
        }
    }

    /// Returns the name of the operator's column, so that a plan's columns keep their names.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(match (self.operation.operator(), args) {
            (Some(operator), [left, right]) => format!("{} {operator} {}", left.schema_name(), right.schema_name()),
            (_, [value, ..]) => format!("(- {})", value.schema_name()),
            (_, []) => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let operands = if self.operation == Operation::Negate { 1 } else { 2 };
        match types {
            [first, rest @ ..] if types.len() == operands && first.is_integer() && rest.iter().all(|t| t == first) => {
                Ok(types.to_vec())
            }
            _ => plan_err!("expected {operands} integers of one type for `{}`, got {types:?}", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Int64))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let [left, right] = args.as_slice() else { return Ok(ExprSimplifyResult::Original(args)) };
        let Some((neutral, either_side)) = self.operation.neutral(&info.get_data_type(right)?) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let neutral = neutral?;
        let is_neutral = |e: &Expr| matches!(e, Expr::Literal(value, _) if *value == neutral);
        Ok(match (is_neutral(left), is_neutral(right)) {
            (_, true) => ExprSimplifyResult::Simplified(left.clone()),
            (true, _) if either_side => ExprSimplifyResult::Simplified(right.clone()),
            _ => ExprSimplifyResult::Original(args),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = match (self.operation, args.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, add),
            (Operation::Subtract, [left, right]) => apply(left, right, sub),
            (Operation::Multiply, [left, right]) => apply(left, right, mul),
            (_, [ColumnarValue::Array(values), ..]) => neg(values).map(ColumnarValue::Array).map_err(Into::into),
            (_, [ColumnarValue::Scalar(value), ..]) => value.arithmetic_negate().map(ColumnarValue::Scalar),
            (_, []) => plan_err!("expected an integer for `{}`, got nothing", self.name()),
        };
        result.map_err(|e| match e.find_root() {
            DataFusionError::ArrowError(inner, _) if matches!(**inner, ArrowError::ArithmeticOverflow(_)) => {
                self.overflow(args.return_field.data_type())
            }
            _ => e,
        })
    }
}

impl Checked {
    fn overflow(&self, data_type: &DataType) -> DataFusionError {
        let operator = self.operation.operator().unwrap_or(Operator::Minus);
        DataFusionError::Execution(format!(
            "integer overflow: a result of `{operator}` does not fit {}; CAST an operand to {}",
            name_of(data_type),
            wider(data_type),
        ))
    }
}

/// Returns the SQL name of an integer type.
pub(in crate::upstream) fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        other => other.to_string(),
    }
}

/// Returns the types to suggest for a cast, in words.
fn wider(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int64 | DataType::UInt64 => "DECIMAL(38, 0) or DOUBLE",
        _ => "BIGINT, DECIMAL(38, 0) or DOUBLE",
    }
}
