//! Short statements that work for long, or on much memory, in one piece: at the node that they are sent to, and at the
//! owner that they are sent on to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, MeshOptions, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{count, drain};
use serde_json::json;

/// The memory that the process of a node may have, in bytes. It ends the process instead of the machine.
const PROCESS_MEMORY: u64 = 6 << 30;
/// The memory of a node's process that these statements must not exceed, in KiB.
const MOST_RESIDENT: u64 = 1_500_000;

async fn mesh(timeout: &str) -> Mesh {
    let limits = json!({
        "limits": { "query_memory": "128MiB", "memory": "512MiB", "query_timeout": timeout },
        "cpu_threads": 2
    });
    let options = MeshOptions { node: limits.clone(), gateway: limits, ..MeshOptions::of(&["sales"]) };
    let mesh = Mesh::start(options).await;
    for node in [mesh.gateway(), mesh.node("sales")] {
        let limit = format!("--data={PROCESS_MEMORY}");
        // Where there is no such limit, the assertion on the peak still holds.
        let _ = Command::new("prlimit").args(["--pid", &node.pid().to_string(), &limit]).status();
    }
    mesh
}

/// Returns the largest memory that the node's process has had, in KiB. Only Linux reports it.
fn peak(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_result_of_a_function_ends_a_node() {
    within(300, async {
        let mesh = mesh("20s").await;
        let client = mesh.client().await;
        for sql in [
            "SELECT range(0, 10000000000)",
            "SELECT generate_series(1, 1000000000000)",
            "SELECT array_repeat(random(), cast(1000000000 + random() AS BIGINT))",
            "SELECT sum(length(replace(repeat('a', 100000), 'a', repeat('b', 100000))))",
            "SELECT length(repeat('x', 1000 * 1000 * 2000))",
            // The owner runs these.
            "SELECT max(cardinality(range(0, c_custkey * 2000000))) FROM sales.customers.customer",
            "SELECT max(length(repeat(c_name, c_custkey * 100000))) FROM sales.customers.customer",
            "SELECT count(*) FROM sales.customers.customer WHERE length(lpad(c_name, c_custkey * 1000000, 'x')) < 0",
        ] {
            let error = drain(&client, sql).await.expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{sql}: {}", error.chain());
        }
        // Rows that fit one after the other are answered.
        let sql = "SELECT sum(length(repeat(c_name, 2000))) FROM sales.customers.customer";
        assert_eq!(count(&client, sql).await, Ok(18 * 2000 * 1500));
        let sql = "SELECT CAST(sum(cardinality(range(0, c_custkey * 100))) AS BIGINT) FROM sales.customers.customer";
        assert_eq!(count(&client, sql).await, Ok(100 * 1500 * 1501 / 2));
        if cfg!(target_os = "linux") {
            for node in [mesh.gateway(), mesh.node("sales")] {
                assert!(peak(node) < MOST_RESIDENT, "{} KiB", peak(node));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_functions_end_in_time_and_leave_room_for_others() {
    within(300, async {
        let mesh = mesh("5s").await;
        let client = mesh.client().await;
        let slow = [
            "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
            "SELECT levenshtein(repeat('ab', 8000000), repeat('ba', 8000000))",
            "SELECT count(*) FROM sales.orders.lineitem \
             WHERE levenshtein(repeat(l_comment, 200), repeat(l_shipmode, 500)) < 0",
            "SELECT count(*) FROM sales.orders.lineitem \
             WHERE regexp_like(repeat(l_comment, 1000), '(.*)(.*)(.*)(.*)[0-9]x' || l_orderkey)",
            "SELECT count(*) FROM generate_series(1, 1000000000000)",
            "SELECT regexp_count(repeat('A', 1000000), '.*[^A-Z]|[A-Z]')",
        ];
        let started = Instant::now();
        let others = async {
            for _ in 0..10 {
                assert_eq!(count(&client, "SELECT count(*) FROM mesh.domains").await, Ok(1));
                assert_eq!(count(&client, "SELECT count(*) FROM sales.customers.customer").await, Ok(1500));
            }
            started.elapsed()
        };
        let all = join_all(slow.iter().map(|sql| drain(&client, sql)));
        let (outcomes, others) = tokio::join!(all, others);
        for (sql, outcome) in slow.iter().zip(outcomes) {
            let kind = outcome.expect_err(sql).kind();
            assert!(matches!(kind, ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded), "{sql}: {kind:?}");
        }
        // Both took seconds here. They take minutes if a piece of work does not look at the clock.
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        assert!(others < Duration::from_secs(60), "{others:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_grow_when_they_are_planned_are_refused() {
    within(120, async {
        let client = Mesh::shared().await.client().await;
        let columns = |n: usize| (0..n).map(|i| format!("n_nationkey + {i}")).collect::<Vec<_>>().join(", ");
        let doubled = |i: usize| format!("c{} AS (SELECT a.* FROM c{i} a JOIN c{i} b ON a.x = b.x)", i + 1);
        let ctes = (0..40).map(doubled).collect::<Vec<_>>().join(", ");
        let nested = |i: usize| format!("s{} AS (SELECT struct(x, x) AS x FROM s{i})", i + 1);
        let structs = (0..40).map(nested).collect::<Vec<_>>().join(", ");
        for sql in [
            format!("SELECT 1 FROM geo.places.nation GROUP BY CUBE({})", columns(20)),
            format!("WITH c0 AS (SELECT n_nationkey AS x FROM geo.places.nation), {ctes} SELECT count(*) FROM c40"),
            format!("WITH s0 AS (SELECT n_nationkey AS x FROM geo.places.nation), {structs} SELECT * FROM s40"),
            format!("VALUES (1){}", ", (2)".repeat(150_000)),
        ] {
            let started = Instant::now();
            let error = drain(&client, &sql).await.expect_err("a statement that is too large");
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        }
    })
    .await;
}
