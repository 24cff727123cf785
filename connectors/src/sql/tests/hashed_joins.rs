//! The SQL of joins whose keys MariaDB hashes.

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, LogicalPlan, col};

use super::super::MARIADB;
use super::operators::{joined, special, writes};
use super::{name, orders, refusal, written};

/// A join of orders with orders by one column, under another condition or without.
fn by_column(column: fn() -> Expr, join_type: JoinType, filter: Option<Expr>) -> LogicalPlan {
    let input = |alias: &str| orders().project([col("id"), column()]).unwrap().alias(alias).unwrap();
    let name = column().qualified_name().1;
    let key = |alias: &str| Column::new(Some(alias), &name);
    let right = input("b").build().unwrap();
    input("a").join(right, join_type, (vec![key("a")], vec![key("b")]), filter).unwrap().build().unwrap()
}

#[test]
fn mariadb_joins_by_in() {
    let found = "(q1.c0 IN (SELECT q2.c0 FROM (ID) AS q2 WHERE (q2.c0 IS NOT NULL)))";
    let anti = |found: &str| format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE ({found} IS NOT TRUE)");
    writes(joined(JoinType::LeftAnti), &MARIADB, &anti(found));
    let mark = format!("SELECT q1.c0 AS c0, ({found} IS TRUE) AS c1 FROM (ID) AS q1");
    writes(joined(JoinType::LeftMark), &MARIADB, &mark);
    let swapped = "(q2.c0 IN (SELECT q1.c0 FROM (ID) AS q1 WHERE (q1.c0 IS NOT NULL)))";
    let swapped = format!("SELECT q2.c0 AS c0 FROM (ID) AS q2 WHERE ({swapped} IS NOT TRUE)");
    writes(joined(JoinType::RightAnti), &MARIADB, &swapped);
    writes(joined(JoinType::LeftSemi), &MARIADB, &format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE {found}"));
    // `EXCEPT` and `INTERSECT` find NULL equal to NULL.
    let null_safe =
        "(((q1.c0 IS NULL), COALESCE(q1.c0, 0)) IN (SELECT (q2.c0 IS NULL), COALESCE(q2.c0, 0) FROM (ID) AS q2))";
    let nulls = |join_type| special(join_type, NullEquality::NullEqualsNull, false);
    writes(nulls(JoinType::LeftAnti), &MARIADB, &anti(null_safe));
    writes(nulls(JoinType::LeftSemi), &MARIADB, &format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE {null_safe}"));
    let price = written(&by_column(|| col("price"), JoinType::LeftAnti, None), &MARIADB);
    assert!(price.contains("(q2.c1 IN (SELECT COALESCE(q4.c1) FROM ("), "{price}");
    let text = written(&by_column(name, JoinType::LeftSemi, None), &MARIADB);
    let exact = "((q2.c1 COLLATE utf8mb4_nopad_bin) IN (SELECT (q4.c1 COLLATE utf8mb4_nopad_bin) FROM (";
    assert!(text.contains(exact), "{text}");
    // With another condition, only a left join hashes its keys, if they are no strings.
    let other = || Some(col("a.id").not_eq(col("b.id")));
    let left = written(&by_column(|| col("day"), JoinType::LeftAnti, other()), &MARIADB);
    assert!(left.contains(" AS q2 LEFT JOIN ("), "{left}");
    assert!(left.ends_with(" AS q4 ON (q2.c1 = q4.c1) AND (q2.c0 <> q4.c0) WHERE (q4.c1 IS NULL)"), "{left}");
    let semi = written(&by_column(|| col("day"), JoinType::LeftSemi, other()), &MARIADB);
    assert!(semi.contains(" WHERE EXISTS (SELECT 1 FROM ("), "{semi}");
    let refused = refusal(&by_column(name, JoinType::LeftAnti, other()), &MARIADB);
    assert_eq!(refused, "MariaDB does not run `LeftAnti Join`");
    let refused = refusal(&by_column(|| col("day"), JoinType::LeftMark, other()), &MARIADB);
    assert_eq!(refused, "MariaDB does not run `LeftMark Join`");
}
