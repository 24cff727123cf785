//! The SQL of casts, functions and aggregates in each dialect.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::functions::expr_fn::{
    character_length, coalesce, date_part, nullif, octet_length, substr, substring, upper,
};
use datafusion::functions_aggregate::expr_fn::{avg, count, count_distinct, max, min, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, cast, col, lit};

use super::super::{MARIADB, MYSQL, POSTGRES, SQLITE, SqlDialect, query};
use super::spelling::{condition, spells};
use super::{name, orders, table};

#[test]
fn casts_are_written() {
    let to = |column: &str, data_type| cast(col(column), data_type).is_null();
    spells(
        to("small", DataType::Decimal128(12, 2)),
        [Some("(CAST(q1.c4 AS numeric(12, 2)) IS NULL)"), Some("(CAST(q1.c4 AS DECIMAL(12, 2)) IS NULL)"), None],
    );
    spells(
        to("price", DataType::Decimal128(19, 6)),
        [Some("(CAST(q1.c2 AS numeric(19, 6)) IS NULL)"), Some("(q1.c2 IS NULL)"), None],
    );
    spells(
        to("small", DataType::Float64),
        [
            Some("(CAST(q1.c4 AS float8) IS NULL)"),
            Some("(CAST(q1.c4 AS DOUBLE) IS NULL)"),
            Some("(CAST(q1.c4 AS REAL) IS NULL)"),
        ],
    );
    let day = cast(col("at"), DataType::Date32).is_null();
    assert_eq!(condition(day.clone(), &POSTGRES).unwrap(), "(CAST(q1.c6 AS date) IS NULL)");
    assert_eq!(condition(day.clone(), &MARIADB).unwrap(), "(CAST(q1.c6 AS date) IS NULL)");
    // MySQL rounds to the next day.
    assert!(condition(day.clone(), &MYSQL).is_err() && condition(day, &SQLITE).is_err());
    for lossy in [
        to("id", DataType::Int32),
        to("id", DataType::Float64),
        to("id", DataType::Decimal128(18, 0)),
        to("price", DataType::Decimal128(15, 1)),
        to("price", DataType::Decimal128(15, 3)),
        to("price", DataType::Int64),
        to("weight", DataType::Int64),
        to("id", DataType::Utf8),
        to("na\"me", DataType::Int64),
        to("day", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ] {
        spells(lossy, [None, None, None]);
    }
}

#[test]
fn functions_are_written() {
    let part = |part: &str| date_part(lit(part), col("day")).eq(lit(1995_i32));
    let guard = "(CASE WHEN isfinite(q1.c5) AND q1.c5 >= CAST('262143-01-01' AS date) THEN NULL ELSE";
    let year = condition(part("YEAR"), &POSTGRES).unwrap();
    let expected = "CAST(extract(year FROM q1.c5) AS int4) + CASE WHEN q1.c5 < CAST('0001-01-01' AS date) THEN 1 ELSE 0 \
        END END) = CAST('1995' AS int4))";
    assert_eq!(year, format!("({guard} {expected}"));
    for (name, mariadb, sqlite) in [
        ("year", "(year(q1.c5) = 1995)", "(CAST(substr(q1.c5, 1, 4) AS INTEGER) = 1995)"),
        ("month", "(month(q1.c5) = 1995)", "(CAST(substr(q1.c5, 6, 2) AS INTEGER) = 1995)"),
        ("day", "(dayofmonth(q1.c5) = 1995)", "(CAST(substr(q1.c5, 9, 2) AS INTEGER) = 1995)"),
    ] {
        assert_eq!(condition(part(name), &MARIADB).unwrap(), mariadb);
        assert_eq!(condition(part(name), &SQLITE).unwrap(), sqlite);
    }
    spells(part("week"), [None, None, None]);
    let same = |sql| [Some(sql), Some(sql), Some(sql)];
    spells(substring(name(), lit(2_i64), lit(0_i64)).is_null(), same("(substr(q1.c1, 2, 0) IS NULL)"));
    spells(substr(name(), lit(1_i64)).is_null(), same("(substr(q1.c1, 1) IS NULL)"));
    for (start, length) in [(0, 1), (-1, 1), (1, -1), (i64::MAX, 1)] {
        spells(substring(name(), lit(start), lit(length)).is_null(), [None, None, None]);
    }
    spells(substr(name(), col("id")).is_null(), [None, None, None]);
    spells(
        character_length(name()).eq(octet_length(name())),
        [
            Some("(char_length(q1.c1) = octet_length(q1.c1))"),
            Some("(char_length(q1.c1) = octet_length(q1.c1))"),
            Some("(length(q1.c1) = length(CAST(q1.c1 AS BLOB)))"),
        ],
    );
    spells(
        coalesce(vec![name(), lit("x")]).is_null(),
        [
            Some("(COALESCE((q1.c1 COLLATE \"C\"), ('x' COLLATE \"C\")) IS NULL)"),
            Some("(COALESCE((q1.c1 COLLATE utf8mb4_nopad_bin), ('x' COLLATE utf8mb4_nopad_bin)) IS NULL)"),
            Some("(COALESCE((q1.c1 COLLATE BINARY), ('x' COLLATE BINARY)) IS NULL)"),
        ],
    );
    spells(
        nullif(name(), lit("x")).is_null(),
        [
            Some("(NULLIF((q1.c1 COLLATE \"C\"), ('x' COLLATE \"C\")) IS NULL)"),
            Some("(NULLIF((q1.c1 COLLATE utf8mb4_nopad_bin), ('x' COLLATE utf8mb4_nopad_bin)) IS NULL)"),
            Some("(NULLIF((q1.c1 COLLATE BINARY), ('x' COLLATE BINARY)) IS NULL)"),
        ],
    );
    spells(upper(name()).is_null(), [None, None, None]);
}

/// Returns the only column of an aggregate.
fn aggregated(aggregate: Expr, dialect: &SqlDialect) -> Option<String> {
    let plan = orders().aggregate(Vec::<Expr>::new(), [aggregate]).unwrap().build().unwrap();
    let sql = query(&plan, dialect, &|scan| table(scan, false)).ok()?.text;
    Some(sql.strip_prefix("SELECT ").unwrap().split_once(" AS c0 FROM ").unwrap().0.to_owned())
}

#[test]
fn aggregates_are_written() {
    for (aggregate, [postgres, mariadb, sqlite]) in [
        (count(lit(1_i64)), [Some("CAST(count(CAST('1' AS int8)) AS int8)"), Some("count(1)"), Some("count(1)")]),
        (
            count_distinct(name()),
            [
                Some("CAST(count(DISTINCT q1.c1) AS int8)"),
                Some("count(DISTINCT (q1.c1 COLLATE utf8mb4_nopad_bin))"),
                Some("count(DISTINCT (q1.c1 COLLATE BINARY))"),
            ],
        ),
        (sum(col("id")), [Some("CAST(CAST(sum(q1.c0) AS int8) AS int8)"), Some("sum(q1.c0)"), None]),
        (
            sum(cast(col("small"), DataType::Int64)),
            [
                Some("CAST(CAST(sum(CAST(q1.c4 AS int8)) AS int8) AS int8)"),
                Some("sum(CAST(q1.c4 AS SIGNED))"),
                Some("sum(q1.c4)"),
            ],
        ),
        (sum(col("price")), [Some("CAST(sum(q1.c2) AS numeric(25, 2))"), Some("sum(q1.c2)"), None]),
        (
            avg(col("price")),
            [
                Some(
                    "CAST((div(sum(q1.c2) * CAST('1e6' AS numeric), CAST(count(q1.c2) AS numeric)) * \
                     CAST('1e-6' AS numeric)) AS numeric(19, 6))",
                ),
                Some(
                    "CAST((sum(q1.c2) * 1000000 - (sum(q1.c2) * 1000000) % count(q1.c2)) / count(q1.c2) * 0.000001 \
                     AS DECIMAL(19, 6))",
                ),
                None,
            ],
        ),
        (
            max(name()),
            [
                Some("CAST(max((q1.c1 COLLATE \"C\")) AS text)"),
                Some("max((q1.c1 COLLATE utf8mb4_nopad_bin))"),
                Some("max((q1.c1 COLLATE BINARY))"),
            ],
        ),
        (min(col("day")), [Some("CAST(min(q1.c5) AS date)"), Some("min(q1.c5)"), Some("min(q1.c5)")]),
        (
            sum(col("price")).filter(col("open")).build().unwrap(),
            [
                Some("CAST(sum(q1.c2) FILTER (WHERE q1.c8) AS numeric(25, 2))"),
                Some("sum((CASE WHEN q1.c8 THEN q1.c2 END))"),
                None,
            ],
        ),
        (
            count(lit(1_i64)).filter(col("open")).build().unwrap(),
            [
                Some("CAST(count(CAST('1' AS int8)) FILTER (WHERE q1.c8) AS int8)"),
                Some("count((CASE WHEN q1.c8 THEN 1 END))"),
                Some("count(1) FILTER (WHERE q1.c8)"),
            ],
        ),
        // Floats, and the order of Booleans.
        (sum(col("weight")), [None; 3]),
        (avg(col("weight")), [None; 3]),
        (max(col("weight")), [None; 3]),
        (max(col("open")), [None; 3]),
        (count_distinct(col("weight")), [None; 3]),
    ] {
        for (dialect, expected) in [(&POSTGRES, postgres), (&MARIADB, mariadb), (&SQLITE, sqlite)] {
            assert_eq!(aggregated(aggregate.clone(), dialect).as_deref(), expected, "{}: {aggregate}", dialect.name);
        }
    }
}
