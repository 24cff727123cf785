use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, col, lit};
use datafusion::prelude::SessionContext;

use super::*;

fn call(kind: Mask, column: Expr) -> Expr {
    MaskFunction::call(kind, Some(&SALT), column).unwrap()
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("card", DataType::Utf8, false), Field::new("id", DataType::Int64, true)])
}

fn evaluated(expr: Expr) -> ArrayRef {
    let schema = schema();
    let cards = StringArray::from(vec!["4111-1111-1111-4444", "42"]);
    let ids = Int64Array::from(vec![Some(0), None]);
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(cards), Arc::new(ids)]).unwrap();
    let session = SessionContext::new();
    let schema = DFSchema::try_from(schema).unwrap();
    let expr = session.create_physical_expr(expr, &schema).unwrap();
    expr.evaluate(&batch).unwrap().into_array(2).unwrap()
}

#[test]
fn a_call_masks_a_column() {
    let shown = evaluated(call(Mask::ShowLast4, col("card")));
    assert_eq!(shown.as_string::<i32>(), &StringArray::from(vec!["nnnn-nnnn-nnnn-4444", "42"]));
    let hashed = evaluated(call(Mask::Sha256Global, col("id")));
    let expected = Int64Array::from(vec![Some(8_794_265_229_978_523_055), None]);
    assert_eq!(hashed.as_primitive::<Int64Type>(), &expected);
    assert_eq!(evaluated(call(Mask::ReplaceWithNull, col("card"))).null_count(), 2);
    let constant = evaluated(call(Mask::ShowFirst4, lit("constant-1")));
    assert_eq!(constant.as_string::<i32>(), &StringArray::from(vec!["consxxxx-n"; 2]));
}

#[test]
fn a_call_has_the_field_of_its_argument() {
    let schema = DFSchema::try_from(schema()).unwrap();
    let field = |expr: Expr| expr.to_field(&schema).unwrap().1;
    let shown = field(call(Mask::ShowLast4, col("card")));
    assert_eq!((shown.data_type(), shown.is_nullable()), (&DataType::Utf8, false));
    let none = field(call(Mask::ReplaceWithNull, col("card")));
    assert_eq!((none.data_type(), none.is_nullable()), (&DataType::Utf8, true));
    let fixed = field(call(Mask::MaskToFixedValue, col("id")));
    assert_eq!((fixed.data_type(), fixed.is_nullable()), (&DataType::Int64, true));
    let error = call(Mask::ShowLast4, col("id")).to_field(&schema).unwrap_err().to_string();
    assert!(error.contains("the mask `show-last-4` expects a string, got Int64"), "{error}");
}

#[test]
fn no_text_of_a_call_shows_the_salt() {
    let expr = call(Mask::Sha256QueryLocal, col("card"));
    assert_eq!(expr.schema_name().to_string(), "portolan_mask[sha-256-query-local](card)");
    assert_eq!(expr.to_string(), "portolan_mask(card)");
    let debug = format!("{expr:?}");
    assert!(debug.contains("Salt(..)") && !debug.contains("30, 31"), "{debug}");
}

#[test]
fn calls_are_equal_if_their_masks_and_salts_are() {
    let other = Salt::new([9; Salt::LENGTH]);
    let function = |kind, salt: &Salt| MaskFunction::try_new(kind, Some(salt)).unwrap();
    assert_eq!(function(Mask::Sha256Global, &SALT), function(Mask::Sha256Global, &other));
    assert_eq!(function(Mask::Sha256QueryLocal, &SALT), function(Mask::Sha256QueryLocal, &SALT));
    assert_ne!(function(Mask::Sha256QueryLocal, &SALT), function(Mask::Sha256QueryLocal, &other));
    assert_ne!(function(Mask::Sha256QueryLocal, &SALT), function(Mask::Sha256Global, &SALT));
    assert_eq!(HashSet::from(Mask::ALL.map(|kind| call(kind, col("card")))).len(), 10);
    let error = MaskFunction::try_new(Mask::Sha256QueryLocal, None).unwrap_err().to_string();
    assert!(error.contains("expected a salt for the mask `sha-256-query-local`, got none"), "{error}");
}
