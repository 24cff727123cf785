#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use futures::TryStreamExt;

use crate::fake_mesh::{FakePeer, gateway, tpch_domain};
use crate::{Engine, ErrorKind};

/// The rows of an EXPLAIN.
async fn explain(engine: &Engine, sql: &str) -> Vec<(String, String)> {
    let batches: Vec<RecordBatch> = engine.sql(sql).await.unwrap().try_collect().await.unwrap();
    let rows = batches.iter().flat_map(|b| {
        let (kinds, plans) = (b.column(0).as_string::<i32>(), b.column(1).as_string::<i32>());
        (0..b.num_rows()).map(|i| (kinds.value(i).to_owned(), plans.value(i).to_owned())).collect::<Vec<_>>()
    });
    rows.collect()
}

fn kinds(rows: &[(String, String)]) -> Vec<&str> {
    rows.iter().map(|(kind, _)| kind.as_str()).collect()
}

const ACROSS: &str = "SELECT c_name, n_name FROM sales.customers.customer JOIN geo.places.nation \
                      ON c_nationkey = n_nationkey WHERE c_acctbal > 0";

#[tokio::test]
async fn it_tells_sites_fragments_and_reasons() {
    let rows = explain(&gateway().await, &format!("EXPLAIN {ACROSS}")).await;
    assert_eq!(kinds(&rows), ["placement", "fragment 1", "fragment 2"]);
    let placement = &rows[0].1;
    assert!(placement.contains("here: combines sales at grpc://sales with geo at grpc://geo"), "{placement}");
    assert!(placement.contains("=> fragment 1 at sales"), "{placement}");
    assert!(placement.contains("=> fragment 2 at geo"), "{placement}");
    let fragment = &rows[1].1;
    assert!(fragment.starts_with("at sales (grpc://sales), about 50000 rows\nSELECT"), "{fragment}");
    assert!(fragment.contains("c_acctbal"), "{fragment}");
}

#[tokio::test]
async fn verbose_shows_every_pass() {
    let rows = explain(&gateway().await, &format!("EXPLAIN VERBOSE {ACROSS}")).await;
    assert_eq!(kinds(&rows), ["placement", "fragment 1", "fragment 2", "normalised", "here", "physical"]);
    assert!(rows[3].1.contains("TableScan: geo.places.nation"), "{}", rows[3].1);
    assert!(rows[4].1.contains("Exchange: fragment 2 at grpc://geo"), "{}", rows[4].1);
    assert!(rows[5].1.contains("RemoteScanExec: fragment=1, site=grpc://sales"), "{}", rows[5].1);
}

#[tokio::test]
async fn a_setting_is_a_reason() {
    let session = gateway().await.session(crate::Principal::anonymous());
    session.set("portolan.placement", "off").unwrap();
    let batches: Vec<RecordBatch> =
        session.sql(&format!("EXPLAIN {ACROSS}")).await.unwrap().try_collect().await.unwrap();
    let text = batches[0].column(1).as_string::<i32>().value(0).to_owned();
    assert!(text.contains("here: portolan.placement is off"), "{text}");
}

#[tokio::test]
async fn it_asks_no_node() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let engine = Engine::builder().cpu_threads(1).peer(peer.clone()).build().unwrap();
    engine.refresh().await;
    peer.go_down();
    let rows = explain(&engine, "EXPLAIN SELECT r_name FROM geo.places.region").await;
    assert_eq!(kinds(&rows), ["placement", "fragment 1"]);
}

#[tokio::test]
async fn analyze_tells_what_crossed_each_edge_and_what_was_done_there() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(["ASIA", "EUROPE"]));
    peer.give(RecordBatch::try_from_iter([("r_name", names)]).unwrap());
    let engine = Engine::builder().cpu_threads(1).peer(peer).build().unwrap();
    engine.refresh().await;
    let rows = explain(&engine, "EXPLAIN ANALYZE SELECT r_name FROM geo.places.region").await;
    assert_eq!(kinds(&rows), ["placement", "fragment 1", "edge 1", "here"]);
    let edge = &rows[2].1;
    assert!(edge.starts_with("from geo (grpc://geo): 2 rows, 77 bytes, first batch after "), "{edge}");
    assert!(edge.ends_with("FakeExec, metrics=[]"), "{edge}");
    assert!(rows[3].1.contains("RemoteScanExec"), "{}", rows[3].1);
    assert!(rows[3].1.contains("output_rows=2"), "{}", rows[3].1);
}

#[tokio::test]
async fn analyze_of_a_query_that_fails_fails() {
    let engine = gateway().await;
    let error = engine.sql("EXPLAIN ANALYZE SELECT r_name FROM geo.places.region").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(error.chain().contains("domain geo at grpc://geo"), "{}", error.chain());
}
