//! A `WITH` query whose rows are a matter of chance has the same rows for all its readers: through the gateway, placed or
//! not, and at an owner.

use portolan_node::client::Client;
use portolan_tests::mesh::within;
use portolan_tests::ways::lines;
use serde_json::json;

use super::Nodes;

/// How often each query runs: threads and nodes race in each run.
const RUNS: usize = 4;

/// `WITH` queries with a limit and without an order. Each has 1,000 rows, and each `id` occurs once.
const LIMITED: &[&str] = &[
    // The rows of two owners race.
    "w AS (SELECT id, g FROM east.samples.facts UNION ALL SELECT id, g FROM west.samples.more LIMIT 1000)",
    // The files of one port race.
    "w AS (SELECT id, g FROM east.samples.facts LIMIT 1000)",
    "w AS (SELECT id, g FROM east.samples.facts WHERE g > 2 LIMIT 1000 OFFSET 10)",
    "w AS (SELECT f.id, k.g FROM east.samples.facts f JOIN west.samples.groups k ON f.g = k.g LIMIT 1000)",
    "v AS (SELECT * FROM east.samples.facts LIMIT 1000), w AS (SELECT id, g FROM v WHERE c0 >= 0)",
    // The limit is in a subquery.
    "w AS (SELECT id, max(g) AS g FROM (SELECT id, g FROM east.samples.facts LIMIT 1000) AS t GROUP BY id)",
];

/// Queries over `w`, with their results. The readers need different columns, and have filters of their own.
const OVER_LIMITED: &[(&str, &str)] = &[
    ("SELECT count(*) FROM (SELECT * FROM w EXCEPT SELECT * FROM w)", "0"),
    ("SELECT count(*) FROM (SELECT * FROM w INTERSECT SELECT * FROM w)", "1000"),
    ("SELECT count(*) FROM (SELECT id FROM w UNION SELECT id FROM w)", "1000"),
    ("SELECT count(*) FROM w u JOIN w v ON u.id = v.id", "1000"),
    ("SELECT count(*) FROM w JOIN (SELECT id FROM w AS v WHERE g >= 0) AS w2 ON w.id = w2.id", "1000"),
    ("SELECT count(*) FROM w WHERE id NOT IN (SELECT id FROM w)", "0"),
    // Other relations have its name.
    ("SELECT count(*) FROM w u JOIN (SELECT id FROM w) w ON u.id = w.id", "1000"),
    ("SELECT (SELECT sum(id) FROM w) = (SELECT sum(id) FROM w WHERE g >= 0)", "true"),
    ("SELECT (SELECT count(*) FROM w WHERE g < 5) + (SELECT count(*) FROM w WHERE g >= 5)", "1000"),
];

/// Queries over `w`, which has ten rows with the columns `g` and `r`. The values of `r` come from a volatile function.
const OVER_VOLATILE: &[(&str, &str)] = &[
    ("SELECT count(DISTINCT r) FROM w", "10"),
    ("SELECT count(*) FROM (SELECT * FROM w EXCEPT SELECT * FROM w)", "0"),
    ("SELECT count(*) FROM (SELECT r FROM w UNION SELECT r FROM w)", "10"),
    ("SELECT count(*) FROM w u JOIN w v ON u.g = v.g AND u.r = v.r", "10"),
    ("SELECT count(*) FROM w WHERE r IN (SELECT r FROM w)", "10"),
    ("SELECT (SELECT max(r) FROM w) = (SELECT max(r) FROM w WHERE g >= 0)", "true"),
];

/// Opens sessions in each place.
async fn places(nodes: &Nodes) -> [(&'static str, Client); 3] {
    let (placed, owner) = (nodes.mesh.client().await, nodes.mesh.node("east").client().await);
    [("gateway", placed), ("gateway, unplaced", nodes.unplaced().await), ("owner", owner)]
}

async fn assert_rows(nodes: &Nodes, with: &str, queries: &[(&str, &str)]) {
    for (place, client) in places(nodes).await {
        for (query, expected) in queries {
            let sql = format!("WITH {with} {query}");
            for _ in 0..RUNS {
                let (_, batches) = client.query(&sql).await.unwrap_or_else(|e| panic!("{place}: {}\n{sql}", e.chain()));
                assert_eq!(lines(&batches), [*expected], "{place}\n{sql}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_without_an_order_has_the_same_rows_for_all_readers() {
    within(600, async {
        let nodes = Nodes::start(&json!({}), &json!({})).await;
        for with in LIMITED {
            assert_rows(&nodes, with, OVER_LIMITED).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volatile_function_has_the_same_values_for_all_readers() {
    within(600, async {
        let nodes = Nodes::start(&json!({}), &json!({})).await;
        for with in [
            "w AS (SELECT g, random() AS r FROM east.samples.kinds)",
            "w AS (SELECT g, uuid() AS r FROM east.samples.kinds)",
            "w AS (SELECT k.g, random() AS r FROM east.samples.kinds k JOIN west.samples.groups o ON k.g = o.g)",
            "v AS (SELECT g, random() AS s FROM east.samples.kinds), w AS (SELECT g, s + 1 AS r FROM v)",
        ] {
            assert_rows(&nodes, with, OVER_VOLATILE).await;
        }
    })
    .await;
}
