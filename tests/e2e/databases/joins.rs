//! Joins of tables of one database return all rows, whatever plan the database chooses.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use portolan_catalog::DatabaseKind;
use portolan_engine::Principal;
use portolan_tests::conformance::placement::placed_operators;
use portolan_tests::crossed::document;
use portolan_tests::database_ports::{DatabasePort, config, open_node, write_ports};
use portolan_tests::mesh::within;
use portolan_tests::servers::{KINDS, TestDatabase};
use portolan_tests::ways;
use serde_json::json;

use super::name;

const DOMAIN: &str = "shop";
const ORDERS: i64 = 200;
const LINES: i64 = 3000;
const SUPPLIERS: i64 = 97;
/// The suppliers of the query: enough for a filter of row ids, and too many for a range of the index alone.
const CHOSEN: i64 = 28;

fn table(columns: [(&'static str, Vec<i64>); 2]) -> RecordBatch {
    let columns = columns.map(|(name, values)| (name, Arc::new(Int64Array::from(values)) as ArrayRef, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// MariaDB joins these tables by a hash of `items`. With `rowid_filter`, which is on by default, it also filters `items` by
/// the row ids of its index on `supplier`, and then finds almost no rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_with_a_filter_on_another_index_has_all_rows() {
    within(120, async {
        for kind in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let Some(database) = TestDatabase::create(kind, &name(kind, "joins"), folder.path()).await else { continue };
            let orders = table([("id", (1..=ORDERS).collect()), ("customer", (1..=ORDERS).collect())]);
            let order = (1..=LINES).map(|line| line % ORDERS + 1).collect();
            let lines = table([("order_id", order), ("supplier", (1..=LINES).map(|line| line % SUPPLIERS).collect())]);
            database.create_table("orders", &orders, &[]).await;
            database.create_table("items", &lines, &[]).await;
            for column in ["order_id", "supplier"] {
                database.execute(&[format!("CREATE INDEX items_{column} ON items ({column})")]).await;
            }
            if kind == DatabaseKind::MariaDb {
                database.execute(&["ANALYZE TABLE orders, items"]).await;
            }
            let ports = [
                DatabasePort::table("orders", &orders.schema()),
                DatabasePort::table("items", &lines.schema()),
            ];
            write_ports(DOMAIN, folder.path(), &database.server(), &ports);
            let node = open_node(folder.path(), &config(DOMAIN, &database, &json!({}))).await;
            let node = node.unwrap_or_else(|e| panic!("{}", e.owner_chain()));
            let session = node.engine().session(Principal::anonymous());
            let chosen: Vec<_> = (0..CHOSEN).map(|supplier| supplier.to_string()).collect();
            let sql = format!(
                "SELECT o.customer, l.supplier FROM shop.samples.orders o JOIN shop.samples.items l ON l.order_id = o.id \
                 WHERE l.supplier IN ({})",
                chosen.join(", ")
            );
            let (_, batches) = ways::rows(&session, &sql).await.unwrap_or_else(|e| panic!("{}", e.chain()));
            let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
            // Each line has one order.
            let expected = (1..=LINES).filter(|line| line % SUPPLIERS < CHOSEN).count();
            assert_eq!(found, expected, "{kind:?}");
            let suppliers = batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec());
            assert!(suppliers.into_iter().all(|supplier| supplier < CHOSEN), "{kind:?}");
            let (_, plan) = ways::rows(&session, &format!("EXPLAIN (FORMAT JSON) {sql}")).await.unwrap();
            let plan = placed_operators(&document(&plan).expect("EXPLAIN returns a document"));
            let is_pushed = plan.iter().any(|operator| operator.is("Inner Join") && !operator.is_here());
            assert!(is_pushed, "{kind:?} does not join:\n{plan:#?}");
        }
    })
    .await;
}
