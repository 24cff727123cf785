//! Tests of the views of sessions.

use super::*;
use crate::bounds::MOST_STATEMENT_BYTES;

/// Returns a session with a table `t` of three rows.
async fn session() -> Session {
    let session = gateway().await.session(Principal::new("ann"));
    changed(&session, "CREATE TABLE t (n INT, s VARCHAR)").await;
    changed(&session, "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'b')").await;
    session
}

#[tokio::test]
async fn a_view_is_planned_with_the_statement_that_reads_it() {
    let session = session().await;
    assert_eq!(changed(&session, "CREATE VIEW v AS SELECT n + 1 AS m, s FROM t WHERE n > 1").await, 0);
    assert_eq!(values(&session, "SELECT m FROM v WHERE s = 'b' ORDER BY m").await, ["3", "4"]);
    assert_eq!(values(&session, "SELECT count(*) FROM portolan.session.v AS a JOIN v ON a.m < v.m").await, ["1"]);
    // The view reads the rows of now.
    changed(&session, "INSERT INTO t VALUES (8, 'c')").await;
    assert_eq!(values(&session, "SELECT m FROM v ORDER BY 1 DESC LIMIT 1").await, ["9"]);
    // In every statement that reads.
    assert_eq!(changed(&session, "CREATE TABLE u AS SELECT * FROM v").await, 3);
    assert_eq!(changed(&session, "DELETE FROM u WHERE m IN (SELECT max(m) FROM v)").await, 1);
    assert_eq!(changed(&session, "INSERT INTO u SELECT m * 100, s FROM v WHERE s = 'c'").await, 1);
    assert_eq!(values(&session, "SELECT m FROM u ORDER BY 1").await, ["3", "4", "900"]);
    assert_eq!(values(&session, "WITH v AS (SELECT 7 AS x) SELECT x FROM v").await, ["7"]);
    assert!(session.prepare("EXPLAIN SELECT * FROM v JOIN geo.places.nation ON n_nationkey = m").await.is_ok());
    // With values for parameters, too.
    let prepared = session.prepare("SELECT s FROM v WHERE m = $1").await.unwrap();
    let rows: Vec<RecordBatch> = prepared
        .execute(&[datafusion::scalar::ScalarValue::Int32(Some(9))])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(changed(&session, "DROP VIEW v").await, 0);
    assert_eq!(refused(&session, "SELECT * FROM v").await.kind(), ErrorKind::NotFound);
    assert_eq!(changed(&session, "DROP VIEW IF EXISTS v").await, 0);
    let error = refused(&session, "DROP VIEW v").await;
    assert_eq!(
        (error.kind(), error.context()),
        (ErrorKind::NotFound, "the session has no view `v` (line 1, column 11)")
    );
}

#[tokio::test]
async fn the_columns_of_a_view_have_the_names_of_its_query_or_its_list() {
    let session = session().await;
    let columns = async |sql: &str| session.prepare(sql).await.unwrap().schema();
    changed(&session, "CREATE TEMPORARY VIEW a AS SELECT s, COUNT(*), sum(n) + 1 FROM t GROUP BY s").await;
    let schema = columns("SELECT * FROM a").await;
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["s", "count(*)", "sum(n) + 1"]);
    assert_eq!(values(&session, "SELECT \"sum(n) + 1\" FROM a ORDER BY 1").await, ["2", "6"]);
    // Only an analysed plan has the type of the union.
    changed(&session, "CREATE VIEW b (\"X\", y) AS SELECT s, n FROM t UNION ALL SELECT 'z', 2.5").await;
    let listed = session.views();
    assert_eq!(listed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(listed[1].1, columns("SELECT * FROM b").await);
    assert_eq!(listed[1].1.field(0).name(), "X");
    assert_eq!(values(&session, "SELECT y FROM b WHERE \"X\" = 'z'").await, ["2.5"]);
    assert_eq!(
        values(
            &session,
            "SELECT table_name || ' ' || table_type FROM information_schema.tables WHERE table_schema = 'session' \
             ORDER BY 1"
        )
        .await,
        ["a VIEW", "b VIEW", "t LOCAL TEMPORARY"]
    );
    let definition = "SELECT definition FROM information_schema.views WHERE table_name = 'b'";
    assert!(values(&session, definition).await[0].starts_with("CREATE VIEW b (\"X\", y) AS SELECT"));
    for (sql, says) in [
        ("CREATE VIEW c AS SELECT n, n FROM t", "two columns"),
        ("CREATE VIEW c (a) AS SELECT n, s FROM t", "lists 1 columns, but its query returns 2"),
        ("CREATE VIEW c (a, a) AS SELECT n, s FROM t", "two columns"),
        ("CREATE VIEW c AS SELECT n FROM t WHERE n = $1", "has parameters"),
        ("CREATE VIEW c AS SELECT m FROM t", "no column `m`"),
        ("CREATE VIEW c AS SELECT * FROM zzzzz", "line 1, column 32"),
        ("CREATE OR REPLACE VIEW IF NOT EXISTS c AS SELECT 1", "not both"),
        ("CREATE VIEW geo.places.c AS SELECT 1", "domains publish"),
    ] {
        let error = refused(&session, sql).await;
        assert!(error.chain().contains(says), "{sql}: {}", error.chain());
    }
}

#[tokio::test]
async fn a_view_shares_its_name_with_no_table_and_accepts_no_rows() {
    let session = session().await;
    changed(&session, "CREATE VIEW v AS SELECT n FROM t").await;
    for (sql, kind, says) in [
        ("CREATE VIEW v AS SELECT 1 AS n", ErrorKind::AlreadyExists, "already has a view `v`"),
        ("CREATE TABLE v (a INT)", ErrorKind::AlreadyExists, "already has a view `v`"),
        ("CREATE OR REPLACE VIEW t AS SELECT 1 AS n", ErrorKind::AlreadyExists, "already has a table `t`"),
        ("DROP TABLE v", ErrorKind::InvalidQuery, "use DROP VIEW"),
        ("DROP TABLE IF EXISTS v", ErrorKind::InvalidQuery, "use DROP VIEW"),
        ("DROP VIEW t", ErrorKind::InvalidQuery, "use DROP TABLE"),
        ("INSERT INTO v VALUES (1)", ErrorKind::InvalidQuery, "cannot change the view `v`"),
        ("UPDATE v SET n = 1", ErrorKind::InvalidQuery, "cannot change the view `v`"),
        ("DELETE FROM portolan.session.v", ErrorKind::InvalidQuery, "cannot change the view `v`"),
        ("DROP VIEW other", ErrorKind::NotFound, "no view `other`"),
    ] {
        let error = refused(&session, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {}", error.chain());
        assert!(error.context().contains(says), "{sql}: {}", error.chain());
    }
    assert_eq!(changed(&session, "CREATE VIEW IF NOT EXISTS v AS SELECT 'other' AS x").await, 0);
    assert_eq!(values(&session, "SELECT n FROM v ORDER BY 1").await, ["1", "2", "3"]);
    changed(&session, "CREATE OR REPLACE VIEW v AS SELECT 'other' AS x").await;
    assert_eq!(values(&session, "SELECT x FROM v").await, ["other"]);
    assert!(crate::server::is_in_use(&session));
}

#[tokio::test]
async fn names_in_a_view_keep_their_meaning() {
    let session = session().await;
    run(&session, "USE geo.places").await.unwrap();
    // The name of a port, of which the view then takes the place.
    changed(&session, "CREATE VIEW nation AS SELECT n_name FROM nation").await;
    assert_eq!(session.prepare("SELECT * FROM nation").await.unwrap().schema().fields().len(), 1);
    run(&session, "USE sales.orders").await.unwrap();
    assert!(session.prepare("SELECT * FROM nation").await.is_ok());
    // A later table with the name of the port does not take its place.
    changed(&session, "CREATE VIEW r AS SELECT r_name FROM geo.places.region").await;
    run(&session, "USE geo.places").await.unwrap();
    changed(&session, "CREATE VIEW p AS SELECT r_name FROM region").await;
    changed(&session, "CREATE TABLE region AS SELECT 'mine' AS r_name").await;
    let reads_port = session.prepare("SELECT * FROM p").await.unwrap();
    assert_eq!(reads_port.schema().field(0).name(), "r_name");
    let plan = run(&session, "EXPLAIN SELECT * FROM p").await.unwrap();
    assert!(plan.contains("fragment 1 at geo"), "{plan}");
    // A table of the session means the table also when another catalog is current.
    changed(&session, "CREATE VIEW mine AS SELECT r_name FROM region").await;
    run(&session, "USE sales.orders").await.unwrap();
    assert_eq!(values(&session, "SELECT * FROM mine").await, ["mine"]);
}

#[tokio::test]
async fn a_view_over_what_changed_is_an_error() {
    let session = session().await;
    changed(&session, "CREATE VIEW v AS SELECT * FROM t").await;
    changed(&session, "CREATE VIEW w AS SELECT n FROM v").await;
    changed(&session, "DROP TABLE t").await;
    let error = refused(&session, "SELECT * FROM w").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.context(),
        "view `w`: view `v`: it reads the table or view `t`, which was dropped: create `t` again (line 1, column 15)"
    );
    // What does not read the view works.
    assert_eq!(values(&session, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'w'").await, ["1"]);
    changed(&session, "CREATE TABLE t (n INT, s VARCHAR, more INT)").await;
    let error = refused(&session, "SELECT * FROM v").await;
    assert_eq!(
        error.context(),
        "view `v`: its query now returns `more` (INTEGER): create the view again (line 1, column 15)"
    );
    changed(&session, "CREATE OR REPLACE TABLE t (n VARCHAR, s VARCHAR)").await;
    let error = refused(&session, "SELECT * FROM w").await;
    let says = "its query no longer returns `n` (INTEGER) and now returns `n` (VARCHAR): create the view again";
    assert_eq!(error.context(), format!("view `w`: view `v`: {says} (line 1, column 15)"));
    changed(&session, "CREATE OR REPLACE TABLE t (n INT, s VARCHAR)").await;
    assert!(values(&session, "SELECT * FROM w").await.is_empty());
}

#[tokio::test]
async fn no_view_reads_itself() {
    let session = session().await;
    changed(&session, "CREATE VIEW a AS SELECT n FROM t").await;
    changed(&session, "CREATE VIEW b AS SELECT n FROM a").await;
    let error = refused(&session, "CREATE OR REPLACE VIEW a AS SELECT n FROM b").await;
    assert!(error.context().contains("it would read itself: `a` → `b` → `a`"), "{error}");
    let error = refused(&session, "CREATE OR REPLACE VIEW a AS SELECT n FROM a").await;
    assert!(error.context().contains("it would read itself: `a` → `a`"), "{error}");
    assert_eq!(values(&session, "SELECT n FROM b ORDER BY 1").await, ["1", "2", "3"]);
}

/// A statement is planned up to three times, with other names for its columns. The views that it reads are not.
#[tokio::test]
async fn a_view_that_cannot_be_planned_is_planned_once() {
    let session = session().await;
    changed(&session, "CREATE TABLE u (b INT)").await;
    changed(&session, "CREATE VIEW v0 AS SELECT q.m, q.b FROM (SELECT t.n AS m, u.* FROM t, u) AS q").await;
    for level in 1..16 {
        changed(&session, &format!("CREATE VIEW v{level} AS SELECT x.m, x.b FROM v{} AS x", level - 1)).await;
    }
    changed(&session, "CREATE OR REPLACE TABLE u (b INT, m INT)").await;
    let error = refused(&session, "SELECT x.m, x.b FROM v15 AS x").await;
    let context = error.context();
    assert!(context.starts_with("view `v15`: view `v14`: "), "{context}");
    assert!(
        context.contains("view `v0`: ") && context.contains("two columns of a subquery have the same name"),
        "{context}"
    );
}

#[tokio::test]
async fn the_views_of_a_statement_are_bounded() {
    let session = session().await;
    changed(&session, "CREATE VIEW v0 AS SELECT n FROM t").await;
    for level in 1..16 {
        changed(&session, &format!("CREATE VIEW v{level} AS SELECT n FROM v{}", level - 1)).await;
    }
    assert_eq!(values(&session, "SELECT n FROM v15 ORDER BY 1").await, ["1", "2", "3"]);
    let error = refused(&session, "CREATE VIEW v16 AS SELECT n FROM v15").await;
    assert!(error.context().contains("more than 16 levels"), "{error}");
    // A view that the statement also reads in another place is as deep as in its own. Each view is created over one that
    // is not deep yet.
    for level in 0..=17 {
        changed(&session, &format!("CREATE VIEW w{level:02} AS SELECT n FROM t")).await;
    }
    for level in (1..=17).rev() {
        changed(&session, &format!("CREATE OR REPLACE VIEW w{level:02} AS SELECT n FROM w{:02}", level - 1)).await;
    }
    let all: Vec<_> = (0..=17).map(|level| format!("w{level:02}")).collect();
    let error = refused(&session, &format!("SELECT count(*) FROM {}", all.join(", "))).await;
    assert!(error.context().contains("view `w16`: views are nested more than 16 levels"), "{error}");
    // The levels of nested statements count together.
    let sums = |table: &str| format!("SELECT n{} AS n FROM {table}", " + 1".repeat(700));
    changed(&session, &format!("CREATE VIEW s0 AS {}", sums("t"))).await;
    changed(&session, &format!("CREATE VIEW s1 AS {}", sums("s0"))).await;
    let error = refused(&session, &format!("CREATE VIEW s2 AS {}", sums("s1"))).await;
    assert!(error.context().contains("nested more than 2000 levels"), "{error}");
    // Each view reads the one before 30 times.
    let joined = |table: &str| {
        let more: String = (1..30).map(|i| format!(" JOIN {table} a{i} ON a0.n = a{i}.n")).collect();
        format!("SELECT a0.n FROM {table} a0{more}")
    };
    changed(&session, &format!("CREATE VIEW d0 AS {}", joined("t"))).await;
    changed(&session, &format!("CREATE VIEW d1 AS {}", joined("d0"))).await;
    let error = refused(&session, &format!("CREATE VIEW d2 AS {}", joined("d1"))).await;
    assert!(error.context().contains("operators"), "{error}");
    // The statements of the views count together.
    let long = "x".repeat(MOST_STATEMENT_BYTES - 100);
    changed(&session, &format!("CREATE VIEW l1 AS SELECT '{long}' AS s")).await;
    changed(&session, &format!("CREATE VIEW l2 AS SELECT '{long}' AS s")).await;
    let error = refused(&session, "SELECT l1.s FROM l1 JOIN l2 ON l1.s = l2.s").await;
    assert!(error.context().contains("1048576 bytes together"), "{error}");
}

#[tokio::test]
async fn a_view_belongs_to_its_session() {
    let engine = gateway().await;
    let (ann, other) = (engine.session(Principal::new("ann")), engine.session(Principal::new("ann")));
    changed(&ann, "CREATE VIEW v AS SELECT 1 AS n").await;
    assert_eq!(refused(&other, "SELECT * FROM v").await.kind(), ErrorKind::NotFound);
    assert_eq!(refused(&other, "SELECT * FROM portolan.session.v").await.kind(), ErrorKind::NotFound);
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'v'";
    assert_eq!(values(&ann, listed).await, ["1"]);
    assert_eq!(values(&other, listed).await, ["0"]);
    ann.close();
    assert!(ann.views().is_empty());
}

#[tokio::test]
async fn each_reading_of_a_view_evaluates_its_volatile_functions() {
    let session = session().await;
    changed(&session, "CREATE VIEW v AS SELECT (SELECT random()) AS r").await;
    changed(&session, "CREATE VIEW w AS SELECT r FROM v").await;
    for (sql, expected) in [
        ("SELECT a.r = b.r FROM v AS a, v AS b", "false"),
        ("SELECT a.r = b.r FROM w AS a, w AS b", "false"),
        ("SELECT a.r = b.r FROM v AS a, w AS b", "false"),
        ("SELECT r = (SELECT random()) FROM v", "false"),
        ("SELECT r = r FROM v", "true"),
    ] {
        assert_eq!(values(&session, sql).await, [expected], "{sql}");
    }
}
