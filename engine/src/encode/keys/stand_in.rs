//! The admission of a filter with long lists of keys. The planner asks often if a site runs an operator, so that it writes
//! the list of a key set once, and asks with a list of one key from then on.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DFResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{EmptyRelation, Expr, ExprSchemable, Filter, LogicalPlan};
use datafusion::prelude::col;
use portolan_connectors::sql::SqlDialect;
use portolan_connectors::{Capabilities, Refusal};

use super::listed::{can_list, list, of_call, rewritten};
use super::test::Index;
use super::{InKeys, KeyTest};

/// Checks that a database runs this one operator, with lists in the place of its tests for keys.
///
/// # Errors
/// The reason why the database does not run it.
pub(crate) fn admit(
    operator: &LogicalPlan,
    capabilities: &Capabilities,
    dialect: &'static SqlDialect,
) -> Result<(), Refusal> {
    let (mut bytes, mut refused) = (0, None);
    let short = rewritten(operator, &mut |call, schema| {
        let Some((keys, column, data_type)) = long_list(call, schema) else { return of_call(call, schema) };
        match keys.list_bytes(dialect, &data_type, || list_bytes(keys, &data_type, capabilities)) {
            Ok(list) => bytes += list,
            Err(refusal) => refused = Some(refusal),
        }
        one_key(keys, column, &data_type)
    });
    let own = match &short {
        Ok(short) => capabilities.sql_bytes(short)?,
        Err(_) => capabilities.sql_bytes(operator)?,
    };
    match refused {
        Some(refusal) => Err(refusal),
        None if own + bytes > dialect.max_bytes => Err(Refusal::SqlLength(dialect.name, dialect.max_bytes)),
        None => Ok(()),
    }
}

/// Returns an operator with a list of one key in the place of each longer list.
///
/// # Errors
/// A predicate that does not fit its input.
pub(crate) fn with_short_lists(operator: &LogicalPlan) -> DFResult<LogicalPlan> {
    let short = rewritten(operator, &mut |call, schema| {
        let Some((keys, column, data_type)) = long_list(call, schema) else { return of_call(call, schema) };
        one_key(keys, column, &data_type)
    });
    short.map(Cow::into_owned)
}

/// Returns the number of keys that a predicate lists in SQL; 0 if it lists none.
pub(crate) fn listed_keys(predicate: &Expr) -> usize {
    let mut keys = 0;
    let walked = predicate.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr {
            keys += InKeys::of(call).and_then(|function| function.keys.test.number()).unwrap_or_default();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_or(0, |_| keys)
}

/// Returns the keys of a test that becomes a list, their column and its type. A list of anything else but a column may be
/// written in another way if it is short.
fn long_list<'a>(call: &'a ScalarFunction, schema: &DFSchema) -> Option<(&'a Index, &'a Expr, DataType)> {
    let test = &InKeys::of(call)?.keys.test;
    let (KeyTest::Exact(keys), [column @ Expr::Column(_)]) = (test, call.args.as_slice()) else { return None };
    let [values] = keys.columns() else { return None };
    (!values.is_empty() && can_list(keys.columns())).then_some(())?;
    Some((keys, column, column.get_type(schema).ok()?))
}

fn one_key(keys: &Index, column: &Expr, data_type: &DataType) -> Option<Expr> {
    list(column, &cast(&keys.columns().first()?.slice(0, 1), data_type).ok()?)
}

/// Returns the bytes of a filter by all keys over a column of this type.
fn list_bytes(keys: &Index, data_type: &DataType, capabilities: &Capabilities) -> Result<usize, Refusal> {
    let unreadable = |e: datafusion::error::DataFusionError| Refusal::Unreadable(e.strip_backtrace());
    let schema = Schema::new(vec![Field::new("k", data_type.clone(), true)]);
    let schema = Arc::new(DFSchema::try_from(schema).map_err(unreadable)?);
    let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
    let keys = keys.columns().first().and_then(|keys| cast(keys, data_type).ok());
    let listed = keys.and_then(|keys| list(&col("k"), &keys)).ok_or(Refusal::Operator)?;
    capabilities.sql_bytes(&LogicalPlan::Filter(Filter::try_new(listed, Arc::new(input)).map_err(unreadable)?))
}
