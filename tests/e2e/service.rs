//! A node as a service: limits of memory that fit the host, health, metrics, traces across nodes, and the log as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::{StreamExt, TryStreamExt};
use portolan_engine::{ErrorKind, TraceContext};
use portolan_node::metrics::METRICS;
use portolan_testbed::descriptors;
use portolan_tests::admin::{Metrics, get};
use portolan_tests::collector::Collector;
use portolan_tests::mesh::{Mesh, MeshOptions, copy_table, data, merged, until, within};
use portolan_tests::node::{Node, check, output, program, run};
use portolan_tests::products::{self, DOMAIN, PortFile};
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
    let host = assert_share_of_host("ulimit -v 4194304", &file, 4 << 30);
    assert!(host.contains("4294967296 (address space of the process)"), "{host}");

    let mut config = config;
    config["limits"] = json!({ "memory": "500TiB" });
    let file = write_config(folder.path(), &config);
    let (code, out, err) = check(&file);
    assert_eq!(code, Some(0), "{out}{err}");
    let is_warning = |line: &Value| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|text| text.starts_with("limits.memory is"))
    };
    assert!(objects(&err).iter().any(is_warning), "{err}");
}

/// Checks a config after a command of the shell that limits the memory of the process to `bytes`. Asserts that the limits
/// of queries are shares of it, and returns the limits that the node found.
fn assert_share_of_host(limit: &str, config: &str, bytes: u64) -> String {
    let script = format!("{limit} && exec '{}' serve --check --config '{config}'", program().display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null());
    let (code, out, err) = output(command);
    assert_eq!(code, Some(0), "{out}{err}");
    let lines = objects(&err);
    let found = lines.iter().find(|line| line["message"] == "memory limits in bytes").expect(&err);
    let host = found["host"].as_str().unwrap().to_owned();
    // The machine, or the container of the tests, may have less memory.
    let smallest: u64 = host.split(' ').next().unwrap().parse().unwrap();
    assert!(smallest <= bytes, "{host}");
    assert_eq!((found["memory"].as_u64(), found["query_memory"].as_u64()), (Some(smallest / 2), Some(smallest / 8)));
    assert!(!err.contains("limits.memory is"), "{err}");
    host
}

/// A control group below that of this process. It is removed when this value is dropped.
struct ControlGroup {
    folder: PathBuf,
    /// The file with the limit of memory.
    limit: PathBuf,
}

impl ControlGroup {
    /// Makes a group with this limit of memory. This needs rights that few users have.
    fn with_memory(bytes: u64) -> std::io::Result<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup")?;
        let path = |line: &str| groups.lines().find_map(|own| Some(own.split_once(line)?.1.to_owned()));
        let (parent, limit) = match (path(":memory:/"), path("0::/")) {
            (Some(version_1), _) => (Path::new("/sys/fs/cgroup/memory").join(version_1), "memory.limit_in_bytes"),
            (None, Some(version_2)) => (Path::new("/sys/fs/cgroup").join(version_2), "memory.max"),
            (None, None) => return Err(std::io::Error::other("this process is in no group")),
        };
        let folder = parent.join(format!("portolan-test-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let group = Self { limit: folder.join(limit), folder };
        // The system makes the files of a group.
        OpenOptions::new().write(true).open(&group.limit)?.write_all(bytes.to_string().as_bytes())?;
        let joined = Command::new("sh").args(["-c", &group.entry()]).stderr(Stdio::null()).status()?;
        if joined.success() { Ok(group) } else { Err(std::io::Error::other("no process can join the group")) }
    }

    /// Returns the command with which a shell joins the group.
    fn entry(&self) -> String {
        format!("echo $$ > '{}/cgroup.procs'", self.folder.display())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // A group with a process stays.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_limit_of_a_control_group_counts() {
    let group = match ControlGroup::with_memory(2 << 30) {
        Ok(group) => group,
        Err(e) => {
            eprintln!("SKIPPED: no control group can be made ({e}), so the limit of a real one is NOT tested");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), &json!({ "listen": "127.0.0.1:0", "log_format": "json" }));
    let host = assert_share_of_host(&group.entry(), &file, 2 << 30);
    assert!(host.contains(&format!("2147483648 (control group, {})", group.limit.display())), "{host}");
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
    let (code, out, err) = check(&file);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = run(&["serve", "--config", &file], &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("the admin listener cannot listen on `{address}`")), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_check_finds_a_state_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    descriptors::write("geo", &data(), folder.path()).unwrap();
    let sources = json!({ "files": { "root": "/" } });
    let mut config = json!({ "domain": "geo", "listen": "127.0.0.1:0", "sources": sources });
    let (code, out, err) = check(write_config(folder.path(), &config));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!folder.path().join("node.state").exists(), "a check writes nothing");
    // Nobody creates files there, whatever the rights.
    config["state_folder"] = "/proc/portolan".into();
    let (code, out, err) = check(write_config(folder.path(), &config));
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
async fn a_scrape_has_the_queue_the_memory_and_the_disk() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        descriptors::write("sales", &data(), folder.path()).unwrap();
        let limits = json!({ "concurrent_queries": 1, "query_memory": "64MiB" });
        let admin = json!({ "listen": "127.0.0.1:0" });
        let config = json!({ "domain": "sales", "admin": admin, "limits": limits, "cpu_threads": 2 });
        let node = Node::start(folder.path(), config);
        let (client, other) = (node.client().await, node.client().await);
        client.query("CREATE TABLE t AS SELECT value FROM generate_series(1, 100000)").await.unwrap();
        // The sort spills, and keeps its slot while the client does not read on.
        let sql = "SELECT l.*, n FROM sales.orders.lineitem l CROSS JOIN (VALUES (0), (1), (2), (3)) AS v(n) \
                   ORDER BY l_comment, n, l_orderkey";
        let statement = client.prepare(sql).await.unwrap();
        let mut rows = client.rows(&statement);
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        let short = "SELECT count(*) FROM sales.orders.orders WHERE o_orderstatus <> 'x'";
        let waiting = tokio::spawn(async move { count(&other, short).await });
        let value = async |series: &str| Metrics::of(node.admin()).await.value(series);
        until("a query waits", SOON, async || value("portolan_queries_queued{kind=\"query\"}").await == 1.0).await;
        let now = Metrics::of(node.admin()).await;
        for series in [
            "portolan_queries_running{kind=\"query\"}",
            "portolan_memory_bytes{pool=\"queries\"}",
            "portolan_memory_bytes{pool=\"session_tables\"}",
            "portolan_spill_bytes",
            "portolan_spill_limit_bytes",
            "portolan_host_memory_limit_bytes",
        ] {
            assert!(now.value(series) > 0.0, "{series}\n{}", now.0);
        }
        drop(rows);
        assert_eq!(waiting.await.unwrap(), Ok(15_000));
        until("the end of the sort is counted", SOON, async || {
            value("portolan_spilled_bytes_total").await > 0.0 && value("portolan_spill_bytes").await == 0.0
        })
        .await;
        assert!(value("portolan_query_admission_seconds_sum{kind=\"query\"}").await > 0.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_has_join_keys_and_faults() {
    within(240, async {
        let admin = json!({ "admin": { "listen": "127.0.0.1:0" } });
        let options = MeshOptions { gateway: admin.clone(), ..MeshOptions::of(&["geo", "sales"]) };
        let mut mesh = Mesh::start(options).await;
        let (client, url) = (mesh.client().await, mesh.node("sales").url().to_owned());
        client.query("SET portolan.strategy = keys_from_left").await.unwrap();
        let joined = "SELECT count(*) FROM geo.places.nation JOIN sales.customers.customer \
                      ON n_nationkey = c_nationkey WHERE n_name > 'U'";
        assert!(count(&client, joined).await.unwrap() > 0);
        let now = Metrics::of(mesh.gateway().admin()).await;
        for name in ["portolan_edge_keys_sent_total", "portolan_edge_key_bytes_sent_total"] {
            let sent = now.value(&format!("{name}{{from=\"gateway\",to=\"sales\"}}"));
            assert!(sent > 0.0, "{name}\n{}", now.0);
        }

        mesh.node_mut("sales").kill();
        let orders = "SELECT count(*) FROM sales.orders.orders WHERE o_orderstatus <> 'x'";
        assert_eq!(failure(&client, orders).await.kind(), ErrorKind::SiteUnavailable);
        let down = format!("portolan_peer_up{{peer=\"{url}\"}} 0");
        until("the peer is down", SOON, async || Metrics::of(mesh.gateway().admin()).await.0.contains(&down)).await;
        let now = Metrics::of(mesh.gateway().admin()).await;
        let failed = now.value("portolan_edge_errors_total{from=\"sales\",to=\"gateway\"}");
        assert!(failed > 0.0, "{}", now.0);

        let folder = tempfile::tempdir().unwrap();
        let file = copy_table("nation", folder.path());
        products::write(folder.path(), &[PortFile::local("nation", &file, "parquet", &[("n_name", "string")])]);
        let node = Node::start(folder.path(), merged(json!({ "domain": DOMAIN }), &admin));
        std::fs::remove_file(&file).unwrap();
        failure(&node.client().await, "SELECT n_name FROM lab.samples.nation").await;
        let now = Metrics::of(node.admin()).await;
        assert!(now.value("portolan_source_read_errors_total{source=\"files\"}") > 0.0, "{}", now.0);
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
        assert!(refused.iter().any(|line| line["level"] == "WARN" && line["kind"] == "not_found"), "{refused:?}");
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
