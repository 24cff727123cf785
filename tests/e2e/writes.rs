//! Rows that clients upload: lists that join the mesh, and ports that accept rows while other clients read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::node::Node;
use portolan_tests::products::{self, PortFile};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uploaded_table_joins_with_ports() {
    within(120, async {
        let mesh = Mesh::shared().await;
        let client = mesh.client().await;
        let statement =
            client.prepare("CREATE TABLE wanted AS SELECT * FROM (VALUES (3), (7), (99)) AS v (nation)").await;
        assert_eq!(statement.unwrap().changed(), Some(3));
        let join = "SELECT n_name, count(*) AS customers FROM wanted JOIN geo.places.nation ON n_nationkey = nation \
                    JOIN sales.customers.customer ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name";
        let placed = text(&client, join).await;
        assert!(placed.contains("CANADA") && placed.contains("GERMANY"), "{placed}");
        client.query("SET portolan.placement = off").await.unwrap();
        assert_eq!(text(&client, join).await, placed);
        // For a short list, few rows are transferred.
        client.query("SET portolan.placement = on").await.unwrap();
        let plan = text(&client, &format!("EXPLAIN {join}")).await;
        assert!(plan.contains("keys"), "{plan}");
        // An unquoted name keeps its letters beyond ASCII, in both statements.
        assert_eq!(client.prepare("CREATE TABLE Ärger AS SELECT 1 AS grund").await.unwrap().changed(), Some(1));
        assert_eq!(text(&client, "SELECT grund FROM ÄRGER").await, text(&client, "SELECT 1 AS grund").await);
        // Another session has no such table, and the owner never sees it.
        let other = mesh.client().await;
        assert_says(&failure(&other, "SELECT * FROM wanted").await, ErrorKind::NotFound, &["wanted"]);
    })
    .await;
}

fn folder_with(rows: &[(i64, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("events");
    std::fs::create_dir(&data).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)))),
        ("kind", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(data.join("first.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (folder, data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_stores_all_rows_of_a_statement_or_none() {
    within(120, async {
        let (folder, data) = folder_with(&[(1, "a"), (2, "b")]);
        let events = PortFile::local("events", &data, "parquet", &[("id", "integer"), ("kind", "string")]);
        products::write(folder.path(), &[events]);
        let config = json!({ "domain": "lab", "sources": { "files": { "writers": ["*"] } } });
        let node = Node::start(folder.path(), config);
        let client = node.client().await;
        let added = client.prepare("INSERT INTO lab.samples.events VALUES (3, 'c'), (4, NULL)").await.unwrap();
        assert_eq!(added.changed(), Some(2));
        assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.events").await, Ok(4));
        // A statement that fails halfway leaves no rows.
        let fails = "INSERT INTO lab.samples.events SELECT value, CAST(1 / (200000 - value) AS VARCHAR) \
                     FROM generate_series(1, 300000)";
        assert_says(&failure(&client, fails).await, ErrorKind::InvalidQuery, &[]);
        assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.events").await, Ok(4));
        let files = || std::fs::read_dir(&data).unwrap().count();
        assert_eq!(files(), 2);

        // Concurrent readers see complete statements only.
        let stop = Arc::new(AtomicBool::new(false));
        let (reader, stopped) = (node.client().await, stop.clone());
        let reading = tokio::spawn(async move {
            let mut seen = vec![];
            while !stopped.load(Ordering::Relaxed) {
                seen.push(count(&reader, "SELECT count(*) FROM lab.samples.events").await.unwrap());
            }
            seen
        });
        for _ in 0..5 {
            let many = "INSERT INTO lab.samples.events SELECT value, 'x' FROM generate_series(1, 50000)";
            assert_eq!(client.prepare(many).await.unwrap().changed(), Some(50_000));
        }
        stop.store(true, Ordering::Relaxed);
        let seen = reading.await.unwrap();
        assert!(seen.iter().all(|n| (n - 4) % 50_000 == 0), "{seen:?}");
        assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.events").await, Ok(250_004));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_read_only_port_is_refused_with_its_name() {
    within(120, async {
        let (folder, data) = folder_with(&[(1, "a")]);
        let events = PortFile::local("events", &data, "parquet", &[("id", "integer"), ("kind", "string")]);
        products::write(folder.path(), &[events]);
        let node =
            Node::start(folder.path(), json!({ "domain": "lab", "sources": { "files": { "writers": ["etl"] } } }));
        let client = node.client().await;
        let insert = "INSERT INTO lab.samples.events VALUES (3, 'c')";
        assert_says(&failure(&client, insert).await, ErrorKind::PermissionDenied, &["lab.samples.events", "anonymous"]);
        let client = Mesh::shared().await.client().await;
        let insert = "INSERT INTO geo.places.region SELECT * FROM geo.places.region";
        assert_says(&failure(&client, insert).await, ErrorKind::Unsupported, &["geo.places.region", "grpc://"]);
    })
    .await;
}
