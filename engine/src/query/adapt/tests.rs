//! Queries over owners in this process, whose actual rows differ from the gateway's estimates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod star;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;

use crate::Session;
use crate::fake_mesh::{OwnerPeer, session_over};

/// The rows of each port. Each port shares a column with the next one.
const ROWS: i64 = 2000;

struct Mesh {
    owners: Vec<Arc<OwnerPeer>>,
    session: Session,
}

impl Mesh {
    async fn new() -> Self {
        let owner = |domain: &str, columns| OwnerPeer::numbered(domain, columns, ROWS);
        Self::of(vec![owner("first", ["a", "b"]), owner("second", ["b", "c"]), owner("third", ["c", "d"])]).await
    }

    /// Returns a gateway whose peers are these owners.
    async fn of(owners: Vec<Arc<OwnerPeer>>) -> Self {
        let session = session_over(&owners).await;
        Self { owners, session }
    }

    async fn rows(&self, sql: &str) -> Vec<RecordBatch> {
        self.session.sql(sql).await.unwrap().try_collect().await.unwrap()
    }

    async fn count(&self, sql: &str) -> i64 {
        let batches = self.rows(&format!("SELECT count(*) FROM ({sql})")).await;
        batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    }

    async fn explained(&self, sql: &str) -> String {
        pretty_format_batches(&self.rows(&format!("EXPLAIN ANALYZE {sql}")).await).unwrap().to_string()
    }

    /// Returns the number of requests to each owner since the previous call.
    fn asked(&self, before: &mut Vec<usize>) -> Vec<usize> {
        let now: Vec<usize> = self.owners.iter().map(|o| o.requests().len()).collect();
        let since = now.iter().zip(before.iter()).map(|(now, before)| now - before).collect();
        *before = now;
        since
    }
}

/// The estimate for an equality is small, but this one lets every row through.
const MORE: &str = "SELECT a, d FROM first.p.t x JOIN second.p.t y ON x.b = y.b JOIN third.p.t z ON y.c = z.c \
                    WHERE x.a % 1 = 0";

#[tokio::test]
async fn what_waits_is_planned_again_and_what_runs_goes_on() {
    let mesh = Mesh::new().await;
    let mut asked = vec![0; 3];
    let text = mesh.explained(MORE).await;
    assert!(text.contains("first gave 2000 rows where"), "{text}");
    assert_eq!(mesh.asked(&mut asked), [1, 1, 1], "nobody is asked twice");
    assert_eq!(mesh.count(MORE).await, ROWS);

    mesh.session.set("portolan.adapt_factor", "100000").unwrap();
    let text = mesh.explained(MORE).await;
    assert!(!text.contains("planned again"), "{text}");
    mesh.asked(&mut asked);
    assert_eq!(mesh.count(MORE).await, ROWS);
    assert_eq!(mesh.asked(&mut asked), [1, 1, 1]);
}

#[tokio::test]
async fn explain_shows_the_passes_that_ran_again() {
    let mesh = Mesh::new().await;
    let rows = mesh.rows(&format!("EXPLAIN ANALYZE VERBOSE {MORE}")).await;
    let kinds = rows[0].column(0).as_string::<i32>();
    let passes: Vec<_> = kinds.iter().flatten().filter_map(|kind| kind.strip_prefix("logical_plan after ")).collect();
    let first = ["analyse", "govern", "normalise", "enclose", "order", "widen", "split", "place", "cut", "share"];
    let again = ["adapt", "order", "widen", "place", "cut", "share"];
    assert_eq!(passes, [first.as_slice(), again.as_slice()].concat());
}

#[tokio::test]
async fn no_row_is_less_than_expected_too() {
    let mesh = Mesh::new().await;
    let none = MORE.replace("x.a % 1 = 0", "x.a % 1 = 1");
    let text = mesh.explained(&none).await;
    assert!(text.contains("first gave 0 rows where"), "{text}");
    assert_eq!(mesh.count(&none).await, 0);
    let outer = "SELECT a, d FROM first.p.t x LEFT JOIN second.p.t y ON x.b = y.b AND y.c % 1 = 1 \
                 LEFT JOIN third.p.t z ON y.c = z.c WHERE x.a % 1 = 0";
    assert_eq!(mesh.count(outer).await, ROWS);
}

#[tokio::test]
async fn what_a_setting_forces_is_not_planned_again() {
    let mesh = Mesh::new().await;
    mesh.session.set("portolan.strategy", "keys_from_left").unwrap();
    let text = mesh.explained(MORE).await;
    assert!(!text.contains("planned again"), "{text}");
}

#[tokio::test]
async fn an_owner_that_fails_fails_the_query() {
    let mesh = Mesh::new().await;
    let sql = MORE.replace("x.a % 1 = 0", "10 / (x.a - 1999) < 1");
    let rows: Result<Vec<RecordBatch>, _> = mesh.session.sql(&sql).await.unwrap().try_collect().await;
    let error = rows.unwrap_err().chain();
    assert!(error.contains("first") && error.contains("division by zero"), "{error}");
}

/// Two faults of DataFusion's rule for cross joins, tested by the number of rows: placed and unplaced execution were
/// equally wrong.
#[tokio::test]
async fn no_condition_is_lost_where_joins_are_taken_apart() {
    let mesh = Mesh::new().await;
    let three = "SELECT x.a FROM first.p.t x, (SELECT DISTINCT b AS h FROM second.p.t WHERE b < 3) y, first.p.t z \
                 WHERE x.a = z.a AND x.b + y.h = z.b";
    let nulls = "(SELECT a, nullif(b % 2, 0) AS h FROM first.p.t WHERE a < 10)";
    let same = format!(
        "SELECT x.a FROM {nulls} x JOIN {nulls} y ON x.h IS NOT DISTINCT FROM y.h JOIN third.p.t z ON z.c = x.a \
         WHERE z.d >= 0"
    );
    let written = "SELECT z.a FROM first.p.t z JOIN (first.p.t x CROSS JOIN (SELECT DISTINCT b AS h FROM second.p.t \
                   WHERE b < 3) y) ON x.a = z.a AND x.b + y.h = z.b";
    for strategy in ["auto", "gather", "keys_from_left", "delegate_to_left", "delegate_to_right"] {
        mesh.session.set("portolan.strategy", strategy).unwrap();
        for placement in ["on", "off"] {
            mesh.session.set("portolan.placement", placement).unwrap();
            assert_eq!(mesh.count(three).await, ROWS, "{strategy}, {placement}");
            assert_eq!(mesh.count(written).await, ROWS, "{strategy}, {placement}");
            assert_eq!(mesh.count(&same).await, 50, "{strategy}, {placement}");
        }
    }
}
