//! The 22 queries of TPC-H over three domains: placed, unplaced and one process give the same rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::TryStreamExt;
use portolan_cli::compare::compare;
use portolan_cli::demo::single::single_process;
use portolan_cli::tpch::QUERIES;
use portolan_tests::mesh::{Mesh, data, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_answers_as_one_process_does() {
    within(300, async {
        let (placed, unplaced) = {
            let mesh = Mesh::shared().await;
            (mesh.client().await, mesh.client().await)
        };
        unplaced.query("SET portolan.placement = off").await.unwrap();
        let single = single_process(&data()).await.unwrap();
        let mut differences = vec![];
        for query in QUERIES {
            let stream = single.sql(query.sql).await.unwrap();
            let schema = stream.schema();
            let expected: Vec<_> = stream.try_collect().await.unwrap();
            for (how, client) in [("placed", &placed), ("unplaced", &unplaced)] {
                match client.query(query.sql).await {
                    Ok((columns, rows)) => {
                        if let Err(difference) = compare((&schema, &expected), (&columns, &rows), &query.order()) {
                            differences.push(format!("query {} {how}: {difference}", query.number));
                        }
                    }
                    Err(e) => differences.push(format!("query {} {how}: {}", query.number, e.chain())),
                }
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    })
    .await;
}
