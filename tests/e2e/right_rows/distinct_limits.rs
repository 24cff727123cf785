//! `DISTINCT` over windows returns its rows below a limit.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_rows_of_windows_can_be_limited() {
    within(600, async {
        let ways = two_owners().await;
        // Per `id`, the sum of `v` is 1 and 5.
        let sums = "SELECT DISTINCT id, sum(v) OVER (PARTITION BY id) AS s FROM west.samples.b";
        ways.gives(&format!("SELECT count(*), min(s) > 0 FROM ({sums} LIMIT 1) AS t"), &["1|true"]).await;
        ways.gives(&format!("{sums} LIMIT 5"), &["1|1", "3|5"]).await;
        ways.gives(&format!("SELECT count(*) FROM ({sums} LIMIT 1 OFFSET 1) AS t"), &["1"]).await;
        ways.gives(&format!("SELECT x FROM east.samples.a WHERE EXISTS ({sums}) AND x > 2"), &["3"]).await;
        ways.gives(&format!("SELECT id, s FROM ({sums}) AS t GROUP BY id, s LIMIT 3"), &["1|1", "3|5"]).await;
        let across = "SELECT DISTINCT a.id, count(*) OVER (PARTITION BY a.id) AS n FROM east.samples.a AS a \
                      JOIN west.samples.b AS b ON a.id = b.id";
        ways.gives(&format!("{across} LIMIT 4"), &["1|2", "3|1"]).await;
        ways.gives(
            &format!("WITH w AS ({across}) SELECT EXISTS (SELECT 1 FROM w AS v), n FROM w WHERE id = 3"),
            &["true|1"],
        )
        .await;
        // A TopN above such groups.
        ways.gives(&format!("SELECT DISTINCT s FROM ({sums}) AS t ORDER BY s DESC LIMIT 1"), &["5"]).await;
    })
    .await;
}
