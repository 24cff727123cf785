//! Queries with equal parts over owners in this process: the requests to the owners, EXPLAIN, and the rows with and without
//! sharing.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;

use crate::fake_mesh::{OwnerPeer, session_over};
use crate::{Engine, ErrorKind, Limits, Principal, Session};

/// The rows of each port. The ports share the column `b`.
const ROWS: i64 = 50_000;

struct Mesh {
    owners: Vec<Arc<OwnerPeer>>,
    session: Session,
}

impl Mesh {
    async fn new() -> Self {
        let owners =
            vec![OwnerPeer::numbered("first", ["a", "b"], ROWS), OwnerPeer::numbered("second", ["b", "c"], ROWS)];
        let session = session_over(&owners).await;
        // The owners do nothing for one another.
        session.set("portolan.strategy", "gather").unwrap();
        Self { owners, session }
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let batches: Vec<RecordBatch> = self.session.sql(sql).await.unwrap().try_collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    /// Returns the rows of a query with sharing, and the number of requests to each owner. The rows are the same without.
    async fn shared(&self, sql: &str) -> (Vec<String>, [usize; 2]) {
        self.session.set("portolan.share", "off").unwrap();
        let before = self.requests();
        let expected = self.rows(sql).await;
        let without = self.requests();
        self.session.set("portolan.share", "on").unwrap();
        let rows = self.rows(sql).await;
        let with = self.requests();
        assert_eq!(rows, expected, "{sql}");
        assert!([0, 1].into_iter().all(|owner| with[owner] - without[owner] <= without[owner] - before[owner]));
        (rows, [with[0] - without[0], with[1] - without[1]])
    }

    fn requests(&self) -> [usize; 2] {
        [self.owners[0].requests().len(), self.owners[1].requests().len()]
    }

    async fn explained(&self, sql: &str) -> String {
        self.rows(&format!("EXPLAIN {sql}")).await.join("\n")
    }
}

/// A part over two owners, which is joined with itself.
const JOINED: &str = "WITH w AS (SELECT x.a % 10 AS g, count(*) AS n FROM first.p.t x JOIN second.p.t y ON x.b = y.b \
                      GROUP BY x.a % 10) SELECT u.g, u.n, v.n AS m FROM w u JOIN w v ON u.g = v.g AND u.n = v.n";

#[tokio::test]
async fn a_part_over_two_owners_is_computed_once() {
    let mesh = Mesh::new().await;
    let (rows, requests) = mesh.shared(JOINED).await;
    assert!(rows.iter().any(|row| row.contains("| 5000 |")), "{rows:?}");
    assert_eq!(requests, [1, 1]);
    let text = mesh.explained(JOINED).await;
    assert_eq!(text.matches("= shared part 1").count(), 2, "{text}");
    assert_eq!(text.matches("= shared part 1 for 2 readers").count(), 1, "{text}");
    assert_eq!(text.matches("=> fragment").count(), 2, "{text}");
    mesh.session.set("portolan.share", "off").unwrap();
    let text = mesh.explained(JOINED).await;
    assert!(!text.contains("shared part") && text.matches("=> fragment").count() == 4, "{text}");
}

#[tokio::test]
async fn equal_fragments_are_sent_once_under_any_alias() {
    let mesh = Mesh::new().await;
    // A join across owners between the two keeps them apart.
    let sql = "SELECT x.a, z.a AS again, z.b FROM first.p.t x JOIN second.p.t y ON x.b = y.c JOIN first.p.t z ON y.b = z.a + 1 \
               WHERE x.a < 100 AND x.b < 100 AND z.a < 100 AND z.b < 100";
    let (rows, requests) = mesh.shared(sql).await;
    assert!(rows.len() > 90, "{rows:?}");
    assert_eq!(requests, [1, 1]);
    // The conditions have another order.
    let sql = sql.replace("z.a < 100 AND z.b < 100", "z.b < 100 AND z.a < 100");
    let (again, requests) = mesh.shared(&sql).await;
    assert_eq!((again, requests), (rows, [1, 1]));
}

const WIDE: &str = "SELECT x.a % 10 AS g, count(*) AS n, max(x.a) AS most, sum(x.b) AS total FROM";

#[tokio::test]
async fn readers_with_other_columns_share_a_part() {
    let mesh = Mesh::new().await;
    let sql = format!(
        "WITH w AS ({WIDE} first.p.t x JOIN second.p.t y ON x.b = y.b GROUP BY x.a % 10) \
         SELECT u.g, u.n, v.most FROM w u JOIN w v ON v.g = u.g + 1 WHERE u.total = 124995000"
    );
    let (rows, requests) = mesh.shared(&sql).await;
    // The total is that of 4, 14, … 49994.
    assert!(rows.iter().any(|row| row.replace(' ', "") == "|4|5000|49995|"), "{rows:?}");
    assert_eq!(requests, [1, 1]);
    let text = mesh.explained(&sql).await;
    assert!(text.contains("= shared part 1 for 2 readers"), "{text}");
}

#[tokio::test]
async fn an_owner_sends_the_columns_of_all_readers_once() {
    let mesh = Mesh::new().await;
    let sql = format!(
        "WITH w AS ({WIDE} first.p.t x GROUP BY x.a % 10) SELECT g, n FROM w UNION ALL SELECT g, most FROM w \
         UNION ALL SELECT b, c FROM second.p.t WHERE b < 3"
    );
    let (rows, requests) = mesh.shared(&sql).await;
    let row = |wanted: &str| rows.iter().filter(|row| row.replace(' ', "") == wanted).count();
    assert_eq!([row("|4|5000|"), row("|4|49994|"), row("|2|2|")], [1, 1, 1], "{rows:?}");
    assert_eq!(requests, [1, 1]);
}

#[tokio::test]
async fn readers_of_every_kind_get_all_rows() {
    let mesh = Mesh::new().await;
    let part = "SELECT x.a, y.c FROM first.p.t x JOIN second.p.t y ON x.b = y.b";
    for sql in [
        // The whole part is built before the other reader starts.
        format!("WITH w AS ({part}) SELECT count(*) FROM w u JOIN w v ON u.a = v.c"),
        // Each reader reads to its end by itself, one of them only a few rows.
        format!("WITH w AS ({part}) SELECT a, c FROM w UNION ALL (SELECT a, c FROM w ORDER BY a LIMIT 3)"),
        format!("WITH w AS ({part}) SELECT count(*) FROM (SELECT a, c FROM w INTERSECT SELECT a, c FROM w)"),
        format!("WITH w AS ({part}) SELECT count(*) FROM (SELECT a, c FROM w EXCEPT SELECT a, c FROM w)"),
        // One reader has no rows to match, and may stop at once.
        format!("WITH w AS ({part}) SELECT count(*) FROM w u JOIN (SELECT a, c FROM w WHERE a + c < 0) v ON u.a = v.a"),
        // A subquery reads the part.
        format!("WITH w AS ({part}) SELECT count(*) FROM w WHERE a < (SELECT avg(a) FROM w)"),
        format!(
            "WITH w AS ({part}) SELECT count(*) FROM w WHERE a IN (SELECT c FROM w) AND c NOT IN (SELECT a + 1 FROM w)"
        ),
        // A part within a part.
        format!(
            "WITH w AS ({part}), v AS (SELECT p.a, count(*) AS n FROM w p JOIN w q ON p.a = q.c GROUP BY p.a) \
             SELECT count(*) FROM v x JOIN v y ON x.a = y.a AND x.n = y.n"
        ),
    ] {
        mesh.shared(&sql).await;
    }
}

#[tokio::test]
async fn a_failed_part_fails_the_query() {
    let mesh = Mesh::new().await;
    let sql = JOINED.replace("x.a % 10", "10 / (x.a - 49999)");
    let rows: Result<Vec<RecordBatch>, _> = mesh.session.sql(&sql).await.unwrap().try_collect().await;
    let error = rows.unwrap_err().chain();
    assert!(error.contains("division by zero"), "{error}");
}

#[tokio::test]
async fn volatile_functions_are_evaluated_for_each_part() {
    let mesh = Mesh::new().await;
    let part = "SELECT max(random()) AS r FROM first.p.t";
    let sql = format!("SELECT count(DISTINCT r) AS n FROM ({part} UNION ALL {part})");
    let rows = mesh.rows(&sql).await;
    assert!(rows.iter().any(|row| row.contains("| 2 |")), "{rows:?}");
}

#[tokio::test]
async fn an_owner_computes_the_equal_parts_of_a_fragment_once() {
    let mesh = Mesh::new().await;
    let sql = "WITH w AS (SELECT a % 10 AS g, count(*) AS n FROM first.p.t GROUP BY a % 10) \
               SELECT u.g, v.n FROM w u JOIN w v ON u.g = v.g AND u.n = v.n";
    let (_, requests) = mesh.shared(sql).await;
    assert_eq!(requests, [1, 0]);
}

#[tokio::test]
async fn a_query_that_must_run_once_reads_its_owner_once() {
    let mesh = Mesh::new().await;
    for share in ["on", "off"] {
        mesh.session.set("portolan.share", share).unwrap();
        for (sql, expected) in [
            // Each row of an owner has one value for both readers.
            (
                "WITH r AS (SELECT b, random() AS x FROM first.p.t) SELECT count(*) AS n FROM r u JOIN r v USING (x)",
                ROWS,
            ),
            ("WITH r AS (SELECT b FROM first.p.t LIMIT 9) SELECT count(*) AS n FROM r u JOIN r v USING (b)", 9),
            // A filter of one reader stays above the limit.
            (
                "WITH r AS (SELECT b FROM first.p.t LIMIT 9) SELECT count(*) AS n FROM \
                 (SELECT b FROM r UNION ALL SELECT b FROM r WHERE b < 0)",
                9,
            ),
            (
                "WITH r AS (SELECT b FROM first.p.t LIMIT 9) SELECT count(*) AS n FROM r u JOIN second.p.t y ON u.b = y.b \
                 JOIN r v ON v.b = y.c",
                9,
            ),
        ] {
            let before = mesh.requests();
            let rows = mesh.rows(sql).await;
            assert!(rows.iter().any(|row| row.trim_matches(['|', ' ']) == expected.to_string()), "{sql}: {rows:?}");
            let reads_second = sql.contains("second");
            assert_eq!(mesh.requests(), [before[0] + 1, before[1] + usize::from(reads_second)], "{sql}, share {share}");
        }
    }
}

#[tokio::test]
async fn a_part_whose_joins_send_keys_is_computed_once() {
    let mesh = Mesh::new().await;
    mesh.session.set("portolan.strategy", "keys_from_left").unwrap();
    let (rows, requests) = mesh.shared(JOINED).await;
    assert!(rows.iter().any(|row| row.contains("| 5000 |")), "{rows:?}");
    assert_eq!(requests, [1, 1]);
}

#[tokio::test]
async fn parts_over_tables_of_this_node_are_computed_once() {
    let session = Engine::builder().build().unwrap().session(Principal::anonymous());
    let run = async |sql: &str| -> Vec<RecordBatch> { session.sql(sql).await.unwrap().try_collect().await.unwrap() };
    run("CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 1000)").await;
    let sql = "WITH w AS (SELECT a % 10 AS g, count(*) AS n FROM t GROUP BY a % 10) \
               SELECT u.g, v.n FROM w u JOIN w v ON u.g = v.g AND u.n = v.n";
    assert_eq!(run(sql).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    let text = pretty_format_batches(&run(&format!("EXPLAIN ANALYZE {sql}")).await).unwrap().to_string();
    assert!(text.contains("SharedExec: part=1, readers=2"), "{text}");
    // Another run has a part of its own.
    for _ in 0..2 {
        assert_eq!(run(sql).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    }
}

/// A query whose second reading starts when the first one has ended, over 40 MB of values.
const LAGGING: &str = "WITH r AS (SELECT random() AS x FROM generate_series(1, 5000000)) \
                       SELECT count(*) AS n FROM (SELECT max(x) AS m FROM r) a JOIN r b ON a.m = b.x";

#[tokio::test]
async fn rows_that_wait_beyond_the_memory_of_the_query_go_to_disk_up_to_its_limit() {
    let session =
        |limits| Engine::builder().cpu_threads(2).limits(limits).build().unwrap().session(Principal::anonymous());
    let limits = Limits { query_memory: 8 << 20, ..Limits::default() };
    let rows: Vec<RecordBatch> = session(limits.clone()).sql(LAGGING).await.unwrap().try_collect().await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    assert!(text.contains("| 1 |"), "{text}");
    let rows =
        session(Limits { spill_bytes: 16 << 20, ..limits }).sql(LAGGING).await.unwrap().try_collect::<Vec<_>>().await;
    let error = rows.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    // The share of the principal, or the limit of the node.
    assert!(error.context().contains("spill"), "{error}");
}
