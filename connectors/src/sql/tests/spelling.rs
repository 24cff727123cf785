//! The SQL of each expression in each dialect.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, Operator, binary_expr, cast, col, lit, when};

use super::super::{MARIADB, MYSQL, POSTGRES, SQLITE, SqlDialect, query};
use super::{cents, filtered, name, table};

/// The SQL in one dialect; `None` if it is refused.
type Spelling = Option<&'static str>;

/// Returns the condition of a filter, with `q1` for its input.
pub(super) fn condition(predicate: Expr, dialect: &SqlDialect) -> Result<String, String> {
    let sql =
        query(&filtered(predicate), dialect, &|scan| table(scan, false)).map_err(|refusal| refusal.to_string())?;
    Ok(sql.text.split_once(" AS q1 WHERE ").unwrap().1.to_owned())
}

/// Checks a condition in PostgreSQL, MariaDB and SQLite. MySQL is as MariaDB, with its own collation.
#[track_caller]
pub(super) fn spells(predicate: Expr, [postgres, mariadb, sqlite]: [Spelling; 3]) {
    let mysql = mariadb.map(|sql| sql.replace("utf8mb4_nopad_bin", "utf8mb4_0900_bin"));
    let of_mysql = condition(predicate.clone(), &MYSQL).ok();
    assert_eq!(of_mysql, mysql, "{predicate}");
    for (dialect, expected) in [(&POSTGRES, postgres), (&MARIADB, mariadb), (&SQLITE, sqlite)] {
        match (condition(predicate.clone(), dialect), expected) {
            (Ok(sql), Some(expected)) => assert_eq!(sql, expected, "{}", dialect.name),
            (Err(_), None) => {}
            (found, expected) => panic!("{}: {predicate}: expected {expected:?}, got {found:?}", dialect.name),
        }
    }
}

fn date(days: i32) -> Expr {
    lit(ScalarValue::Date32(Some(days)))
}

#[test]
fn logic_is_written() {
    let open = || col("open");
    let same = |sql| [Some(sql), Some(sql), Some(sql)];
    spells(open().and(open().or(lit(false))), same("(q1.c8 AND (q1.c8 OR FALSE))"));
    spells(Expr::Not(Box::new(open())), same("(NOT q1.c8)"));
    spells(open().is_true(), same("(q1.c8 IS TRUE)"));
    spells(open().is_not_true(), same("(q1.c8 IS NOT TRUE)"));
    spells(open().is_false(), same("(q1.c8 IS FALSE)"));
    spells(open().is_not_false(), same("(q1.c8 IS NOT FALSE)"));
    spells(open().is_unknown(), same("(q1.c8 IS NULL)"));
    spells(open().is_not_unknown(), same("(q1.c8 IS NOT NULL)"));
    spells(col("id").is_null().eq(col("day").is_not_null()), same("((q1.c0 IS NULL) = (q1.c5 IS NOT NULL))"));
    spells(
        open().eq(lit(ScalarValue::Boolean(None))),
        [Some("(q1.c8 = CAST(NULL AS bool))"), Some("(q1.c8 = CAST(NULL AS SIGNED))"), Some("(q1.c8 = NULL)")],
    );
    // A node has an order of Booleans, but not every database has.
    spells(open().lt(lit(true)), [None, None, None]);
}

#[test]
fn comparisons_are_written() {
    for (op, word) in [(Operator::Lt, "<"), (Operator::LtEq, "<="), (Operator::Gt, ">"), (Operator::GtEq, ">=")] {
        let sql = condition(binary_expr(col("id"), op, lit(i64::MIN)), &SQLITE).unwrap();
        assert_eq!(sql, format!("(q1.c0 {word} (-9223372036854775808))"));
    }
    spells(
        col("small").not_eq(lit(-5_i32)),
        [Some("(q1.c4 <> CAST('-5' AS int4))"), Some("(q1.c4 <> (-5))"), Some("(q1.c4 <> (-5))")],
    );
    // DataFusion gives both sides one type. Without this, nothing is compared.
    spells(col("small").eq(lit(1_i64)), [None, None, None]);
    spells(
        col("price").between(cents(5), cents(-250)),
        [
            Some("(q1.c2 BETWEEN CAST('0.05' AS numeric(15, 2)) AND CAST('-2.50' AS numeric(15, 2)))"),
            Some("(q1.c2 BETWEEN 0.05 AND (-2.50))"),
            None,
        ],
    );
    spells(
        col("day").gt_eq(date(-1)).and(col("day").not_between(date(0), date(1))),
        [
            Some(
                "((q1.c5 >= CAST('1969-12-31' AS date)) AND (NOT (q1.c5 BETWEEN CAST('1970-01-01' AS date) AND \
                 CAST('1970-01-02' AS date))))",
            ),
            Some("((q1.c5 >= DATE'1969-12-31') AND (NOT (q1.c5 BETWEEN DATE'1970-01-01' AND DATE'1970-01-02')))"),
            Some("((q1.c5 >= '1969-12-31') AND (NOT (q1.c5 BETWEEN '1970-01-01' AND '1970-01-02')))"),
        ],
    );
    // Years beyond 9999 and before 1.
    spells(col("day").lt(date(4_000_000)), [None, None, None]);
    spells(col("day").lt(date(-719_529)), [None, None, None]);
    let at = |zone: Option<&str>| lit(ScalarValue::TimestampMicrosecond(Some(-1), zone.map(Into::into)));
    spells(
        col("at").lt(at(None)),
        [
            Some("(q1.c6 < CAST('1969-12-31 23:59:59.999999' AS timestamp))"),
            Some("(q1.c6 < TIMESTAMP'1969-12-31 23:59:59.999999')"),
            None,
        ],
    );
    spells(
        col("seen").lt(at(Some("UTC"))),
        [
            Some("(q1.c7 < CAST('1969-12-31 23:59:59.999999+00' AS timestamptz))"),
            Some("(q1.c7 < TIMESTAMP'1969-12-31 23:59:59.999999')"),
            None,
        ],
    );
    let distinct = |op| binary_expr(col("id"), op, lit(ScalarValue::Int64(None)));
    spells(
        distinct(Operator::IsDistinctFrom),
        [
            Some("(q1.c0 IS DISTINCT FROM CAST(NULL AS int8))"),
            Some("(NOT (q1.c0 <=> CAST(NULL AS SIGNED)))"),
            Some("(q1.c0 IS NOT NULL)"),
        ],
    );
    spells(
        distinct(Operator::IsNotDistinctFrom),
        [
            Some("(q1.c0 IS NOT DISTINCT FROM CAST(NULL AS int8))"),
            Some("(q1.c0 <=> CAST(NULL AS SIGNED))"),
            Some("(q1.c0 IS NULL)"),
        ],
    );
    spells(
        col("weight").gt(lit(1.5)),
        [Some("(q1.c3 > CAST('1.5e0' AS float8))"), Some("(q1.c3 > 1.5e0)"), Some("(q1.c3 > 1.5e0)")],
    );
    // SQLite does not promise to parse this to the nearest double.
    spells(
        col("weight").gt(lit(0.1 + 0.2)),
        [Some("(q1.c3 > CAST('3.0000000000000004e-1' AS float8))"), Some("(q1.c3 > 3.0000000000000004e-1)"), None],
    );
    for special in [f64::NAN, f64::INFINITY, -0.0] {
        spells(col("weight").gt(lit(special)), [None, None, None]);
    }
}

#[test]
fn strings_are_written() {
    spells(
        name().eq(lit("O'Neil\\")),
        [
            Some("(q1.c1 = 'O''Neil\\')"),
            Some(
                "(q1.c1 = 'O''Neil\\' AND (q1.c1 COLLATE utf8mb4_nopad_bin) = ('O''Neil\\' COLLATE utf8mb4_nopad_bin))",
            ),
            Some("((q1.c1 COLLATE BINARY) = ('O''Neil\\' COLLATE BINARY))"),
        ],
    );
    spells(
        name().not_eq(lit("x")),
        [
            Some("(q1.c1 <> 'x')"),
            Some("((q1.c1 COLLATE utf8mb4_nopad_bin) <> ('x' COLLATE utf8mb4_nopad_bin))"),
            Some("((q1.c1 COLLATE BINARY) <> ('x' COLLATE BINARY))"),
        ],
    );
    spells(
        name().lt(lit("x")),
        [
            Some("((q1.c1 COLLATE \"C\") < ('x' COLLATE \"C\"))"),
            Some("((q1.c1 COLLATE utf8mb4_nopad_bin) < ('x' COLLATE utf8mb4_nopad_bin))"),
            Some("((q1.c1 COLLATE BINARY) < ('x' COLLATE BINARY))"),
        ],
    );
    // Two columns may have collations that do not go together.
    spells(
        name().eq(name()),
        [
            Some("((q1.c1 COLLATE \"C\") = (q1.c1 COLLATE \"C\"))"),
            Some("((q1.c1 COLLATE utf8mb4_nopad_bin) = (q1.c1 COLLATE utf8mb4_nopad_bin))"),
            Some("((q1.c1 COLLATE BINARY) = (q1.c1 COLLATE BINARY))"),
        ],
    );
    // A string view compares with a string.
    let view = lit(ScalarValue::Utf8View(Some("x".into())));
    spells(
        cast(name(), DataType::Utf8View).not_eq(view),
        [
            Some("(q1.c1 <> 'x')"),
            Some("((q1.c1 COLLATE utf8mb4_nopad_bin) <> ('x' COLLATE utf8mb4_nopad_bin))"),
            Some("((q1.c1 COLLATE BINARY) <> ('x' COLLATE BINARY))"),
        ],
    );
    spells(name().eq(lit("a\0b")), [None, None, None]);
}

#[test]
fn lists_are_written() {
    spells(
        col("id").in_list(vec![lit(1_i64), lit(ScalarValue::Int64(None))], true),
        [
            Some("(NOT (q1.c0 IN (CAST('1' AS int8), NULL)))"),
            Some("(NOT (q1.c0 IN (1, NULL)))"),
            Some("(NOT (q1.c0 IN (1, NULL)))"),
        ],
    );
    spells(
        name().in_list(vec![lit("a"), lit("b")], false),
        [
            Some("(q1.c1 IN ('a', 'b'))"),
            Some("(q1.c1 IN ('a', 'b') AND (q1.c1 COLLATE utf8mb4_nopad_bin) IN ('a', 'b'))"),
            Some("((q1.c1 COLLATE BINARY) IN ('a', 'b'))"),
        ],
    );
    let sql = condition(name().in_list(vec![lit("a"), name()], false), &POSTGRES).unwrap();
    assert_eq!(sql, "((q1.c1 COLLATE \"C\") IN (('a' COLLATE \"C\"), (q1.c1 COLLATE \"C\")))");
    // Long lists are arrays in PostgreSQL.
    let keys: Vec<Expr> = (0..20_i64).map(lit).chain([lit(ScalarValue::Int64(None))]).collect();
    let sql = condition(col("id").in_list(keys, true), &POSTGRES).unwrap();
    let members = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,NULL";
    assert_eq!(sql, format!("(NOT (q1.c0 = ANY(CAST('{{{members}}}' AS int8[]))))"));
    let names = ["NULL", "a\"b", "c\\d", "e'f", "", "{,}"].map(lit).into_iter().cycle().take(20).collect();
    let sql = condition(name().in_list(names, false), &POSTGRES).unwrap();
    let start = r#"(q1.c1 = ANY(CAST('{"NULL","a\"b","c\\d","e''f","","{,}","NULL","#;
    assert!(sql.starts_with(start) && sql.ends_with("}' AS text[])))"), "{sql}");
    let days = (0..20).map(date).collect();
    let sql = condition(col("day").in_list(days, false), &POSTGRES).unwrap();
    assert!(sql.starts_with("(q1.c5 = ANY(CAST('{\"1970-01-01\",\"1970-01-02\","), "{sql}");
    let prices = (0..20).map(|price| cents(price * 5)).collect();
    let sql = condition(col("price").in_list(prices, false), &POSTGRES).unwrap();
    assert!(sql.starts_with("(q1.c2 = ANY(CAST('{\"0.00\",\"0.05\","), "{sql}");
    assert!(sql.ends_with(" AS numeric(15, 2)[])))"), "{sql}");
    let micros = |zone: Option<&str>| {
        let at = |i: i64| ScalarValue::TimestampMicrosecond(Some(i * 500_000), zone.map(Into::into));
        (0..20).map(|i| lit(at(i))).collect::<Vec<_>>()
    };
    let sql = condition(col("at").in_list(micros(None), false), &POSTGRES).unwrap();
    let start = r#"(q1.c6 = ANY(CAST('{"1970-01-01 00:00:00","1970-01-01 00:00:00.500","#;
    assert!(sql.starts_with(start) && sql.ends_with("}' AS timestamp[])))"), "{sql}");
    let sql = condition(col("seen").in_list(micros(Some("UTC")), false), &POSTGRES).unwrap();
    let start = r#"(q1.c7 = ANY(CAST('{"1970-01-01 00:00:00+00","1970-01-01 00:00:00.500+00","#;
    assert!(sql.starts_with(start) && sql.ends_with("}' AS timestamptz[])))"), "{sql}");
    spells(col("id").in_list(vec![], false), [None, None, None]);
}

#[test]
fn patterns_are_written() {
    let like = |pattern: &str| name().like(lit(pattern));
    spells(
        like("a%_*?[]!"),
        [
            Some("(q1.c1 LIKE 'a%_*?[]!')"),
            Some("((q1.c1 COLLATE utf8mb4_nopad_bin) LIKE 'a%_*?[]!!' ESCAPE '!')"),
            Some("(q1.c1 GLOB 'a*?[*][?][[]]!')"),
        ],
    );
    spells(
        name().not_like(lit(r"50\%\_\\\a")),
        [
            Some(r"(NOT (q1.c1 LIKE '50\%\_\\a'))"),
            Some(r"(NOT ((q1.c1 COLLATE utf8mb4_nopad_bin) LIKE '50!%!_\a' ESCAPE '!'))"),
            Some(r"(NOT (q1.c1 GLOB '50%_\a'))"),
        ],
    );
    spells(like(r"a\"), [None, None, None]);
    spells(like("\0"), [None, None, None]);
    spells(like(&"%a".repeat(600)), [None, None, None]);
    spells(name().like(name()), [None, None, None]);
    spells(name().ilike(lit("a")), [None, None, None]);
}

#[test]
fn cases_are_written() {
    let day = when(col("open"), date(0)).otherwise(col("day")).unwrap();
    spells(
        day.is_null(),
        [
            Some("((CASE WHEN q1.c8 THEN CAST('1970-01-01' AS date) ELSE q1.c5 END) IS NULL)"),
            Some("((CASE WHEN q1.c8 THEN DATE'1970-01-01' ELSE q1.c5 END) IS NULL)"),
            Some("((CASE WHEN q1.c8 THEN '1970-01-01' ELSE q1.c5 END) IS NULL)"),
        ],
    );
    let simple = Case::new(Some(Box::new(name())), vec![(Box::new(lit("a")), Box::new(name()))], None);
    spells(
        Expr::Case(simple).is_null(),
        [
            Some("((CASE WHEN (q1.c1 = 'a') THEN (q1.c1 COLLATE \"C\") END) IS NULL)"),
            Some(
                "((CASE WHEN (q1.c1 = 'a' AND (q1.c1 COLLATE utf8mb4_nopad_bin) = ('a' COLLATE utf8mb4_nopad_bin)) \
                 THEN (q1.c1 COLLATE utf8mb4_nopad_bin) END) IS NULL)",
            ),
            Some(
                "((CASE WHEN ((q1.c1 COLLATE BINARY) = ('a' COLLATE BINARY)) THEN (q1.c1 COLLATE BINARY) END) IS NULL)",
            ),
        ],
    );
    // Databases find a common type for other branches.
    let other = when(col("open"), lit(1_i32)).otherwise(col("id"));
    assert!(condition(other.unwrap().is_null(), &POSTGRES).is_err());
}

#[test]
fn arithmetic_is_written() {
    let small = || cast(col("small"), DataType::Int64);
    spells(
        (small() + lit(1_i64)).gt(small() * lit(-2_i64) - small()),
        [
            Some(
                "((CAST(q1.c4 AS int8) + CAST('1' AS int8)) > ((CAST(q1.c4 AS int8) * CAST('-2' AS int8)) - \
                 CAST(q1.c4 AS int8)))",
            ),
            Some("((CAST(q1.c4 AS SIGNED) + 1) > ((CAST(q1.c4 AS SIGNED) * (-2)) - CAST(q1.c4 AS SIGNED)))"),
            Some("((q1.c4 + 1) > ((q1.c4 * (-2)) - q1.c4))"),
        ],
    );
    // These may overflow.
    for arithmetic in [col("id") + lit(1_i64), small() * small() * lit(4_i64), lit(0_i64) - col("id"), -col("id")] {
        spells(arithmetic.is_null(), [None, None, None]);
    }
    spells((col("small") + col("small")).is_null(), [None, None, None]);
    spells(
        (col("id") / lit(7_i64)).eq(col("id") % lit(7_i64)),
        [
            Some("((q1.c0 / CAST('7' AS int8)) = (q1.c0 % CAST('7' AS int8)))"),
            Some("((q1.c0 DIV 7) = (q1.c0 % 7))"),
            Some("((q1.c0 / 7) = (q1.c0 % 7))"),
        ],
    );
    for divisor in [lit(0_i64), lit(-1_i64), col("id")] {
        spells((lit(1_i64) / divisor.clone()).is_null(), [None, None, None]);
        spells((lit(1_i64) % divisor).is_null(), [None, None, None]);
    }
    spells(
        (col("price") * (cents(100) - col("price")) + cents(-5)).is_null(),
        [
            Some("(((q1.c2 * (CAST('1.00' AS numeric(15, 2)) - q1.c2)) + CAST('-0.05' AS numeric(15, 2))) IS NULL)"),
            Some("(((q1.c2 * (1.00 - q1.c2)) + (-0.05)) IS NULL)"),
            None,
        ],
    );
    // MariaDB has 65 digits, and these would have 76.
    let wide = || cast(col("price"), DataType::Decimal128(38, 2));
    assert!(condition((wide() * wide()).is_null(), &POSTGRES).is_ok());
    assert!(condition((wide() * wide()).is_null(), &MARIADB).is_err());
    spells(
        (-col("price")).gt(cents(-1)),
        [Some("((- q1.c2) > CAST('-0.01' AS numeric(15, 2)))"), Some("((- q1.c2) > (-0.01))"), None],
    );
    spells((col("price") / cents(1)).is_null(), [None, None, None]);
    spells(
        (col("weight") + lit(0.0)).is_null(),
        [Some("((q1.c3 + CAST('0e0' AS float8)) IS NULL)"), Some("((q1.c3 + 0e0) IS NULL)"), None],
    );
    spells((col("weight") * lit(2.0)).is_null(), [None, None, None]);
}
