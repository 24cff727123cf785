//! Two readers of one part: one stops early, one is slow because its client is, one fails, or the owner dies. The other
//! reader gets all rows or the error, no query hangs, and nothing of it is left. The gateway has one slot, which the next
//! query needs.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use portolan_engine::ErrorKind;
use portolan_tests::admin::Metrics;
use portolan_tests::mesh::{until, within};
use portolan_tests::node::is_idle;
use portolan_tests::rows::{assert_says, count, drain, rows};
use serde_json::{Value, json};

use super::{Nodes, ROWS, SOON, TOTAL, WHOLE, assert_shared, count_ids, largest_total};

fn one_slot() -> Value {
    json!({ "limits": { "concurrent_queries": 1 } })
}

/// Returns a query with a reader that starts when another one has read all rows.
fn one_after_another() -> String {
    format!("{WHOLE} SELECT t.n, w.* FROM (SELECT max({TOTAL}) AS n FROM w) AS t CROSS JOIN w")
}

/// Returns a query with readers that run at the same time.
fn side_by_side() -> String {
    format!("{WHOLE} SELECT * FROM w UNION ALL SELECT * FROM w")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_early_leaves_the_rows_to_the_other() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &one_slot()).await;
        let client = nodes.unplaced().await;
        let few = "(SELECT u.* FROM west.samples.groups k JOIN w u ON k.g = u.g LIMIT 5)";
        for sql in
            [format!("{WHOLE} SELECT * FROM w UNION ALL {few}"), format!("{WHOLE} {few} UNION ALL SELECT * FROM w")]
        {
            assert_shared(&client, &sql, 2).await;
            let (_, batches) = client.query(&sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
            let times = count_ids(&batches, 0);
            assert!(times.iter().all(|times| *times > 0), "{sql}");
            assert_eq!(times.iter().sum::<usize>(), ROWS as usize + 5, "{sql}");
            nodes.until_nothing_is_left(&nodes.all()).await;
        }
        // Each side of a join is a reader: one is read to its end before the other starts.
        let joined = format!("{WHOLE} SELECT count(*) FROM w u JOIN w v ON u.id = v.id AND u.g = v.g");
        assert_shared(&client, &joined, 2).await;
        assert_eq!(count(&client, &joined).await, Ok(ROWS));
        // Both readers stop.
        let first = format!("SELECT * FROM ({}) AS t LIMIT 7", side_by_side());
        assert_eq!(drain(&client, &first).await.map_err(|e| e.chain()), Ok(7));
        nodes.until_nothing_is_left(&nodes.all()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_for_a_slow_reader() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &one_slot()).await;
        let client = nodes.unplaced().await;
        let sql = one_after_another();
        assert_shared(&client, &sql, 2).await;
        for is_read_to_its_end in [true, false] {
            let sent = nodes.fragments("east").await;
            let statement = client.prepare(&sql).await.unwrap();
            let mut stream = client.rows(&statement);
            let mut batches: Vec<RecordBatch> = vec![stream.next().await.unwrap().unwrap()];
            // The client does not read on. All rows have come, and most of them are on disk.
            assert_eq!(nodes.fragments("east").await, sent + 1.0);
            let spilled = Metrics::of(nodes.mesh.gateway().admin()).await.value("portolan_spill_bytes");
            assert!(spilled > 1e6, "{spilled} bytes");
            if is_read_to_its_end {
                while let Some(batch) = stream.next().await {
                    batches.push(batch.unwrap());
                }
                assert!(count_ids(&batches, 1).iter().all(|times| *times == 1));
                let largest = largest_total();
                let mut totals =
                    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter());
                assert!(totals.all(|total| *total == largest));
            }
            drop(stream);
            nodes.until_nothing_is_left(&nodes.all()).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_gets_the_rows_of_all_readers() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &one_slot()).await;
        let client = nodes.unplaced().await;
        let sql = side_by_side();
        assert_shared(&client, &sql, 2).await;
        let statement = client.prepare(&sql).await.unwrap();
        let mut stream = client.rows(&statement);
        let mut batches: Vec<RecordBatch> = vec![stream.next().await.unwrap().unwrap()];
        // The readers wait for the client, the part for its readers, and the owner for the part.
        let gateway = nodes.mesh.gateway();
        until("the gateway waits for the client", SOON, async || is_idle(gateway.pid()).await).await;
        let at_owner = Metrics::of(nodes.mesh.node("east").admin()).await;
        assert_eq!(at_owner.value("portolan_queries_running{kind=\"fragment\"}"), 1.0, "{}", at_owner.0);
        while let Some(batch) = stream.next().await {
            batches.push(batch.unwrap());
        }
        assert!(count_ids(&batches, 0).iter().all(|times| *times == 2), "{} rows", rows(&batches));
        nodes.until_nothing_is_left(&nodes.all()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_fails_ends_the_other() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &one_slot()).await;
        let client = nodes.unplaced().await;
        // The last row divides by zero.
        let quotient = format!("g / (id - {})", ROWS - 1);
        for sql in [
            format!("{WHOLE} SELECT * FROM w UNION ALL SELECT id, {quotient}, c0, c1, c2, c3, c4, c5, c6, c7 FROM w"),
            // The other reader has not started.
            one_after_another().replace(TOTAL, &format!("{TOTAL} + {quotient}")),
            // The other reader has read all rows.
            one_after_another().replace("w.* FROM", &format!("w.*, {quotient} FROM")),
        ] {
            assert_shared(&client, &sql, 2).await;
            let error = drain(&client, &sql).await.expect_err(&sql);
            assert_says(&error, ErrorKind::InvalidQuery, &["division by zero"]);
            nodes.until_nothing_is_left(&nodes.all()).await;
        }
        assert_eq!(drain(&client, &side_by_side()).await.map_err(|e| e.chain()), Ok(2 * ROWS as usize));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_an_owner_that_dies_reaches_all_readers() {
    within(300, async {
        let mut nodes = Nodes::start(&json!({}), &one_slot()).await;
        let url = nodes.mesh.node("east").url().to_owned();
        let client = nodes.unplaced().await;
        let sql = side_by_side();
        assert_shared(&client, &sql, 2).await;
        let statement = client.prepare(&sql).await.unwrap();
        let mut stream = client.rows(&statement);
        let mut received = stream.next().await.unwrap().unwrap().num_rows();
        nodes.mesh.node_mut("east").kill();
        let error = loop {
            match stream.next().await {
                Some(Ok(batch)) => received += batch.num_rows(),
                Some(Err(e)) => break e,
                None => panic!("{received} rows passed for the complete result"),
            }
        };
        assert_says(&error, ErrorKind::SiteUnavailable, &["domain east", &url]);
        drop(stream);
        nodes.until_nothing_is_left(&[nodes.mesh.gateway(), nodes.mesh.node("west")]).await;
        nodes.mesh.restart("east");
        until("the query runs again", SOON, async || drain(&client, &sql).await.is_ok_and(|n| n == 2 * ROWS as usize))
            .await;
        nodes.until_nothing_is_left(&nodes.all()).await;
    })
    .await;
}
