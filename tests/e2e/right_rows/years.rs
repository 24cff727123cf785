//! A nanosecond column is compared with a year that nanoseconds cannot represent, and instants before 1970 are truncated.

use std::sync::Arc;

use arrow::array::{Int64Array, TimestampMicrosecondArray, TimestampNanosecondArray};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

/// The nanoseconds of 2024-01-01, of the last possible instant (in 2262), of 1969-12-31 and NULL. In the west, the
/// microseconds of 9999-12-31, 2024-06-01, the year 1 and NULL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn years_outside_the_range_of_nanoseconds() {
    within(300, async {
        let nanoseconds = vec![Some(1_704_067_200_000_000_000), Some(i64::MAX), Some(-1), None];
        let microseconds =
            vec![Some(253_402_214_400_000_000), Some(1_717_200_000_000_000), Some(-62_135_596_800_000_000), None];
        let east = table(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
            ("at", Arc::new(TimestampNanosecondArray::from(nanoseconds))),
        ]);
        let west = table(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(microseconds))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let ids = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        };
        ids("extract(year FROM at) < 9999", &["1", "2", "3"]).await;
        ids("9999 > extract(year FROM at)", &["1", "2", "3"]).await;
        ids("extract(year FROM at) > 1", &["1", "2", "3"]).await;
        ids("extract(year FROM at) <= 2262", &["1", "2", "3"]).await;
        ids("extract(year FROM at) >= 2262", &["2"]).await;
        ids("extract(year FROM at) = 2262", &["2"]).await;
        ids("extract(year FROM at) = 9999", &[]).await;
        ids("extract(year FROM at) <> 9999", &["1", "2", "3"]).await;
        ids("NOT extract(year FROM at) = 9999", &["1", "2", "3"]).await;
        ids("extract(year FROM at) BETWEEN 1970 AND 9999", &["1", "2"]).await;
        ids("extract(year FROM at) IN (9999, 2024)", &["1"]).await;
        ids("extract(year FROM at) NOT IN (9999, 2024)", &["2", "3"]).await;
        ids("extract(year FROM at) IS DISTINCT FROM 9999", &["1", "2", "3", "4"]).await;
        ids("date_part('year', at) < 3000", &["1", "2", "3"]).await;
        ids("datepart('year', at) < 3000", &["1", "2", "3"]).await;
        ids("extract(year FROM at) = 2024", &["1"]).await;
        ids("extract(month FROM at) = 12", &["3"]).await;
        ids("id > 100 AND extract(year FROM at) < 9999", &[]).await;
        ways.gives(
            "SELECT a.id, count(*) FROM east.samples.a JOIN west.samples.b ON extract(year FROM a.at) < 9999
             AND extract(year FROM b.at) = 9999 GROUP BY a.id",
            &["1|1", "2|1", "3|1"],
        )
        .await;
        ways.gives(
            "SELECT id FROM west.samples.b WHERE id IN (SELECT id FROM east.samples.a WHERE extract(year FROM at) < 5000)
             AND extract(year FROM at) > 2024",
            &["1"],
        )
        .await;
        ways.gives("SELECT extract(year FROM at) < 9999 FROM east.samples.a WHERE id = 4", &["NULL"]).await;
    })
    .await;
}

/// The first instants of nanoseconds in 1677, an instant of the day after, an instant before 1970 and NULL. In the west, an
/// instant before 1970 and one in the year 1, in microseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instants_before_1970_are_truncated_downwards() {
    within(300, async {
        let day = 86_400_000_000_000;
        let nanoseconds = vec![Some(i64::MIN), Some(i64::MIN + 1), Some(i64::MIN + day), Some(-1), None];
        let east = table(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
            ("at", Arc::new(TimestampNanosecondArray::from(nanoseconds))),
        ]);
        let west = table(vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![-100, -62_135_596_799_999_999]))),
        ]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        for part in ["second", "minute", "hour", "day"] {
            for id in [1, 2] {
                let early = format!("SELECT date_trunc('{part}', at) FROM east.samples.a WHERE id = {id}");
                ways.refuses(&early, ErrorKind::InvalidQuery, &["cannot truncate 1677-09-21T00:12:43"]).await;
            }
        }
        // No calendar has this instant.
        let number =
            "SELECT date_trunc('day', arrow_cast(id - 9223372036854775807, 'Timestamp(ms)')) FROM east.samples.a";
        let error = ["cannot truncate -9223372036854775806", "TIMESTAMP(0)"];
        ways.refuses(&format!("{number} WHERE id = 1"), ErrorKind::InvalidQuery, &error).await;
        let later = "FROM east.samples.a WHERE id > 2";
        let truncated = |part: &str, from: &str| format!("SELECT id, date_trunc('{part}', at) {from}");
        ways.gives(&truncated("day", later), &["3|1677-09-22T00:00:00", "4|1969-12-31T00:00:00", "5|NULL"]).await;
        ways.gives(
            &truncated("microsecond", "FROM east.samples.a WHERE id > 3"),
            &["4|1969-12-31T23:59:59.999999", "5|NULL"],
        )
        .await;
        // A group without a value has NULL, with the first instant below it.
        ways.gives(
            "SELECT id, date_trunc('day', max(at) FILTER (WHERE id > 3)) FROM east.samples.a GROUP BY id",
            &["1|NULL", "2|NULL", "3|NULL", "4|1969-12-31T00:00:00", "5|NULL"],
        )
        .await;
        let all = "FROM west.samples.b";
        let (late, first) = ("1969-12-31T23:59:59.999", "0001-01-01T00:00:00");
        ways.gives(&truncated("millisecond", all), &[&format!("1|{late}"), &format!("2|{first}")]).await;
        ways.gives(&truncated("day", all), &["1|1969-12-31T00:00:00", &format!("2|{first}")]).await;
        for (part, instant, expected) in [
            ("millisecond", "1969-12-31 23:59:59.9999", late),
            ("second", "0001-01-01 00:00:00.000001", first),
            ("hour", "0001-01-01 00:00:00.000001", first),
        ] {
            let constant = format!("date_trunc('{part}', TIMESTAMP '{instant}')");
            ways.gives(&format!("SELECT {constant}"), &[expected]).await;
            ways.gives(&format!("SELECT {constant} FROM west.samples.b"), &[expected, expected]).await;
            ways.gives(&format!("SELECT date_trunc('{part}', at) {all} WHERE at = TIMESTAMP '{instant}'"), &[expected])
                .await;
        }
    })
    .await;
}
