//! Values of unrelated types are not compared, and the message shows what to write.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// Days 1970-01-01, 2024-01-01 and NULL; `n` is 0, 1998 and NULL in both domains.
async fn ways() -> Ways {
    let east = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(19_723), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_704_067_200_000_000), None]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(43_200_000_000), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("n", Arc::new(Int64Array::from(vec![Some(0), Some(1_998), None]))),
    ]);
    let west = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("n", Arc::new(Int64Array::from(vec![Some(0), Some(1_998), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.0), Some(1_998.0), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("1970-01-01"), Some("2024-01-01"), None]))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_of_unrelated_types_are_refused() {
    within(300, async {
        let ways = ways().await;
        let refuses = async |sql: &str, says: &[&str]| ways.refuses(sql, ErrorKind::InvalidQuery, says).await;
        let day_and_number = ["a date cannot be compared with a number", "extract(year FROM", "DATE '2024-12-31'"];
        refuses("SELECT date '2024-01-01' > 1998", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE day > 1998", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE day IN (DATE '2024-01-01', 1998)", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE day BETWEEN 1990 AND 1999", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE day IS DISTINCT FROM n", &day_and_number).await;
        refuses("SELECT a.id FROM east.samples.a JOIN west.samples.b ON a.day = b.n", &day_and_number).await;
        refuses(
            "SELECT a.id FROM east.samples.a LEFT JOIN west.samples.b ON a.id = b.id AND a.day < b.x",
            &day_and_number,
        )
        .await;
        refuses("SELECT id FROM east.samples.a WHERE day IN (SELECT n FROM west.samples.b)", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE day > (SELECT max(n) FROM west.samples.b)", &day_and_number).await;
        refuses(
            "SELECT id FROM west.samples.b WHERE EXISTS (SELECT 1 FROM east.samples.a WHERE a.day = b.n)",
            &["a date cannot be compared with a number"],
        )
        .await;
        refuses("SELECT CASE day WHEN 1998 THEN 'a' END FROM east.samples.a", &day_and_number).await;
        refuses("SELECT id, max(day) FROM east.samples.a GROUP BY id HAVING max(day) > 1998", &day_and_number).await;
        refuses("SELECT id FROM east.samples.a WHERE at > 1998", &["a timestamp cannot be compared with a number"])
            .await;
        refuses("SELECT id FROM east.samples.a WHERE day = time", &["a date cannot be compared with a time"]).await;
        refuses("SELECT id FROM east.samples.a WHERE at > TIME '12:00:00'", &["CAST(", "AS TIME)"]).await;
        refuses(
            "SELECT id FROM east.samples.a WHERE flag = 1",
            &["a boolean cannot be compared with a number", "CAST"],
        )
        .await;
        refuses("SELECT id FROM east.samples.a WHERE time > n", &["a time cannot be compared with a number"]).await;
        refuses("SELECT id FROM east.samples.a WHERE day = INTERVAL '1 day'", &["a date", "an interval"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_of_unrelated_types_are_refused() {
    within(300, async {
        let ways = ways().await;
        let refuses = async |sql: &str, says: &[&str]| ways.refuses(sql, ErrorKind::InvalidQuery, says).await;
        refuses("SELECT day FROM east.samples.a UNION ALL SELECT n FROM west.samples.b", &["a date", "a number"]).await;
        refuses("SELECT n FROM west.samples.b UNION SELECT day FROM east.samples.a", &["a number", "a date"]).await;
        refuses("SELECT day FROM east.samples.a UNION ALL SELECT time FROM east.samples.a", &["a date", "a time"])
            .await;
        refuses("SELECT day FROM east.samples.a INTERSECT SELECT n FROM west.samples.b", &["a date", "a number"]).await;
        refuses("SELECT coalesce(day, 0) FROM east.samples.a", &["`coalesce`", "(DATE, BIGINT)"]).await;
        refuses("SELECT nullif(day, 0) FROM east.samples.a", &["a date", "a number"]).await;
        refuses("SELECT CASE WHEN flag THEN day ELSE n END FROM east.samples.a", &["a date", "a number"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn related_types_are_compared() {
    within(300, async {
        let ways = ways().await;
        ways.gives("SELECT id FROM east.samples.a WHERE extract(year FROM day) > 1998", &["2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE day + 7 > DATE '2024-01-07'", &["2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE day > '1998-01-01'", &["2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE n = '1998'", &["2"]).await;
        ways.gives("SELECT a.id FROM east.samples.a JOIN west.samples.b ON a.day = b.s", &["1", "2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE day = at", &["1", "2"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE day = NULL OR flag IS DISTINCT FROM NULL", &["1", "2"]).await;
        ways.gives(
            "SELECT coalesce(day, DATE '9999-12-31') FROM east.samples.a WHERE id > 1",
            &["2024-01-01", "9999-12-31"],
        )
        .await;
        ways.gives("SELECT CASE WHEN flag THEN n ELSE 'none' END FROM east.samples.a", &["0", "none", "none"]).await;
    })
    .await;
}

/// Three periods: of 48 hours, of 30 days and a second, and of unknown length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intervals_are_compared_by_their_length() {
    within(300, async {
        let times = |seconds: [i64; 3]| TimestampMicrosecondArray::from_iter_values(seconds.map(|s| s * 1_000_000));
        let east =
            table(vec![("id", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("since", Arc::new(times([0, 86_400, 0])))]);
        let till = [Some(172_800_000_000), Some((31 * 86_400 + 1) * 1_000_000), None];
        let west = table(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("till", Arc::new(TimestampMicrosecondArray::from_iter(till))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let join = "SELECT a.id FROM east.samples.a JOIN west.samples.b ON a.id = b.id AND till - since";
        ways.gives(&format!("{join} > INTERVAL '1 day'"), &["1", "2"]).await;
        ways.gives(&format!("{join} = INTERVAL '2 days'"), &["1"]).await;
        ways.gives(&format!("{join} = INTERVAL '1 day 24 hours'"), &["1"]).await;
        ways.gives(&format!("{join} <= INTERVAL '1 month'"), &["1"]).await;
        ways.gives(&format!("{join} BETWEEN INTERVAL '47 hours' AND INTERVAL '49 hours'"), &["1"]).await;
        ways.gives(&format!("{join} > INTERVAL '172799999999999 nanoseconds'"), &["1", "2"]).await;
        ways.gives(&format!("{join} > INTERVAL '172800000000001 nanoseconds'"), &["2"]).await;
        ways.gives(
            "SELECT INTERVAL '25 hours' > INTERVAL '1 day', INTERVAL '1 day' = INTERVAL '24 hours'",
            &["true|true"],
        )
        .await;
        // Set operations compare rows as UNION and DISTINCT do: intervals by their months, days and nanoseconds.
        let spans = "SELECT CASE WHEN id = 1 THEN INTERVAL '1 day' ELSE INTERVAL '2 hours' END AS span FROM";
        let both = |operation: &str| {
            format!(
                "SELECT count(*) FROM ({spans} east.samples.a {operation} {spans} west.samples.b WHERE id > 1) AS t"
            )
        };
        ways.gives(&both("INTERSECT"), &["1"]).await;
        ways.gives(&both("EXCEPT"), &["1"]).await;
        ways.gives(&both("INTERSECT ALL"), &["2"]).await;
        ways.gives(&both("UNION"), &["2"]).await;
        ways.refuses(
            "SELECT id FROM (SELECT id, CASE WHEN id = 1 THEN INTERVAL '1 day' ELSE INTERVAL '25 hours' END AS span
             FROM east.samples.a) AS t WHERE span > INTERVAL '1 day'",
            ErrorKind::InvalidQuery,
            &["an interval of a column cannot be compared", "since + span > till"],
        )
        .await;
    })
    .await;
}
