//! Queries that sort by columns with one value above a join run.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_an_aggregate_without_groups_are_sorted_above_a_join() {
    within(600, async {
        let ways = two_owners().await;
        // Three rows, the sum of their `v` is 6.
        let totals = "(SELECT count(*) AS n, sum(v) AS s FROM west.samples.b)";
        let over_join = |select: &str, join: &str, rest: &str| {
            format!("SELECT {select} FROM east.samples.a AS a {join} {totals} AS t ON a.id = t.n {rest}")
        };
        ways.gives(&over_join("s, row_number() OVER (ORDER BY s)", "JOIN", ""), &["6|1"]).await;
        ways.gives(&over_join("s, row_number() OVER (PARTITION BY s)", "JOIN", ""), &["6|1"]).await;
        ways.gives(&over_join("x, s", "JOIN", "ORDER BY s"), &["3|6"]).await;
        ways.gives(&over_join("x, s", "RIGHT JOIN", "ORDER BY s"), &["3|6"]).await;
        ways.gives(&over_join("x, s", "RIGHT JOIN", "WHERE x > 2 AND n > 2 ORDER BY s, x"), &["3|6"]).await;
        ways.gives(&over_join("x, s", "LEFT JOIN", "ORDER BY s, x"), &["3|6", "1|NULL", "2|NULL", "NULL|NULL"]).await;
        // The aggregate without groups reads the result of another one.
        ways.gives(
            "WITH w AS (SELECT id, count(*) AS n FROM west.samples.b GROUP BY id) SELECT w.n, t.s FROM w \
             RIGHT JOIN (SELECT count(*) AS n, sum(id) AS s FROM w) AS t ON w.n = t.n WHERE w.n > 1 ORDER BY 2",
            &["2|4"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_a_filter_fixes_can_be_sorted_above_a_join() {
    within(600, async {
        let ways = two_owners().await;
        let rows = "SELECT CAST(b.v AS DECIMAL(24,1)) AS v, id FROM west.samples.b AS b";
        for join in [
            format!("(SELECT t.v FROM east.samples.a AS a RIGHT SEMI JOIN ({rows}) AS t ON a.id = t.id)"),
            format!("(SELECT t.v FROM ({rows}) AS t JOIN east.samples.a AS a ON a.id = t.id)"),
        ] {
            ways.gives(&format!("SELECT v, row_number() OVER (PARTITION BY v) FROM {join} WHERE v = 5"), &["5.0|1"])
                .await;
            ways.gives(&format!("SELECT v, row_number() OVER (ORDER BY v) FROM {join} WHERE v = 5"), &["5.0|1"]).await;
            ways.gives(&format!("SELECT v FROM {join} WHERE v = 5 EXCEPT ALL SELECT 1.0"), &["5.0"]).await;
        }
    })
    .await;
}
