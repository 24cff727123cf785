//! Ports that are tables of a database behind their node: the node sends it SQL for what it can run, and does the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{Float64Array, Int64Array, StringArray};
use arrow::util::pretty::pretty_format_batches;
use portolan_testbed::tpch::{QUERIES, cache};
use portolan_tests::forced::FORCED;
use portolan_tests::mesh::within;
use portolan_tests::random_queries::{Outcome, SCALE, Trial, random_query};
use portolan_tests::ways::{Ways, table};

const RANDOM_QUERIES: u64 = 200;
const SEED: u64 = 11;

async fn shop() -> Ways {
    let orders = table(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("O'Neil"), Some(""), None, Some("a%b")]))),
        ("weight", Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), Some(1.5), None]))),
    ]);
    let items = table(vec![
        ("order", Arc::new(Int64Array::from(vec![1, 1, 3, 9]))),
        ("pieces", Arc::new(Int64Array::from(vec![Some(5), None, Some(7), Some(1)]))),
    ]);
    Ways::of_tables_behind_databases(&[
        ("shop", "orders", orders),
        ("shop", "items", items.clone()),
        ("store", "items", items),
    ])
    .await
}

/// Returns the last query of a database.
fn last(ways: &Ways, database: usize) -> String {
    ways.databases()[database].queries().pop().expect("the database got no query")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_runs_the_operators_that_it_supports() {
    within(300, async {
        let ways = shop().await;
        ways.gives("SELECT id FROM shop.samples.orders WHERE name = 'O''Neil' OR name = ''", &["1", "2"]).await;
        assert!(last(&ways, 0).contains("= 'O''Neil'"), "{}", last(&ways, 0));
        ways.gives("SELECT count(*) FROM shop.samples.orders WHERE name LIKE 'a%'", &["1"]).await;
        assert!(last(&ways, 0).contains("LIKE 'a%'"), "{}", last(&ways, 0));
        // Two tables of one database are joined there.
        let joined = "SELECT o.id, count(i.pieces), max(i.pieces) FROM shop.samples.orders o \
                      JOIN shop.samples.items i ON o.id = i.order GROUP BY o.id";
        ways.gives(joined, &["1|1|5", "3|1|7"]).await;
        ways.at_gateway(joined, &[]).await.unwrap();
        assert!(last(&ways, 0).contains("JOIN") && last(&ways, 0).contains("GROUP BY"), "{}", last(&ways, 0));
        ways.gives("SELECT id FROM shop.samples.orders ORDER BY id DESC LIMIT 2", &["NULL", "3"]).await;
        assert!(last(&ways, 0).contains("NULLS FIRST LIMIT 2"), "{}", last(&ways, 0));
        // The order of the result does not depend on the database.
        for order in ["id DESC", "name", "weight DESC, id"] {
            let text = format!("SELECT name FROM shop.samples.orders ORDER BY {order}");
            let ordered = ways.in_one_process(&text).await.unwrap();
            let expected = portolan_tests::ways::lines(&ordered.1);
            ways.gives(&text, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        ways.gives("SELECT id, weight FROM shop.samples.orders ORDER BY weight NULLS LAST OFFSET 2", &["2|NaN", "NULL|NULL"])
            .await;
        // A key belongs to its side, although the other side has an alias of the same name.
        ways.gives(
            "SELECT id FROM (SELECT id FROM shop.samples.orders) AS items INTERSECT SELECT pieces FROM shop.samples.items",
            &["1", "NULL"],
        )
        .await;
        ways.gives(
            "SELECT id FROM (SELECT id FROM shop.samples.orders) AS orders EXCEPT SELECT id FROM shop.samples.orders WHERE id = 1",
            &["2", "3", "NULL"],
        )
        .await;
        // Its tables are joined with those of another database at a node.
        ways.gives(
            "SELECT o.name, i.pieces FROM shop.samples.orders o JOIN store.samples.items i ON o.id = i.order",
            &["O'Neil|5", "O'Neil|NULL", "NULL|7"],
        )
        .await;
        // Floating-point numbers are compared at the node.
        ways.gives("SELECT id FROM shop.samples.orders WHERE weight = 0", &["1"]).await;
        assert!(!last(&ways, 0).contains("WHERE"), "{}", last(&ways, 0));
        ways.gives("SELECT count(*), count(DISTINCT weight) FROM shop.samples.orders", &["4|3"]).await;
        ways.gives("SELECT count(*) FROM shop.samples.orders", &["4"]).await;
        ways.gives(
            "SELECT name FROM shop.samples.orders UNION ALL SELECT 'x' WHERE random() < 0",
            &["O'Neil", "", "NULL", "a%b"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_database() {
    within(300, async {
        let ways = shop().await;
        // A node that owns ports of the database shows its SQL, and why the rest stays at the node.
        let node = ways.node("shop");
        let session = node.session(portolan_engine::Principal::anonymous());
        let sql = "EXPLAIN SELECT id FROM shop.samples.orders WHERE weight > 1 AND name <> 'x'";
        let (_, batches) = portolan_tests::ways::rows(&session, sql).await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        for part in [
            "at shop (sql://shop)",
            "FROM \"shop\".\"samples\".\"orders\" AS t",
            "the test database does not evaluate `Float64(1)`",
            "WHERE (q1.c1 <> 'x')",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_over_databases_return_the_rows_of_one_process() {
    within(900, async {
        let folder = tempfile::tempdir().unwrap();
        let data = cache::ensure(folder.path(), SCALE, &|_, _| {}, &AtomicBool::new(false)).unwrap();
        let trial = Trial::start_behind_databases(&data).await.unwrap();
        for query in QUERIES {
            for forced in [&FORCED[0], &FORCED[1 + query.number % (FORCED.len() - 1)]] {
                match trial.run(query.sql, &query.order(), forced).await {
                    Outcome::Equal(_) => {}
                    other => panic!("query {}, {}: {other:?}", query.number, forced.name),
                }
            }
        }
        let before: usize = trial.ways().databases().iter().map(|database| database.queries().len()).sum();
        assert!(before > 100, "the databases got {before} queries");
        let mut equal = 0;
        for index in 0..RANDOM_QUERIES {
            let query = random_query(SEED, index);
            let forced = &FORCED[index as usize % FORCED.len()];
            match trial.run(&query.sql, &query.order, forced).await {
                Outcome::Equal(_) => equal += 1,
                Outcome::Refused(_) => {}
                Outcome::Different(how) => panic!("seed {SEED}, index {index}, {}: {how}\n{}", forced.name, query.sql),
            }
        }
        assert!(equal * 10 > RANDOM_QUERIES * 9, "{equal} of {RANDOM_QUERIES} queries ran");
    })
    .await;
}
