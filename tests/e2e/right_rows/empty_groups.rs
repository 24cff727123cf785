//! A correlated subquery has the same rows as if it ran once for each row around it. An aggregate without groups has a
//! row even for an empty input, and a limit counts separately for each row.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn predicates_see_the_rows_of_an_aggregate() {
    within(900, async {
        let ways = two_owners().await;
        let from = |condition: &str| format!("SELECT id FROM east.samples.a AS a WHERE {condition}");
        let all: &[&str] = &["1", "2", "3", "NULL"];
        // `b` has two rows for 1, one for 3, and none for the other values.
        let cases: &[(&str, &[&str])] = &[
            ("EXISTS (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", all),
            ("EXISTS (SELECT max(v) FROM west.samples.b AS b WHERE b.id = a.id)", all),
            ("NOT EXISTS (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", &[]),
            ("EXISTS (SELECT DISTINCT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", all),
            ("EXISTS (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id HAVING count(*) > 1)", &["1"]),
            ("EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id HAVING count(*) = 0)", &["2", "NULL"]),
            ("NOT EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id HAVING count(*) = 0)", &["1", "3"]),
            ("0 IN (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", &["2", "NULL"]),
            ("x IN (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", &[]),
            ("x - 1 IN (SELECT count(v) - 1 FROM west.samples.b AS b WHERE b.id = a.id)", &["1"]),
            ("x NOT IN (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)", &["1", "3", "NULL"]),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id GROUP BY ROLLUP (v))", all),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id GROUP BY CUBE (v))", all),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id GROUP BY GROUPING SETS ((v), ()))", all),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id GROUP BY GROUPING SETS ((v), (v)))", &["1", "3"]),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id GROUP BY v HAVING count(*) > 1)", &[]),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id OFFSET 1)", &["1"]),
            ("NOT EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id OFFSET 1)", &["2", "3", "NULL"]),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id LIMIT 1)", &["1", "3"]),
            ("EXISTS (SELECT v FROM west.samples.b AS b WHERE b.id = a.id LIMIT 0)", &[]),
            ("x IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id ORDER BY v NULLS LAST LIMIT 1)", &["1"]),
            ("x IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id ORDER BY v NULLS FIRST LIMIT 1)", &[]),
            ("EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id UNION ALL SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id + 1)", &["1", "2", "3"]),
            // Both inner columns have the name `id`.
            ("EXISTS (SELECT 1 FROM west.samples.b AS b, west.samples.b AS c WHERE b.id = a.id AND c.id = a.x + 2)", &["1"]),
            // The outer column is two levels up.
            ("EXISTS (SELECT 1 FROM west.samples.b AS b WHERE EXISTS (SELECT 1 FROM west.samples.b AS c WHERE c.v = b.v AND c.id = a.id))", &["1", "3"]),
            ("EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.v NOT IN (SELECT c.v FROM west.samples.b AS c WHERE c.id = a.id))", &["2", "3", "NULL"]),
        ];
        for (condition, expected) in cases {
            ways.gives(&from(condition), expected).await;
        }
    })
    .await;
}

/// A filter without columns stays above an aggregate that has a row for an empty input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constant_filters_leave_no_row() {
    within(900, async {
        let ways = two_owners().await;
        let cases: &[(&str, &[&str])] = &[
            ("SELECT count(*) FROM west.samples.b HAVING (SELECT max(x) FROM east.samples.a) > 100", &[]),
            ("SELECT count(*) FROM west.samples.b HAVING (SELECT max(x) FROM east.samples.a) > 1", &["3"]),
            ("SELECT count(*) FROM west.samples.b HAVING 1 = 2", &[]),
            (
                "SELECT a.id, t.n FROM east.samples.a AS a LEFT JOIN (SELECT count(*) AS n FROM west.samples.b) AS t ON 1 = 2",
                &["1|NULL", "2|NULL", "3|NULL", "NULL|NULL"],
            ),
            (
                "SELECT id FROM east.samples.a WHERE 0 < ALL (SELECT count(*) FROM west.samples.b GROUP BY CUBE (id))",
                &["1", "2", "3", "NULL"],
            ),
            ("SELECT 1 AS c WHERE 1 < ALL (SELECT count(*) FROM west.samples.b GROUP BY ROLLUP (v))", &[]),
        ];
        for (sql, expected) in cases {
            ways.gives(sql, expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scalar_subqueries_over_no_rows_have_their_value() {
    within(900, async {
        let ways = two_owners().await;
        let cases: &[(&str, &[&str])] = &[
            ("SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id", &["1|2", "2|0", "3|1", "NULL|0"]),
            ("SELECT count(v) + 1 FROM west.samples.b AS b WHERE b.id = a.id", &["1|2", "2|1", "3|2", "NULL|1"]),
            ("SELECT coalesce(sum(v), -1) FROM west.samples.b AS b WHERE b.id = a.id", &["1|1", "2|-1", "3|5", "NULL|-1"]),
            ("SELECT max(v) FROM west.samples.b AS b WHERE b.id = a.id", &["1|1", "2|NULL", "3|5", "NULL|NULL"]),
            ("SELECT max(v) IS NULL FROM west.samples.b AS b WHERE b.id = a.id", &["1|false", "2|true", "3|false", "NULL|true"]),
            ("SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id HAVING count(*) <> 1", &["1|2", "2|0", "3|NULL", "NULL|0"]),
            ("SELECT count(*) FROM west.samples.b AS b WHERE b.v > a.x", &["1|1", "2|0", "3|1", "NULL|1"]),
            ("SELECT count(*) FROM west.samples.b AS b WHERE b.id IS NOT DISTINCT FROM a.id", &["1|2", "2|0", "3|1", "NULL|0"]),
            ("SELECT count(DISTINCT v) FROM west.samples.b AS b WHERE b.id = a.id", &["1|1", "2|0", "3|1", "NULL|0"]),
            ("SELECT count(*) FROM (SELECT DISTINCT b.id FROM west.samples.b AS b WHERE b.id = a.id) t", &["1|1", "2|0", "3|1", "NULL|0"]),
            ("SELECT v FROM west.samples.b AS b WHERE b.id = a.id ORDER BY v LIMIT 1", &["1|1", "2|NULL", "3|5", "NULL|NULL"]),
            // The order of the inner rows decides, also below the alias of the inner query.
            ("SELECT v FROM (SELECT v FROM west.samples.b AS b WHERE b.id >= a.id ORDER BY v DESC NULLS LAST LIMIT 2) t LIMIT 1", &["1|5", "2|5", "3|5", "NULL|NULL"]),
            ("SELECT count(*) FROM (SELECT v FROM west.samples.b AS b WHERE b.id = a.id LIMIT 1) t", &["1|1", "2|0", "3|1", "NULL|0"]),
            ("SELECT sum(b.v) FROM west.samples.b AS b WHERE b.id = a.id AND b.v > (SELECT min(c.v) FROM west.samples.b AS c)", &["1|NULL", "2|NULL", "3|5", "NULL|NULL"]),
        ];
        for (subquery, expected) in cases {
            ways.gives(&format!("SELECT id, ({subquery}) AS n FROM east.samples.a AS a"), expected).await;
        }
        ways.gives("SELECT id FROM east.samples.a AS a WHERE (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id) = 0", &[
            "2", "NULL",
        ])
        .await;
        ways.gives("SELECT sum((SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id)) FROM east.samples.a AS a", &["3"])
            .await;
        ways.gives("SELECT id FROM east.samples.a AS a ORDER BY (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id) DESC, id", &[
            "1", "3", "2", "NULL",
        ])
        .await;
    })
    .await;
}
