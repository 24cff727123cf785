//! EXPLAIN shows the database as a site below its node, the SQL that it receives, and why the rest stays at the node.

use arrow::util::pretty::pretty_format_batches;
use portolan_tests::beside_files::BesideFiles;
use portolan_tests::mesh::within;
use portolan_tests::servers::{KINDS, PASSWORD};

use super::name;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_sql_and_the_reasons() {
    within(300, async {
        for kind in KINDS {
            let Some(beside) = BesideFiles::start(kind, &name(kind, "explained")).await else { continue };
            let explain = async |sql: &str| {
                let (_, batches) = beside.run(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
                let text = pretty_format_batches(&batches).unwrap().to_string();
                assert!(!text.contains(PASSWORD), "{text}");
                text
            };
            // Integers compare everywhere as they do at a node.
            let sql = "SELECT level, count(*) FROM @facts WHERE number > 5 GROUP BY level";
            let text = explain(sql).await;
            let url = format!("{}://", kind.type_name());
            for part in [&url, "GROUP BY", "WHERE", "\"facts\""] {
                assert!(text.contains(part), "{kind:?}: `{part}` is missing in\n{text}");
            }
            let operators = beside.placement(sql).await;
            let at =
                |kind: &str| operators.iter().find(|operator| operator.is(kind)).and_then(|found| found.site.clone());
            for operator in ["Filter", "Aggregate", "TableScan"] {
                let site = at(operator).unwrap_or_default();
                assert!(site.starts_with(&url), "{kind:?}: {operator} runs at `{site}`:\n{operators:#?}");
            }

            // No database has regular expressions that mean the same.
            let sql = "SELECT id FROM @words WHERE regexp_like(plain, '^a.$')";
            let operators = beside.placement(sql).await;
            let filter = operators.iter().find(|operator| operator.is("Filter")).expect("a filter");
            assert!(filter.is_here(), "{kind:?}: {operators:#?}");
            let reason = filter.reason.as_deref().unwrap_or_default();
            assert!(reason.contains("regexp_like") || reason.contains(kind.product()), "{kind:?}: {operators:#?}");
            assert!(explain(sql).await.contains(reason), "{kind:?}");

            // A node reads the whole table if nothing is placed.
            let sql = format!("EXPLAIN {}", "SELECT id FROM @facts WHERE number > 5");
            let (_, batches) = beside.run(&sql, portolan_tests::ways::UNPLACED).await.unwrap();
            let text = pretty_format_batches(&batches).unwrap().to_string();
            assert!(!text.contains("WHERE"), "{kind:?}: {text}");
        }
    })
    .await;
}
