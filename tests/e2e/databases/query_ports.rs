//! Ports that are queries of their database: they join with its tables there, and are as good as a table to their readers.

use arrow::datatypes::{DataType, Field, Schema};
use portolan_catalog::DatabaseKind;
use portolan_tests::database_ports::{DatabasePort, Stored, config, open_node, write_ports};
use portolan_tests::mesh::within;
use portolan_tests::products::DOMAIN;
use portolan_tests::servers::{KINDS, TestDatabase};
use portolan_tests::ways::{self, UNPLACED, assert_lines};
use serde_json::json;

use super::faults::{ITEMS, columns};
use super::name;

/// The rows of the queries over these ports.
const ROWS: &[(&str, &[&str])] = &[
    ("SELECT kind, total FROM lab.samples.totals", &["a|10", "b|5", "NULL|5"]),
    ("SELECT kind FROM lab.samples.totals WHERE total = 5", &["b", "NULL"]),
    (
        "SELECT i.id, t.total FROM lab.samples.items i JOIN lab.samples.totals t ON i.kind = t.kind",
        &["1|10", "2|10", "3|5"],
    ),
    ("SELECT sum(total), count(*) FROM lab.samples.totals", &["20|3"]),
    ("SELECT id FROM lab.samples.commented WHERE qty > 5", &["1"]),
    ("SELECT id FROM lab.samples.seen ORDER BY id DESC LIMIT 2", &["4", "3"]),
    ("SELECT \"Käse\" FROM lab.samples.odd", &["7"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_the_database_is_a_port() {
    within(300, async {
        for kind in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("node");
            let Some(database) = TestDatabase::create(kind, &name(kind, "queried"), &home).await else { continue };
            database.execute(ITEMS).await;
            let odd = database.quoted("odd \"na.me\"");
            let column = database.quoted("Käse");
            database
                .execute(&[
                    "CREATE VIEW seen AS SELECT id, qty FROM items".to_owned(),
                    format!("CREATE TABLE {odd} ({column} bigint)"),
                    format!("INSERT INTO {odd} VALUES (7)"),
                ])
                .await;
            let total = match kind {
                DatabaseKind::Postgres => "CAST(sum(qty) AS bigint)",
                DatabaseKind::Sqlite => "CAST(sum(qty) AS integer)",
                _ => "CAST(sum(qty) AS signed)",
            };
            let items_table = if kind == DatabaseKind::Postgres { "public.items" } else { "items" };
            let totals = format!("SELECT kind, {total} AS total FROM {items_table} GROUP BY kind");
            let commented = format!("SELECT id, qty /* ; */ FROM {items_table} -- the end");
            let ports = [
                DatabasePort::table("items", &columns(&["id", "kind", "qty"])),
                DatabasePort::query("totals", &totals, &columns(&["kind", "total"])),
                // A comment at the end must not hide what stands behind the query.
                DatabasePort::query("commented", &commented, &columns(&["id", "qty"])),
                DatabasePort::table("seen", &columns(&["id", "qty"])),
                DatabasePort {
                    name: "odd",
                    rows: Stored::Named("\"odd \"\"na.me\"\"\"".into()),
                    schema: Schema::new(vec![Field::new("Käse", DataType::Int64, true)]),
                },
            ];
            write_ports(DOMAIN, &home, &database.server(), &ports);
            let node = open_node(&home, &config(DOMAIN, &database, &json!({}))).await;
            let node = node.unwrap_or_else(|e| panic!("{kind:?}: {}", e.owner_chain()));
            for settings in [&[][..], UNPLACED] {
                for (sql, rows) in ROWS {
                    let session = node.engine().session(portolan_engine::Principal::anonymous());
                    for (name, value) in settings {
                        ways::rows(&session, &format!("SET {name} = {value}")).await.unwrap();
                    }
                    let (_, batches) = ways::rows(&session, sql)
                        .await
                        .unwrap_or_else(|e| panic!("{kind:?}: {}\n{sql}", e.owner_chain()));
                    assert_lines(&format!("{kind:?}, {settings:?}"), sql, &batches, rows);
                }
            }
        }
    })
    .await;
}
