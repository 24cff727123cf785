//! Statements that cannot be right: the place, and the nearest names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::rows::{assert_says, failure, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_point_at_the_place_and_offer_names() {
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
async fn plans_tell_who_does_what() {
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
