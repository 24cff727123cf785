//! The SQL of each operator, and what the dialect refuses.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::functions::expr_fn::upper;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan, cast, col, lit, table_scan,
};

use super::{SqlAggregate, SqlDialect, SqlFunction, admits, query};
use crate::refusal::Refusal;

static DIALECT: SqlDialect = SqlDialect {
    name: "test SQL",
    quote: '"',
    joins: &[JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti],
    functions: &[SqlFunction { name: "upper", spelled: "ucase", takes: |types| matches!(types, [DataType::Utf8]) }],
    aggregates: &[
        SqlAggregate { name: "count", takes: |_| true },
        SqlAggregate { name: "sum", takes: |types| matches!(types, [DataType::Decimal128(..)]) },
    ],
    type_name: |data_type| match data_type {
        DataType::Boolean => Some("BOOLEAN".into()),
        DataType::Int64 => Some("BIGINT".into()),
        DataType::Utf8 => Some("TEXT".into()),
        DataType::Date32 => Some("DATE".into()),
        DataType::Decimal128(precision, scale) => Some(format!("DECIMAL({precision}, {scale})")),
        _ => None,
    },
    compares: |data_type| !data_type.is_floating(),
    computes: |op, _, _, result| op == Operator::Multiply && matches!(result, DataType::Decimal128(..)),
    casts: |from, to| *from == DataType::Int64 && matches!(to, DataType::Decimal128(..)),
    max_depth: 5,
};

fn orders() -> LogicalPlanBuilder {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("na\"me", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(15, 2), true),
        Field::new("weight", DataType::Float64, true),
    ]);
    table_scan(Some("o"), &schema, None).unwrap()
}

fn relation(scan: &TableScan) -> Option<Vec<String>> {
    (scan.table_name.table() != "elsewhere").then(|| vec!["shop".to_owned(), scan.table_name.table().to_owned()])
}

#[track_caller]
fn writes(plan: LogicalPlan, expected: &str) {
    let scan =
        "SELECT t.\"id\" AS c0, t.\"na\"\"me\" AS c1, t.\"price\" AS c2, t.\"weight\" AS c3 FROM \"shop\".\"o\" AS t";
    let sql = query(&plan, &DIALECT, &relation).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(sql.replace(scan, "SCAN"), expected);
}

#[track_caller]
fn refuses(plan: LogicalPlan, expected: &str) {
    let refusal = query(&plan, &DIALECT, &relation).unwrap_err();
    assert_eq!(refusal.to_string(), expected);
}

fn filtered(predicate: Expr) -> LogicalPlan {
    orders().filter(predicate).unwrap().build().unwrap()
}

fn name() -> Expr {
    Expr::Column(datafusion::common::Column::new(Some("o"), "na\"me"))
}

#[test]
fn each_operator_is_a_derived_table() {
    let all = "q1.c0, q1.c1, q1.c2, q1.c3";
    writes(filtered(name().eq(lit("O'Neil"))), &format!("SELECT {all} FROM (SCAN) AS q1 WHERE (q1.c1 = 'O''Neil')"));
    writes(
        orders().project([col("id").alias("name"), upper(name())]).unwrap().limit(2, Some(3)).unwrap().build().unwrap(),
        "SELECT q2.c0, q2.c1 FROM (SELECT q1.c0 AS c0, ucase(q1.c1) AS c1 FROM (SCAN) AS q1) AS q2 LIMIT 3 OFFSET 2",
    );
    writes(
        orders().aggregate([col("id")], [count(lit(1_i64)), sum(col("price"))]).unwrap().build().unwrap(),
        "SELECT q1.c0 AS c0, count(CAST('1' AS BIGINT)) AS c1, sum(q1.c2) AS c2 FROM (SCAN) AS q1 GROUP BY q1.c0",
    );
    writes(
        orders().sort_with_limit([col("id").sort(false, true)], Some(5)).unwrap().build().unwrap(),
        &format!("SELECT {all} FROM (SCAN) AS q1 ORDER BY q1.c0 DESC NULLS FIRST LIMIT 5"),
    );
    // The order stands in the query with the limit.
    writes(
        orders().sort([col("id").sort(true, false)]).unwrap().limit(1, Some(5)).unwrap().build().unwrap(),
        &format!("SELECT {all} FROM (SCAN) AS q1 ORDER BY q1.c0 ASC NULLS LAST LIMIT 5 OFFSET 1"),
    );
    writes(
        orders().project([col("id")]).unwrap().distinct().unwrap().build().unwrap(),
        "SELECT DISTINCT q2.c0 FROM (SELECT q1.c0 AS c0 FROM (SCAN) AS q1) AS q2",
    );
    let one = |name: &str| orders().project([col("id")]).unwrap().alias(name).unwrap().build().unwrap();
    writes(
        LogicalPlanBuilder::from(one("a")).union(one("b")).unwrap().build().unwrap(),
        "SELECT q3.c0 FROM (SELECT q1.c0 AS c0 FROM (SCAN) AS q1) AS q3 UNION ALL \
         SELECT q6.c0 FROM (SELECT q4.c0 AS c0 FROM (SCAN) AS q4) AS q6",
    );
    writes(
        LogicalPlanBuilder::from(one("a"))
            .join_on(one("b"), JoinType::Inner, [col("a.id").eq(col("b.id"))])
            .unwrap()
            .build()
            .unwrap(),
        "SELECT q3.c0 AS c0, q6.c0 AS c1 FROM (SELECT q1.c0 AS c0 FROM (SCAN) AS q1) AS q3 INNER JOIN \
         (SELECT q4.c0 AS c0 FROM (SCAN) AS q4) AS q6 ON (q3.c0 = q6.c0)",
    );
    writes(
        LogicalPlanBuilder::from(one("a"))
            .join_on(one("b"), JoinType::RightAnti, [lit(true)])
            .unwrap()
            .build()
            .unwrap(),
        "SELECT q6.c0 FROM (SELECT q4.c0 AS c0 FROM (SCAN) AS q4) AS q6 WHERE NOT EXISTS \
         (SELECT 1 FROM (SELECT q1.c0 AS c0 FROM (SCAN) AS q1) AS q3 WHERE TRUE)",
    );
}

#[test]
fn a_right_join_is_a_left_join() {
    let one = |name: &str| orders().project([col("id")]).unwrap().alias(name).unwrap().build().unwrap();
    let joined = LogicalPlanBuilder::from(one("a")).join_on(one("b"), JoinType::Right, [col("a.id").eq(col("b.id"))]);
    writes(
        joined.unwrap().build().unwrap(),
        "SELECT q3.c0 AS c0, q6.c0 AS c1 FROM (SELECT q4.c0 AS c0 FROM (SCAN) AS q4) AS q6 LEFT JOIN \
         (SELECT q1.c0 AS c0 FROM (SCAN) AS q1) AS q3 ON (q3.c0 = q6.c0)",
    );
}

#[test]
fn each_expression_has_brackets() {
    for (predicate, expected) in [
        (col("id").gt(lit(i64::MIN)), "(q1.c0 > CAST('-9223372036854775808' AS BIGINT))"),
        (col("id").is_null().and(col("id").in_list(vec![lit(1_i64)], true).or(lit(false))), {
            "((q1.c0 IS NULL) AND ((q1.c0 NOT IN (CAST('1' AS BIGINT))) OR FALSE))"
        }),
        (name().like(lit("a%")), "(q1.c1 LIKE 'a%')"),
        (
            (col("price") * lit(ScalarValue::Decimal128(Some(-5), 3, 2))).is_not_null(),
            "((q1.c2 * CAST('-0.05' AS DECIMAL(3, 2))) IS NOT NULL)",
        ),
        (
            cast(col("id"), DataType::Decimal128(20, 0)).eq(lit(ScalarValue::Decimal128(None, 20, 0))),
            "(CAST(q1.c0 AS DECIMAL(20, 0)) = CAST(NULL AS DECIMAL(20, 0)))",
        ),
        (
            lit(ScalarValue::Date32(Some(0))).not_eq(lit(ScalarValue::Date32(Some(-1)))),
            "(CAST('1970-01-01' AS DATE) <> CAST('1969-12-31' AS DATE))",
        ),
    ] {
        writes(filtered(predicate), &format!("SELECT q1.c0, q1.c1, q1.c2, q1.c3 FROM (SCAN) AS q1 WHERE {expected}"));
    }
}

#[test]
fn what_means_something_else_is_refused() {
    refuses(filtered(col("weight").gt(lit(1.5))), "test SQL does not compare values of type Float64 as a node does");
    refuses(filtered(name().like(lit(r"a\%"))), r#"test SQL does not evaluate `o.na"me LIKE Utf8("a\%")`"#);
    refuses(filtered((col("id") + lit(1_i64)).is_null()), "test SQL does not evaluate `o.id + Int64(1)`");
    refuses(
        filtered(lit(ScalarValue::Date32(Some(4_000_000))).is_null()),
        "test SQL does not evaluate `Date32(\"+12921-08-18\")`",
    );
    refuses(filtered(name().eq(lit("a\0b"))), "test SQL does not evaluate `Utf8(\"a\0b\")`");
    refuses(
        orders().aggregate(Vec::<Expr>::new(), [sum(col("weight"))]).unwrap().build().unwrap(),
        "test SQL does not evaluate `sum(o.weight)`",
    );
    refuses(
        orders().project([col("weight")]).unwrap().distinct().unwrap().build().unwrap(),
        "test SQL does not compare values of type Float64 as a node does",
    );
    let other =
        table_scan(Some("elsewhere"), &Schema::new(vec![Field::new("id", DataType::Int64, true)]), None).unwrap();
    refuses(other.build().unwrap(), "port elsewhere has no table there");
    let joined = |join_type| {
        let right = orders().alias("b").unwrap().build().unwrap();
        orders().join_on(right, join_type, [col("o.id").eq(col("b.id"))]).unwrap().build().unwrap()
    };
    refuses(joined(JoinType::Full), "test SQL does not run `Full Join`");
    // The limit would take other rows than the order below the projection says.
    let ordered = orders().sort([col("id").sort(true, false)]).unwrap().project([name()]).unwrap();
    let limited = ordered.limit(0, Some(1)).unwrap().build().unwrap();
    assert!(matches!(query(&limited, &DIALECT, &relation), Err(Refusal::SqlOperator("test SQL", _))), "{limited}");
}

#[test]
fn queries_have_a_bound() {
    let nested = |filters: i64| {
        let filtered = |plan: LogicalPlanBuilder, i| plan.filter(col("id").gt(lit(i))).unwrap();
        (0..filters).fold(orders(), filtered).build().unwrap()
    };
    assert!(query(&nested(4), &DIALECT, &relation).is_ok());
    refuses(nested(5), "test SQL does not run `more than 5 queries inside one another`");
    // A limit without an end, as it is decoded.
    let all = orders().project([col("id")]).unwrap().limit(2, Some(i64::MAX as usize)).unwrap().build().unwrap();
    let sql = query(&all, &DIALECT, &relation).unwrap();
    assert!(sql.ends_with(" AS q2 OFFSET 2"), "{sql}");
    let many = (0..100_i64).map(|i| col("id").not_eq(lit(i))).reduce(Expr::and).unwrap();
    let sql = query(&filtered(many), &DIALECT, &relation).unwrap();
    assert!(!sql.contains("((("), "{sql}");
}

#[test]
fn one_operator_is_admitted_as_it_is_written() {
    let bad = filtered(col("weight").gt(lit(1.5)));
    assert!(admits(&bad, &DIALECT).is_err());
    // What is below does not matter.
    let above = LogicalPlanBuilder::from(bad).project([col("id")]).unwrap().build().unwrap();
    assert_eq!(admits(&above, &DIALECT), Ok(()));
    let sorted = orders().sort([col("id").sort(true, false)]).unwrap().build().unwrap();
    assert!(admits(&sorted, &DIALECT).is_err());
    let all = orders().sort([col("weight").sort(true, false)]).unwrap().limit(1, None).unwrap().build().unwrap();
    assert!(admits(&all, &DIALECT).is_err());
    let first = orders().sort_with_limit([col("weight").sort(true, false)], Some(1)).unwrap().build().unwrap();
    assert!(admits(&first, &DIALECT).is_err());
    let scan = Arc::new(orders().build().unwrap());
    assert_eq!(admits(&scan, &DIALECT), Ok(()));
}
