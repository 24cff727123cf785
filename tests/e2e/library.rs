//! The engine embedded in another program, which is an example of the engine's crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};

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
        assert!(out.contains("from geo: "), "{out}");

        let sql =
            "SELECT max(bought) FROM (SELECT sum(o_totalprice) AS bought FROM sales.orders.orders GROUP BY o_custkey)";
        let best = text(&mesh.client().await, sql).await;
        let said = out.lines().find_map(|line| line.strip_prefix("best: customer ")).unwrap();
        let bought = said.rsplit_once(' ').unwrap().1;
        assert!(best.contains(bought), "{said} is not in\n{best}");
    })
    .await;
}
