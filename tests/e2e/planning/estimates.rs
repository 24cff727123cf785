//! The estimates of joins with a filtered calendar, from the statistics that nodes collect of real files.

use std::fs;

use portolan_node::client::Client;
use portolan_testbed::{calendar, descriptors};
use portolan_tests::crossed::document;
use portolan_tests::mesh::{Mesh, data, within};
use portolan_tests::rows::count;
use serde_json::{Value, json};

/// Returns the uppermost join of a query that ran.
async fn join(client: &Client, sql: &str) -> Value {
    let (_, batches) = client.query(&format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}")).await.unwrap();
    let mut pending = vec![document(&batches).expect("EXPLAIN returns a document")["plan"].clone()];
    while let Some(operator) = pending.pop() {
        if operator["operator"].as_str().unwrap().contains("Join:") {
            return operator;
        }
        pending.extend(operator["inputs"].as_array().into_iter().flatten().cloned());
    }
    panic!("no join: {sql}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_calendar_is_estimated_and_is_the_build_side() {
    within(180, async {
        let folder = tempfile::Builder::new().prefix("portolan-calendar-").tempdir().unwrap();
        let (sales, days) = (folder.path().join("sales"), folder.path().join(calendar::DOMAIN));
        descriptors::write("sales", &data(), &sales).unwrap();
        fs::create_dir_all(&days).unwrap();
        calendar::write(&days).unwrap();
        let homes = vec![("sales", sales, json!({})), (calendar::DOMAIN, days, json!({}))];
        let mesh = Mesh::of_homes(folder, homes, json!({})).await;
        let client = mesh.client().await;
        for (days, orders) in [
            ("d_year = 1995", "o_orderdate BETWEEN DATE '1995-01-01' AND DATE '1995-12-31'"),
            ("d_year = 1994 AND d_month = 3", "o_orderdate BETWEEN DATE '1994-03-01' AND DATE '1994-03-31'"),
            // The orders end in August.
            ("d_year = 1998", "o_orderdate >= DATE '1998-01-01'"),
        ] {
            let ordered = format!("SELECT count(*) FROM sales.orders.orders WHERE {orders}");
            let expected = count(&client, &ordered).await.unwrap();
            let from =
                format!("FROM sales.orders.orders JOIN calendar.periods.days ON o_orderdate = d_day WHERE {days}");
            for factor in ["off", "4"] {
                client.query(&format!("SET portolan.adapt_factor = '{factor}'")).await.unwrap();
                assert_eq!(count(&client, &format!("SELECT count(*) {from}")).await, Ok(expected), "{factor}: {days}");
                let join = join(&client, &format!("SELECT o_custkey, o_totalprice, d_day {from}")).await;
                let (estimate, rows) = (join["rows"].as_f64().unwrap(), expected as f64);
                assert!((estimate / rows).max(rows / estimate) < 2.0, "{factor}: {days}: not {rows} rows: {join:#}");
                assert!(join["inputs"][0].to_string().contains("calendar.periods.days"), "{factor}: {days}: {join:#}");
            }
        }
    })
    .await;
}
