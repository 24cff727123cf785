//! Every path to the rows has the same gate: statements, prepared statements, uploads and tables of the session, for
//! principals with some rows, with none, and for administrators.

use portolan_connectors::node::{NodeIdentity, NodeKey, NodeOptions, NodeSite};
use portolan_connectors::{CatalogAnswer, Peer};
use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{ADMIN, ANALYST, GovernedMesh, OWNER, STRANGER, login};
use portolan_tests::governance::outcomes::{FlightSession, Outcome, observed};
use portolan_tests::governance::people::{HiddenRows, VISIBLE_COLUMNS, port};
use portolan_tests::mesh::within;
use portolan_tests::rows::{assert_says, count, failure};

/// Statements that read a hidden column.
const OF_HIDDEN_COLUMNS: &[&str] = &[
    "SELECT * FROM hr.samples.people",
    "SELECT rating FROM hr.samples.people",
    "SELECT id FROM hr.samples.people WHERE rating > 5",
    "SELECT id FROM hr.samples.people ORDER BY rating, id LIMIT 3",
    "SELECT count(*) FROM hr.samples.people GROUP BY rating",
    "SELECT count(rating) FROM hr.samples.people",
    "SELECT rank() OVER (ORDER BY rating) FROM hr.samples.people",
    "SELECT a.id FROM hr.samples.people a JOIN hr.samples.people b USING (rating)",
    "SELECT count(*) FROM hr.samples.people NATURAL JOIN hr.samples.people AS b",
    "SELECT id FROM hr.samples.people WHERE EXISTS (SELECT 1 FROM shop.samples.orders WHERE person = rating)",
    "SELECT number FROM shop.samples.orders JOIN hr.samples.people ON amount = rating",
    "SELECT (SELECT max(rating) FROM hr.samples.people)",
    "WITH t AS (SELECT rating AS r FROM hr.samples.people) SELECT sum(r) FROM t",
    "CREATE TABLE copied AS SELECT rating FROM hr.samples.people",
    "EXPLAIN SELECT rating FROM hr.samples.people",
    "EXPLAIN ANALYZE SELECT rating FROM hr.samples.people",
];

/// Statements that need the permission to read some row.
const OF_ROWS: &[&str] = &[
    "SELECT count(*) FROM hr.samples.people",
    "SELECT number FROM shop.samples.orders LEFT JOIN hr.samples.people ON person = id",
    "SELECT number FROM shop.samples.orders WHERE EXISTS (SELECT 1 FROM hr.samples.people)",
    "EXPLAIN SELECT id FROM hr.samples.people",
    "EXPLAIN ANALYZE SELECT id FROM hr.samples.people",
    "CREATE TABLE copied AS SELECT id FROM hr.samples.people",
    "CREATE OR REPLACE TABLE copied AS SELECT id FROM hr.samples.people",
];

/// True if a statement reaches the owner. The gateway plans a query without it.
fn is_checked(sql: &str, is_at_owner: bool) -> bool {
    is_at_owner || !sql.starts_with("EXPLAIN SELECT")
}

fn assert_denied(what: &str, sql: &str, outcome: &Outcome, parts: &[&str]) {
    let Outcome::Failed(kind, text) = outcome else { panic!("{what}: {} rows from {sql}", outcome.text()) };
    assert_eq!(*kind, ErrorKind::PermissionDenied, "{what}: {text}\n{sql}");
    for part in parts {
        assert!(text.contains(part), "{what}: expected `{part}`, got: {text}\n{sql}");
    }
    for secret in ["clearance ==", "upper(", "analysts", "of person", "-1003"] {
        assert!(!text.contains(secret), "{what}: `{secret}` shows in {text}\n{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_path_has_the_same_gate() {
    within(600, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        hidden_columns_are_refused(&mesh).await;
        principals_without_permits_are_refused(&mesh).await;
        tables_of_a_session_have_the_visible_rows(&mesh).await;
        announcements_tell_nothing(&mesh).await;
        catalogs_of_nodes_have_no_statistics(&mesh).await;
        nothing_can_be_inserted(&mesh).await;
    })
    .await;
}

async fn hidden_columns_are_refused(mesh: &GovernedMesh) {
    for path in mesh.paths(ANALYST).await {
        for sql in OF_HIDDEN_COLUMNS.iter().filter(|sql| is_checked(sql, path.is_at_owner)) {
            assert_denied(path.name, sql, &observed(&path.client, sql).await, &["`rating`", "hr.samples.people"]);
        }
        // The other columns can be read, also by exclusion.
        let rest = "SELECT * EXCLUDE (clearance, rating) FROM hr.samples.people WHERE id = 1000";
        let named = format!("SELECT {VISIBLE_COLUMNS} FROM hr.samples.people WHERE id = 1000");
        let (rest, named) = (observed(&path.client, rest).await, observed(&path.client, &named).await);
        assert_eq!(rest, named, "{}", path.name);
        assert!(named.text().contains("nnn-nn-1000") && named.rows() == Some(1), "{}: {}", path.name, named.text());
    }
    for node in [mesh.hr(), mesh.gateway()] {
        let mut session = FlightSession::login(node, ANALYST, &[]).await;
        let is_at_owner = node.url() == mesh.hr().url();
        let is_prepared = |sql: &&&str| !sql.starts_with("CREATE") && is_checked(sql, is_at_owner);
        for sql in OF_HIDDEN_COLUMNS.iter().filter(is_prepared) {
            assert_denied("prepared", sql, &session.prepared(sql).await, &["`rating`"]);
        }
        let sql = "CREATE TABLE copied AS SELECT rating FROM hr.samples.people";
        assert_denied("as an update", sql, &session.update(sql).await.unwrap_err(), &["`rating`"]);
    }
}

async fn principals_without_permits_are_refused(mesh: &GovernedMesh) {
    for user in [STRANGER, ADMIN] {
        for path in mesh.paths(user).await {
            for sql in OF_ROWS.iter().filter(|sql| is_checked(sql, path.is_at_owner)) {
                assert_denied(path.name, sql, &observed(&path.client, sql).await, &[user, "hr.samples.people"]);
            }
            // The other domain has no policies.
            assert!(count(&path.client, "SELECT count(*) FROM shop.samples.orders").await.is_ok(), "{}", path.name);
        }
        for node in [mesh.hr(), mesh.gateway()] {
            let mut session = FlightSession::login(node, user, &[]).await;
            let is_at_owner = node.url() == mesh.hr().url();
            let is_prepared = |sql: &&&str| !sql.starts_with("CREATE") && is_checked(sql, is_at_owner);
            for sql in OF_ROWS.iter().filter(is_prepared) {
                assert_denied("prepared", sql, &session.prepared(sql).await, &[user]);
            }
        }
    }
    // An administrator sees the statements of others, and no rows of theirs.
    let admin = login(mesh.hr(), ADMIN).await;
    assert!(count(&admin, "SELECT count(*) FROM mesh.queries").await.is_ok());
}

async fn tables_of_a_session_have_the_visible_rows(mesh: &GovernedMesh) {
    for path in mesh.paths(ANALYST).await {
        let sql = "CREATE OR REPLACE TABLE seen AS SELECT id, ssn FROM hr.samples.people";
        path.client.query(sql).await.unwrap_or_else(|e| panic!("{}: {}", path.name, e.chain()));
        let hidden = "SELECT count(*) FROM seen WHERE id % 5 >= 3 OR ssn NOT LIKE 'nnn-nn-%'";
        assert_eq!(count(&path.client, hidden).await, Ok(0), "{}", path.name);
        let all = count(&path.client, "SELECT count(*) FROM seen").await;
        assert_eq!(all, Ok(port("people").visible_rows()), "{}", path.name);
        // A table of the session with hidden keys finds no hidden rows.
        path.client.query("CREATE OR REPLACE TABLE wanted AS SELECT 1003 AS k UNION ALL SELECT 1000").await.unwrap();
        let join = "SELECT count(*), max(k) FROM wanted JOIN hr.samples.people ON id = k";
        assert_eq!(count(&path.client, join).await, Ok(1), "{}", path.name);
    }
}

/// What a client learns before the first row does not depend on the rows of the port.
async fn announcements_tell_nothing(mesh: &GovernedMesh) {
    for node in [mesh.hr(), mesh.gateway()] {
        let mut session = FlightSession::login(node, ANALYST, &[]).await;
        let mut seen = vec![];
        for condition in ["salary = 1003000", "salary = 1000000", "salary = 7", "dept = 'b'", "true"] {
            let sql = format!("SELECT id FROM hr.samples.people WHERE {condition}");
            seen.push(session.announced(&sql).await.unwrap());
        }
        assert!(seen.iter().all(|announced| announced == &seen[0]), "{seen:?}");
    }
}

/// The catalog that a trusted node gets has no statistics of governed ports.
async fn catalogs_of_nodes_have_no_statistics(mesh: &GovernedMesh) {
    let pem = std::fs::read(mesh.data().parent().unwrap().join("gateway.pem")).unwrap();
    let identity = NodeIdentity::new("gateway", NodeKey::from_pem(&pem).unwrap()).unwrap();
    let options = NodeOptions { identity: Some(identity.into()), ..NodeOptions::default() };
    let site = NodeSite::new(mesh.hr().url(), options).unwrap();
    let CatalogAnswer::Changed { domains, .. } = site.catalog(None).await.unwrap().answer else {
        panic!("a first answer has the catalogs")
    };
    let ports: Vec<_> = domains.iter().flat_map(portolan_catalog::DomainCatalog::ports).collect();
    assert!(ports.iter().any(|port| port.name.port.as_str() == "people"));
    for port in ports {
        let statistics = &port.statistics;
        assert!(statistics.rows.is_none() && statistics.bytes.is_none(), "{}: {statistics:?}", port.name);
        assert!(statistics.columns.is_empty(), "{}: {statistics:?}", port.name);
    }
}

async fn nothing_can_be_inserted(mesh: &GovernedMesh) {
    let insert = "INSERT INTO hr.samples.people SELECT * FROM hr.samples.people WHERE id < 0";
    for user in [OWNER, ANALYST, STRANGER] {
        // The config names no writers.
        let error = failure(&login(mesh.hr(), user).await, insert).await;
        assert_says(&error, ErrorKind::PermissionDenied, &["hr.samples.people"]);
    }
}
