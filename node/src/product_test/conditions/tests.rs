//! The conditions of each kind of rule.

#![allow(clippy::unwrap_used)]

use arrow::datatypes::TimeUnit;
use portolan_catalog::rules::Threshold;
use serde_json::json;

use super::*;

fn condition(kind: &RuleKind, data_type: &DataType) -> Result<String, String> {
    condition_of(kind, "a", data_type)
}

#[test]
fn a_condition_finds_the_rows_that_break_a_rule() {
    use DataType as T;

    let bound = |bound, value| RuleKind::Bound(bound, value);
    let metric = |metric| RuleKind::Metric { metric, threshold: Threshold::Equal(0.0), percent: false };
    let list = T::new_list(T::Int64, true);
    for (kind, data_type, expected) in [
        (RuleKind::Required, &T::Int64, "s.\"a\" IS NULL"),
        (RuleKind::Enum(vec![json!("x"), json!(null), json!("y'")]), &T::Utf8, "s.\"a\" NOT IN ('x', 'y''')"),
        (RuleKind::Enum(vec![json!(1), json!("2")]), &T::Int64, "s.\"a\" NOT IN ((1), (2))"),
        (RuleKind::Enum(vec![json!(null)]), &T::Int64, "s.\"a\" IS NOT NULL"),
        (RuleKind::Pattern("^a'".to_owned()), &T::Utf8View, "NOT regexp_like(s.\"a\", '^a''')"),
        (bound(Bound::Minimum, json!(0)), &T::Int64, "s.\"a\" < (0)"),
        (bound(Bound::ExclusiveMinimum, json!(0.5)), &T::Float64, "s.\"a\" <= (0.5)"),
        (bound(Bound::Maximum, json!("2030-01-01")), &T::Date32, "s.\"a\" > arrow_cast('2030-01-01', 'Date32')"),
        (bound(Bound::ExclusiveMaximum, json!(9)), &T::Decimal128(10, 2), "s.\"a\" >= (9)"),
        (RuleKind::Size(Size::MinLength, 2), &T::Utf8, "character_length(s.\"a\") < 2"),
        (RuleKind::Size(Size::MaxItems, 3), &list, "s.\"a\" IS NOT NULL AND coalesce(array_length(s.\"a\"), 0) > 3"),
        (RuleKind::MultipleOf(json!(5)), &T::Int32, "s.\"a\" % 5 <> 0"),
        (metric(Metric::MissingValues(vec![json!(null), json!("")])), &T::Utf8, "s.\"a\" IS NULL OR s.\"a\" IN ('')"),
        // An integer is never an empty string.
        (metric(Metric::MissingValues(vec![json!(""), json!(-1)])), &T::Int64, "s.\"a\" IN ((-1))"),
        (metric(Metric::MissingValues(vec![json!("")])), &T::Int64, "FALSE"),
        (
            metric(Metric::InvalidValues { valid: vec![json!("kg")], pattern: Some("g$".to_owned()) }),
            &T::Utf8,
            "s.\"a\" NOT IN ('kg') OR NOT regexp_like(s.\"a\", 'g$')",
        ),
    ] {
        assert_eq!(condition(&kind, data_type).as_deref(), Ok(expected), "{kind}");
    }
}

#[test]
fn a_rule_that_does_not_fit_its_column_is_not_checked() {
    use DataType as T;

    let time = T::Timestamp(TimeUnit::Second, None);
    for (kind, data_type, reason) in [
        (RuleKind::Enum(vec![json!("x")]), &T::Int64, "expected a number, got `x`"),
        (RuleKind::Pattern("a".to_owned()), &T::Int64, "only strings are checked for it, and the column is Int64"),
        (RuleKind::Size(Size::MinLength, 2), &T::Binary, "only strings are checked for it, and the column is Binary"),
        (RuleKind::Size(Size::MinItems, 2), &T::Utf8, "only lists are checked for it, and the column is Utf8"),
        (RuleKind::MultipleOf(json!(0.5)), &T::Float64, "only integers are checked for it"),
        (RuleKind::MultipleOf(json!(5)), &time, "only integers are checked for it"),
    ] {
        assert_eq!(condition(&kind, data_type), Err(reason.to_owned()), "{kind}");
    }
}

#[test]
fn an_encoded_column_is_checked_as_its_values() {
    let words = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
    let condition = condition(&RuleKind::Pattern("a".to_owned()), &words).unwrap();
    assert_eq!(condition, "NOT regexp_like(CAST(s.\"a\" AS VARCHAR), 'a')");
}
