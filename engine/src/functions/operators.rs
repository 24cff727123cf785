//! The operators that need a bound, as functions: `||` makes strings, and a pattern that is not a short literal can take
//! long to match.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal, binary, like};

use super::estimates::patterns::{Pattern, is_beyond};
use crate::execution::errors::into_datafusion;
use crate::{Error, ErrorKind};

/// A pattern of at most this weight matches in a few passes over the text.
const SHORT_PATTERN: u64 = 256;

/// The name of the function of `||`.
pub(super) const CONCATENATE: &str = "concatenate";
/// The name of the function of an operator that matches a regular expression.
pub(super) const MATCH: &str = "match_pattern";
/// The name of the function of `LIKE`.
pub(super) const LIKE: &str = "match_like";

/// True if the operator needs a bound.
pub(super) fn is_unbounded(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => true,
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_match(*op) => {
            literal(right).is_none_or(|text| Pattern::of(text).weight > SHORT_PATTERN)
        }
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_like(*op) => is_long(right),
        // DataFusion refuses any other escape character.
        Expr::Like(Like { pattern, escape_char: None, .. }) => is_long(pattern),
        _ => false,
    }
}

/// Returns an operator that needs a bound as a call.
pub(super) fn as_call(expr: Expr) -> Expr {
    let name = expr.schema_name().to_string();
    let (operation, left, right) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => (Operation::Binary(op), left, right),
        Expr::Like(Like { negated, expr, pattern, case_insensitive, .. }) => {
            (Operation::Like { negated, case_insensitive }, expr, pattern)
        }
        other => return other,
    };
    let function = OperatorFunction { operation, name, signature: Signature::user_defined(Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function.into()), vec![*left, *right]))
}

/// Refuses a literal pattern that takes too much memory or time to read: DataFusion reads it while it plans.
pub(super) fn check_pattern(expr: &Expr) -> Result<()> {
    let pattern = match expr {
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_match(*op) => Some(right.as_ref()),
        Expr::ScalarFunction(call) if call.name().starts_with("regexp_") => call.args.get(1),
        _ => None,
    };
    match pattern.and_then(literal) {
        Some(text) if is_beyond(text) => Err(into_datafusion(Error::new(
            ErrorKind::InvalidQuery,
            "a regular expression is too large: write a shorter one, or repeat less of it",
        ))),
        _ => Ok(()),
    }
}

fn is_match(op: Operator) -> bool {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    matches!(op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch)
}

fn is_like(op: Operator) -> bool {
    use Operator::{ILikeMatch, LikeMatch, NotILikeMatch, NotLikeMatch};
    matches!(op, LikeMatch | ILikeMatch | NotLikeMatch | NotILikeMatch)
}

/// True if a pattern of LIKE is no short literal.
fn is_long(pattern: &Expr) -> bool {
    literal(pattern).is_none_or(|text| text.len() as u64 > SHORT_PATTERN)
}

/// Returns the text of a literal that is a string, empty if it is NULL.
fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => Some(value.try_as_str().flatten().unwrap_or_default()),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Binary(Operator),
    Like { negated: bool, case_insensitive: bool },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OperatorFunction {
    operation: Operation,
    /// The name of the operator's column.
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for OperatorFunction {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Binary(Operator::StringConcat) => CONCATENATE,
            Operation::Binary(op) if is_like(op) => LIKE,
            Operation::Binary(_) => MATCH,
            Operation::Like { .. } => LIKE,
        }
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.operation, types) {
            (Operation::Binary(op), [left, right]) => BinaryTypeCoercer::new(left, &op, right).get_result_type(),
            (Operation::Like { .. }, [_, _]) => Ok(DataType::Boolean),
            _ => plan_err!("an operator has two operands"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut fields = vec![];
        let mut columns: Vec<ArrayRef> = vec![];
        let mut operands: Vec<Arc<dyn PhysicalExpr>> = vec![];
        for (value, field) in args.args.iter().zip(&args.arg_fields) {
            match value {
                ColumnarValue::Scalar(scalar) => operands.push(Arc::new(Literal::new(scalar.clone()))),
                ColumnarValue::Array(array) => {
                    operands.push(Arc::new(Column::new(field.name(), columns.len())));
                    fields.push(Field::new(field.name(), array.data_type().clone(), true));
                    columns.push(array.clone());
                }
            }
        }
        let [left, right] = operands.as_slice() else { return plan_err!("an operator has two operands") };
        let constant = columns.is_empty();
        let rows = if constant { 1 } else { args.number_rows };
        let schema = Arc::new(Schema::new(fields));
        let operator = match self.operation {
            Operation::Binary(op) => binary(left.clone(), op, right.clone(), &schema)?,
            Operation::Like { negated, case_insensitive } => {
                like(negated, case_insensitive, left.clone(), right.clone(), &schema)?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let result = operator.evaluate(&RecordBatch::try_new_with_options(schema, columns, &options)?)?;
        match result {
            ColumnarValue::Array(array) if constant => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            other => Ok(other),
        }
    }
}
