//! A node that comes near the memory of its host: it ends the query that takes the memory, and works on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_tests::admin::Metrics;
use portolan_tests::mesh::{Mesh, MeshOptions, until, within};
use portolan_tests::rows::{assert_says, count, drain};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);
/// The memory that the node takes for that of its host, in MiB.
const HOST: u64 = 600;
/// A query whose one row has about 3 GB. Its copies are not counted at all, and the pools of the node allow the rest.
const WIDE: &str = "SELECT array_agg(repeat(l_comment, 2000)) FROM sales.orders.lineitem";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_that_takes_the_memory_is_ended_and_the_node_works_on() {
    within(300, async {
        let limits = json!({ "host_memory": format!("{HOST}MiB"), "memory": "16GiB", "query_memory": "16GiB" });
        let node = json!({ "limits": limits, "cpu_threads": 2, "admin": { "listen": "127.0.0.1:0" } });
        let mesh = Mesh::start(MeshOptions { node, ..MeshOptions::of(&["sales"]) }).await;
        let node = mesh.node("sales");
        node.limit_memory(6 << 30);
        let client = node.client().await;
        let error = drain(&client, WIDE).await.expect_err("a row that does not fit into the host");
        let said = ["bytes of memory that its host allows (limits.host_memory)", "ended this query", "limits.memory"];
        assert_says(&error, ErrorKind::ResourceExhausted, &said);
        assert!(node.peak_memory() < 2_000_000, "{} KiB", node.peak_memory());

        assert_eq!(count(&client, "SELECT 1").await, Ok(1));
        let metrics = Metrics::of(node.admin()).await;
        assert_eq!(metrics.value("portolan_queries_ended_for_memory_total"), 1.0, "{}", metrics.0);
        assert_eq!(metrics.value("portolan_host_memory_limit_bytes"), (HOST << 20) as f64, "{}", metrics.0);
        let high = (HOST << 20) as f64 * 0.75;
        until("the node answers and has returned the memory", SOON, async || {
            // The allocator returns memory to the system only while queries run.
            let counted = count(&client, "SELECT count(*) FROM sales.orders.lineitem WHERE l_comment <> ''").await;
            let held = Metrics::of(node.admin()).await.value("portolan_host_memory_bytes");
            counted == Ok(60_175) && held < high
        })
        .await;
    })
    .await;
}
