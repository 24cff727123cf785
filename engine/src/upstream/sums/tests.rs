#![allow(clippy::unwrap_used)]

use arrow::array::Int64Array;
use datafusion::logical_expr::EmitTo;
use datafusion::prelude::SessionContext;

use super::groups::Groups;
use super::*;

const OVERFLOWS: &str = "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)";

async fn first(context: &SessionContext, sql: &str) -> Result<ScalarValue> {
    let batches = context.sql(sql).await?.collect().await?;
    ScalarValue::try_from_array(batches[0].column(0), 0)
}

#[tokio::test]
async fn sums_are_exact_or_fail() {
    let context = SessionContext::new_with_state(crate::upstream::state_builder().build());
    let error = first(&context, OVERFLOWS).await.unwrap_err().to_string();
    assert!(error.contains("integer overflow") && error.contains("DECIMAL"), "{error}");
    let passing = "SELECT sum(x) FROM (VALUES (9223372036854775807), (1), (-1)) t(x)";
    assert_eq!(first(&context, passing).await.unwrap(), ScalarValue::from(i64::MAX));
    let distinct = "SELECT sum(DISTINCT x) FROM (VALUES (9223372036854775807), (9223372036854775807), (-7)) t(x)";
    assert_eq!(first(&context, distinct).await.unwrap(), ScalarValue::from(i64::MAX - 7));
}

#[test]
fn states_hold_more_than_results() {
    let types = || SumTypes { wide: WIDE_INTEGER, result: DataType::Int64 };
    let of = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let mut part = Groups::<Int64Type, Decimal128Type>::new(types());
    part.update_batch(&[of(vec![Some(i64::MAX), Some(5), Some(i64::MAX), None])], &[0, 1, 0, 2], None, 3).unwrap();
    let state = part.state(EmitTo::All).unwrap();
    let mut whole = Groups::<Int64Type, Decimal128Type>::new(types());
    whole.merge_batch(&state, &[0, 1, 2], 3).unwrap();
    let negative =
        whole.convert_to_state(&[of(vec![Some(-i64::MAX), Some(1)])], Some(&vec![true, false].into())).unwrap();
    whole.merge_batch(&negative, &[0, 1], 3).unwrap();
    let sums = whole.evaluate(EmitTo::All).unwrap();
    assert_eq!(sums.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(i64::MAX), Some(5), None]));
}
