//! Ports that cannot be opened: the node starts without them, the other ports serve, each closed port shows its reason,
//! and it opens when the reason is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::{Node, checked};
use portolan_tests::products::{self, DOMAIN, PortFile, load_error};
use portolan_tests::recording_server::{Answer, RecordingServer};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::ways::{table, write_parquet};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const EVENTS: &str = "SELECT count(*) FROM lab.samples.events WHERE id > 0";
const REMOTE: &str = "SELECT count(*) FROM lab.samples.remote WHERE id > 0";
const LOAD_ERRORS: &str = "SELECT count(*) FROM mesh.products WHERE load_error IS NOT NULL";

fn local(name: &'static str, path: &Path) -> PortFile {
    PortFile::local(name, path, "csv", &[("id", "integer")])
}

fn remote(server: &RecordingServer) -> PortFile {
    let location = format!("{}/x.csv", server.url());
    let server = json!({ "server": "web", "type": "custom", "location": location, "format": "csv" });
    PortFile { name: "remote", server, columns: vec![("id", "integer", false)] }
}

/// Changes the description of a port's schema object, which the port shows.
fn describe(contract: &Path, description: &str) {
    let mut document: Value = serde_json::from_str(&fs::read_to_string(contract).unwrap()).unwrap();
    document["schema"][0]["properties"][0]["description"] = description.into();
    fs::write(contract, document.to_string()).unwrap();
}

fn described(description: &str) -> String {
    format!("SELECT count(*) FROM mesh.columns WHERE description = '{description}'")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_respond_closes_its_port_and_blocks_nothing() {
    within(240, async {
        let server = RecordingServer::start(Answer::Silence).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("events.csv"), "id\n1\n2\n").unwrap();
        let contracts = products::write(&home, &[local("events", &home.join("events.csv")), remote(&server)]);
        let config = json!({
            "open_timeout": "1s", "statistics_interval": "200ms",
            "sources": { "web": { "http": { "allow_http": true, "hosts": [server.host()] } } },
        });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), config)], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        // The gateway knows the port, with the types of the contract.
        let says = ["port lab.samples.remote is not open", "its source did not respond"];
        assert_says(&failure(&client, REMOTE).await, ErrorKind::SiteUnavailable, &says);
        for table in ["mesh.ports WHERE port = 'remote'", "mesh.products"] {
            let marked = text(&client, &format!("SELECT load_error FROM {table}")).await;
            assert!(says.iter().all(|part| marked.contains(part)) && !marked.contains(&server.host()), "{marked}");
        }
        let log = mesh.node(DOMAIN).log();
        assert!(log.contains("lab.samples.remote") && log.contains("within 1s"), "{log}");

        // A check of the descriptors is strict.
        let (code, errors) = checked(&home).await;
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("remote.odcs.yaml") && errors.contains("did not respond within 1s"), "{errors}");

        describe(&contracts[0], "Counts up.");
        let new = described("Counts up.");
        until("the new version is known", SOON, async || count(&client, &new).await == Ok(1)).await;
        assert_says(&failure(&client, REMOTE).await, ErrorKind::SiteUnavailable, &says);

        server.answer(Answer::File("id\n7\n8\n9\n"));
        until("the port opens", SOON, async || count(&client, REMOTE).await == Ok(3)).await;
        until("the mark is gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_pipe_blocks_neither_the_start_nor_a_reload() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        let (file, pipe) = (home.join("events.csv"), home.join("pipe.csv"));
        fs::write(&file, "id\n1\n2\n").unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let contract = products::write(&home, &[local("events", &file)]).remove(0);
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), json!({}))], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));

        products::write(&home, &[local("events", &pipe)]);
        until("the error is known at the gateway", SOON, async || count(&client, LOAD_ERRORS).await == Ok(1)).await;
        let said = text(&client, "SELECT load_error FROM mesh.products").await;
        // The log alone names the location.
        assert!(said.contains("events.odcs.yaml") && !said.contains("pipe.csv"), "{said}");
        let log = mesh.node(DOMAIN).log();
        assert!(log.contains("pipe.csv is neither a regular file nor a folder"), "{log}");
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        let (code, errors) = checked(&home).await;
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("neither a regular file nor a folder"), "{errors}");

        products::write(&home, &[local("events", &file)]);
        describe(&contract, "Counts up.");
        let new = described("Counts up.");
        until("the next version is known", SOON, async || count(&client, &new).await == Ok(1)).await;
        assert_eq!(count(&client, LOAD_ERRORS).await, Ok(0));
        assert_eq!(count(&client, EVENTS).await, Ok(2));
    })
    .await;
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn flags(values: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

/// A port is closed at the start for each reason that a person must remove, and the domain serves the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_port_does_not_take_its_domain_down() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        let home = home.canonicalize().unwrap();
        let [empty, typed, gone] = ["empty", "typed", "gone"].map(|name| home.join("data").join(name));
        for folder in [&empty, &typed] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(home.join("events.csv"), "id\n1\n2\n").unwrap();
        write_parquet(&typed.join("a.parquet"), &table(vec![("cost", doubles(&[0.5]))]));
        write_parquet(&typed.join("b.parquet"), &table(vec![("cost", flags(&[true]))]));
        let parquet = |name, folder: &Path| PortFile::local(name, &folder.join(""), "parquet", &[("cost", "number")]);
        products::write(
            &home,
            &[
                local("events", &home.join("events.csv")),
                parquet("empty", &empty),
                parquet("typed", &typed),
                parquet("gone", &gone),
            ],
        );
        let config = json!({ "statistics_interval": "300ms" });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), config)], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));

        let place = home.to_str().unwrap();
        for (port, says) in [
            ("empty", "there is no Parquet file at empty"),
            ("typed", "column `cost` is Float64 in a.parquet and Boolean in b.parquet"),
            ("gone", "the log of the node has the reason"),
        ] {
            let sql = format!("SELECT sum(cost) FROM lab.samples.{port}");
            let error = failure(&client, &sql).await;
            let closed = format!("port lab.samples.{port} is not open: {port}.odcs.yaml:");
            assert_says(&error, ErrorKind::SiteUnavailable, &[&closed, says]);
            let shown = text(&client, &load_error(port)).await;
            assert!(shown.contains(&closed) && shown.contains(says), "{shown}");
            assert!(!shown.contains(place) && !error.chain().contains(place), "{shown}\n{}", error.chain());
        }
        let log = mesh.node(DOMAIN).log();
        assert!(log.contains(typed.join("b.parquet").to_str().unwrap()), "the log of the owner has the path: {log}");

        // A check reports all of them.
        let (code, errors) = checked(&home).await;
        assert_eq!(code, Some(2), "{errors}");
        for port in ["empty", "typed", "gone"] {
            assert!(errors.contains(&format!("{port}.odcs.yaml:")), "{port}: {errors}");
        }
        assert!(!errors.contains("events.odcs.yaml"), "{errors}");

        // Each port opens when the reason is gone.
        write_parquet(&empty.join("a.parquet"), &table(vec![("cost", doubles(&[1.5, 2.5]))]));
        fs::remove_file(typed.join("b.parquet")).unwrap();
        fs::create_dir_all(&gone).unwrap();
        write_parquet(&gone.join("a.parquet"), &table(vec![("cost", doubles(&[7.0]))]));
        for (port, rows) in [("empty", 2), ("typed", 1), ("gone", 1)] {
            let sql = format!("SELECT count(*) FROM lab.samples.{port} WHERE cost > 0");
            until("the port opens", SOON, async || count(&client, &sql).await == Ok(rows)).await;
        }
        until("the marks are gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
        assert_eq!(checked(&home).await.0, Some(0));
    })
    .await;
}

/// The rules are the same while the node runs: data that no longer fits marks the port, and a wider type opens it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_data_is_checked_as_at_the_start() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let data = home.join("data");
        fs::create_dir_all(&data).unwrap();
        let csv = home.join("orders.csv");
        fs::write(&csv, "id\n1\n2\n").unwrap();
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
        write_parquet(&data.join("a.parquet"), &table(vec![("id", narrow)]));
        let ids = PortFile::local("ids", &data.join(""), "parquet", &[("id", "integer")]);
        products::write(&home, &[local("orders", &csv), ids]);
        let config = json!({ "statistics_interval": "300ms" });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), config)], json!({})).await;
        let client = mesh.client().await;
        let orders = "SELECT count(*) FROM lab.samples.orders WHERE id > 0";
        let ids = "SELECT max(id) FROM lab.samples.ids";
        assert_eq!(count(&client, orders).await, Ok(2));

        // The header of the only file gains a column that no contract names.
        fs::write(&csv, "extra,id\n9,1\n9,2\n9,3\n").unwrap();
        until("the new header is read", SOON, async || count(&client, orders).await == Ok(3)).await;
        // A file of a wider type changes the type of the port.
        write_parquet(&data.join("b.parquet"), &table(vec![("id", wide)]));
        until("the wider type is read", SOON, async || count(&client, ids).await == Ok(5_000_000_000)).await;
        assert_eq!(count(&client, LOAD_ERRORS).await, Ok(0));

        // A file of an unrelated type marks the port, as it would close the port at the start.
        write_parquet(&data.join("c.parquet"), &table(vec![("id", flags(&[true]))]));
        until("the mark is there", SOON, async || count(&client, LOAD_ERRORS).await == Ok(1)).await;
        let marked = text(&client, &load_error("ids")).await;
        assert!(
            marked.contains("the last good version is in use") && marked.contains("Boolean in c.parquet"),
            "{marked}"
        );
        assert_says(&failure(&client, ids).await, ErrorKind::SiteUnavailable, &["lab.samples.ids", "c.parquet"]);
        let (code, errors) = checked(&home).await;
        assert!(code == Some(2) && errors.contains("ids.odcs.yaml:"), "{errors}");
        fs::remove_file(data.join("c.parquet")).unwrap();
        assert_eq!(count(&client, ids).await, Ok(5_000_000_000));
        until("the mark is gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_accepts_rows_may_start_without_a_file() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let data = home.join("returns");
        fs::create_dir_all(&data).unwrap();
        let columns = [("id", "integer"), ("reason", "string"), ("day", "date"), ("cost", "number")];
        products::write(&home, &[PortFile::local("returns", &data.join(""), "parquet", &columns)]);
        let sources = json!({ "files": { "root": "/", "writers": ["*"] } });
        let node = Node::start(&home, json!({ "domain": DOMAIN, "sources": sources }));
        assert_eq!(checked(&home).await.0, Some(0));
        let client = node.client().await;
        let returns = "SELECT count(*) FROM lab.samples.returns";
        assert_eq!(count(&client, returns).await, Ok(0));
        let insert =
            "INSERT INTO lab.samples.returns VALUES (1, 'late', DATE '2026-01-02', 1.5), (2, NULL, NULL, NULL)";
        assert_eq!(client.prepare(insert).await.unwrap().changed(), Some(2));
        let sql = "SELECT count(*) FROM lab.samples.returns WHERE day = DATE '2026-01-02' AND cost = 1.5";
        assert_eq!((count(&client, returns).await, count(&client, sql).await), (Ok(2), Ok(1)));
        // Without files, it has no rows again. A port without writers would report an error.
        for file in fs::read_dir(&data).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        assert_eq!(count(&client, returns).await, Ok(0));
        assert_eq!(client.prepare(insert).await.unwrap().changed(), Some(2));
        assert_eq!(count(&client, sql).await, Ok(1));
    })
    .await;
}

/// Changes of other ports do not discard an attempt that takes long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_opens_beside_one_that_never_responds() {
    within(240, async {
        let server = RecordingServer::start(Answer::Silence).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        let (busy, late) = (home.join("busy.csv"), home.join("late.csv"));
        let mut rows = "id\n1\n".to_owned();
        fs::write(&busy, &rows).unwrap();
        products::write(&home, &[local("busy", &busy), local("late", &late), remote(&server)]);
        let node = Node::start(
            &home,
            json!({
                "domain": DOMAIN, "open_timeout": "5s", "statistics_interval": "200ms",
                "sources": { "web": { "http": { "allow_http": true, "hosts": [server.host()] } } },
            }),
        );
        let client = node.client().await;
        let late_rows = "SELECT count(*) FROM lab.samples.late WHERE id > 0";
        assert_says(&failure(&client, late_rows).await, ErrorKind::SiteUnavailable, &["lab.samples.late is not open"]);
        fs::write(&late, "id\n1\n2\n").unwrap();
        until("the port opens", SOON, async || {
            rows.push_str("1\n");
            fs::write(&busy, &rows).unwrap();
            count(&client, late_rows).await == Ok(2)
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_one_line_for_a_store_that_does_not_respond() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        // Nothing listens there.
        let endpoint = "http://127.0.0.1:9";
        let server = json!({
            "server": "store", "type": "s3", "location": "s3://rows/x/", "endpointUrl": endpoint, "format": "parquet",
        });
        products::write(&home, &[PortFile { name: "remote", server, columns: vec![("id", "integer", false)] }]);
        let s3 = json!({
            "endpoint": endpoint, "allow_http": true, "buckets": ["rows"], "access_key_id": "reader",
            "secret_access_key": "correct-horse",
        });
        let config = json!({ "domain": DOMAIN, "statistics_interval": "1s", "sources": { "store": { "s3": s3 } } });
        let node = Node::start(&home, config);
        assert_says(&failure(&node.client().await, REMOTE).await, ErrorKind::SiteUnavailable, &["did not respond"]);
        // The node tries again each second.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let log = node.log();
        let lines =
            log.lines().filter(|line| line.contains("lab.samples.remote") && line.contains("portolan_connectors"));
        assert_eq!(lines.count(), 1, "{log}");
        assert!(!log.contains("backing off"), "{log}");
    })
    .await;
}
