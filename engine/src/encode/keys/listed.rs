//! Keys as a list of values: the only form in which a query in SQL can have them. A node that gets keys in another form
//! for the ports of its database writes them as such a list, if they are not too many.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator, lit};
use datafusion::prelude::in_list;

use super::{InKeys, KeyTest};

/// The largest number of keys of one column that a query in SQL lists.
pub(crate) const SQL_KEYS: usize = 65_536;
/// The most bytes of these keys, without what the SQL of a database has around each. Several lists fit into a query.
const SQL_KEY_BYTES: usize = 512 << 10;

/// True if these keys are few and short enough to be literals of a query: one array for each column. Every list of keys
/// has this limit, whether a node writes it from a batch or sends it instead of one.
pub(crate) fn can_list(columns: &[ArrayRef]) -> bool {
    columns.iter().all(|keys| keys.len() <= SQL_KEYS) && columns.iter().map(value_bytes).sum::<usize>() <= SQL_KEY_BYTES
}

/// Returns the bytes of the values of an array. The buffers behind views can have values of other arrays as well.
fn value_bytes(keys: &ArrayRef) -> usize {
    let sum = |lengths: &mut dyn Iterator<Item = u32>| lengths.map(|length| length as usize).sum();
    match keys.data_type() {
        DataType::Utf8View => sum(&mut keys.as_string_view().lengths()),
        DataType::BinaryView => sum(&mut keys.as_binary_view().lengths()),
        _ => keys.to_data().get_slice_memory_size().unwrap_or(usize::MAX),
    }
}

/// Returns `column IN (keys)`; `None` if the keys cannot be read as values, or are too many or too long.
pub(crate) fn list(column: &Expr, keys: &ArrayRef) -> Option<Expr> {
    if !can_list(std::slice::from_ref(keys)) {
        return None;
    }
    let values = (0..keys.len()).map(|row| ScalarValue::try_from_array(keys, row).ok().map(lit));
    Some(in_list(column.clone(), values.collect::<Option<_>>()?, false))
}

/// Returns an operator in which lists are in the place of tests for keys, as far as they may be.
///
/// # Errors
/// A predicate that does not fit its input.
pub(crate) fn with_lists(operator: &LogicalPlan) -> Result<Cow<'_, LogicalPlan>> {
    rewritten(operator, &mut of_call)
}

/// Returns an operator with other expressions in the place of those tests for keys that may be lists. `instead` returns
/// the expression for a test; `None` leaves the test.
///
/// # Errors
/// A predicate that does not fit its input.
pub(super) fn rewritten<'p>(
    operator: &'p LogicalPlan,
    instead: &mut dyn FnMut(&ScalarFunction, &DFSchema) -> Option<Expr>,
) -> Result<Cow<'p, LogicalPlan>> {
    // Only there, NULL is as good as false, which a test for keys is for NULL.
    let LogicalPlan::Filter(filter) = operator else { return Ok(Cow::Borrowed(operator)) };
    let schema = filter.input.schema();
    let is_test = |expr: &Expr| Ok(matches!(expr, Expr::ScalarFunction(call) if InKeys::of(call).is_some()));
    if !filter.predicate.exists(is_test)? {
        return Ok(Cow::Borrowed(operator));
    }
    let listed = filter.predicate.clone().transform_down(|expr| {
        Ok(match &expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => Transformed::no(expr),
            Expr::ScalarFunction(call) => match instead(call, schema) {
                Some(listed) => Transformed::new(listed, true, TreeNodeRecursion::Jump),
                None => Transformed::new(expr, false, TreeNodeRecursion::Jump),
            },
            _ => Transformed::new(expr, false, TreeNodeRecursion::Jump),
        })
    })?;
    Ok(Cow::Owned(LogicalPlan::Filter(Filter::try_new(listed.data, Arc::clone(&filter.input))?)))
}

/// Returns the list of a test for keys; `None` for another function, for a Bloom filter, and for keys of several columns
/// or too many keys.
pub(super) fn of_call(call: &ScalarFunction, schema: &DFSchema) -> Option<Expr> {
    let test = &InKeys::of(call)?.keys.test;
    let (KeyTest::Exact(index), [column]) = (test, call.args.as_slice()) else { return None };
    let [keys] = index.columns() else { return None };
    if keys.is_empty() {
        return Some(lit(false));
    }
    // Only the layout of the values differs.
    let keys = cast(keys, &column.get_type(schema).ok()?).ok()?;
    (keys.null_count() == 0).then(|| list(column, &keys)).flatten()
}
