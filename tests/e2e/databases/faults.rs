//! Faults of the account, the address and the table: each is an error that names the port, the server of its contract and
//! the cause, and no secret.

use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use portolan_catalog::DatabaseKind;
use portolan_engine::ErrorKind;
use portolan_tests::database_ports::{DatabasePort, Stored, config, write_ports};
use portolan_tests::mesh::{until, within};
use portolan_tests::node::{Node, checked};
use portolan_tests::products::{DOMAIN, load_error};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::servers::{KINDS, PASSWORD, SERVER, TestDatabase};
use serde_json::{Value, json};

use super::{Warehouse, name};

/// The table of these tests.
pub(super) const ITEMS: &[&str] = &[
    "CREATE TABLE items (id bigint, kind varchar(20), qty bigint)",
    "INSERT INTO items VALUES (1, 'a', 10), (2, 'a', NULL), (3, 'b', 5), (4, NULL, 5)",
];
pub(super) const SOON: Duration = Duration::from_secs(20);
const COUNT: &str = "SELECT count(*) FROM lab.samples.items WHERE qty >= 5";
/// A query that fits every contract of the port.
const ALL: &str = "SELECT count(*) FROM lab.samples.items";

/// Returns the columns with these names: `kind` is a string, and the others are integers.
pub(super) fn columns(names: &[&str]) -> Schema {
    let field = |name: &&str| {
        let data_type = if *name == "kind" { DataType::Utf8 } else { DataType::Int64 };
        Field::new(*name, data_type, true)
    };
    Schema::new(names.iter().map(field).collect::<Vec<_>>())
}

pub(super) fn items() -> DatabasePort {
    DatabasePort::table("items", &columns(&["id", "kind", "qty"]))
}

/// A check of a node's config and descriptors, and the same node as it serves.
struct Fault<'a> {
    /// The name of the fault.
    what: &'a str,
    ports: Vec<DatabasePort>,
    config: Value,
    /// Parts of the error for the owner.
    says: &'a [&'a str],
}

/// Asserts that the check reports the fault with the file of the contract, that the port is closed with a reason, and that
/// nothing shows a secret.
async fn is_reported(database: &TestDatabase, fault: &Fault<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    write_ports(DOMAIN, &home, &database.server(), &fault.ports);
    let node = Node::start(&home, fault.config.clone());
    let (what, kind) = (fault.what, database.kind());
    let (code, errors) = checked(&home).await;
    assert_eq!(code, Some(2), "{kind:?}, {what}: {errors}");
    for part in fault.says.iter().chain(&["items.odcs.yaml"]) {
        assert!(errors.contains(part), "{kind:?}, {what}: expected `{part}`, got: {errors}");
    }
    let client = node.client().await;
    let error = failure(&client, ALL).await;
    assert_says(&error, ErrorKind::SiteUnavailable, &["lab.samples.items"]);
    let shown = text(&client, &load_error("items")).await;
    let log = node.log();
    assert!(log.contains("lab.samples.items"), "{kind:?}, {what}: {log}");
    for text in [&errors, &error.chain(), &shown, &log] {
        assert!(!text.contains(PASSWORD) && !text.contains("wrong-secret"), "{kind:?}, {what}: {text}");
    }
    // The address is for the owner alone.
    let address = config(DOMAIN, database, &json!({}))["sources"][SERVER]["database"]["host"].clone();
    if let Some(address) = address.as_str() {
        assert!(!error.chain().contains(address) && !shown.contains(address), "{kind:?}, {what}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_or_an_address_that_does_not_work_is_reported() {
    within(300, async {
        for kind in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
            let folder = tempfile::tempdir().unwrap();
            let Some(database) = TestDatabase::create(kind, &name(kind, "refused"), folder.path()).await else {
                continue;
            };
            database.execute(ITEMS).await;
            let right = config(DOMAIN, &database, &json!({}));
            let with = |key: &str, value: Value| {
                let mut config = right.clone();
                config["sources"][SERVER]["database"][key] = value;
                config
            };
            let account = database.account();
            is_reported(
                &database,
                &Fault {
                    what: "a wrong password",
                    ports: vec![items()],
                    config: with("password", json!("wrong-secret")),
                    says: &[SERVER, &account],
                },
            )
            .await;
            is_reported(
                &database,
                &Fault {
                    what: "an unknown account",
                    ports: vec![items()],
                    config: with("user", json!("nobody_here")),
                    says: &[SERVER, "nobody_here"],
                },
            )
            .await;
            // The contract names the database's own host, and the account is for another one.
            is_reported(
                &database,
                &Fault {
                    what: "an account for another host",
                    ports: vec![items()],
                    config: with("host", json!("db.example.org")),
                    says: &[SERVER, "db.example.org"],
                },
            )
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_does_not_fit_its_contract_is_reported() {
    within(300, async {
        for kind in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let Some(database) = TestDatabase::create(kind, &name(kind, "unfit"), folder.path()).await else {
                continue;
            };
            database.execute(ITEMS).await;
            let config = config(DOMAIN, &database, &json!({}));
            let named = |table: &str| DatabasePort { rows: Stored::Named(table.into()), ..items() };
            for (what, port, says) in [
                ("a missing table", named("itmes"), &["itmes", "did you mean `items`"][..]),
                (
                    "a missing column",
                    DatabasePort::table("items", &columns(&["id", "qyt"])),
                    &["qyt", "did you mean `qty`"],
                ),
                (
                    "a column of another type",
                    DatabasePort::table("items", &Schema::new(vec![Field::new("kind", DataType::Date32, true)])),
                    &["kind", "date"],
                ),
                ("a query of two statements", query("SELECT 1 AS id; SELECT 2 AS id"), &["statement"]),
                ("a query that writes", query("DELETE FROM items"), &[]),
                (
                    "a query that writes in a part",
                    query("WITH d AS (DELETE FROM items RETURNING id) SELECT id FROM d"),
                    &[],
                ),
                ("a query with a fault", query("SELECT id FROM itmes"), &["itmes"]),
            ] {
                // The types of SQLite are those of values: a query finds the fault.
                if kind == DatabaseKind::Sqlite && what == "a column of another type" {
                    continue;
                }
                let fault = Fault { what, ports: vec![port], config: config.clone(), says };
                is_reported(&database, &fault).await;
            }
            assert_eq!(database.number("SELECT count(*) FROM items").await, 4, "{kind:?}");
            until("the database runs nothing", SOON, async || database.running().await == 0).await;
        }
    })
    .await;
}

fn query(sql: &str) -> DatabasePort {
    DatabasePort::query("items", sql, &columns(&["id", "qty"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_rights_on_a_column_reads_the_others() {
    within(300, async {
        for kind in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
            let folder = tempfile::tempdir().unwrap();
            let name = name(kind, "rights");
            let Some(database) = TestDatabase::create(kind, &name, folder.path()).await else { continue };
            database.execute(ITEMS).await;
            let account = database.account();
            let rights = match kind {
                DatabaseKind::Postgres => vec![
                    format!("REVOKE ALL ON items FROM {account}"),
                    format!("GRANT SELECT (id, qty) ON items TO {account}"),
                ],
                _ => vec![
                    format!("REVOKE ALL ON {name}.* FROM '{account}'@'127.0.0.1'"),
                    format!("GRANT SELECT (id, qty) ON {name}.items TO '{account}'@'127.0.0.1'"),
                ],
            };
            database.execute(&rights).await;
            let config = config(DOMAIN, &database, &json!({}));
            let fault = Fault {
                what: "no rights",
                ports: vec![items()],
                config: config.clone(),
                says: &["kind", "may not read"],
            };
            is_reported(&database, &fault).await;

            let home = folder.path().join("node");
            let port = DatabasePort::table("items", &columns(&["id", "qty"]));
            write_ports(DOMAIN, &home, &database.server(), &[port]);
            let node = Node::start(&home, config);
            assert_eq!(count(&node.client().await, COUNT).await, Ok(3), "{kind:?}\n{}", node.log());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_altered_is_reported_by_queries() {
    within(300, async {
        for kind in KINDS {
            let name = name(kind, "altered");
            // The node does not look at the table again by itself.
            let more = json!({ "statistics_interval": "1h" });
            let Some(warehouse) = Warehouse::start(kind, &name, ITEMS, &[items()], &more).await else { continue };
            let client = warehouse.node.client().await;
            let sql = "SELECT kind, count(*) FROM lab.samples.items GROUP BY kind";
            assert!(text(&client, sql).await.contains("| b "), "{kind:?}");
            warehouse.database.execute(&["ALTER TABLE items DROP COLUMN kind"]).await;
            let error = failure(&client, sql).await;
            // The log of the owner has the words of the server, which can contain values.
            let cause = match kind {
                DatabaseKind::Postgres => "the tables have changed",
                DatabaseKind::Sqlite => "kind",
                _ => "no longer has a column",
            };
            for part in ["lab.samples.items", cause] {
                assert!(error.chain().contains(part), "{kind:?}: expected `{part}`, got: {}", error.chain());
            }
            warehouse.has_no_secret(&[&error.chain()]);
            // Other columns are still there. SQLite compares them again when the node has opened the port again.
            let (others, rows) = if kind == DatabaseKind::Sqlite { (ALL, 4) } else { (COUNT, 3) };
            assert_eq!(count(&client, others).await, Ok(rows), "{kind:?}");

            if kind != DatabaseKind::Sqlite {
                let alter = match kind {
                    DatabaseKind::Postgres => "ALTER TABLE items ALTER COLUMN qty TYPE text USING 'x' || qty",
                    _ => "ALTER TABLE items MODIFY qty varchar(20)",
                };
                warehouse.database.execute(&[alter, "UPDATE items SET qty = 'many'"]).await;
                let error = failure(&client, "SELECT qty FROM lab.samples.items").await;
                let cause = if kind == DatabaseKind::Postgres { "as the contract has it" } else { "qty" };
                for part in ["lab.samples.items", cause] {
                    assert!(error.chain().contains(part), "{kind:?}: expected `{part}`, got: {}", error.chain());
                }
            }
            until("the database runs nothing", SOON, async || warehouse.database.running().await == 0).await;
        }
    })
    .await;
}
