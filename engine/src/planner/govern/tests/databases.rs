//! Governed ports over a database: what the SQL has of the policies and of the statement.

use portolan_connectors::sql::SqlTable;

use super::*;
use crate::fake_database::FakeDatabase;

/// The condition of a policy that the database can test.
const AS_SQL: &str = "resource has dept && resource.dept == \"a\"";
/// One that it can test in part.
const IN_PART: &str = "id < 900 AND upper(dept) = 'A'";

fn policy(condition: &str, is_sql: bool) -> String {
    let head = "permit(principal, action == Action::\"read\", resource is lab::p::people)";
    match is_sql {
        true => format!("@row_filter(\"{condition}\")\n{head};"),
        false => format!("{head} when {{ {condition} }};"),
    }
}

/// Returns the database, and the engine of its owner. A view computes the rows if they are not stored.
fn database(policies: &str, is_stored: bool) -> (Arc<FakeDatabase>, Engine) {
    let rows = people(false);
    let rows = rows.iter().map(|batch| ("people", batch.clone())).collect::<Vec<_>>();
    let database = FakeDatabase::new(&rows);
    let mut domain = database.domain([]);
    for site in domain.ports.iter_mut().filter_map(|port| port.site.as_mut()) {
        site.table = Arc::new(SqlTable { is_stored, ..SqlTable::clone(&site.table) });
    }
    let domain = domain.with_policies(PolicyFiles::of_product("p", policies));
    (database, Engine::builder().cpu_threads(1).local_domain(domain).build().unwrap())
}

/// Returns the rows of a statement, sorted, and the SQL that the database got for it.
async fn sent(policies: &str, is_stored: bool, sql: &str) -> (Vec<String>, String) {
    let (database, engine) = database(policies, is_stored);
    let mut rows = lines(&engine, analyst(), sql).await;
    rows.sort();
    let queries = database.queries();
    assert_eq!(queries.len(), 1, "{sql}: {queries:?}");
    (rows, queries.concat())
}

/// The database can compare two columns, and the statement's comparison is not beside the policy, all the same.
#[tokio::test]
async fn only_harmless_conditions_are_in_the_sql() {
    let sql = "SELECT id FROM lab.p.people WHERE id = salary AND id < 10";
    let (rows, query) = sent(&policy(AS_SQL, false), true, sql).await;
    assert_eq!(rows, ["0"]);
    let conditions = query.split_once("WHERE").map_or("", |(_, conditions)| conditions);
    assert!(conditions.contains("= 'a')") && conditions.contains("< CAST('10' AS"), "{query}");
    assert!(!conditions.contains("= q1.c"), "{query}");
}

/// The database computes the columns of a view, also those of rows that the policies hide.
#[tokio::test]
async fn conditions_on_computed_columns_stay_at_the_node() {
    for (sql, expected, literals) in [
        ("SELECT id FROM lab.p.people WHERE salary = 4000", "4", &["'4000'"][..]),
        ("SELECT count(*) FROM lab.p.people WHERE salary = 3000 OR id IN (3, 5)", "0", &["'3000'", "'5'"]),
        ("SELECT count(*) FROM lab.p.people WHERE id < 5", "3", &["'5'"]),
    ] {
        for is_stored in [true, false] {
            let (rows, query) = sent(&policy(AS_SQL, false), is_stored, sql).await;
            assert_eq!(rows, [expected], "{sql}");
            assert!(query.contains("= 'a')"), "the policy is in the SQL: {query}");
            for literal in literals {
                assert_eq!(query.contains(literal), is_stored, "{sql}: {query}");
            }
        }
    }
}

/// The part of a policy that the database cannot test stays at the node.
#[tokio::test]
async fn a_policy_that_is_no_sql_stays_at_the_node() {
    for is_stored in [true, false] {
        let sql = "SELECT id FROM lab.p.people WHERE salary > 890000";
        let (rows, query) = sent(&policy(IN_PART, true), is_stored, sql).await;
        assert_eq!(rows, ["892", "894", "896", "898"]);
        assert!(query.contains("'900'") && !query.to_lowercase().contains("upper"), "{query}");
        assert_eq!(query.contains("'890000'"), is_stored, "{query}");
    }
}
