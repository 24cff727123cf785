//! Connections, locks, deadlines and streams that end early: each is an error in time or the end of the work, no query goes
//! on at the database, and no connection is lost.

use std::time::{Duration, Instant};

use futures::StreamExt;
use portolan_catalog::DatabaseKind;
use portolan_engine::ErrorKind;
use portolan_tests::database_ports::{DatabasePort, config, write_ports};
use portolan_tests::mesh::{until, within};
use portolan_tests::node::{Node, signal};
use portolan_tests::products::DOMAIN;
use portolan_tests::rows::{assert_says, count, drain, failure};
use portolan_tests::servers::{KINDS, SERVER, TestDatabase, postgres};
use serde_json::{Value, json};

use super::faults::{ITEMS, columns, items};
use super::{Warehouse, name};

const SOON: Duration = Duration::from_secs(20);
/// The rows of the view `many`: more than a test reads in its time.
const ROWS: u64 = 2_000_000_000;
/// A condition that no database evaluates.
const ALL: &str = "SELECT count(*) FROM lab.samples.many WHERE regexp_like(CAST(id AS VARCHAR), '^[0-9]+$')";
const COUNT: &str = "SELECT count(*) FROM lab.samples.items WHERE qty >= 5";

fn many(kind: DatabaseKind) -> String {
    match kind {
        // In a FROM clause, the function would write all its rows to disk first.
        DatabaseKind::Postgres => format!("CREATE VIEW many AS SELECT generate_series(1::bigint, {ROWS}) AS id"),
        DatabaseKind::Sqlite => format!(
            "CREATE VIEW many AS WITH RECURSIVE s(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM s WHERE id < {ROWS}) \
             SELECT CAST(id AS INTEGER) AS id FROM s"
        ),
        _ => format!("CREATE VIEW many AS SELECT seq AS id FROM seq_1_to_{ROWS}"),
    }
}

/// Returns additions to a config: the number of connections, and the seconds that a query waits for one.
fn pool(database: &TestDatabase, connections: usize, wait: u64) -> Value {
    let mut config = config(DOMAIN, database, &json!({ "statistics_interval": "1h" }));
    if database.kind() != DatabaseKind::Sqlite {
        config["sources"][SERVER]["database"]["connections"] = connections.into();
        config["sources"][SERVER]["database"]["connection_wait"] = wait.into();
    }
    config
}

/// Starts a node over `items` and the view `many` with a pool of this size.
async fn start(kind: DatabaseKind, test: &str, connections: usize, wait: u64) -> Option<Warehouse> {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    let database = TestDatabase::create(kind, &name(kind, test), &home).await?;
    database.execute(ITEMS).await;
    database.execute(&[many(kind)]).await;
    write_ports(DOMAIN, &home, &database.server(), &[items(), DatabasePort::table("many", &columns(&["id"]))]);
    let node = Node::start(&home, pool(&database, connections, wait));
    Some(Warehouse { database, node, _folder: folder })
}

/// Asserts that the database runs nothing for the node within a time limit, that the pool is not larger than it may be, and
/// that the node still reads.
async fn nothing_is_left(warehouse: &Warehouse, connections: i64) {
    let kind = warehouse.database.kind();
    until("the database runs nothing", SOON, async || warehouse.database.running().await == 0).await;
    let found = warehouse.database.connections().await;
    assert!(found <= connections, "{kind:?}: {found} connections");
    let client = warehouse.node.client().await;
    // Each connection of the pool answers.
    for _ in 0..2 * connections {
        assert_eq!(count(&client, COUNT).await, Ok(3), "{kind:?}\n{}", warehouse.node.log());
    }
    warehouse.has_no_secret(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_query_of_a_scan() {
    within(300, async {
        for kind in KINDS {
            let Some(warehouse) = start(kind, "deadline", 2, 5).await else { continue };
            let client = warehouse.node.client().await;
            client.query("SET portolan.query_timeout = 2").await.unwrap();
            for _ in 0..3 {
                let started = Instant::now();
                let error = failure(&client, ALL).await;
                assert_says(&error, ErrorKind::DeadlineExceeded, &[]);
                assert!(started.elapsed() < Duration::from_secs(10), "{kind:?}: {:?}", started.elapsed());
            }
            nothing_is_left(&warehouse, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_query_that_returns_nothing_yet() {
    within(300, async {
        for kind in KINDS {
            let Some(warehouse) = start(kind, "silence", 2, 5).await else { continue };
            let client = warehouse.node.client().await;
            client.query("SET portolan.query_timeout = 2").await.unwrap();
            let started = Instant::now();
            // The database returns no row before it has read all.
            let error = failure(&client, "SELECT id FROM lab.samples.many WHERE id % 7 = 8").await;
            assert_says(&error, ErrorKind::DeadlineExceeded, &[]);
            assert!(started.elapsed() < Duration::from_secs(10), "{kind:?}: {:?}", started.elapsed());
            nothing_is_left(&warehouse, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_dropped_ends_the_query() {
    within(300, async {
        for kind in KINDS {
            let Some(warehouse) = start(kind, "dropped", 2, 5).await else { continue };
            let client = warehouse.node.client().await;
            for _ in 0..4 {
                let statement = client.prepare("SELECT id FROM lab.samples.many").await.unwrap();
                let mut rows = client.rows(&statement);
                assert!(rows.next().await.unwrap().unwrap().num_rows() > 0, "{kind:?}");
                assert!(kind == DatabaseKind::Sqlite || warehouse.database.running().await > 0, "{kind:?}");
                drop(rows);
            }
            nothing_is_left(&warehouse, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_ends_the_query() {
    within(300, async {
        for kind in KINDS {
            let Some(warehouse) = start(kind, "limited", 2, 5).await else { continue };
            let client = warehouse.node.client().await;
            // The node has its rows before the database has returned all.
            let sql = "SELECT id FROM lab.samples.many WHERE regexp_like(CAST(id AS VARCHAR), '7$') LIMIT 5";
            assert_eq!(drain(&client, sql).await.unwrap_or_else(|e| panic!("{kind:?}: {}", e.chain())), 5);
            nothing_is_left(&warehouse, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_waited_for_until_the_deadline_and_a_connection_until_the_wait_is_over() {
    within(300, async {
        for kind in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
            let Some(warehouse) = start(kind, "locked", 1, 1).await else { continue };
            let client = warehouse.node.client().await;
            assert_eq!(count(&client, COUNT).await, Ok(3), "{kind:?}");
            let lock: &[&str] = match kind {
                DatabaseKind::Postgres => &["BEGIN", "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"],
                _ => &["LOCK TABLES items WRITE"],
            };
            let unlock = if kind == DatabaseKind::Postgres { "COMMIT" } else { "UNLOCK TABLES" };
            warehouse.database.execute(lock).await;
            client.query("SET portolan.query_timeout = 3").await.unwrap();
            let started = Instant::now();
            let error = failure(&client, COUNT).await;
            assert_says(&error, ErrorKind::DeadlineExceeded, &[]);
            assert!(started.elapsed() < Duration::from_secs(10), "{kind:?}: {:?}", started.elapsed());
            until("the database runs nothing", SOON, async || warehouse.database.running().await == 0).await;

            // The only connection waits for the lock, and the second query for the connection.
            client.query("RESET portolan.query_timeout").await.unwrap();
            let first = warehouse.node.client().await;
            let waiting = tokio::spawn(async move { count(&first, COUNT).await });
            until("a query waits for the lock", SOON, async || warehouse.database.running().await > 0).await;
            let error = failure(&client, "SELECT id FROM lab.samples.many LIMIT 1").await;
            assert_says(&error, ErrorKind::ResourceExhausted, &[SERVER, "connections"]);
            warehouse.database.execute(&[unlock]).await;
            assert_eq!(waiting.await.unwrap(), Ok(3), "{kind:?}");
            nothing_is_left(&warehouse, 1).await;
            warehouse.has_no_secret(&[&error.chain()]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_cost_no_connections() {
    within(300, async {
        for kind in KINDS {
            let Some(warehouse) = start(kind, "lost", 2, 5).await else { continue };
            // The database finds the fault while it runs the query: it lies behind the rows that came before.
            let fault = match kind {
                DatabaseKind::Postgres => "ALTER TABLE items RENAME COLUMN kind TO sort",
                DatabaseKind::Sqlite => "ALTER TABLE items RENAME COLUMN kind TO sort",
                _ => "ALTER TABLE items CHANGE kind sort varchar(20)",
            };
            warehouse.database.execute(&[fault]).await;
            let client = warehouse.node.client().await;
            for _ in 0..10 {
                failure(&client, "SELECT kind FROM lab.samples.items").await;
            }
            // A condition needs the definition of the table that SQLite had when the port was opened.
            if kind == DatabaseKind::Sqlite {
                warehouse.database.execute(&["ALTER TABLE items RENAME COLUMN sort TO kind"]).await;
            }
            nothing_is_left(&warehouse, 2).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_mid_copy_is_an_error_at_once() {
    within(120, async {
        let Some(server) = postgres::start().await else { return };
        let database = TestDatabase::in_postgres(&server, "dying").await;
        database.execute(&[many(DatabaseKind::Postgres)]).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("node");
        write_ports(DOMAIN, &home, &database.server(), &[DatabasePort::table("many", &columns(&["id"]))]);
        let node = Node::start(&home, config(DOMAIN, &database, &json!({})));
        let client = node.client().await;
        let statement = client.prepare("SELECT id FROM lab.samples.many").await.unwrap();
        let mut rows = client.rows(&statement);
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        signal(server.pid(), "QUIT");
        let started = Instant::now();
        let error = loop {
            match rows.next().await.expect("an error before the end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert_says(&error, ErrorKind::SiteUnavailable, &["lab", SERVER]);
        let error = failure(&client, ALL).await;
        assert_says(&error, ErrorKind::SiteUnavailable, &[SERVER]);
    })
    .await;
}
