//! A subquery may be anywhere that an expression may be: in the select list, in `CASE`, in `ORDER BY` and `GROUP BY`,
//! in `ON`, in the arguments of aggregates.

use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subqueries_work_in_every_clause() {
    within(900, async {
        let ways = two_owners().await;
        let cases: &[(&str, &[&str])] = &[
            ("SELECT x IN (SELECT 1) FROM (VALUES (1)) t(x)", &["true"]),
            ("SELECT x IN (SELECT 1), x NOT IN (SELECT 1) FROM (VALUES (1), (2), (NULL)) t(x)", &["true|false", "false|true", "NULL|NULL"]),
            ("SELECT EXISTS (SELECT 1 FROM west.samples.b), NOT EXISTS (SELECT 1 FROM west.samples.b WHERE id = 9)", &["true|true"]),
            ("SELECT id, x IN (SELECT v FROM west.samples.b) FROM east.samples.a", &["1|true", "2|NULL", "3|NULL", "NULL|NULL"]),
            ("SELECT id, x NOT IN (SELECT v FROM west.samples.b WHERE id = 3) FROM east.samples.a", &["1|true", "2|NULL", "3|true", "NULL|true"]),
            ("SELECT id, x IN (SELECT v FROM west.samples.b WHERE id = 9) FROM east.samples.a", &["1|false", "2|false", "3|false", "NULL|false"]),
            ("SELECT id, x NOT IN (SELECT v FROM west.samples.b AS b WHERE b.id = a.id) FROM east.samples.a AS a", &["1|false", "2|true", "3|true", "NULL|true"]),
            ("SELECT id, EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) FROM east.samples.a AS a", &["1|true", "2|false", "3|true", "NULL|false"]),
            ("SELECT id, EXISTS (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id HAVING count(*) < 2) FROM east.samples.a AS a", &["1|false", "2|true", "3|true", "NULL|true"]),
            ("SELECT id, x > ANY (SELECT v FROM west.samples.b), x < ALL (SELECT v FROM west.samples.b) FROM east.samples.a", &["1|NULL|false", "2|NULL|NULL", "3|true|false", "NULL|true|false"]),
            ("SELECT id, CASE WHEN EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) THEN 'known' WHEN x IN (SELECT 2) THEN 'two' END FROM east.samples.a AS a", &["1|known", "2|NULL", "3|known", "NULL|two"]),
            ("SELECT id FROM east.samples.a AS a WHERE CASE WHEN id = 1 THEN x IN (SELECT v FROM west.samples.b) ELSE NOT EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) END", &["1", "2", "NULL"]),
            ("SELECT id FROM east.samples.a AS a ORDER BY EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) DESC, id DESC NULLS LAST", &["3", "1", "2", "NULL"]),
            ("SELECT EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) AS known, count(*) FROM east.samples.a AS a GROUP BY EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id)", &["true|2", "false|2"]),
            ("SELECT count(*) FILTER (WHERE x IN (SELECT v FROM west.samples.b)), sum(CASE WHEN x NOT IN (SELECT v FROM west.samples.b WHERE id = 3) THEN 1 END) FROM east.samples.a", &["1|3"]),
            ("SELECT a.id, b.v FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id = b.id AND b.v IN (SELECT x FROM east.samples.a)", &["1|1"]),
            ("SELECT a.id, b.v FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id = b.id AND EXISTS (SELECT 1 FROM west.samples.b AS c WHERE c.v > a.x AND c.id <> b.id)", &["1|1", "1|NULL"]),
            ("SELECT a.id, b.v FROM east.samples.a AS a LEFT JOIN west.samples.b AS b ON a.id = b.id AND b.v IN (SELECT x FROM east.samples.a)", &["1|1", "2|NULL", "3|NULL", "NULL|NULL"]),
            ("SELECT a.id, b.v FROM east.samples.a AS a LEFT JOIN west.samples.b AS b ON a.id = b.id AND a.x NOT IN (SELECT v FROM west.samples.b WHERE id = 1)", &["1|NULL", "2|NULL", "3|NULL", "NULL|NULL"]),
            ("SELECT a.id, b.v FROM east.samples.a AS a LEFT JOIN west.samples.b AS b ON a.id = b.id AND a.x IN (SELECT 3)", &["1|NULL", "2|NULL", "3|5", "NULL|NULL"]),
            ("SELECT id, row_number() OVER (ORDER BY EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id), id) FROM east.samples.a AS a", &["2|1", "NULL|2", "1|3", "3|4"]),
            ("SELECT id FROM east.samples.a AS a WHERE (SELECT max(v) FROM west.samples.b AS b WHERE b.id = a.id) IN (SELECT 5)", &["3"]),
            ("SELECT id FROM (SELECT id, EXISTS (SELECT 1 FROM west.samples.b AS b WHERE b.id = a.id) AS known FROM east.samples.a AS a) WHERE NOT known", &["2", "NULL"]),
            ("SELECT id, (SELECT count(*) FROM west.samples.b AS b WHERE b.id = a.id) IN (SELECT 2) FROM east.samples.a AS a", &["1|true", "2|false", "3|false", "NULL|false"]),
        ];
        for (sql, expected) in cases {
            ways.gives(sql, expected).await;
        }
    })
    .await;
}

/// A lateral subquery reads the items of `FROM` before it, even if an outer query has a table with the same name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lateral_subqueries_read_their_own_query() {
    within(900, async {
        let ways = two_owners().await;
        let named = "WITH b(id) AS (VALUES (1), (2)), c(id, v) AS (VALUES (1, 10))";
        let lateral = "FROM b, LATERAL (SELECT v FROM c WHERE c.id = b.id) AS l";
        let cases: &[(&str, &[&str])] = &[
            ("SELECT id FROM b WHERE EXISTS (SELECT 1 LATERAL)", &["1", "2"]),
            ("SELECT id FROM b WHERE NOT EXISTS (SELECT 1 LATERAL)", &[]),
            ("SELECT id, EXISTS (SELECT 1 LATERAL) FROM b", &["1|true", "2|true"]),
            ("SELECT id FROM b WHERE 10 IN (SELECT l.v LATERAL)", &["1", "2"]),
            ("SELECT id, (SELECT max(l.v) LATERAL) FROM b", &["1|10", "2|10"]),
        ];
        for (sql, expected) in cases {
            ways.gives(&format!("{named} {}", sql.replace("LATERAL", lateral)), expected).await;
        }
        // The join's condition has a subquery. The lateral values are 1 for 1, 5 for 3, and none for the other rows.
        let limited = "LATERAL (SELECT v FROM west.samples.b AS b WHERE b.id = a.id ORDER BY v LIMIT 1) AS l";
        let cases: &[(&str, &[&str])] = &[
            ("JOIN LATERAL ON l.v IN (SELECT x FROM east.samples.a)", &["1|1"]),
            ("JOIN LATERAL ON l.v NOT IN (SELECT x FROM east.samples.a WHERE x > 0)", &["3|5"]),
            ("LEFT JOIN LATERAL ON l.v IN (SELECT x FROM east.samples.a)", &["1|1", "2|NULL", "3|NULL", "NULL|NULL"]),
        ];
        for (join, expected) in cases {
            let join = join.replace("LATERAL", limited);
            ways.gives(&format!("SELECT a.id, l.v FROM east.samples.a AS a {join}"), expected).await;
        }
        // Both queries read a table `a`; the inner one also reads `b` of the outer one.
        ways.gives(
            "SELECT b.id FROM east.samples.a AS a JOIN west.samples.b AS b ON a.id = b.id WHERE EXISTS (
                 SELECT 1 FROM east.samples.a AS a, LATERAL (SELECT v FROM west.samples.b AS c WHERE c.id = a.id) AS l
                 WHERE l.v = b.v AND a.id = 3)",
            &["3"],
        )
        .await;
    })
    .await;
}

/// A scalar subquery that has at most one row is not refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subqueries_of_one_row_are_values() {
    within(900, async {
        let ways = two_owners().await;
        let cases: &[(&str, &[&str])] = &[
            ("SELECT a.x + 1", &["1|2", "2|NULL", "3|4", "NULL|3"]),
            ("SELECT a.x + v.k FROM (SELECT 1) AS s, (VALUES (10)) AS v(k)", &["1|11", "2|NULL", "3|13", "NULL|12"]),
            // `b` has two rows for 1, one for 3, and none for the other values.
            (
                "SELECT t.n FROM (SELECT id, count(*) AS n FROM west.samples.b GROUP BY id) AS t WHERE t.id = a.id",
                &["1|2", "2|NULL", "3|1", "NULL|NULL"],
            ),
        ];
        for (subquery, expected) in cases {
            ways.gives(&format!("SELECT id, ({subquery}) AS n FROM east.samples.a AS a"), expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subqueries_that_are_no_join_are_refused() {
    within(900, async {
        let ways = two_owners().await;
        let refused = [
            ("SELECT (SELECT v FROM west.samples.b AS b WHERE b.id = a.id) FROM east.samples.a AS a", "may have more than one row"),
            // A SELECT without FROM has one row, so a union of two has two.
            ("SELECT id, (SELECT a.x UNION ALL SELECT a.id) FROM east.samples.a AS a", "may have more than one row"),
            ("SELECT id FROM east.samples.a AS a WHERE (SELECT a.x UNION ALL SELECT a.id) = 1", "may have more than one row"),
            ("SELECT id, (SELECT a.x + v.k FROM (SELECT 1) AS s, (VALUES (10), (20)) AS v(k)) FROM east.samples.a AS a", "may have more than one row"),
            (
                "SELECT a.id FROM east.samples.a AS a LEFT JOIN west.samples.b AS b ON EXISTS (SELECT 1 FROM west.samples.b AS c WHERE c.v = a.x AND c.id = b.id)",
                "reads columns of both sides",
            ),
        ];
        for (sql, says) in refused {
            ways.refuses(sql, ErrorKind::Unsupported, &[says]).await;
        }
        let wider = "SELECT id FROM east.samples.a WHERE (id, x) IN (SELECT id, v, id + v FROM west.samples.b)";
        ways.refuses(wider, ErrorKind::InvalidQuery, &["3 columns but only 2 names"]).await;
    })
    .await;
}
