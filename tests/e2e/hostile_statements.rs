//! Short statements that work for long, or on much memory, in one piece: at the node that they are sent to, and at the
//! owner that they are sent on to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::record_batch::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{Mesh, MeshOptions, until, within};
use portolan_tests::node::{Node, is_idle};
use portolan_tests::rows::{assert_says, count, drain};
use serde_json::json;
use tonic::Code;
use tonic::transport::Endpoint;

/// The memory that the process of a node may have, in bytes. It ends the process instead of the machine.
const PROCESS_MEMORY: u64 = 6 << 30;
/// The memory of a node's process that these statements must not exceed, in KiB.
const MOST_RESIDENT: u64 = 1_500_000;
const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct-horse-battery";

async fn mesh(timeout: &str) -> Mesh {
    let limits = json!({
        "limits": {
            "query_memory": "128MiB", "memory": "512MiB", "session_tables": "64MiB", "query_timeout": timeout,
        },
        "cpu_threads": 2
    });
    let options = MeshOptions { node: limits.clone(), gateway: limits, ..MeshOptions::of(&["sales"]) };
    let mesh = Mesh::start(options).await;
    for node in [mesh.gateway(), mesh.node("sales")] {
        node.limit_memory(PROCESS_MEMORY);
    }
    mesh
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_result_of_a_function_crashes_a_node() {
    within(300, async {
        let mesh = mesh("20s").await;
        let client = mesh.client().await;
        // Each of these values fits, and all of them together do not.
        let columns: Vec<_> = (0..200).map(|i| format!("repeat('x', {})", 15_000_000 + i)).collect();
        let columns = format!("SELECT {}", columns.join(", "));
        for sql in [
            "SELECT range(0, 10000000000)",
            "SELECT generate_series(1, 1000000000000)",
            "SELECT array_repeat(random(), cast(1000000000 + random() AS BIGINT))",
            "SELECT sum(length(replace(repeat('a', 100000), 'a', repeat('b', 100000))))",
            "SELECT length(repeat('x', 1000 * 1000 * 2000))",
            "CREATE TABLE t AS SELECT repeat(c_name, 100000) FROM sales.customers.customer",
            &columns,
        ] {
            let error = drain(&client, sql).await.expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{sql}: {}", error.chain());
        }
        let owner = mesh.node("sales").url();
        for sql in [
            "SELECT max(cardinality(range(0, c_custkey * 2000000))) FROM sales.customers.customer",
            "SELECT max(length(repeat(c_name, c_custkey * 100000))) FROM sales.customers.customer",
            "SELECT count(*) FROM sales.customers.customer WHERE length(lpad(c_name, c_custkey * 1000000, 'x')) < 0",
        ] {
            let error = drain(&client, sql).await.expect_err(sql);
            assert_says(&error, ErrorKind::ResourceExhausted, &[owner]);
        }
        // The owner finds the constant in a fragment, or the gateway in the rows of a fragment.
        for sql in [
            "SELECT count(*) FROM sales.customers.customer WHERE c_custkey < length(repeat('x', 1000 * 1000 * 2000))",
            "SELECT count(*) FROM (SELECT unnest(range(0, c_custkey * 100000)) AS n FROM sales.customers.customer) t",
        ] {
            let kind = drain(&client, sql).await.expect_err(sql).kind();
            assert!(matches!(kind, ErrorKind::ResourceExhausted | ErrorKind::InvalidQuery), "{sql}: {kind:?}");
        }
        // Rows that fit one after the other are answered.
        let sql = "SELECT sum(length(repeat(c_name, 2000))) FROM sales.customers.customer";
        assert_eq!(count(&client, sql).await, Ok(18 * 2000 * 1500));
        let sql = "SELECT CAST(sum(cardinality(range(0, c_custkey * 100))) AS BIGINT) FROM sales.customers.customer";
        assert_eq!(count(&client, sql).await, Ok(100 * 1500 * 1501 / 2));
        let started = Instant::now();
        let days = "generate_series(DATE '0001-01-01', DATE '9998-12-31', INTERVAL '1 day')";
        assert_eq!(count(&client, &format!("SELECT CAST(cardinality({days}) AS BIGINT)")).await, Ok(3_651_694));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        if cfg!(target_os = "linux") {
            for node in [mesh.gateway(), mesh.node("sales")] {
                assert!(node.peak_memory() < MOST_RESIDENT, "{} KiB", node.peak_memory());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_functions_stop_in_time_and_do_not_block_others() {
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

/// A query whose single batch takes minutes.
const LONG_BATCH: &str = "SELECT count(*) FROM generate_series(1, 8000) \
                          WHERE levenshtein(repeat('ab', 3000), repeat('ba', 3000) || value) > 0";

/// Returns the identifier of the query with `part` in its text, once it runs.
async fn running(client: &Client, part: &str) -> String {
    let sql = format!(
        "SELECT query_id FROM mesh.queries \
         WHERE state = 'running' AND statement LIKE '%{part}%' AND statement NOT LIKE '%mesh.queries%'"
    );
    let mut found = None;
    until("the query runs", SOON, async || {
        let (_, batches) = client.query(&sql).await.unwrap();
        let rows = batches.into_iter().find(|batch| batch.num_rows() > 0);
        found = rows.map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned());
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_function_stops_when_the_query_does() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path(), json!({ "cpu_threads": 2 }));
        for cancel in [true, false] {
            let client = node.client().await;
            let statement = client.prepare(LONG_BATCH).await.unwrap();
            let mut rows = client.rows(&statement);
            let reading = tokio::spawn(async move { rows.next().await.map(|row| row.map(|_| ())) });
            let id = running(&client, "levenshtein").await;
            if cancel {
                let started = Instant::now();
                client.prepare(&format!("CALL mesh.cancel_query('{id}')")).await.unwrap();
                let error = reading.await.unwrap().expect("an answer").expect_err("it was cancelled");
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", error.chain());
                assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
            } else {
                reading.abort();
                drop(client);
            }
            // No thread works on the rest of the batch.
            until("the node is idle", SOON, async || is_idle(node.pid()).await).await;
        }
    })
    .await;
}

/// Returns a statement whose one row takes minutes: hundreds of calls, none of which takes long enough to be bounded.
/// Nothing checks the deadline between them.
fn one_long_row() -> String {
    let column = |number: i32| {
        let first = format!("translate(repeat('A', 16000000 - value), 'é', '{number}')");
        let nested = (0..25).fold(first, |inner, _| format!("translate({inner}, 'é', 'e')"));
        format!("length({nested}) AS n{number}")
    };
    format!("SELECT {} FROM generate_series(1, 1)", (0..10).map(column).collect::<Vec<_>>().join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_thread_is_logged_and_belongs_to_one_principal() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let user = |name: &str| json!({ "name": name, "password_hash": hash_password(PASSWORD).unwrap() });
        let users = ["ann", "carl", "bob"].map(user);
        let config = json!({ "users": users, "cpu_threads": 1, "limits": { "query_timeout": "3s" } });
        let node = Node::start(folder.path(), config);
        let log_in = async |user: &str| {
            let options = ConnectOptions { credentials: Some((user.to_owned(), PASSWORD.to_owned())), ca: None };
            node.client_with(&options).await
        };
        for (user, sql) in [("ann", one_long_row()), ("carl", format!("CREATE TABLE t AS {}", one_long_row()))] {
            let client = log_in(user).await;
            let started = Instant::now();
            let error = drain(&client, &sql).await.expect_err("a row of minutes");
            assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{sql}: {}", error.chain());
            assert!(started.elapsed() < Duration::from_secs(20), "{sql}: {:?}", started.elapsed());
        }
        // The threads of these principals are still held, and another principal has a thread of its own.
        let bob = log_in("bob").await;
        let watched = "the query has held a thread for";
        until("the log names the query", SOON, async || {
            assert_eq!(count(&bob, "SELECT count(*) FROM generate_series(1, 1000)").await, Ok(1000));
            assert_eq!(count(&bob, "SELECT count(*) FROM mesh.nodes").await, Ok(1));
            node.log().contains(watched)
        })
        .await;
        let log = node.log();
        let line = log.lines().find(|line| line.contains(watched)).unwrap();
        assert!(line.contains("WARN") && line.contains("query="), "{line}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_of_parameters_share_one_deadline() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let ann = json!({ "name": "ann", "password_hash": hash_password(PASSWORD).unwrap() });
        let node = Node::start(folder.path(), json!({ "users": [ann], "limits": { "query_timeout": "3s" } }));
        let address = node.url().replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake("ann", PASSWORD).await.unwrap();
        client.execute_update("CREATE TABLE t AS SELECT 1 AS x".to_owned(), None).await.unwrap();
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..300_000));
        let values = RecordBatch::try_from_iter([("$1", values)]).unwrap();

        let started = Instant::now();
        let mut select = client.prepare("SELECT ?".to_owned(), None).await.unwrap();
        select.set_parameters(values.clone()).unwrap();
        let info = select.execute().await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let rows = client.do_get(ticket).await.unwrap().try_collect::<Vec<_>>().await;
        is_late(rows.expect_err("each row of parameters runs a query"));
        let mut delete = client.prepare("DELETE FROM t WHERE x = ?".to_owned(), None).await.unwrap();
        delete.set_parameters(values).unwrap();
        is_late(delete.execute_update().await.expect_err("each row of parameters runs a query"));
        assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    })
    .await;
}

#[track_caller]
fn is_late(error: FlightError) {
    match error {
        FlightError::Tonic(status) => assert_eq!(status.code(), Code::DeadlineExceeded, "{status}"),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_grow_during_planning_are_refused() {
    within(120, async {
        let client = Mesh::shared().await.client().await;
        let columns = |n: usize| (0..n).map(|i| format!("n_nationkey + {i}")).collect::<Vec<_>>().join(", ");
        let doubled = |i: usize| format!("c{} AS (SELECT a.* FROM c{i} a JOIN c{i} b ON a.x = b.x)", i + 1);
        let ctes = (0..40).map(doubled).collect::<Vec<_>>().join(", ");
        let nested = |i: usize| format!("s{} AS (SELECT struct(x, x) AS x FROM s{i})", i + 1);
        let structs = (0..40).map(nested).collect::<Vec<_>>().join(", ");
        let nested = |outer: &str, inner: &str, levels: usize| {
            (0..levels).fold(inner.to_owned(), |inner, _| outer.replace('@', &inner))
        };
        let branches: Vec<_> = (0..2_000).map(|i| format!("WHEN n_nationkey = {i} THEN false")).collect();
        let list = |item: &str, n: usize| vec![item; n].join(", ");
        for sql in [
            format!("SELECT {} FROM geo.places.nation", nested("coalesce(@, n_name)", "n_comment", 40)),
            format!(
                "SELECT {} FROM geo.places.nation",
                nested("(@ BETWEEN (n_nationkey > 2) AND true)", "n_nationkey > 1", 40)
            ),
            format!(
                "SELECT {} FROM geo.places.nation",
                nested("CASE WHEN @ THEN n_nationkey > 2 END", "n_nationkey > 1", 20)
            ),
            format!("SELECT n_name FROM geo.places.nation WHERE CASE {} ELSE true END", branches.join(" ")),
            format!(
                "SELECT greatest({}) AS x FROM geo.places.nation GROUP BY n_nationkey HAVING greatest({}) > 1",
                list("n_nationkey", 2_000),
                list("x", 2_000)
            ),
            format!("SELECT 1 FROM geo.places.nation GROUP BY CUBE({})", columns(20)),
            format!("WITH c0 AS (SELECT n_nationkey AS x FROM geo.places.nation), {ctes} SELECT count(*) FROM c40"),
            format!("WITH s0 AS (SELECT n_nationkey AS x FROM geo.places.nation), {structs} SELECT * FROM s40"),
            format!("VALUES (1){}", ", (2)".repeat(150_000)),
        ] {
            let started = Instant::now();
            let error = drain(&client, &sql).await.expect_err("a statement that is too large");
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
            assert!(!error.chain().contains("syntax"), "{}", error.chain());
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        }
    })
    .await;
}
