//! Of several bounds of a column, the narrowest stays, whatever side its constant is on.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_narrowest_bound_is_kept() {
    within(300, async {
        // `a` (id, x) has (1, 1), (2, NULL), (3, 3) and (NULL, 2). `b` (id, v) has (1, 1), (1, NULL) and (3, 5).
        let ways = two_owners().await;
        for (bounds, ids) in [
            ("id >= 1 AND abs(1) < id", &["2", "3"][..]),
            ("abs(1) < id AND id >= 1", &["2", "3"]),
            ("id <= 3 AND abs(3) > id", &["1", "2"]),
            ("abs(3) > id AND 3 >= id AND abs(-3) >= id", &["1", "2"]),
            ("id > 1 AND abs(1) <= id", &["2", "3"]),
            ("id = 2 AND abs(2) = id", &["2"]),
            ("abs(-2) = id AND id = 2 AND id > 1", &["2"]),
            ("id = 2 AND abs(3) = id", &[]),
            ("NOT (id >= 1 AND abs(1) < id)", &["1"]),
        ] {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {bounds}"), ids).await;
            // Filters of two queries become one.
            if let Some((first, second)) = bounds.split_once(" AND ").filter(|_| !bounds.starts_with("NOT")) {
                let inner = format!("(SELECT id, x FROM east.samples.a WHERE {first})");
                ways.gives(&format!("SELECT id FROM {inner} AS t WHERE {second}"), ids).await;
            }
        }
        // The literals come into the filter while it moves.
        ways.gives(
            "SELECT x FROM (SELECT id AS x, v AS lo FROM west.samples.b UNION ALL SELECT id, NULL FROM east.samples.a) AS d \
             WHERE x > lo AND x > 0",
            &[],
        )
        .await;
        ways.gives(
            "SELECT z FROM (SELECT CAST(x AS DOUBLE) - 1 AS z, CAST('-0.0' AS DOUBLE) AS n FROM east.samples.a) AS d \
             WHERE z > n AND z >= 0",
            &["2.0", "1.0"],
        )
        .await;
        ways.gives(
            "SELECT a.id, b.v FROM east.samples.a a JOIN west.samples.b b ON a.id = b.id WHERE b.v >= 1 AND abs(1) < b.v",
            &["3|5"],
        )
        .await;
    })
    .await;
}
