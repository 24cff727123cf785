//! The 22 queries of TPC-H over three domains return the same rows: planned freely, in every forced way, unplaced, and
//! in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use futures::TryStreamExt;
use portolan_testbed::compare::compare;
use portolan_testbed::single::single_process;
use portolan_testbed::tpch::QUERIES;
use portolan_tests::crossed::strategies;
use portolan_tests::forced::FORCED;
use portolan_tests::mesh::{Mesh, data, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_returns_the_rows_of_one_process() {
    within(900, async {
        let mesh = Mesh::shared().await;
        let mut ways = vec![("freely", mesh.client().await), ("unplaced", mesh.client().await)];
        ways[1].1.query("SET portolan.placement = off").await.unwrap();
        for forced in FORCED {
            let client = mesh.client().await;
            for statement in forced.statements() {
                client.query(&statement).await.unwrap();
            }
            ways.push((forced.name, client));
        }
        let single = single_process(&data()).await.unwrap();
        let mut differences = vec![];
        let mut edges: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for query in QUERIES {
            let stream = single.sql(query.sql).await.unwrap();
            let schema = stream.schema();
            let expected: Vec<_> = stream.try_collect().await.unwrap();
            for (how, client) in &ways {
                match client.query(query.sql).await {
                    Ok((columns, rows)) => {
                        if let Err(difference) = compare((&schema, &expected), (&columns, &rows), &query.order()) {
                            differences.push(format!("query {} {how}: {difference}", query.number));
                        }
                    }
                    Err(e) => differences.push(format!("query {} {how}: {}", query.number, e.chain())),
                }
                for strategy in strategies(client, query.sql).await {
                    *edges.entry((how, strategy)).or_default() += 1;
                }
            }
        }
        for ((how, strategy), count) in &edges {
            println!("{how}: {count} edges by {strategy}");
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        // Forced strategies are used.
        for (how, strategy) in [
            ("keys from left", "keys"),
            ("keys from right", "keys"),
            ("keys as a batch", "keys"),
            ("keys as a Bloom filter", "keys"),
            ("delegate to left", "delegate"),
            ("delegate to right", "delegate"),
        ] {
            assert!(edges.contains_key(&(how, strategy.to_owned())), "{how} is nowhere in {edges:?}");
        }
        let gathered = edges.keys().filter(|(how, _)| *how == "gather");
        assert!(gathered.clone().all(|(_, strategy)| strategy == "gather"), "{edges:?}");
    })
    .await;
}
