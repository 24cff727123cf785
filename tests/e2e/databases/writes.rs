//! INSERT through a port over a database: one transaction, only for writers, and only for values that the table accepts.

use std::time::Duration;

use arrow::datatypes::Schema;
use portolan_catalog::DatabaseKind;
use portolan_engine::ErrorKind;
use portolan_tests::database_ports::{DatabasePort, config, write_ports};
use portolan_tests::mesh::{until, within};
use portolan_tests::nasty;
use portolan_tests::node::Node;
use portolan_tests::products::DOMAIN;
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::servers::{KINDS, SERVER, TestDatabase};
use serde_json::json;

use super::faults::columns;
use super::name;

const CREATE: &str = "CREATE TABLE items (id bigint PRIMARY KEY, kind varchar(20) NOT NULL, qty bigint)";
const SOON: Duration = Duration::from_secs(20);
const COUNT: &str = "SELECT count(*) FROM lab.samples.items";

/// Lets the account of nodes write the table `items` and the nasty tables.
async fn grant(database: &TestDatabase, tables: &[&str]) {
    let (account, kind) = (database.account(), database.kind());
    for table in tables {
        match kind {
            DatabaseKind::Postgres => database.execute(&[format!("GRANT INSERT ON {table} TO {account}")]).await,
            DatabaseKind::Sqlite => {}
            _ => database.execute(&[format!("GRANT INSERT ON {table} TO '{account}'@'127.0.0.1'")]).await,
        }
    }
}

fn schema() -> Schema {
    columns(&["id", "kind", "qty"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_is_one_transaction_for_writers_alone() {
    within(300, async {
        for kind in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("node");
            let name = name(kind, "written");
            let Some(database) = TestDatabase::create(kind, &name, &home).await else { continue };
            database.execute(&[CREATE, "INSERT INTO items VALUES (1, 'a', 10)"]).await;
            grant(&database, &["items"]).await;
            let ports = [
                DatabasePort::table("items", &schema()),
                DatabasePort::query("derived", "SELECT id, kind, qty FROM items", &schema()),
            ];
            write_ports(DOMAIN, &home, &database.server(), &ports);
            let mut config = config(DOMAIN, &database, &json!({}));
            let insert = "INSERT INTO lab.samples.items VALUES (2, 'it''s \\ \"b\"', NULL), (3, '', 5)";

            // Without writers, the port is read only.
            let node = Node::start(&home, config.clone());
            let error = failure(&node.client().await, insert).await;
            let is_refused = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported);
            assert!(is_refused && error.chain().contains("lab.samples.items"), "{kind:?}: {}", error.chain());
            drop(node);
            assert_eq!(database.number("SELECT count(*) FROM items").await, 1, "{kind:?}");

            config["sources"][SERVER]["writers"] = json!(["*"]);
            let node = Node::start(&home, config);
            let client = node.client().await;
            assert_eq!(client.prepare(insert).await.unwrap_or_else(|e| panic!("{kind:?}: {}", e.chain())).changed(), Some(2));
            assert_eq!(count(&client, COUNT).await, Ok(3), "{kind:?}");
            let rows = text(&client, "SELECT kind FROM lab.samples.items WHERE qty IS NULL").await;
            assert!(rows.contains("it's \\ \"b\""), "{kind:?}: {rows}");

            // Many rows, and then a fault: none is added.
            let many = "INSERT INTO lab.samples.items SELECT value, 'x', value * 2 FROM generate_series(10, 20009)";
            assert_eq!(client.prepare(many).await.unwrap().changed(), Some(20_000));
            assert_eq!(database.number("SELECT count(*) FROM items").await, 20_003, "{kind:?}");
            for (what, fails) in [
                ("a value that is there", "INSERT INTO lab.samples.items SELECT value, 'x', 1 FROM generate_series(30000, 1, -1)"),
                ("a NULL", "INSERT INTO lab.samples.items SELECT value, nullif('x' || (value / 70000), 'x1'), 1 FROM generate_series(30000, 90000)"),
                ("a fault of the query", "INSERT INTO lab.samples.items SELECT value, 'x', 1 / (80000 - value) FROM generate_series(30000, 90000)"),
            ] {
                let error = failure(&client, fails).await;
                println!("{kind:?}, {what}: {}", error.chain());
                assert_says(&error, ErrorKind::InvalidQuery, &[]);
                assert_eq!(database.number("SELECT count(*) FROM items").await, 20_003, "{kind:?}, {what}");
            }
            // A query has no table to write.
            let error = failure(&client, "INSERT INTO lab.samples.derived VALUES (5, 'a', 1)").await;
            assert!(error.chain().contains("lab.samples.derived"), "{kind:?}: {}", error.chain());
            until("the database runs nothing", SOON, async || database.running().await == 0).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_is_stored_as_it_was_inserted() {
    within(300, async {
        for kind in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("node");
            let name = name(kind, "copied");
            let Some(database) = TestDatabase::create(kind, &name, &home).await else { continue };
            let tables = nasty::create(&database).await;
            let mut ports = vec![];
            for table in tables.iter().filter(|table| table.name != "facts") {
                let copy: &'static str = Box::leak(format!("{}_copy", table.name).into_boxed_str());
                database.create_table(copy, &table.rows.slice(0, 0), &[]).await;
                grant(&database, &[copy]).await;
                ports.push(DatabasePort::table(table.name, &table.rows.schema()));
                ports.push(DatabasePort::table(copy, &table.rows.schema()));
            }
            write_ports(DOMAIN, &home, &database.server(), &ports);
            let mut config = config(DOMAIN, &database, &json!({}));
            config["sources"][SERVER]["writers"] = json!(["*"]);
            let node = Node::start(&home, config);
            let client = node.client().await;
            for table in tables.iter().map(|table| table.name).filter(|name| *name != "facts") {
                let insert = format!("INSERT INTO lab.samples.{table}_copy SELECT * FROM lab.samples.{table}");
                client.prepare(&insert).await.unwrap_or_else(|e| panic!("{kind:?}, {table}: {}", e.chain()));
                let read =
                    async |name: &str| text(&client, &format!("SELECT * FROM lab.samples.{name} ORDER BY id")).await;
                assert_eq!(read(&format!("{table}_copy")).await, read(table).await, "{kind:?}, {table}");
            }
        }
    })
    .await;
}
