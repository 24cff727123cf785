//! Columns and tables with names like those that the optimizer generates keep their values.

use portolan_tests::mesh::within;

use super::two_owners;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_a_query_keep_their_values() {
    within(600, async {
        // `a` (id, x) has (1, 1), (2, NULL), (3, 3) and (NULL, 2).
        let ways = two_owners().await;
        // The counter may be past 1, so the query uses several numbers.
        let names = "x + 100 AS __common_expr_1, x + 200 AS __common_expr_2, x + 300 AS __common_expr_3";
        let named = format!("(SELECT id, {names} FROM east.samples.a) AS t");
        let generated = "__common_expr_1, __common_expr_2, __common_expr_3";
        ways.gives(
            &format!("SELECT id * 7, id * 7 + 1, {generated} FROM {named} WHERE id > 0"),
            &["7|8|101|201|301", "14|15|NULL|NULL|NULL", "21|22|103|203|303"],
        )
        .await;
        ways.gives(
            &format!(
                "SELECT sum(id * 7), max(id * 7), max(__common_expr_1), min(__common_expr_2), max(__common_expr_3) \
                 FROM {named}"
            ),
            &["42|21|103|201|303"],
        )
        .await;
        ways.gives(
            "SELECT id * 7, id * 7 + 1, __common_expr_1 \
             FROM (SELECT id, max(x) OVER () AS __common_expr_1 FROM east.samples.a) AS t WHERE id > 2",
            &["21|22|3"],
        )
        .await;
        ways.gives(
            "SELECT __correlated_sq_1.id FROM east.samples.a AS __correlated_sq_1 \
             WHERE __correlated_sq_1.id IN (SELECT id FROM west.samples.b)",
            &["1", "3"],
        )
        .await;
    })
    .await;
}

/// A fragment has columns whose names another node generated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_a_fragment_keep_their_values() {
    within(600, async {
        // `b` (id, v) has (1, 1), (1, NULL) and (3, 5): the condition is true for the first two rows.
        let ways = two_owners().await;
        ways.gives(
            "WITH w AS (SELECT x, sum(b.id) AS s, \
             sum(a.id) FILTER (WHERE CASE WHEN v <= 3 THEN v > 0 ELSE v IS NULL END) AS f \
             FROM east.samples.a AS a CROSS JOIN west.samples.b AS b GROUP BY x) \
             SELECT x, f FROM w UNION ALL SELECT s, f FROM w WHERE f < 7",
            &["1|2", "NULL|4", "3|6", "2|NULL", "5|2", "5|4", "5|6"],
        )
        .await;
    })
    .await;
}
