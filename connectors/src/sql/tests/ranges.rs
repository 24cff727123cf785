//! Columns that a database only returns, and the place for a range of rows.

use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};

use super::super::{MARIADB, POSTGRES, SQLITE, SqlQuery, query};
use super::{orders, refusal, table, written};

fn moods() -> LogicalPlanBuilder {
    orders().project([col("mood"), col("id")]).unwrap()
}

#[test]
fn returned_columns_are_returned() {
    let passed = [
        moods().filter(col("id").gt(lit(1_i64))).unwrap(),
        moods().project([col("mood").alias("feeling"), col("id")]).unwrap(),
        moods().sort_with_limit([col("id").sort(true, false)], Some(3)).unwrap(),
        moods().limit(1, Some(2)).unwrap(),
        moods().union(moods().build().unwrap()).unwrap(),
        moods()
            .join_on(moods().alias("b").unwrap().build().unwrap(), JoinType::Left, [col("o.id").eq(col("b.id"))])
            .unwrap(),
        moods().alias("a").unwrap().filter(col("a.id").is_not_null()).unwrap(),
    ];
    for plan in passed {
        let plan = plan.build().unwrap();
        for dialect in [&POSTGRES, &MARIADB, &SQLITE] {
            written(&plan, dialect);
        }
    }
}

#[test]
fn other_uses_of_returned_columns_are_refused() {
    let renamed = || moods().project([col("mood").alias("feeling"), col("id")]).unwrap();
    let refused = [
        moods().filter(col("mood").is_null()).unwrap(),
        renamed().filter(col("feeling").eq(lit("happy"))).unwrap(),
        moods().project([col("mood").like(lit("h%"))]).unwrap(),
        moods().sort_with_limit([col("mood").sort(true, false)], Some(3)).unwrap(),
        moods().aggregate([col("mood")], Vec::<Expr>::new()).unwrap(),
        moods().aggregate(Vec::<Expr>::new(), [count(col("mood"))]).unwrap(),
        moods().distinct().unwrap(),
        // A column of a union is only returned if that of one branch is.
        orders()
            .project([super::name().alias("mood"), col("id")])
            .unwrap()
            .union(moods().build().unwrap())
            .unwrap()
            .filter(col("mood").is_not_null())
            .unwrap(),
        moods()
            .join_on(moods().alias("b").unwrap().build().unwrap(), JoinType::Inner, [col("o.mood").eq(col("b.mood"))])
            .unwrap(),
    ];
    for plan in refused {
        let plan = plan.build().unwrap();
        for dialect in [&POSTGRES, &MARIADB, &SQLITE] {
            let why = refusal(&plan, dialect);
            assert!(why.ends_with("another meaning than a node does, and only returns them"), "{plan}: {why}");
        }
    }
}

fn ranged(plan: &LogicalPlan) -> SqlQuery {
    query(plan, &POSTGRES, &|scan| table(scan, true)).unwrap()
}

#[test]
fn a_range_stands_behind_the_only_table() {
    let scan = orders().project([col("id")]).unwrap().build().unwrap();
    assert!(ranged(&scan).in_range("r").contains("FROM \"shop\".\"o\" AS t WHERE r) AS q1"), "{:?}", ranged(&scan));
    let plan = moods().filter(col("id").gt(lit(1_i64))).unwrap().project([col("mood")]).unwrap().build().unwrap();
    let sql = ranged(&plan);
    let ranges = sql.ranges.clone().unwrap();
    assert_eq!(ranges.from, "\"shop\".\"o\"");
    assert!(sql.text[..ranges.at].ends_with("FROM \"shop\".\"o\" AS t"), "{sql:?}");
    assert_eq!(sql.in_range("t.ctid < '(9,0)'").replacen(" WHERE t.ctid < '(9,0)'", "", 1), sql.text);
    let bare = orders().build().unwrap();
    assert!(ranged(&bare).in_range("r").ends_with(" FROM \"shop\".\"o\" AS t WHERE r"), "{:?}", ranged(&bare));
    // A literal that looks like a table.
    let text = orders().project([col("id"), lit("FROM \"shop\".\"o\" AS t")]).unwrap().build().unwrap();
    assert!(ranged(&text).in_range("r").contains("AS t WHERE r) AS q1"), "{:?}", ranged(&text));
}

#[test]
fn only_single_rows_have_ranges() {
    let without = [
        moods().limit(0, Some(1)).unwrap(),
        moods().distinct().unwrap(),
        moods().sort_with_limit([col("id").sort(true, false)], Some(1)).unwrap(),
        moods().aggregate(Vec::<Expr>::new(), [count(col("id"))]).unwrap(),
        moods().union(moods().build().unwrap()).unwrap(),
        moods().cross_join(moods().alias("b").unwrap().build().unwrap()).unwrap(),
    ];
    for plan in without {
        let plan = plan.build().unwrap();
        if let Ok(sql) = query(&plan, &POSTGRES, &|scan| table(scan, true)) {
            assert_eq!(sql.ranges, None, "{sql:?}");
            assert!(!sql.text.contains('\0'));
            assert_eq!(sql.in_range("r"), sql.text);
        }
    }
    assert_eq!(query(&orders().build().unwrap(), &POSTGRES, &|scan| table(scan, false)).unwrap().ranges, None);
}
