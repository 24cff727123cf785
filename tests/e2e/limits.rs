//! Limits of memory, slots for queries, and messages. Exceeding each one is an error that names it, and the node keeps
//! running.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use portolan_engine::ErrorKind;
use portolan_testbed::descriptors;
use portolan_tests::mesh::{Mesh, MeshOptions, data, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, drain, text};
use serde_json::json;

const BIG: &str = "SELECT l.*, c_address FROM sales.orders.lineitem l CROSS JOIN \
                   (SELECT c_address FROM sales.customers.customer LIMIT 100) c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_spill_or_fail_at_the_memory_limit() {
    within(180, async {
        let node = json!({ "limits": { "query_memory": "36MiB" }, "cpu_threads": 2 });
        let mesh = Mesh::start(MeshOptions { node, ..MeshOptions::of(&["sales"]) }).await;
        let client = mesh.client().await;
        let sorted = "SELECT * FROM sales.orders.lineitem ORDER BY l_extendedprice, l_orderkey";
        assert_eq!(drain(&client, sorted).await.map_err(|e| e.chain()), Ok(60_175));
        let owner = mesh.node("sales").client().await;
        let measured = text(&owner, &format!("EXPLAIN ANALYZE {sorted}")).await;
        let spilled = measured.split("spill_count=").nth(1).expect("a sort that may spill");
        assert!(spilled.starts_with(|c: char| ('1'..='9').contains(&c)), "{measured}");

        let lines = ["SELECT * FROM sales.orders.lineitem"; 8].join(" UNION ALL ");
        let joined = format!(
            "SELECT a.*, b.* FROM ({lines}) a JOIN ({lines}) b ON a.l_comment = b.l_comment AND a.l_tax < b.l_tax"
        );
        let error = drain(&owner, &joined).await.expect_err("a join that does not fit");
        assert_says(&error, ErrorKind::ResourceExhausted, &["limits.query_memory", "HashJoinInput"]);
        assert_eq!(count(&client, "SELECT count(*) FROM sales.orders.orders").await, Ok(15_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_merges_what_it_has_spilled_in_its_memory() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        descriptors::write("sales", &data(), folder.path()).unwrap();
        let limits = json!({ "query_memory": "64MiB" });
        let node = Node::start(folder.path(), json!({ "domain": "sales", "limits": limits, "cpu_threads": 2 }));
        let client = node.client().await;
        // The sort of each partition spills, and their merges share the memory of the query.
        let sql = "SELECT l.*, n FROM sales.orders.lineitem l CROSS JOIN \
                   (VALUES (0), (1), (2), (3), (4), (5), (6), (7)) AS v(n) ORDER BY l_comment, n, l_orderkey";
        for _ in 0..2 {
            assert_eq!(drain(&client, sql).await.map_err(|e| e.chain()), Ok(8 * 60_175));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_beyond_the_slots_wait_or_are_refused() {
    within(180, async {
        let limits = json!({ "limits": { "concurrent_queries": 2, "queued_queries": 4 } });
        let options = MeshOptions { gateway: limits, ..MeshOptions::of(&["sales"]) };
        let mesh = Mesh::start(options).await;
        let client = mesh.client().await;
        // Two queries take the slots and keep them, because no client reads on.
        let mut held = vec![];
        for _ in 0..2 {
            let statement = client.prepare(BIG).await.unwrap();
            let mut rows = client.rows(&statement);
            assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
            held.push(rows);
        }
        let sql = "SELECT count(*) FROM sales.orders.orders WHERE o_orderstatus <> 'x'";
        let mut crowd: FuturesUnordered<_> = (0..320).map(|_| client.query(sql)).collect();
        // Four queries wait until a slot is free, and only the others return.
        for _ in 0..316 {
            let error = crowd.next().await.unwrap().expect_err("no slot is free, and the queue is full");
            let said = ["limits.concurrent_queries", "limits.queued_queries"];
            assert_says(&error, ErrorKind::ResourceExhausted, &said);
        }
        assert!(crowd.next().now_or_never().is_none(), "the queued queries wait");
        drop(held);
        while let Some(outcome) = crowd.next().await {
            outcome.expect("the query was queued");
        }
        assert_eq!(count(&client, sql).await, Ok(15_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_hundred_queries_at_once_are_answered() {
    within(180, async {
        let client = Mesh::shared().await.client().await;
        let sql = "SELECT count(*) FROM geo.places.nation JOIN geo.places.region ON n_regionkey = r_regionkey";
        // By default, all of these queries have slots or may wait, although they are those of one principal.
        let outcomes = join_all((0..280).map(|_| count(&client, sql))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(25)), "{outcomes:?}");
    })
    .await;
}
