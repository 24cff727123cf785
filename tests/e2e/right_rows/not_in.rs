//! `NOT IN` is true only if no value is equal and none is NULL. The cases have NULL in the subquery or on the left, a
//! constant or an expression on the left, a correlated subquery, and `OR` and `NOT` around the predicate.

use portolan_tests::mesh::within;
use portolan_tests::ways::Ways;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_in_respects_nulls() {
    within(900, async {
        let ways = two_owners().await;
        of_one_node(&ways).await;

        let from = |condition: &str| format!("SELECT id FROM east.samples.a AS a WHERE {condition}");
        // The values of `b.v` are 1, NULL and 5.
        let cases: &[(&str, &[&str])] = &[
            ("7 NOT IN (SELECT v FROM west.samples.b)", &[]),
            ("7 NOT IN (SELECT v FROM west.samples.b WHERE id = 3)", &["1", "2", "3", "NULL"]),
            ("NOT 7 IN (SELECT v FROM west.samples.b)", &[]),
            ("x NOT IN (SELECT v FROM west.samples.b)", &[]),
            ("x NOT IN (SELECT v FROM west.samples.b WHERE v > 1)", &["1", "3", "NULL"]),
            ("x + 1 NOT IN (SELECT v FROM west.samples.b WHERE id = 3)", &["1", "3", "NULL"]),
            ("nullif(x, 3) NOT IN (SELECT v FROM west.samples.b WHERE id = 3)", &["1", "NULL"]),
            // No value is equal, or there are no values: NULL is not in an empty list.
            ("x NOT IN (SELECT v FROM west.samples.b WHERE id = 9)", &["1", "2", "3", "NULL"]),
            ("CAST(NULL AS BIGINT) NOT IN (SELECT v FROM west.samples.b WHERE id = 9)", &["1", "2", "3", "NULL"]),
            ("CAST(NULL AS BIGINT) NOT IN (SELECT v FROM west.samples.b WHERE id = 3)", &[]),
            // Correlated: the values are {1, NULL} for 1, {5} for 3, and none for the other rows.
            ("x NOT IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id)", &["2", "3", "NULL"]),
            ("8 NOT IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id)", &["2", "3", "NULL"]),
            ("x NOT IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id) OR x = 1", &["1", "2", "3", "NULL"]),
            ("x NOT IN (SELECT v FROM west.samples.b) OR id = 2", &["2"]),
            ("x NOT IN (SELECT v FROM west.samples.b WHERE v > 1) OR id = 2", &["1", "2", "3", "NULL"]),
            ("x IN (SELECT v FROM west.samples.b) OR id = 2", &["1", "2"]),
            ("NOT (x IN (SELECT v FROM west.samples.b) AND id > 0)", &[]),
            ("NOT (x IN (SELECT v FROM west.samples.b) AND id > 1)", &["1"]),
            ("(x NOT IN (SELECT v FROM west.samples.b)) IS NULL", &["2", "3", "NULL"]),
            ("(x IN (SELECT v FROM west.samples.b)) IS NOT TRUE", &["2", "3", "NULL"]),
            ("x <> ALL (SELECT v FROM west.samples.b)", &[]),
            ("x <> ALL (SELECT v FROM west.samples.b AS b WHERE b.id = a.id)", &["2", "3", "NULL"]),
            ("x = ANY (SELECT v FROM west.samples.b)", &["1"]),
            ("x < ALL (SELECT v FROM west.samples.b WHERE v IS NOT NULL)", &[]),
            ("x <= ALL (SELECT v FROM west.samples.b WHERE v IS NOT NULL)", &["1"]),
        ];
        for (condition, expected) in cases {
            ways.gives(&from(condition), expected).await;
        }
        ways.gives(
            "SELECT count(*) FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id = b.id
             WHERE a.x NOT IN (SELECT v FROM west.samples.b AS c WHERE c.id = a.id)",
            &["1"],
        )
        .await;
        // Grouped: the maxima are 1, NULL, 3 and 2.
        ways.gives(
            "SELECT id, max(x) FROM east.samples.a GROUP BY id HAVING max(x) NOT IN (SELECT v FROM west.samples.b WHERE id = 3)",
            &["1|1", "3|3", "NULL|2"],
        )
        .await;
    })
    .await;
}

async fn of_one_node(ways: &Ways) {
    ways.gives("SELECT 1 WHERE 3 NOT IN (SELECT x FROM (VALUES (1), (NULL)) t(x))", &[]).await;
    ways.gives("SELECT 1 WHERE 3 NOT IN (SELECT x FROM (VALUES (1), (2)) t(x))", &["1"]).await;
    ways.gives("SELECT 1 WHERE NOT (3 IN (SELECT x FROM (VALUES (1), (NULL)) t(x)))", &[]).await;
    ways.gives("SELECT 1 WHERE 1 NOT IN (SELECT x FROM (VALUES (1), (2)) t(x))", &[]).await;
}

/// One key treats NULL as equal to NULL. That does not change how another key is compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_join_key_has_its_own_comparison() {
    within(900, async {
        let ways = two_owners().await;
        // `nullif` is NULL for 1, and `b` has (1, NULL).
        ways.gives(
            "SELECT a.id, b.v FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id IS NOT DISTINCT FROM b.id
             WHERE nullif(a.x, 1) = b.v",
            &[],
        )
        .await;
        ways.gives(
            "SELECT a.id, b.v FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id IS NOT DISTINCT FROM b.id
             WHERE a.x = b.v",
            &["1|1"],
        )
        .await;
        // The minimum of no values is NULL, and so is one `id`.
        ways.gives(
            "SELECT a.id FROM east.samples.a AS a WHERE a.id = (SELECT min(v) FROM west.samples.b AS b WHERE b.id > a.x + 9)",
            &[],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_values_are_compared_by_value() {
    within(900, async {
        let ways = two_owners().await;
        // `a` has (1, 1), (2, NULL), (3, 3) and (NULL, 2); `b` has (1, 1), (1, NULL) and (3, 5).
        let from = |condition: &str| format!("SELECT id, x FROM east.samples.a AS a WHERE {condition}");
        let cases: &[(&str, &[&str])] = &[
            ("(id, x) IN (SELECT id, v FROM west.samples.b)", &["1|1"]),
            // (2, NULL) differs from all rows in its first value. (3, 3) differs from (3, 5) in its second. (NULL, 2)
            // may equal (1, NULL).
            ("(id, x) NOT IN (SELECT id, v FROM west.samples.b)", &["2|NULL", "3|3"]),
            ("(id, x) NOT IN (SELECT id, v FROM west.samples.b WHERE v IS NOT NULL)", &["2|NULL", "3|3", "NULL|2"]),
            (
                "(id, x) NOT IN (SELECT b.id, b.v FROM west.samples.b AS b WHERE b.id = a.id)",
                &["2|NULL", "3|3", "NULL|2"],
            ),
            ("(id + 0, x) IN (SELECT id, v FROM west.samples.b) OR id = 3", &["1|1", "3|3"]),
            ("(id, x) IN ((1, 1), (2, 2))", &["1|1"]),
            ("(id, x) NOT IN ((1, 1), (2, 2))", &["3|3"]),
            ("(id, x) = (3, 3)", &["3|3"]),
            ("(id, x) <> (2, 2)", &["1|1", "3|3"]),
            ("(id, x) < (2, 0)", &["1|1"]),
            ("(id, x) >= (1, 1)", &["1|1", "2|NULL", "3|3"]),
        ];
        for (condition, expected) in cases {
            ways.gives(&from(condition), expected).await;
        }
        ways.gives(
            "SELECT id, (id, x) IN (SELECT id, v FROM west.samples.b) AS found FROM east.samples.a",
            &["1|true", "2|false", "3|false", "NULL|NULL"],
        )
        .await;
    })
    .await;
}

/// Rows within rows, and comparisons within rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_within_rows_are_compared_by_value() {
    within(300, async {
        let ways = two_owners().await;
        for (condition, expected) in [
            ("((1, 2), 3) = ((1, 2), 3)", "true"),
            ("((1, NULL), 2) = ((1, NULL), 2)", "NULL"),
            ("((1, NULL), 2) = ((2, NULL), 2)", "false"),
            ("((1, NULL), 2) <> ((2, NULL), 2)", "true"),
            ("((1, 2), 3) < ((1, 3), 0)", "true"),
            ("((1, 2), 3) >= ((1, 2), 3)", "true"),
            ("((1, 2), 3) IN (((1, 2), 4), ((1, 2), 3))", "true"),
            ("((1, NULL), 3) NOT IN (((1, 2), 3))", "NULL"),
        ] {
            ways.gives(&format!("SELECT {condition}"), &[expected]).await;
        }
        // Each level names its values twice.
        let nested = (0..30).fold("a.id < a.x".to_owned(), |inner, n| format!("({inner}, {n}) < (true, {n})"));
        let sql = format!("SELECT {nested} FROM east.samples.a AS a");
        ways.refuses(&sql, portolan_engine::ErrorKind::Unsupported, &["comparison of rows", "10000"]).await;
    })
    .await;
}
