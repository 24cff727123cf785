//! Shared parts that are larger than the memory of a query: the rows that wait are on disk, within its limit. The nodes
//! have one thread, so that nothing else spills.

use portolan_engine::ErrorKind;
use portolan_node::client::Client;
use portolan_tests::admin::Metrics;
use portolan_tests::mesh::within;
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, drain};
use serde_json::{Value, json};

use super::{Nodes, ROWS, TOTAL, WHOLE, assert_shared, count_ids};

/// A `WITH` query that joins, so that its owner computes it once.
const AT_OWNER: &str =
    "WITH w AS (SELECT f.* FROM east.samples.facts f LEFT SEMI JOIN east.samples.kinds k ON f.g = k.g)";

/// Returns additions to the config of a node: the limit of spilled data, and the share of each principal. The rows of the
/// part have 48 MB.
fn limited(spill: &str, share: &str) -> Value {
    json!({
        "cpu_threads": 1,
        "limits": { "query_memory": "36MiB", "spill": spill },
        "shares": { "default": { "spill": share, "kept_results": share } },
    })
}

async fn spilled(node: &Node) -> f64 {
    Metrics::of(node.admin()).await.value("portolan_spilled_bytes_total")
}

/// Opens sessions where the part has two readers: at the gateway and at the owner, each with the `WITH` query.
async fn places(nodes: &Nodes) -> [(&'static str, Client, &'static str); 2] {
    let owner = nodes.mesh.node("east").client().await;
    [("gateway", nodes.unplaced().await, WHOLE), ("owner", owner, AT_OWNER)]
}

/// Returns a query whose second reader starts when the first one has read all rows.
fn one_after_another(with: &str) -> String {
    format!("{with} SELECT t.n, w.* FROM (SELECT max({TOTAL}) AS n FROM w) AS t CROSS JOIN w")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_larger_than_the_memory_of_a_query_spills() {
    within(300, async {
        let limits = limited("1GB", "1GB");
        let nodes = Nodes::start(&limits, &limits).await;
        for (place, client, with) in places(&nodes).await {
            let node = if place == "owner" { nodes.mesh.node("east") } else { nodes.mesh.gateway() };
            let sql = one_after_another(with);
            for (share, least, most) in [("off", 0.0, 0.0), ("on", 10e6, 200e6)] {
                client.query(&format!("SET portolan.share = {share}")).await.unwrap();
                let before = spilled(node).await;
                let (_, batches) = client.query(&sql).await.unwrap_or_else(|e| panic!("{place}: {}", e.chain()));
                assert!(count_ids(&batches, 1).iter().all(|times| *times == 1), "{place}, {share}");
                nodes.until_nothing_is_left(&nodes.all()).await;
                let bytes = spilled(node).await - before;
                assert!((least..=most).contains(&bytes), "{place}, {share}: {bytes} bytes");
            }
            assert_shared(&client, &sql, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_larger_than_memory_and_disk_is_refused() {
    within(300, async {
        // By default, a principal reaches its share first.
        let limits = limited("1MB", "10MB");
        let nodes = Nodes::start(&limits, &limits).await;
        for (place, client, with) in places(&nodes).await {
            let sql = one_after_another(with);
            assert_shared(&client, &sql, 2).await;
            let error = drain(&client, &sql).await.expect_err(place);
            assert_says(&error, ErrorKind::ResourceExhausted, &["limits.spill"]);
            assert!(!error.chain().contains("datafusion"), "{place}: {}", error.chain());
            nodes.until_nothing_is_left(&nodes.all()).await;
            // Without a shared part, no rows wait.
            client.query("SET portolan.share = off").await.unwrap();
            assert_eq!(drain(&client, &sql).await.map_err(|e| e.chain()), Ok(ROWS as usize), "{place}");
            assert_eq!(count(&client, "SELECT count(*) FROM east.samples.kinds").await, Ok(10), "{place}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_of_a_principal_bounds_the_rows_that_wait() {
    within(300, async {
        let limits = limited("1GB", "1MB");
        let nodes = Nodes::start(&limits, &limits).await;
        for (place, client, with) in places(&nodes).await {
            let error = drain(&client, &one_after_another(with)).await.expect_err(place);
            assert_says(&error, ErrorKind::ResourceExhausted, &["`spill` of", "in `shares`"]);
            nodes.until_nothing_is_left(&nodes.all()).await;
        }
    })
    .await;
}
