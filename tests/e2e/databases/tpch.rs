//! The 22 queries of TPC-H with its three domains in databases return the rows of one process over files: three databases
//! of PostgreSQL, MariaDB and SQLite beside files, and one database of each kind.

use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use portolan_catalog::DatabaseKind;
use portolan_engine::Principal;
use portolan_testbed::descriptors;
use portolan_testbed::tpch::QUERIES;
use portolan_tests::conformance::placement::{PlacedOperator, placed_operators};
use portolan_tests::crossed::document;
use portolan_tests::duckdb::compare_with_duckdb;
use portolan_tests::forced::FORCED;
use portolan_tests::mesh::{data, within};
use portolan_tests::random_queries::tpch_domain;
use portolan_tests::servers::postgres;
use portolan_tests::ways::{self, ConfiguredDomain, UNPLACED, Ways};
use serde_json::json;

/// Compares the rows of every query, placed freely and in one of the forced ways.
async fn all_are_equal(domains: &[ConfiguredDomain]) -> Ways {
    let ways = Ways::start_configured(domains).await.unwrap_or_else(|e| panic!("{e}"));
    let mut differences = vec![];
    for query in QUERIES {
        let expected = ways.in_one_process(query.sql).await.unwrap();
        let forced = &FORCED[query.number % FORCED.len()];
        let unplaced: &[_] = if query.number % 4 == 0 { &[("unplaced", UNPLACED)] } else { &[] };
        for (way, settings) in [("placed", &[][..]), (forced.name, forced.settings)].iter().chain(unplaced) {
            match ways.at_gateway(query.sql, settings).await {
                // SQLite has one width of integers.
                Ok(rows) => match compare_with_duckdb(&expected, &rows, &query.order()) {
                    Ok(()) => {}
                    Err(how) => {
                        let analyzed = ways.at_gateway(&format!("EXPLAIN ANALYZE {}", query.sql), settings).await;
                        let plan = analyzed.map(|(_, plan)| pretty_format_batches(&plan).unwrap().to_string());
                        let plan = plan.unwrap_or_else(|e| e.chain());
                        differences
                            .push(format!("query {}, {way}: {how}\nthe plan of another run:\n{plan}", query.number));
                    }
                },
                Err(e) => differences.push(format!("query {}, {way}: {}", query.number, e.chain())),
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    ways
}

/// Returns the operators of a query at the node of a domain.
async fn placement(ways: &Ways, domain: &str, sql: &str) -> Vec<PlacedOperator> {
    let session = ways.node(domain).session(Principal::anonymous());
    let (_, batches) = ways::rows(&session, &format!("EXPLAIN (FORMAT JSON) {sql}")).await.unwrap();
    placed_operators(&document(&batches).expect("EXPLAIN returns a document"))
}

fn over_files(domain: &str, folder: &Path) -> ConfiguredDomain {
    let home = folder.join("nodes").join(domain);
    let files = descriptors::write(domain, &data(), &home).unwrap();
    ConfiguredDomain { domain: domain.into(), files, home, sources: json!({ "files": { "root": data() } }) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_databases_of_postgresql_return_the_rows_of_files() {
    within(600, async {
        let Some(server) = postgres::server().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let mut domains = vec![];
        for domain in portolan_testbed::tpch::DOMAINS {
            let database = server.load_domain(domain, &data()).await.unwrap_or_else(|e| panic!("{}", e.owner_chain()));
            let home = folder.path().join("nodes").join(domain);
            descriptors::write_over_database(domain, &database.server, &home).unwrap();
            let files = descriptors::write(domain, &data(), &folder.path().join("files").join(domain)).unwrap();
            domains.push(ConfiguredDomain { domain: domain.into(), files, home, sources: database.sources });
        }
        let ways = all_are_equal(&domains).await;
        // The database filters and aggregates the lines, and joins them with the orders.
        let joined = "SELECT o_orderpriority, count(*) FROM sales.orders.orders JOIN sales.orders.lineitem \
                      ON l_orderkey = o_orderkey WHERE l_shipdate < DATE '1992-03-01' GROUP BY o_orderpriority";
        for (sql, operators) in [
            (QUERIES[0].sql, &["Filter", "Aggregate"][..]),
            (QUERIES[5].sql, &["Filter"]),
            (joined, &["Inner Join", "Aggregate"]),
        ] {
            let plan = placement(&ways, "sales", sql).await;
            for kind in operators {
                let is_there =
                    plan.iter().any(|operator| operator.is(kind) && !operator.is_here() && operator.site.is_some());
                assert!(is_there, "{kind} does not run at the database:\n{plan:#?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_and_sqlite_beside_files_return_the_rows_of_files() {
    mixed("tpch_two", [Some(DatabaseKind::MariaDb), Some(DatabaseKind::Sqlite), None]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_of_each_kind_returns_the_rows_of_files() {
    mixed("tpch_three", [Some(DatabaseKind::Sqlite), Some(DatabaseKind::Postgres), Some(DatabaseKind::MariaDb)]).await;
}

/// Compares the queries with each domain in a database of its kind, or over files.
async fn mixed(name: &str, kinds: [Option<DatabaseKind>; 3]) {
    within(900, async {
        let folder = tempfile::tempdir().unwrap();
        let rows = folder.path().join("rows");
        std::fs::create_dir_all(&rows).unwrap();
        let mut domains = vec![];
        for (domain, kind) in portolan_testbed::tpch::DOMAINS.into_iter().zip(kinds) {
            let configured = match kind {
                None => Some(over_files(domain, folder.path())),
                Some(kind) => {
                    let database = format!("{name}_{domain}");
                    tpch_domain(kind, domain, &database, folder.path(), &data(), &rows).await
                }
            };
            let Some(configured) = configured else { return };
            domains.push(configured);
        }
        all_are_equal(&domains).await;
    })
    .await;
}
