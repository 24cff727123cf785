//! `WITH` queries with volatile functions and limits: all readings get the same rows, with and without sharing.

#![allow(clippy::unwrap_used)]

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;

use crate::{Engine, ErrorKind, Principal, Session};

/// A query with 300 values that differ from run to run.
const RANDOM: &str = "WITH r AS (SELECT random() AS x FROM generate_series(1, 300))";
/// A query that could return any 7 of 100 rows.
const LIMITED: &str = "WITH r AS (SELECT value AS v FROM generate_series(1, 100) LIMIT 7)";

fn session() -> Session {
    Engine::builder().cpu_threads(2).build().unwrap().session(Principal::anonymous())
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    text.lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches(['|', ' ']).to_owned())
        .collect()
}

/// Checks the only row of a query, with and without sharing.
async fn returns(session: &Session, sql: &str, expected: &str) {
    for share in ["on", "off"] {
        session.set("portolan.share", share).unwrap();
        assert_eq!(rows(session, sql).await, [expected], "{sql} with share {share}");
    }
}

#[tokio::test]
async fn readings_of_volatile_functions_get_the_same_values() {
    let session = session();
    for (query, expected) in [
        ("SELECT count(*) FROM r a JOIN r b USING (x)", "300"),
        ("SELECT count(*) FROM r WHERE x IN (SELECT x FROM r)", "300"),
        ("SELECT count(*) FROM r WHERE x NOT IN (SELECT x FROM r)", "0"),
        ("SELECT count(*) FROM (SELECT x FROM r EXCEPT SELECT x FROM r)", "0"),
        // Each reader has a filter of its own.
        ("SELECT (SELECT count(*) FROM r WHERE x < 0.5) + (SELECT count(*) FROM r WHERE x >= 0.5)", "300"),
        ("SELECT count(*) FROM (SELECT x FROM r WHERE x < 0.5) a FULL JOIN r b ON a.x = b.x", "300"),
        // Another column list, another alias, another order.
        (
            "SELECT max(a.y) = min(b.x) FROM (SELECT 2 * max(x) AS y FROM r) a, (SELECT 2 * x AS x FROM r ORDER BY x DESC LIMIT 1) b",
            "true",
        ),
        // A query that reads it, read twice itself.
        (", s AS (SELECT a.x FROM r a JOIN r b USING (x)) SELECT count(*) FROM s a JOIN s b USING (x)", "300"),
        (", s AS (SELECT x + 1 AS x FROM r) SELECT count(*) FROM s a JOIN s b USING (x)", "300"),
        // One reader reads nothing.
        ("SELECT count(*) FROM (SELECT x FROM r UNION ALL (SELECT x FROM r LIMIT 0))", "300"),
        // An alias that is the name.
        ("SELECT count(*) FROM r AS r JOIN r AS b USING (x)", "300"),
        ("SELECT count(*) FROM r AS \"r\" JOIN r AS b ON r.x = b.x JOIN r AS \"R\" ON \"R\".x = b.x", "300"),
    ] {
        returns(&session, &format!("{RANDOM}{}{query}", if query.starts_with(',') { "" } else { " " }), expected).await;
    }
}

#[tokio::test]
async fn other_relations_may_have_the_name() {
    let session = session();
    for (query, expected) in [
        // The alias of another relation, of a subquery, of a reading, and of another `WITH` query.
        ("SELECT count(*) FROM r a JOIN r b USING (x) CROSS JOIN (SELECT 1) AS r", "300"),
        ("SELECT count(*) FROM r a JOIN (SELECT x FROM r) AS r USING (x)", "300"),
        (", s AS (SELECT x FROM r) SELECT count(*) FROM r AS s JOIN s AS r ON r.x = s.x", "300"),
        // Column lists, and names in quotes.
        (", s (y) AS (SELECT x FROM r) SELECT count(*) FROM s a JOIN s b USING (y) CROSS JOIN (SELECT 1) AS s", "300"),
        (", \"WITH r 1\" AS (SELECT x FROM r) SELECT count(*) FROM r a JOIN \"WITH r 1\" AS r USING (x)", "300"),
        // Columns with equal names.
        (
            ", s AS (SELECT a.x, b.x AS y FROM r a JOIN r b ON a.x = b.x) SELECT count(*) FROM s a JOIN s b ON a.x = b.y \
             CROSS JOIN (SELECT 1) AS s",
            "300",
        ),
        // A recursive query of the same WITH.
        (
            ", n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT count(*) FROM r a JOIN r b USING (x), n, \
             (SELECT 1) AS r",
            "900",
        ),
    ] {
        let with = if query.contains(" n AS ") { RANDOM.replace("WITH", "WITH RECURSIVE") } else { RANDOM.to_owned() };
        returns(&session, &format!("{with}{}{query}", if query.starts_with(',') { "" } else { " " }), expected).await;
    }
    // A limit leaves other rows to each reading, if it runs for each.
    let limited = "WITH r AS (SELECT random() AS v FROM generate_series(1, 100) LIMIT 7)";
    returns(&session, &format!("{limited} SELECT count(*) FROM r a JOIN r b USING (v), (SELECT 1) AS r"), "7").await;
}

#[tokio::test]
async fn nothing_of_one_reading_gets_below_a_limit() {
    let session = session();
    for (query, expected) in [
        ("SELECT count(*) FROM r a JOIN r b USING (v)", "7"),
        ("SELECT count(*) FROM r a JOIN (SELECT v FROM r WHERE v % 2 = 0) b USING (v) WHERE a.v % 2 = 1", "0"),
        // A condition without columns.
        ("SELECT count(*) FROM (SELECT v FROM r UNION ALL SELECT v FROM r WHERE (SELECT count(*) FROM r) > 99)", "7"),
        ("SELECT count(*) FROM (SELECT v FROM r UNION ALL SELECT v FROM r WHERE false)", "7"),
        ("SELECT count(*) FROM (SELECT v FROM r AS r UNION ALL SELECT v FROM r WHERE v < 0)", "7"),
        ("SELECT count(*) FROM (SELECT v FROM r UNION ALL (SELECT v FROM r LIMIT 2))", "9"),
    ] {
        returns(&session, &format!("{LIMITED} {query}"), expected).await;
    }
    session.set("portolan.share", "off").unwrap();
    let text = rows(&session, &format!("EXPLAIN {LIMITED} SELECT a.v FROM r a JOIN r b USING (v)")).await.join("\n");
    assert_eq!(text.matches("= shared part 1").count(), 2, "{text}");
    assert_eq!(text.matches("= shared part 1 for 2 readers").count(), 1, "{text}");
}

/// The part need not run once for all readings: without sharing, each runs its own.
#[tokio::test]
async fn a_limit_in_a_full_order_leaves_nothing_to_chance() {
    let session = session();
    rows(
        &session,
        "CREATE TABLE t AS SELECT value % 100 AS k, value % 10 AS d, value AS v FROM generate_series(1, 1000)",
    )
    .await;
    session.set("portolan.share", "off").unwrap();
    let readings = "SELECT count(*) FROM (SELECT * FROM r LIMIT 99) a JOIN r b ON a.x = b.x";
    for (query, is_full) in [
        ("SELECT k AS x, sum(v) AS s FROM t GROUP BY k ORDER BY s DESC, x LIMIT 7", true),
        ("SELECT x FROM (SELECT k AS x, d, max(v) AS m FROM t GROUP BY k, d) q ORDER BY m, d, x LIMIT 7", true),
        ("SELECT DISTINCT k AS x FROM t ORDER BY x LIMIT 7", true),
        ("SELECT k AS x FROM t GROUP BY k ORDER BY k LIMIT 7", true),
        // Equal values of `d` are in any order.
        ("SELECT x FROM (SELECT k AS x, d, max(v) AS m FROM t GROUP BY k, d) q ORDER BY m, d LIMIT 7", false),
        ("SELECT k AS x FROM t ORDER BY k LIMIT 7", false),
        ("SELECT k AS x, sum(v) AS s FROM t GROUP BY k LIMIT 7", false),
        ("SELECT k % 50 AS x, s FROM (SELECT k, sum(v) AS s FROM t GROUP BY k) q ORDER BY x, s LIMIT 7", false),
        // Values that depend on the order of rows.
        ("SELECT k AS x, first_value(v) AS f FROM t GROUP BY k ORDER BY f, x LIMIT 7", false),
        (
            "SELECT x, count(*) AS n FROM (SELECT k AS x, row_number() OVER (ORDER BY d) AS i FROM t) q WHERE i < 500 GROUP BY x ORDER BY n, x LIMIT 7",
            false,
        ),
        (
            "SELECT CAST(s AS BIGINT) AS x, count(*) AS n FROM (SELECT k, sum(CAST(v AS DOUBLE)) AS s FROM t GROUP BY k) q GROUP BY CAST(s AS BIGINT) ORDER BY x LIMIT 7",
            false,
        ),
        // The digits of a sum of floats depend on the order in which it is summed up.
        ("SELECT k AS x, sum(CAST(v AS DOUBLE)) AS s FROM t GROUP BY k ORDER BY s, x LIMIT 7", false),
        // One group of a grouping set may be in another one.
        ("SELECT k AS x FROM t GROUP BY ROLLUP (k) ORDER BY k LIMIT 7", false),
        // Another limit below.
        ("SELECT k AS x FROM (SELECT k FROM t LIMIT 50) q GROUP BY k ORDER BY k LIMIT 7", false),
    ] {
        let text = rows(&session, &format!("EXPLAIN WITH r AS ({query}) {readings}")).await.join("\n");
        assert_eq!(!text.contains("shared part"), is_full, "{query}\n{text}");
    }
}

#[tokio::test]
async fn a_query_that_is_read_once_is_no_part() {
    let session = session();
    let text = rows(&session, &format!("EXPLAIN {LIMITED} SELECT v FROM r")).await.join("\n");
    assert!(!text.contains("shared part"), "{text}");
    returns(&session, &format!("{RANDOM} SELECT count(*) FROM r WHERE x = x"), "300").await;
}

#[tokio::test]
async fn each_reading_of_a_view_is_evaluated_on_its_own() {
    let session = session();
    rows(&session, "CREATE VIEW v AS WITH r AS (SELECT random() AS x) SELECT a.x, a.x = b.x AS same FROM r a, r b")
        .await;
    rows(&session, "CREATE VIEW w AS WITH r AS (SELECT random() AS x) SELECT x FROM r").await;
    returns(&session, "SELECT same FROM v", "true").await;
    returns(&session, "SELECT a.same AND b.same AND a.x <> b.x FROM v a, v b", "true").await;
    returns(&session, "SELECT a.x <> b.x FROM w a, w b", "true").await;
    returns(&session, "WITH q AS (SELECT x FROM v) SELECT a.x = b.x FROM q a, q b", "true").await;
}

#[tokio::test]
async fn copies_of_a_subquery_keep_one_value() {
    let session = session();
    let having = "SELECT (SELECT max(x) + random() FROM q) AS r, count(*) AS n FROM generate_series(1, 3)";
    for with in [
        "WITH q AS (SELECT 0.0 AS x)",
        "WITH p AS (SELECT random() AS x), q AS (SELECT a.x - b.x AS x FROM p a JOIN p b USING (x))",
    ] {
        // Two values would differ in one run out of four.
        for _ in 0..20 {
            let sql = format!("{with} SELECT count(*) FROM ({having} HAVING r < 0.5) AS t WHERE r >= 0.5");
            assert_eq!(rows(&session, &sql).await, ["0"], "{sql}");
        }
    }
}

#[tokio::test]
async fn statements_that_store_rows_and_parameters_have_shared_parts() {
    let session = session();
    rows(&session, &format!("CREATE TABLE t AS {RANDOM} SELECT a.x = b.x AS same FROM r a JOIN r b USING (x)")).await;
    returns(&session, "SELECT count(*) FROM t WHERE same", "300").await;
}

#[tokio::test]
async fn what_cannot_run_once_is_refused() {
    let session = session();
    for (sql, part) in [
        (
            "WITH RECURSIVE r AS (SELECT random() AS x), t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t, r a, r b \
             WHERE n < 3 AND a.x = b.x) SELECT count(*) FROM t",
            "`r` has a limit or calls a volatile function, and a recursive query reads it in each round",
        ),
        (
            "WITH RECURSIVE r AS (SELECT random() AS x), t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t, r a, r b \
             WHERE n < 3 AND a.x = b.x) SELECT count(*) FROM t AS r",
            "`r` has a limit or calls a volatile function, and a recursive query reads it in each round",
        ),
        (
            "WITH RECURSIVE t AS (SELECT random() AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) \
             SELECT count(*) FROM t a JOIN t b USING (n), (SELECT 1) AS t",
            "is recursive and another relation has its name",
        ),
        (
            "SELECT (WITH r AS (SELECT v FROM generate_series(1, 9) AS s(v) WHERE v > o.v LIMIT 1) SELECT count(*) FROM r a \
             JOIN r b USING (v)) FROM generate_series(1, 3) AS o(v)",
            "it reads columns of the query around it",
        ),
    ] {
        let error = match session.sql(sql).await {
            Err(error) => error,
            Ok(rows) => rows.try_collect::<Vec<_>>().await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
        assert!(error.context().contains(part), "{sql}: {error}");
    }
}
