//! A node as a service: limits of memory that fit the host, health, metrics, traces across nodes, and the log as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::{StreamExt, TryStreamExt};
use portolan_engine::{ErrorKind, TraceContext};
use portolan_node::metrics::METRICS;
use portolan_tests::admin::{Metrics, get};
use portolan_tests::collector::Collector;
use portolan_tests::mesh::{Mesh, MeshOptions, until, within};
use portolan_tests::node::{Node, output, program, run};
use portolan_tests::rows::{count, failure};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

const SOON: Duration = Duration::from_secs(60);
const NATIONS: &str = "SELECT n_name FROM geo.places.nation";
/// A query whose rows do not fit into the buffers between a node and a client that stops reading.
const BIG: &str = "SELECT l.*, c_address FROM sales.orders.lineitem l CROSS JOIN \
                   (SELECT c_address FROM sales.customers.customer LIMIT 100) c";

/// Runs a statement with a `traceparent`, and returns the number of rows.
async fn send(url: &str, traceparent: &str, sql: &str) -> Result<usize, String> {
    let channel = Endpoint::from_shared(url.replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    client.set_header("traceparent", traceparent);
    let info = client.execute(sql.to_owned(), None).await.map_err(|e| e.to_string())?;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let rows = client.do_get(ticket).await.map_err(|e| e.to_string())?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(|e| e.to_string())?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// Returns the lines of a log, each of which is a JSON object.
fn objects(log: &str) -> Vec<Value> {
    let parse = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Value::Object(object),
        other => panic!("{other:?}: {line}"),
    };
    log.lines().map(parse).collect()
}

fn write_config(folder: &Path, config: &Value) -> String {
    let file = folder.join("node.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn limits_of_memory_follow_from_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "listen": "127.0.0.1:0", "cpu_threads": 2, "log_format": "json" });
    let file = write_config(folder.path(), &config);
    // A limit of the process needs no special rights, as a control group does.
    let script = format!("ulimit -v 4194304 && exec '{}' serve --check --config '{file}'", program().display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null());
    let (code, out, err) = output(command);
    assert_eq!(code, Some(0), "{out}{err}");
    let lines = objects(&err);
    let found = lines.iter().find(|line| line["message"] == "memory limits in bytes").expect(&err);
    let host = found["host"].as_str().unwrap();
    assert!(host.contains("4294967296 (address space of the process)"), "{host}");
    // The machine, or the container of the tests, may have less memory.
    let smallest: u64 = host.split(' ').next().unwrap().parse().unwrap();
    assert!(smallest <= 4 << 30, "{host}");
    assert_eq!((found["memory"].as_u64(), found["query_memory"].as_u64()), (Some(smallest / 2), Some(smallest / 8)));
    assert!(!err.contains("limits.memory is"), "{err}");

    let mut config = config;
    config["limits"] = json!({ "memory": "500TiB" });
    let file = write_config(folder.path(), &config);
    let (code, out, err) = run(&["serve", "--check", "--config", &file], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    let is_warning = |line: &Value| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|text| text.starts_with("limits.memory is"))
    };
    assert!(objects(&err).iter().any(is_warning), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_lowered_limit_of_connections_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    // No process may open as many files.
    let node = Node::start(folder.path(), json!({ "limits": { "connections": 4_000_000_000_u64 } }));
    assert!(node.log().contains("limits.connections is 4000000000, but"), "{}", node.log());
    let other = tempfile::tempdir().unwrap();
    let node = Node::start(other.path(), json!({ "limits": { "connections": 9 } }));
    assert!(node.log().contains("connections=9") && !node.log().contains("limits.connections is"), "{}", node.log());
}

#[test]
fn an_error_names_an_admin_address_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = write_config(folder.path(), &json!({ "listen": "127.0.0.1:0", "admin": { "listen": address } }));
    // A check does not listen: the node that it checks may run.
    let (code, out, err) = run(&["serve", "--check", "--config", &file], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = run(&["serve", "--config", &file], &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("the admin listener cannot listen on `{address}`")), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_check_finds_a_state_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    portolan_testbed::descriptors::write("geo", &portolan_tests::mesh::data(), folder.path()).unwrap();
    let sources = json!({ "files": { "root": "/" } });
    let mut config = json!({ "domain": "geo", "listen": "127.0.0.1:0", "sources": sources });
    let (code, out, err) = run(&["serve", "--check", "--config", &write_config(folder.path(), &config)], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!folder.path().join("node.state").exists(), "a check writes nothing");
    // Nobody creates files there, whatever the rights.
    config["state_folder"] = "/proc/portolan".into();
    let (code, out, err) = run(&["serve", "--check", "--config", &write_config(folder.path(), &config)], &[]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("/proc/portolan/node-key.pem") && err.contains("set `state_folder`"), "{err}");
}

#[test]
fn sql_runs_beside_a_node_with_the_same_config() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), json!({ "admin": { "listen": "127.0.0.1:0" } }));
    let address = node.admin().strip_prefix("http://").unwrap();
    let other = tempfile::tempdir().unwrap();
    let file = write_config(other.path(), &json!({ "admin": { "listen": address } }));
    let (code, out, err) = run(&["sql", "--config", &file, "--format", "csv", "-c", "SELECT 41 + 1 AS answer"], &[]);
    assert_eq!((code, out.as_str()), (Some(0), "answer\n42\n"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_has_queries_edges_peers_and_sources() {
    within(180, async {
        let admin = json!({ "admin": { "listen": "127.0.0.1:0" } });
        let mesh =
            Mesh::start(MeshOptions { node: admin.clone(), gateway: admin, ..MeshOptions::of(&["geo", "sales"]) })
                .await;
        let client = mesh.client().await;
        let (_, batches) = client.query(NATIONS).await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 25);
        let error = failure(&client, "SELECT * FROM geo.places.nations").await;
        assert_eq!(error.kind(), ErrorKind::NotFound);

        let (gateway, owner) = (mesh.gateway(), mesh.node("geo"));
        let at_gateway = Metrics::of(gateway.admin()).await;
        let at_owner = Metrics::of(owner.admin()).await;
        for metric in METRICS {
            let described = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
            let is_there = |metrics: &Metrics| metrics.0.contains(&described);
            assert!(is_there(&at_gateway) || is_there(&at_owner), "{described}{}{}", at_gateway.0, at_owner.0);
        }
        let peer = format!("portolan_peer_up{{peer=\"{}\"}}", owner.url());
        for series in ["portolan_ready", peer.as_str()] {
            assert_eq!(at_gateway.value(series), 1.0, "{series}\n{}", at_gateway.0);
        }
        let grown = [
            "portolan_queries_total{kind=\"query\",outcome=\"ok\"}",
            "portolan_queries_total{kind=\"query\",outcome=\"not_found\"}",
            "portolan_query_duration_seconds_count{kind=\"query\"}",
            "portolan_query_first_batch_seconds_count{kind=\"query\"}",
            "portolan_query_admission_seconds_count{kind=\"query\"}",
            "portolan_edge_received_bytes_total{from=\"geo\",to=\"gateway\"}",
            "portolan_memory_limit_bytes{pool=\"queries\"}",
            "portolan_sessions",
            "portolan_connections",
            "process_resident_memory_bytes",
        ];
        for series in grown {
            assert!(at_gateway.value(series) > 0.0, "{series}\n{}", at_gateway.0);
        }
        let rows = at_gateway.value("portolan_edge_received_rows_total{from=\"geo\",to=\"gateway\"}");
        assert!(rows >= 25.0, "{}", at_gateway.0);
        until("no query runs", SOON, async || {
            Metrics::of(gateway.admin()).await.value("portolan_queries_running{kind=\"query\"}") == 0.0
        })
        .await;
        let sent = at_owner.value("portolan_edge_sent_rows_total{from=\"geo\",to=\"anonymous\"}");
        assert!(sent >= 25.0, "{}", at_owner.0);
        for name in ["portolan_edge_sent_bytes_total", "portolan_source_opens_total"] {
            assert!(at_owner.sum(name) > 0.0, "{name}\n{}", at_owner.0);
        }
        assert!(at_owner.value("portolan_queries_total{kind=\"fragment\",outcome=\"ok\"}") > 0.0, "{}", at_owner.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_is_alive_and_not_ready() {
    within(180, async {
        let node = json!({ "admin": { "listen": "127.0.0.1:0" } });
        let mut mesh = Mesh::start(MeshOptions { node, ..MeshOptions::of(&["sales"]) }).await;
        let admin = mesh.node("sales").admin().to_owned();
        assert_eq!(get(&admin, "/readyz").await, (200, "ok\n".to_owned()));
        let client = mesh.node("sales").client().await;
        let statement = client.prepare(BIG).await.unwrap();
        let mut rows = client.rows(&statement);
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        assert_eq!(Metrics::of(&admin).await.value("portolan_queries_running{kind=\"query\"}"), 1.0);

        // The client does not read on, so that the node has a running statement while it stops.
        mesh.node("sales").signal("TERM");
        let stopping = (503, "the node is stopping\n".to_owned());
        until("the node is not ready", SOON, async || get(&admin, "/readyz").await == stopping).await;
        assert_eq!(get(&admin, "/livez").await.0, 200);
        assert_eq!(Metrics::of(&admin).await.value("portolan_ready"), 0.0);
        drop((rows, client));
        let status = tokio::task::block_in_place(|| mesh.node_mut("sales").wait());
        assert!(status.success(), "{}", mesh.node("sales").log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_of_a_client_is_in_the_logs_of_all_nodes() {
    within(180, async {
        let log = json!({ "log": "info,portolan_engine=debug", "log_format": "json" });
        let mesh = Mesh::start(MeshOptions { node: log.clone(), gateway: log, ..MeshOptions::of(&["geo"]) }).await;
        let trace = TraceContext::start();
        assert_eq!(send(mesh.gateway().url(), &trace.traceparent(), NATIONS).await, Ok(25));
        send(mesh.gateway().url(), &trace.traceparent(), "SELECT * FROM geo.places.nations").await.unwrap_err();
        let id = trace.to_string();
        let found = |node: &Node, key: &str, text: &str| {
            let lines = objects(&node.log()).into_iter();
            lines.filter(|line| line["trace"] == id.as_str() && line[key] == text).collect::<Vec<_>>()
        };
        let (gateway, owner) = (mesh.gateway(), mesh.node("geo"));
        until("the log of the owner has the trace", SOON, async || {
            !found(gateway, "message", "query ended").is_empty()
                && !found(owner, "message", "fragment ended").is_empty()
        })
        .await;
        let queries = found(gateway, "message", "query ended");
        for fragment in found(owner, "message", "fragment ended") {
            assert!(queries.iter().any(|query| query["query"] == fragment["query"]), "{queries:?} {fragment}");
        }
        let refused = found(gateway, "call", "GetFlightInfo");
        assert!(refused.iter().any(|line| line["level"] == "WARN" && line["kind"] == "NotFound"), "{refused:?}");
        // Without the header, a query has a trace of its own.
        assert_eq!(count(&mesh.client().await, "SELECT count(*) FROM geo.places.nation").await, Ok(25));
        let own = |line: &Value| line["message"] == "query ended" && line["trace"] != id.as_str();
        assert!(objects(&gateway.log()).iter().any(own), "{}", gateway.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_all_nodes_are_exported_as_one_trace() {
    within(180, async {
        let collector = Collector::start().await;
        let telemetry = json!({ "telemetry": { "endpoint": collector.url(), "interval": "200ms" } });
        let options = MeshOptions { node: telemetry.clone(), gateway: telemetry, ..MeshOptions::of(&["geo"]) };
        let mesh = Mesh::start(options).await;
        let (unsampled, sampled) = (TraceContext::start(), TraceContext::start());
        let header = unsampled.traceparent();
        let header = format!("{}00", header.strip_suffix("01").unwrap());
        assert_eq!(send(mesh.gateway().url(), &header, NATIONS).await, Ok(25));
        assert_eq!(send(mesh.gateway().url(), &sampled.traceparent(), NATIONS).await, Ok(25));
        let trace = sampled.trace_id();
        until("the collector has the fragment below the edge, below the query of the client", SOON, async || {
            let (queries, edges) = (collector.spans(trace, "query"), collector.spans(trace, "edge"));
            let fragments = collector.spans(trace, "fragment");
            queries.iter().filter(|query| query.parent_span_id == sampled.span_id().to_be_bytes()).any(|query| {
                edges
                    .iter()
                    .filter(|edge| edge.parent_span_id == query.span_id)
                    .any(|edge| fragments.iter().any(|fragment| fragment.parent_span_id == edge.span_id))
            })
        })
        .await;
        for name in ["query", "edge", "fragment"] {
            assert!(collector.spans(unsampled.trace_id(), name).is_empty(), "{name}");
        }
        until("the collector has metrics", SOON, async || {
            ["portolan_queries_total", "portolan_query_duration_seconds_bucket", "portolan_ready"]
                .iter()
                .all(|name| collector.has_metric(name))
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_spans_are_exported_when_a_node_stops() {
    within(120, async {
        let collector = Collector::start().await;
        let folder = tempfile::tempdir().unwrap();
        let telemetry = json!({ "telemetry": { "endpoint": collector.url(), "interval": "1h" } });
        let mut node = Node::start(folder.path(), telemetry);
        let trace = TraceContext::start();
        assert_eq!(send(node.url(), &trace.traceparent(), "SELECT 1").await, Ok(1));
        node.signal("TERM");
        assert!(tokio::task::block_in_place(|| node.wait()).success(), "{}", node.log());
        assert!(!collector.spans(trace.trace_id(), "query").is_empty(), "{}", node.log());
    })
    .await;
}
