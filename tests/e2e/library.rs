//! The engine embedded in another program: an example of the engine's crate, and this one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};

use portolan_engine::arrow::array::AsArray;
use portolan_engine::arrow::datatypes::Int64Type;
use portolan_engine::{Engine, ErrorKind, Principal, ScalarValue};
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::node::{example, output};
use portolan_tests::rows::text;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analytics_job_embeds_the_engine() {
    within(120, async {
        let mesh = Mesh::shared().await;
        let mut job = Command::new(example("analytics_job"));
        job.args([mesh.node("sales").url(), mesh.node("geo").url()]).stdin(Stdio::null());
        let (code, out, err) = tokio::task::spawn_blocking(|| output(job)).await.unwrap();
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("port sales.orders.orders with 9 columns"), "{out}");
        assert!(out.contains("100 customers bought for "), "{out}");
        // Where the rows are joined depends on the load of the nodes.
        let reads_geo = |line: &str| line.strip_prefix("from ").is_some_and(|owners| owners.contains("geo"));
        assert!(out.lines().any(reads_geo), "{out}");

        let sql =
            "SELECT max(bought) FROM (SELECT sum(o_totalprice) AS bought FROM sales.orders.orders GROUP BY o_custkey)";
        let best = text(&mesh.client().await, sql).await;
        let said = out.lines().find_map(|line| line.strip_prefix("best: customer ")).unwrap();
        let bought = said.rsplit_once(' ').unwrap().1;
        assert!(best.contains(bought), "{said} is not in\n{best}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_connects_in_one_line() {
    within(120, async {
        let mesh = Mesh::shared().await;
        let engine = Engine::connect(mesh.node("geo").url()).await.unwrap();
        let rows = engine.sql("SELECT count(*) FROM geo.places.nation").await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 25);

        // Values have names, and the rows of a file join with a port.
        let session = engine.session(Principal::new("ann"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.csv");
        std::fs::write(&file, "nation,weight\n3,10\n7,20\n999,40\n").unwrap();
        let options = portolan_engine::connectors::files::LocalFileOptions::default();
        assert_eq!(session.register_file("list", &file.display().to_string(), &options).await.unwrap(), 3);
        let sql = "SELECT sum(weight) FROM list JOIN geo.places.nation ON nation = n_nationkey WHERE weight > $least";
        let prepared = session.prepare(sql).await.unwrap();
        let values = [("least", ScalarValue::from(10_i64))];
        let rows = prepared.execute_named(&values).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_no_node_is_an_error_that_names_the_url() {
    within(60, async {
        let error = Engine::connect("grpc://127.0.0.1:1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(error.chain().contains("node grpc://127.0.0.1:1"), "{}", error.chain());
    })
    .await;
}
