//! Nodes that are down, die while they send, or hang. The error names the node, partial rows never pass for a complete
//! result, and the rest of the mesh keeps running.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::{StreamExt, TryStreamExt};
use portolan_engine::ErrorKind;
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{Mesh, MeshOptions, until, within};
use portolan_tests::node::{cpu_ticks, is_idle};
use portolan_tests::rows::{assert_says, count, drain, failure, text};
use tonic::transport::Endpoint;

/// Returns a query whose rows are produced at their owner, and are many times more than all buffers on the way hold.
fn big() -> String {
    ["SELECT * FROM sales.orders.lineitem"; 12].join(" UNION ALL ")
}

const NATIONS: &str = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
const SUPPLIERS: &str = "SELECT count(*) FROM supply.suppliers.supplier WHERE s_name <> 'x'";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_a_node_that_is_down_and_the_others_answer() {
    within(180, async {
        let mut mesh = Mesh::start(MeshOptions::of(&["geo", "supply"])).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, NATIONS).await, Ok(25));
        let url = mesh.node("geo").url().to_owned();
        mesh.node_mut("geo").kill();

        let error = failure(&client, NATIONS).await;
        assert_says(&error, ErrorKind::SiteUnavailable, &["domain geo", &url]);
        let both = "SELECT count(*) FROM geo.places.nation, supply.suppliers.supplier WHERE n_nationkey = s_nationkey";
        assert_says(&failure(&client, both).await, ErrorKind::SiteUnavailable, &["domain geo", &url]);
        assert_eq!(count(&client, SUPPLIERS).await, Ok(100));

        // Clients can still browse its catalog.
        let down =
            format!("SELECT count(*) FROM mesh.nodes WHERE url = '{url}' AND state = 'down' AND error IS NOT NULL");
        until("the node is known to be down", SOON, async || count(&client, &down).await == Ok(1)).await;
        assert!(text(&client, "SELECT * FROM mesh.nodes").await.contains(&url));
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.columns WHERE domain = 'geo'").await, Ok(7));
        let tables =
            "SELECT count(*) FROM information_schema.tables WHERE table_catalog = 'geo' AND table_schema = 'places'";
        assert_eq!(count(&client, tables).await, Ok(2));
        assert_eq!(flight_tables(mesh.gateway().url(), "geo").await, 2);

        // The node returns at the same address.
        mesh.restart("geo");
        until("the node answers again", SOON, async || count(&client, NATIONS).await == Ok(25)).await;
        let up = format!("SELECT count(*) FROM mesh.nodes WHERE url = '{url}' AND state = 'up'");
        until("the node is known to be up", SOON, async || count(&client, &up).await == Ok(1)).await;
    })
    .await;
}

/// Returns the number of tables of `places` in a catalog that Flight SQL's GetTables returns.
async fn flight_tables(url: &str, catalog: &str) -> usize {
    let endpoint = Endpoint::from_shared(url.replace("grpc://", "http://")).unwrap();
    let mut client = FlightSqlServiceClient::new(endpoint.connect().await.unwrap());
    let command = CommandGetTables {
        catalog: Some(catalog.into()),
        db_schema_filter_pattern: Some("places".into()),
        ..CommandGetTables::default()
    };
    let info = client.get_tables(command).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    portolan_tests::rows::rows(&batches)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_a_node_that_dies_while_it_sends() {
    within(180, async {
        let mut mesh = Mesh::start(MeshOptions::of(&["sales"])).await;
        let url = mesh.node("sales").url().to_owned();
        let client = mesh.client().await;
        let statement = client.prepare(&big()).await.unwrap();
        let mut rows = client.rows(&statement);
        let mut received = rows.next().await.unwrap().unwrap().num_rows();
        mesh.node_mut("sales").kill();
        let error = loop {
            match rows.next().await {
                Some(Ok(batch)) => received += batch.num_rows(),
                Some(Err(e)) => break e,
                None => panic!("{received} rows passed for the complete result\n{}", mesh.gateway().log()),
            }
        };
        assert_says(&error, ErrorKind::SiteUnavailable, &["domain sales", &url]);
        mesh.restart("sales");
        let sql = "SELECT count(*) FROM sales.orders.orders WHERE o_orderstatus <> 'x'";
        until("the node answers again", SOON, async || count(&client, sql).await == Ok(15_000)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_the_deadline_names_a_node_that_hangs() {
    within(180, async {
        let mesh = Mesh::start(MeshOptions::of(&["geo"])).await;
        let url = mesh.node("geo").url().to_owned();
        let client = mesh.client().await;
        client.query("SET portolan.query_timeout = 3").await.unwrap();
        assert_eq!(count(&client, NATIONS).await, Ok(25));
        mesh.node("geo").signal("STOP");
        let answer = tokio::time::timeout(Duration::from_secs(30), client.query(NATIONS)).await;
        let error = answer.expect("the deadline is 3 seconds").expect_err("the node hangs");
        mesh.node("geo").signal("CONT");
        assert!(matches!(error.kind(), ErrorKind::DeadlineExceeded | ErrorKind::SiteUnavailable), "{}", error.chain());
        assert_says(&error, error.kind(), &["geo", &url]);
        until("the node answers again", SOON, async || count(&client, NATIONS).await == Ok(25)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disconnects_stops_the_work_at_the_owner() {
    within(240, async {
        let mesh = Mesh::start(MeshOptions::of(&["sales"])).await;
        // The whole query is placed at its owner, and takes minutes there.
        let endless = "SELECT sum(a.l_quantity * b.l_tax), sum(a.l_tax * b.l_quantity), max(a.l_comment || b.l_comment) \
                       FROM sales.orders.lineitem a CROSS JOIN sales.orders.lineitem b";
        let owner = mesh.node("sales").pid();
        for cancel in [false, true] {
            let client = mesh.client().await;
            let statement = client.prepare(endless).await.unwrap();
            let mut rows = client.rows(&statement);
            let before = cpu_ticks(owner);
            let reading = tokio::spawn(async move { rows.next().await.map(|row| row.map(|_| ())) });
            until("the owner works", SOON, async || cpu_ticks(owner) > before + 50).await;
            if cancel {
                client.cancel(&statement).await;
                let error = reading.await.unwrap().expect("an answer").expect_err("it was cancelled");
                assert_says(&error, ErrorKind::Cancelled, &["cancelled"]);
            } else {
                reading.abort();
                drop(client);
            }
            until("the owner is idle", SOON, async || is_idle(owner).await).await;
        }
        let client = mesh.client().await;
        assert_eq!(count(&client, "SELECT count(*) FROM sales.orders.orders").await, Ok(15_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_finishes_its_running_queries() {
    within(120, async {
        let mut mesh = Mesh::start(MeshOptions::of(&["sales"])).await;
        let client = mesh.node("sales").client().await;
        // These are more rows than fit between the node and a client that does not read yet.
        let sql = "SELECT l.* FROM sales.orders.lineitem l CROSS JOIN (VALUES (1), (2), (3), (4)) v";
        let statement = client.prepare(sql).await.unwrap();
        let mut rows = client.rows(&statement);
        let mut received = rows.next().await.unwrap().unwrap().num_rows();
        mesh.node("sales").signal("TERM");
        let (url, options) = (mesh.node("sales").url().to_owned(), ConnectOptions::default());
        until("new callers are refused", SOON, async || match Client::connect(&url, &options).await {
            Ok(client) => drain(&client, "SELECT 1").await.is_err(),
            Err(_) => true,
        })
        .await;
        while let Some(batch) = rows.next().await {
            received += batch.unwrap().num_rows();
        }
        assert_eq!(received, 4 * 60_175);
        drop((rows, client));
        assert!(mesh.node_mut("sales").wait().success(), "{}", mesh.node("sales").log());
    })
    .await;
}
