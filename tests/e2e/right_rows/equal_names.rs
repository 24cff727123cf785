//! Columns with the same name on both sides of a join: a condition on one is not a condition on the other.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_stay_with_their_column() {
    within(600, async {
        // `a` (id, x) has (1, 1), (2, NULL), (3, 3) and (NULL, 2). `b` (id, v) has (1, 1), (1, NULL) and (3, 5).
        let ways = two_owners().await;
        let (a, b) = ("(SELECT id, x AS t, x AS n FROM east.samples.a)", "(SELECT id, v AS t FROM west.samples.b)");
        // For rows without a match, `y.t` is NULL. The condition is then unknown, unless `x.n` decides it.
        for join in [format!("{a} x LEFT JOIN {b} y ON x.id = y.id"), format!("{b} y RIGHT JOIN {a} x ON x.id = y.id")]
        {
            ways.gives(
                &format!("SELECT x.t, count(*) FROM {join} WHERE x.n < 2 OR y.t <> 4 GROUP BY x.t"),
                &["1|2", "3|1"],
            )
            .await;
            ways.gives(&format!("SELECT x.t FROM {join} WHERE x.id > 0 AND (x.n < 2 OR y.t <> 4)"), &["1", "1", "3"])
                .await;
            ways.gives(
                &format!("SELECT x.t, y.t FROM {join} WHERE x.n > 2 OR y.t IS NULL"),
                &["1|NULL", "NULL|NULL", "3|5", "2|NULL"],
            )
            .await;
            ways.gives(
                &format!("SELECT x.t FROM {join} WHERE x.n = 3 OR NOT (y.t IN (1) AND y.t IN (7))"),
                &["1", "3"],
            )
            .await;
            ways.gives(&format!("SELECT max(x.t) FROM {join} WHERE y.t = 5 OR y.t > x.n + 4"), &["3"]).await;
        }
        ways.gives(
            &format!("SELECT x.t, y.t FROM {a} x FULL JOIN {b} y ON x.id = y.id AND y.t > 1 WHERE x.t = 2 OR y.t = 1"),
            &["2|NULL", "NULL|1"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_of_joins_stay_with_their_column() {
    within(300, async {
        // `a` (id, x) has (1, 1), (2, NULL), (3, 3) and (NULL, 2). `b` (id, v) has (1, 1), (1, NULL) and (3, 5).
        let ways = two_owners().await;
        let (a, b) =
            ("(SELECT id AS c0, x AS c1 FROM east.samples.a)", "(SELECT id AS c2, v AS c1 FROM west.samples.b)");
        let five = "(SELECT max(column1) FROM (VALUES (5), (4)) AS t)";
        // The filter of the semi join is of `y.c1`, and `x.c1` is 3 in the row.
        for join in [
            format!("{a} AS x LEFT JOIN {b} AS y ON x.c0 = y.c2"),
            format!("{b} AS y RIGHT JOIN {a} AS x ON x.c0 = y.c2"),
        ] {
            ways.gives(&format!("SELECT x.c0, y.c1 FROM {join} WHERE y.c1 IN {five} ORDER BY x.c0"), &["3|5"]).await;
            ways.gives(
                &format!(
                    "SELECT x.c0, y.c1 FROM {join} WHERE nullif(x.c1, 9) IN (SELECT 3) AND y.c1 IN {five} ORDER BY y.c1"
                ),
                &["3|5"],
            )
            .await;
        }
    })
    .await;
}
