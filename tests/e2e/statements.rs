//! Invalid statements: the error has the place, and the nearest names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow::array::AsArray;
use futures::TryStreamExt;
use portolan_engine::ErrorKind;
use portolan_node::client::Client;
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::rows::{assert_says, failure, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_a_position_and_suggest_names() {
    within(120, async {
        let client = Mesh::shared().await.client().await;
        for (sql, kind, parts) in [
            ("SELECT 1,\n  FORM x y z", ErrorKind::InvalidQuery, &["line 2"][..]),
            ("SELEC 1", ErrorKind::InvalidQuery, &["line 1", "column 1"]),
            (
                "SELECT 1\nFROM sales.orders.lineitems",
                ErrorKind::NotFound,
                &["sales.orders.lineitems", "`sales.orders.lineitem`", "line 2, column 6"],
            ),
            ("SELECT * FROM sale.orders.orders", ErrorKind::NotFound, &["sales.orders.orders"]),
            (
                "SELECT\n l_quantty FROM sales.orders.lineitem",
                ErrorKind::InvalidQuery,
                &["l_quantty", "did you mean `l_quantity`?", "line 2, column 2"],
            ),
            ("SELECT sunm(1)", ErrorKind::InvalidQuery, &["sunm"]),
            ("SET portolan.placment = off", ErrorKind::InvalidQuery, &["did you mean `portolan.placement`?"]),
            ("DROP TABLE sales.orders.orders", ErrorKind::PermissionDenied, &["`sales.orders.orders`"]),
            ("COPY (SELECT 1) TO '/tmp/x.csv'", ErrorKind::Unsupported, &[]),
        ] {
            assert_says(&failure(&client, sql).await, kind, parts);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_show_where_operators_run() {
    within(120, async {
        let client = Mesh::shared().await.client().await;
        let sql = "SELECT n_name, count(*) FROM sales.customers.customer JOIN geo.places.nation \
                   ON c_nationkey = n_nationkey GROUP BY n_name";
        let plan = text(&client, &format!("EXPLAIN {sql}")).await;
        let measured = text(&client, &format!("EXPLAIN ANALYZE {sql}")).await;
        for domain in ["sales", "geo"] {
            let url = Mesh::shared().await.node(domain).url();
            assert!(plan.contains(url), "{plan}");
            assert!(measured.contains(url), "{measured}");
        }
        let now = text(&client, "SELECT now() IS NOT NULL AS known").await;
        assert!(now.contains("true"), "{now}");
    })
    .await;
}

/// A query starts at all of its nodes when it is announced. If no client fetches its rows, the run ends, and a later
/// fetch starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_start_before_their_rows_are_requested() {
    within(120, async {
        let mesh = Mesh::shared().await;
        let asking = mesh.client().await;
        let owner = Client::connect(mesh.node("sales").url(), &Default::default()).await.unwrap();
        let sql = "SELECT count(*) FROM sales.orders.lineitem a, sales.orders.lineitem b, sales.orders.lineitem c \
                   WHERE a.l_comment || b.l_comment < c.l_comment AND a.l_comment <> 'begun before'";
        let running = async |node: &Client, which: &str| {
            let (_, ids) = node.query(&format!("SELECT query_id FROM mesh.queries WHERE {which}")).await.unwrap();
            ids.iter().flat_map(|b| b.column(0).as_string::<i32>().iter().flatten()).map(str::to_owned).next()
        };
        let here = "statement LIKE 'SELECT count%begun before%'";
        let at_owner = async || {
            // The query may end before the test queries the owner, so each attempt announces it again.
            asking.prepare(sql).await.unwrap();
            match running(&asking, here).await {
                Some(id) => running(&owner, &format!("query_id = '{id}'")).await.is_some(),
                None => false,
            }
        };
        until("the owner is at work", Duration::from_secs(30), at_owner).await;
        let gone = async || running(&asking, here).await.is_none();
        until("the abandoned query is cancelled", Duration::from_secs(10), gone).await;

        let cheap = asking.prepare("SELECT count(*) FROM geo.places.nation").await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for _ in 0..2 {
            let rows: Vec<_> = asking.rows(&cheap).try_collect().await.unwrap();
            assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
        }
    })
    .await;
}
