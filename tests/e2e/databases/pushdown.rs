//! Conditions and queries over the nasty tables return the same rows whether the database runs them or the node does, over
//! files, and in DuckDB. The number that the database runs has a floor.

mod conditions;
mod queries;

use portolan_catalog::DatabaseKind;
use portolan_tests::beside_files::BesideFiles;
use portolan_tests::conformance::placement::is_kind;
use portolan_tests::mesh::within;
use portolan_tests::servers::KINDS;

use self::conditions::conditions;
use self::queries::QUERIES;
use super::name;

/// The smallest percentages of the conditions and of the queries of which a database runs a part.
fn floors(kind: DatabaseKind) -> (usize, usize) {
    match kind {
        DatabaseKind::Sqlite => (65, 60),
        _ => (80, 70),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_and_queries_return_the_rows_of_files() {
    within(900, async {
        let conditions = conditions();
        assert!(conditions.len() >= 100 && QUERIES.len() >= 60, "{} and {}", conditions.len(), QUERIES.len());
        for kind in KINDS {
            let Some(beside) = BesideFiles::start(kind, &name(kind, "pushdown")).await else { continue };
            let mut differences = vec![];
            let (mut filtered, mut in_duckdb) = (0, 0);
            for (table, condition) in &conditions {
                let sql = format!("SELECT id FROM @{table} WHERE {condition}");
                match beside.compare(&sql).await {
                    Ok(compared) => {
                        filtered +=
                            usize::from(compared.at_database.iter().any(|operator| is_kind(operator, "Filter")));
                        in_duckdb += usize::from(compared.in_duckdb);
                    }
                    Err(how) => differences.push(format!("{sql}\n{how}")),
                }
            }
            let (mut pushed, mut rows) = (0, 0);
            for sql in QUERIES {
                match beside.compare(sql).await {
                    Ok(compared) => {
                        pushed += usize::from(!compared.at_database.is_empty());
                        rows += usize::from(compared.rows > 0);
                        in_duckdb += usize::from(compared.in_duckdb);
                    }
                    Err(how) => differences.push(format!("{sql}\n{how}")),
                }
            }
            let (conditions, queries) = (conditions.len(), QUERIES.len());
            println!("{kind:?}: ran {filtered} of {conditions} conditions and {pushed} of {queries} queries");
            assert!(
                differences.is_empty(),
                "{kind:?}: {} of {} differ or fail:\n{}",
                differences.len(),
                conditions + queries,
                differences.join("\n\n")
            );
            let all = conditions + queries;
            assert!(!beside.has_duckdb() || in_duckdb * 100 > all * 95, "DuckDB ran {in_duckdb} of {all}");
            // Most queries have rows to compare.
            assert!(rows * 10 > queries * 9, "{kind:?}: only {rows} of {queries} queries have rows");
            let (of_conditions, of_queries) = floors(kind);
            assert!(filtered * 100 >= conditions * of_conditions, "{kind:?}: the database ran {filtered} conditions");
            assert!(pushed * 100 >= queries * of_queries, "{kind:?}: the database ran a part of {pushed} queries");
        }
    })
    .await;
}
