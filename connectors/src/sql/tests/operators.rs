//! The SQL of plans: each operator is a derived table.

use datafusion::common::{JoinType, NullEquality, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{
    Expr, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder, Subquery, col, lit, table_scan,
};

use super::super::{MARIADB, MYSQL, POSTGRES, SQLITE, SqlDialect, admits};
use super::{filtered, name, orders, refusal, written};
use crate::refusal::Refusal;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// A table of one column, as it is scanned.
const ID: &str = "SELECT t.\"id\" AS c0 FROM \"shop\".\"o\" AS t";

fn ids() -> LogicalPlanBuilder {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    table_scan(Some("o"), &schema, None).unwrap()
}

pub(super) fn ids_as(name: &str) -> LogicalPlan {
    ids().alias(name).unwrap().build().unwrap()
}

/// Checks the query of a plan over one column, with `ID` for its scan.
#[track_caller]
pub(super) fn writes(plan: LogicalPlan, dialect: &SqlDialect, expected: &str) {
    assert_eq!(written(&plan, dialect).replace(ID, "ID"), expected);
}

#[test]
fn each_operator_is_a_derived_table() {
    let positive = || ids().filter(col("id").gt(lit(5_i64))).unwrap();
    writes(positive().build().unwrap(), &SQLITE, "SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE (q1.c0 > 5)");
    writes(
        positive().build().unwrap(),
        &POSTGRES,
        "SELECT CAST(q1.c0 AS int8) AS c0 FROM (ID) AS q1 WHERE (q1.c0 > CAST('5' AS int8))",
    );
    writes(
        positive().project([col("id").alias("x"), col("id").is_null()]).unwrap().build().unwrap(),
        &MARIADB,
        "SELECT q2.c0 AS c0, (q2.c0 IS NULL) AS c1 FROM (SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE (q1.c0 > 5)) AS q2",
    );
    // A scan without columns has a constant.
    writes(ids().project(Vec::<Expr>::new()).unwrap().build().unwrap(), &POSTGRES, "SELECT 1 AS c0 FROM (ID) AS q1");
}

#[test]
fn the_outermost_columns_have_the_types_of_the_reader() {
    let scan = "SELECT CAST(t.\"id\" AS int8) AS c0, CAST(t.\"na\"\"me\" AS text) AS c1, \
        CAST(t.\"price\" AS numeric(15, 2)) AS c2, CAST(t.\"weight\" AS float8) AS c3, CAST(t.\"small\" AS int4) AS c4, \
        CAST(t.\"day\" AS date) AS c5, CAST(t.\"at\" AS timestamp) AS c6, CAST(t.\"seen\" AS timestamptz) AS c7, \
        CAST(t.\"open\" AS bool) AS c8, CAST(t.\"mood\" AS text) AS c9 FROM \"shop\".\"o\" AS t";
    assert_eq!(written(&orders().build().unwrap(), &POSTGRES), scan);
    writes(
        ids().distinct().unwrap().build().unwrap(),
        &POSTGRES,
        "SELECT CAST(q2.c0 AS int8) AS c0 FROM (SELECT DISTINCT q1.c0 AS c0 FROM (ID) AS q1) AS q2",
    );
    let lists = Schema::new(vec![
        Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
        Field::new("raw", DataType::Binary, true),
    ]);
    let lists = table_scan(Some("l"), &lists, None).unwrap().build().unwrap();
    let expected = "SELECT CAST(t.\"tags\" AS text[]) AS c0, CAST(t.\"raw\" AS bytea) AS c1 FROM \"shop\".\"l\" AS t";
    assert_eq!(written(&lists, &POSTGRES), expected);
    let unknown = Schema::new(vec![Field::new("n", DataType::UInt64, true)]);
    let unknown = table_scan(Some("l"), &unknown, None).unwrap().build().unwrap();
    assert_eq!(refusal(&unknown, &POSTGRES), "PostgreSQL does not run `a column of type UInt64`");
}

#[test]
fn orders_are_written() {
    let first = |asc, nulls_first| ids().sort_with_limit([col("id").sort(asc, nulls_first)], Some(5)).unwrap();
    let first = |asc, nulls_first| first(asc, nulls_first).build().unwrap();
    let sorted = |order: &str| format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 ORDER BY {order} LIMIT 5");
    writes(first(false, true), &SQLITE, &sorted("q1.c0 DESC NULLS FIRST"));
    writes(first(true, false), &SQLITE, &sorted("q1.c0 ASC NULLS LAST"));
    // NULL is the smallest value.
    writes(first(true, true), &MARIADB, &sorted("q1.c0 ASC"));
    writes(first(false, false), &MARIADB, &sorted("q1.c0 DESC"));
    writes(first(true, false), &MARIADB, &sorted("(q1.c0 IS NULL) ASC, q1.c0 ASC"));
    writes(first(false, true), &MYSQL, &sorted("(q1.c0 IS NULL) DESC, q1.c0 DESC"));
    // The order stands in the query with the limit, and strings are in the order of their bytes.
    let names = orders().project([name()]).unwrap().sort([name().sort(true, false)]).unwrap();
    let names = names.limit(1, Some(5)).unwrap().build().unwrap();
    for (dialect, order) in [
        (&POSTGRES, "(q2.c0 COLLATE \"C\") ASC NULLS LAST"),
        (&SQLITE, "(q2.c0 COLLATE BINARY) ASC NULLS LAST"),
        (
            &MARIADB,
            "((q2.c0 COLLATE utf8mb4_nopad_bin) IS NULL) ASC, (q2.c0 COLLATE utf8mb4_nopad_bin) ASC, \
             octet_length((q2.c0 COLLATE utf8mb4_nopad_bin)) ASC",
        ),
        (
            &MYSQL,
            "((q2.c0 COLLATE utf8mb4_0900_bin) IS NULL) ASC, (q2.c0 COLLATE utf8mb4_0900_bin) ASC, \
             octet_length((q2.c0 COLLATE utf8mb4_0900_bin)) ASC",
        ),
    ] {
        let sql = written(&names, dialect);
        assert!(sql.ends_with(&format!(" ORDER BY {order} LIMIT 5 OFFSET 1")), "{sql}");
    }
    // A limit without an end.
    let rest = ids().limit(2, None).unwrap().build().unwrap();
    for (dialect, limit) in
        [(&POSTGRES, "OFFSET 2"), (&SQLITE, "LIMIT -1 OFFSET 2"), (&MARIADB, "LIMIT 18446744073709551615 OFFSET 2")]
    {
        assert!(written(&rest, dialect).ends_with(&format!(" AS q1 {limit}")), "{}", written(&rest, dialect));
    }
    // A limit without an end, as it is decoded.
    let rest = ids().limit(2, Some(i64::MAX as usize)).unwrap().build().unwrap();
    assert!(written(&rest, &SQLITE).ends_with(" AS q1 LIMIT -1 OFFSET 2"), "{}", written(&rest, &SQLITE));
    writes(ids().limit(0, Some(0)).unwrap().build().unwrap(), &SQLITE, "SELECT q1.c0 AS c0 FROM (ID) AS q1 LIMIT 0");
    // The limit would take other rows than the order below the projection says.
    let ordered = orders().sort([col("id").sort(true, false)]).unwrap().project([name()]).unwrap();
    let limited = ordered.limit(0, Some(1)).unwrap().build().unwrap();
    assert!(refusal(&limited, &POSTGRES).starts_with("PostgreSQL does not run"), "{}", refusal(&limited, &POSTGRES));
    let sorted = ids().sort([col("id").sort(true, false)]).unwrap().build().unwrap();
    assert_eq!(refusal(&sorted, &SQLITE), "SQLite does not run `a sort without a limit`");
    // A number in an order would be the position of a column.
    let constant = ids().sort_with_limit([lit(1_i64).sort(true, false)], Some(5)).unwrap().build().unwrap();
    assert_eq!(refusal(&constant, &SQLITE), "SQLite does not evaluate `Int64(1)`");
}

#[test]
fn groups_are_written() {
    let counted = orders().aggregate([name()], [count(lit(1_i64)), sum(col("price"))]).unwrap().build().unwrap();
    for (dialect, key) in
        [(&MARIADB, "(q1.c1 COLLATE utf8mb4_nopad_bin)"), (&MYSQL, "(q1.c1 COLLATE utf8mb4_0900_bin)")]
    {
        let sql = written(&counted, dialect);
        let start = "SELECT q2.c10 AS c0, count(1) AS c1, sum(q2.c2) AS c2 FROM (SELECT q1.c0 AS c0, ";
        assert!(sql.starts_with(start), "{sql}");
        assert!(sql.contains(&format!(", q1.c9 AS c9, {key} AS c10 FROM (")), "{sql}");
        assert!(sql.ends_with(" AS q2 GROUP BY q2.c10, octet_length(q2.c10)"), "{sql}");
    }
    let sql = written(&counted, &POSTGRES);
    assert!(
        sql.starts_with("SELECT CAST(q1.c1 AS text) AS c0, CAST(count(CAST('1' AS int8)) AS int8) AS c1, "),
        "{sql}"
    );
    assert!(sql.contains("CAST(sum(q1.c2) AS numeric(25, 2)) AS c2") && sql.ends_with(" GROUP BY q1.c1"), "{sql}");
    let names = orders().project([name()]).unwrap().distinct().unwrap().build().unwrap();
    let sql = written(&names, &SQLITE);
    assert!(sql.starts_with("SELECT DISTINCT (q2.c0 COLLATE BINARY) AS c0 FROM ("), "{sql}");
    let sql = written(&names, &MARIADB);
    assert!(sql.starts_with("SELECT DISTINCT (q2.c0 COLLATE utf8mb4_nopad_bin) AS c0 FROM ("), "{sql}");
    writes(
        ids().aggregate(Vec::<Expr>::new(), [count(col("id"))]).unwrap().build().unwrap(),
        &SQLITE,
        "SELECT count(q1.c0) AS c0 FROM (ID) AS q1",
    );
    let weights = orders().project([col("weight")]).unwrap().distinct().unwrap().build().unwrap();
    assert_eq!(refusal(&weights, &POSTGRES), "PostgreSQL does not compare values of type Float64 as a node does");
}

#[test]
fn unions_are_written() {
    let union = LogicalPlanBuilder::from(ids_as("a")).union(ids_as("b")).unwrap().build().unwrap();
    writes(union.clone(), &SQLITE, "SELECT q1.c0 AS c0 FROM (ID) AS q1 UNION ALL SELECT q2.c0 AS c0 FROM (ID) AS q2");
    writes(
        union,
        &POSTGRES,
        "SELECT CAST(q3.c0 AS int8) AS c0 FROM (SELECT q1.c0 AS c0 FROM (ID) AS q1 UNION ALL \
         SELECT q2.c0 AS c0 FROM (ID) AS q2) AS q3",
    );
    // Strings get one collation.
    let names = || orders().project([name()]).unwrap().build().unwrap();
    let sql = written(&LogicalPlanBuilder::from(names()).union(names()).unwrap().build().unwrap(), &MARIADB);
    assert_eq!(sql.matches("(q2.c0 COLLATE utf8mb4_nopad_bin) AS c0").count(), 1, "{sql}");
    assert_eq!(sql.matches("COLLATE utf8mb4_nopad_bin").count(), 2, "{sql}");
}

pub(super) fn joined(join_type: JoinType) -> LogicalPlan {
    let keys = (vec!["a.id"], vec!["b.id"]);
    LogicalPlanBuilder::from(ids_as("a")).join(ids_as("b"), join_type, keys, None).unwrap().build().unwrap()
}

#[test]
fn joins_are_written() {
    let both = |first: &str, word: &str, second: &str| {
        format!("SELECT q1.c0 AS c0, q2.c0 AS c1 FROM (ID) AS {first} {word} JOIN (ID) AS {second} ON (q1.c0 = q2.c0)")
    };
    writes(joined(JoinType::Inner), &SQLITE, &both("q1", "INNER", "q2"));
    writes(joined(JoinType::Left), &MARIADB, &both("q1", "LEFT", "q2"));
    writes(joined(JoinType::Right), &MARIADB, &both("q2", "LEFT", "q1"));
    let exists = "EXISTS (SELECT 1 FROM (ID) AS q2 WHERE (q1.c0 = q2.c0))";
    writes(joined(JoinType::LeftSemi), &SQLITE, &format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE {exists}"));
    writes(joined(JoinType::LeftAnti), &SQLITE, &format!("SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE NOT {exists}"));
    writes(joined(JoinType::LeftMark), &SQLITE, &format!("SELECT q1.c0 AS c0, {exists} AS c1 FROM (ID) AS q1"));
    let exists = "EXISTS (SELECT 1 FROM (ID) AS q1 WHERE (q1.c0 = q2.c0))";
    writes(
        joined(JoinType::RightAnti),
        &POSTGRES,
        &format!("SELECT CAST(q2.c0 AS int8) AS c0 FROM (ID) AS q2 WHERE NOT {exists}"),
    );
    let cross = LogicalPlanBuilder::from(ids_as("a")).cross_join(ids_as("b")).unwrap().build().unwrap();
    writes(cross, &MARIADB, "SELECT q1.c0 AS c0, q2.c0 AS c1 FROM (ID) AS q1 INNER JOIN (ID) AS q2 ON TRUE");
    // Keys of strings are compared by their bytes, whatever the collations of the columns are.
    let names = |alias: &str| orders().project([name()]).unwrap().alias(alias).unwrap().build().unwrap();
    let key = |alias: &str| Expr::Column(datafusion::common::Column::new(Some(alias), "na\"me"));
    let by_name = LogicalPlanBuilder::from(names("a"))
        .join_on(names("b"), JoinType::Inner, [key("a").eq(key("b"))])
        .unwrap()
        .build()
        .unwrap();
    let sql = written(&by_name, &POSTGRES);
    assert!(sql.ends_with(" ON ((q2.c0 COLLATE \"C\") = (q4.c0 COLLATE \"C\"))"), "{sql}");
    // MariaDB keeps the result of a subquery for strings that are equal in the collation of the outer column.
    let semi = LogicalPlanBuilder::from(names("a"))
        .join_on(names("b"), JoinType::LeftSemi, [key("a").eq(key("b"))])
        .unwrap()
        .build()
        .unwrap();
    let sql = written(&semi, &MARIADB);
    assert!(sql.starts_with("SELECT q5.c0 AS c0 FROM (SELECT (q2.c0 COLLATE utf8mb4_nopad_bin) AS c0 FROM ("), "{sql}");
    assert!(sql.contains(" AS q2) AS q5 WHERE EXISTS (SELECT 1 FROM ("), "{sql}");
}

/// A join with these properties, by the equality of `id`.
pub(super) fn special(join_type: JoinType, null_equality: NullEquality, null_aware: bool) -> LogicalPlan {
    let (left, right) = (Arc::new(ids_as("a")), Arc::new(ids_as("b")));
    let on = vec![(col("a.id"), col("b.id"))];
    let join = Join::try_new(left, right, on, None, join_type, JoinConstraint::On, null_equality, null_aware);
    LogicalPlan::Join(join.unwrap())
}

#[test]
fn null_is_a_key_or_excludes_all() {
    let nulls = special(JoinType::Inner, NullEquality::NullEqualsNull, false);
    for (dialect, condition) in [
        (&POSTGRES, "(q1.c0 IS NOT DISTINCT FROM q2.c0)"),
        (&SQLITE, "(q1.c0 IS q2.c0)"),
        (&MARIADB, "(q1.c0 <=> q2.c0)"),
    ] {
        let sql = written(&nulls, dialect);
        assert!(sql.ends_with(&format!(" ON {condition}")), "{sql}");
    }
    writes(
        special(JoinType::LeftAnti, NullEquality::NullEqualsNothing, true),
        &MARIADB,
        "SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE (q1.c0 NOT IN (SELECT COALESCE(q2.c0) FROM (ID) AS q2))",
    );
}

#[test]
fn full_joins_are_written() {
    writes(
        joined(JoinType::Full),
        &SQLITE,
        "SELECT q1.c0 AS c0, q2.c0 AS c1 FROM (ID) AS q1 FULL JOIN (ID) AS q2 ON (q1.c0 = q2.c0)",
    );
    assert_eq!(refusal(&joined(JoinType::Full), &MARIADB), "MariaDB does not run `Full Join`");
    assert_eq!(refusal(&joined(JoinType::Full), &MYSQL), "MySQL does not run `Full Join`");
    // PostgreSQL cannot merge by other conditions.
    let nulls = special(JoinType::Full, NullEquality::NullEqualsNull, false);
    assert_eq!(refusal(&nulls, &POSTGRES), "PostgreSQL does not run `Full Join`");
    let constant = ids().project([lit(1_i64).alias("id")]).unwrap().alias("a").unwrap().build().unwrap();
    let keys = (vec!["a.id"], vec!["b.id"]);
    let constant =
        LogicalPlanBuilder::from(constant).join(ids_as("b"), JoinType::Full, keys, None).unwrap().build().unwrap();
    assert_eq!(refusal(&constant, &POSTGRES), "PostgreSQL does not run `Full Join`");
}

#[test]
fn subqueries_are_written() {
    let subquery = |plan: LogicalPlan| {
        let subquery = Arc::new(plan);
        Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns: vec![], spans: Default::default() })
    };
    let most = ids().aggregate(Vec::<Expr>::new(), [count(col("id"))]).unwrap().build().unwrap();
    writes(
        ids().filter(col("id").gt(subquery(most))).unwrap().build().unwrap(),
        &SQLITE,
        "SELECT q1.c0 AS c0 FROM (ID) AS q1 WHERE (q1.c0 > (SELECT count(q2.c0) AS c0 FROM (ID) AS q2))",
    );
    // SQLite would take the first row.
    let many = ids().filter(col("id").gt(subquery(ids().build().unwrap()))).unwrap().build().unwrap();
    for dialect in [&POSTGRES, &MARIADB, &MYSQL, &SQLITE] {
        assert!(refusal(&many, dialect).contains("does not evaluate `(<subquery>)`"), "{}", refusal(&many, dialect));
    }
}

#[test]
fn queries_have_a_bound() {
    let nested = |filters: i64| {
        let filtered = |plan: LogicalPlanBuilder, i| plan.filter(col("id").gt(lit(i))).unwrap();
        (0..filters).fold(ids(), filtered).build().unwrap()
    };
    written(&nested(29), &SQLITE);
    assert_eq!(refusal(&nested(30), &SQLITE), "SQLite does not run `more than 30 queries inside one another`");
    let many = (0..1000_i64).map(|i| col("id").not_eq(lit(i))).reduce(Expr::and).unwrap();
    let sql = written(&filtered(many), &SQLITE);
    assert!(sql.contains("(((") && !sql.contains("(((("), "{sql}");
    let deep = (0..100).fold(col("open"), |inner, _| Expr::Not(Box::new(inner)));
    let expected = "SQLite does not evaluate `more than 60 brackets inside one another`";
    assert_eq!(refusal(&filtered(deep), &SQLITE), expected);
    let long = name().eq(lit("x".repeat(1_000_000)));
    assert_eq!(refusal(&filtered(long), &SQLITE), "SQLite does not run `a query of more than 999000 bytes`");
    let unions = (0..60).fold(ids(), |plan, _| plan.union(ids().build().unwrap()).unwrap()).build().unwrap();
    assert!(refusal(&unions, &POSTGRES).contains("more than 50 "), "{}", refusal(&unions, &POSTGRES));
}

#[test]
fn one_operator_is_admitted_as_it_is_written() {
    let bad = filtered(col("mood").is_null().and(col("weight").eq(lit(ScalarValue::Float64(Some(f64::NAN))))));
    assert!(admits(&bad, &POSTGRES).is_err());
    // What is below does not matter.
    let above = LogicalPlanBuilder::from(bad).project([col("id")]).unwrap().build().unwrap();
    assert!(admits(&above, &POSTGRES).is_ok());
    let sorted = orders().sort([col("id").sort(true, false)]).unwrap().build().unwrap();
    assert!(admits(&sorted, &POSTGRES).is_err());
    let moods = orders().project([col("mood")]).unwrap();
    let all = moods.sort([col("mood").sort(true, false)]).unwrap().limit(1, None).unwrap().build().unwrap();
    // The column's values are not known here, and the whole plan is refused.
    assert!(admits(&all, &POSTGRES).is_ok());
    assert!(refusal(&all, &POSTGRES).contains("column `mood`"), "{}", refusal(&all, &POSTGRES));
    assert!(admits(&orders().build().unwrap(), &SQLITE).is_ok());
    let elsewhere = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let elsewhere = table_scan(Some("elsewhere"), &elsewhere, None).unwrap().build().unwrap();
    assert!(admits(&elsewhere, &SQLITE).is_ok());
    assert_eq!(refusal(&elsewhere, &SQLITE), "port elsewhere has no table there");
    assert!(matches!(admits(&joined(JoinType::Full), &MARIADB), Err(Refusal::SqlOperator("MariaDB", _))));
}
