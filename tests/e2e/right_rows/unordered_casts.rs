//! Casts that do not keep the order of values: the bounds of a column say nothing about the results.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

async fn ways() -> Ways {
    // 00:30 of one day, 18:00 of the next, 01:00 three days later.
    let at = vec![Some(HOUR / 2), Some(DAY + 18 * HOUR), Some(4 * DAY + HOUR), None];
    let east = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(at))),
        ("x", Arc::new(Int64Array::from(vec![Some(-1), Some(0), Some(1), None]))),
        ("n", Arc::new(Int64Array::from(vec![9, 10, 10, 11]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(false), None]))),
    ]);
    let west = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("s", Arc::new(StringArray::from(vec!["9", "10", "100"]))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_not_skipped_by_the_bounds_of_a_cast() {
    within(300, async {
        let ways = ways().await;
        let ids = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        };
        ids("CAST(at AS TIME) > TIME '12:00:00'", &["2"]).await;
        ids("CAST(at AS TIME) = TIME '18:00:00'", &["2"]).await;
        ids("CAST(at AS TIME) BETWEEN TIME '17:00:00' AND TIME '19:00:00'", &["2"]).await;
        ids("CAST(at AS TIME) IN (TIME '18:00:00', TIME '19:00:00')", &["2"]).await;
        ids("TRY_CAST(at AS TIME) > TIME '12:00:00'", &["2"]).await;
        ids("CAST(x AS BOOLEAN) IS FALSE", &["2"]).await;
        ids("NOT CAST(x AS BOOLEAN)", &["2"]).await;
        ids("CAST(n AS VARCHAR) < '2'", &["2", "3", "4"]).await;
        ids("CAST(n AS VARCHAR) = '9'", &["1"]).await;
        ids("CAST(n AS VARCHAR) LIKE '1%'", &["2", "3", "4"]).await;
        ids("n IN (SELECT CAST(s AS BIGINT) FROM west.samples.b WHERE CAST(s AS BIGINT) < 50)", &["1", "2", "3"]).await;
        ids("CAST(NOT b AS BIGINT) = 1", &["3"]).await;
        ids("CAST(NOT b AS BIGINT) < 1", &["1", "2"]).await;
        ids("CAST(CAST(NOT b AS INT) AS DOUBLE) <> 0.5", &["1", "2", "3"]).await;
        ids("-CAST(NOT b AS INT) = -1", &["3"]).await;
        ids("CAST(NOT NOT b AS BIGINT) = 1", &["1", "2"]).await;
        ids("CAST(b = false AS INT) IN (1, 2)", &["3"]).await;
        ids("NOT b = true", &["3"]).await;
        // These keep the order.
        ids("CAST(b AS BIGINT) = 0", &["3"]).await;
        ids("CAST(at AS DATE) = DATE '1970-01-02'", &["2"]).await;
        ids("CAST(n AS DOUBLE) > 10.5", &["4"]).await;
        ids("CAST(n AS DECIMAL(10, 2)) < 9.01", &["1"]).await;
        ways.gives(
            "SELECT b.id FROM west.samples.b b JOIN east.samples.a a ON CAST(a.n AS VARCHAR) = b.s AND a.id < 3",
            &["1", "2"],
        )
        .await;
        ways.gives("SELECT id FROM east.samples.a ORDER BY CAST(n AS VARCHAR) DESC, id LIMIT 1", &["1"]).await;
        // The filter of the join reaches the file, also if the column is negated further down.
        ways.gives(
            "SELECT a.id FROM west.samples.b b JOIN (SELECT id, CAST(c AS BIGINT) AS y \
             FROM (SELECT id, NOT b AS c FROM east.samples.a)) a ON a.y = b.id WHERE b.s = '9'",
            &["3"],
        )
        .await;
        ways.gives(
            "SELECT a.id FROM west.samples.b b \
             JOIN (SELECT id, CAST(NOT b AS BIGINT) AS y FROM east.samples.a) a ON a.y = b.id WHERE b.s = '9'",
            &["3"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn min_and_max_are_those_of_the_cast_values() {
    within(300, async {
        let ways = ways().await;
        let both = "min(v), max(v)";
        for (values, expected) in [
            ("CAST(n AS VARCHAR) AS v FROM east.samples.a", "10|9"),
            ("CAST(s AS BIGINT) AS v FROM west.samples.b", "9|100"),
            ("CAST(at AS TIME) AS v FROM east.samples.a", "00:30:00|18:00:00"),
            ("CAST(x AS BOOLEAN) AS v FROM east.samples.a", "false|true"),
            ("CAST(CAST(n AS VARCHAR) AS BIGINT) AS v FROM east.samples.a", "9|11"),
            ("CAST(n AS DOUBLE) AS v FROM east.samples.a", "9.0|11.0"),
        ] {
            ways.gives(&format!("SELECT {both} FROM (SELECT {values})"), &[expected]).await;
        }
        ways.gives("SELECT min(CAST(s AS BIGINT)), max(CAST(s AS BIGINT)) FROM west.samples.b", &["9|100"]).await;
        ways.gives("SELECT count(CAST(x AS BOOLEAN)), count(CAST(n AS VARCHAR)) FROM east.samples.a", &["3|4"]).await;
    })
    .await;
}

/// A literal is one distinct value, unless the table has no rows or the literal is NULL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_literals_are_counted() {
    within(300, async {
        let ways = ways().await;
        let count = "SELECT count(DISTINCT l), count(DISTINCT m) FROM";
        ways.gives(&format!("{count} (SELECT 1 AS l, 2 AS m FROM east.samples.a WHERE id > 9)"), &["0|0"]).await;
        ways.gives(&format!("{count} (SELECT 1 AS l, 2 AS m FROM east.samples.a)"), &["1|1"]).await;
        ways.gives(&format!("{count} (SELECT CAST(NULL AS INT) AS l, 2 AS m FROM east.samples.a)"), &["0|1"]).await;
        ways.gives(&format!("{count} (SELECT n AS l, 'm' AS m FROM east.samples.a)"), &["3|1"]).await;
        ways.gives(&format!("{count} (SELECT x AS l, n AS m FROM east.samples.a WHERE id < 4)"), &["3|2"]).await;
    })
    .await;
}
