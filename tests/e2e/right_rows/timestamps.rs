//! Timestamps that nanoseconds cannot hold can be read, written and compared, and timestamps of all units can be
//! compared.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Date32Array, Int64Array, Time32SecondArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table, write_parquet};

use super::folders::Folders;

/// 2024-01-01 in seconds.
const NEW_YEAR: i64 = 1_704_067_200;
/// 9999-12-31 in seconds.
const FOREVER: i64 = 253_402_214_400;

/// Events in the east, in nanoseconds: new year; new year and one nanosecond; one nanosecond before 1970; NULL. Their
/// `time` is 00:00, 12:00, 12:00:00.5 and NULL. `noon` is `time` in seconds, truncated.
///
/// Periods in the west: from 2023-12-31 to new year in microseconds; from new year to 9999-12-31; from the year 1 to
/// 1970; from new year to NULL. `ms` and `s` are `since` in milliseconds and seconds, `day` is the day of `till`.
async fn ways() -> Ways {
    let nanoseconds = vec![Some(NEW_YEAR * 1_000_000_000), Some(NEW_YEAR * 1_000_000_000 + 1), Some(-1), None];
    let noon = 43_200;
    let east = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("at", Arc::new(TimestampNanosecondArray::from(nanoseconds))),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                Some(noon * 1_000_000),
                Some(noon * 1_000_000 + 500_000),
                None,
            ])),
        ),
        ("noon", Arc::new(Time32SecondArray::from(vec![Some(0), Some(43_200), Some(43_200), None]))),
    ]);
    let since = [NEW_YEAR - 86_400, NEW_YEAR, -62_135_596_800, NEW_YEAR];
    let till = [Some(NEW_YEAR), Some(FOREVER), Some(0), None];
    let west = table(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("since", Arc::new(TimestampMicrosecondArray::from_iter_values(since.map(|s| s * 1_000_000)))),
        ("till", Arc::new(TimestampMicrosecondArray::from_iter(till.map(|s| Some(s? * 1_000_000))))),
        ("ms", Arc::new(TimestampMillisecondArray::from_iter_values(since.map(|s| s * 1_000)))),
        ("s", Arc::new(TimestampSecondArray::from_iter_values(since))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_723), Some(2_932_896), Some(0), None]))),
    ]);
    Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn literals_outside_the_range_of_nanoseconds() {
    within(300, async {
        let ways = ways().await;
        let periods = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM west.samples.b WHERE {condition}"), expected).await;
        };
        ways.gives("SELECT TIMESTAMP '9999-12-31 00:00:00'", &["9999-12-31T00:00:00"]).await;
        ways.gives("SELECT CAST('0001-01-01' AS TIMESTAMP)", &["0001-01-01T00:00:00"]).await;
        ways.gives("SELECT TIMESTAMP '2024-01-01 00:00:00.123456789'", &["2024-01-01T00:00:00.123456789"]).await;
        periods("till = TIMESTAMP '9999-12-31 00:00:00'", &["2"]).await;
        periods("till = DATE '9999-12-31'", &["2"]).await;
        periods("till = '9999-12-31'", &["2"]).await;
        periods("till = day", &["1", "2", "3"]).await;
        periods("till > TIMESTAMP '9999-12-30 23:59:59.999999' AND till <= '9999-12-31'", &["2"]).await;
        periods("till IN (TIMESTAMP '9999-12-31 00:00:00', DATE '1970-01-01')", &["2", "3"]).await;
        periods("till NOT IN (TIMESTAMP '9999-12-31 00:00:00')", &["1", "3"]).await;
        periods("till BETWEEN TIMESTAMP '2024-01-01 00:00:00' AND '9999-12-31'", &["1", "2"]).await;
        periods("till > now()", &["2"]).await;
        periods("till > now() - INTERVAL '1 day' OR till IS NULL", &["2", "4"]).await;
        periods("since < TIMESTAMP '0001-01-02 00:00:00'", &["3"]).await;
        periods("CAST(day AS TIMESTAMP) = till", &["1", "2", "3"]).await;
        periods("CAST(till AS TIMESTAMP) = TIMESTAMP '9999-12-31'", &["2"]).await;
        periods("day >= TIMESTAMP '9999-12-30 12:00:00'", &["2"]).await;
        periods("day = TIMESTAMP '9999-12-31 00:00:01'", &[]).await;
        ways.gives(
            "SELECT id, coalesce(till, DATE '9999-12-31') FROM west.samples.b WHERE id > 2",
            &["3|1970-01-01T00:00:00", "4|9999-12-31T00:00:00"],
        )
        .await;
        // A timestamp converts dates to timestamps, also at midnight.
        ways.gives(
            "SELECT coalesce(day, TIMESTAMP '2024-01-01 00:00:00') + INTERVAL '12 hours' FROM west.samples.b WHERE id > 2",
            &["1970-01-01T12:00:00", "2024-01-01T12:00:00"],
        )
        .await;
        ways.gives(
            "SELECT day FROM west.samples.b WHERE id = 1 UNION ALL SELECT TIMESTAMP '2024-01-02 00:00:00'",
            &["2024-01-01T00:00:00", "2024-01-02T00:00:00"],
        )
        .await;
        ways.gives(
            "SELECT CASE WHEN id = 1 THEN day ELSE TIMESTAMP '9999-12-31 00:00:00' END FROM west.samples.b WHERE id < 3",
            &["2024-01-01T00:00:00", "9999-12-31T00:00:00"],
        )
        .await;
        ways.gives(
            "SELECT coalesce(nullif(s, s), TIMESTAMP '2024-01-01 00:00:00') + INTERVAL '1 millisecond' FROM west.samples.b
             WHERE id = 1",
            &["2024-01-01T00:00:00.001"],
        )
        .await;
        ways.gives("SELECT DATE '9999-12-31' INTERSECT SELECT till FROM west.samples.b", &["9999-12-31T00:00:00"])
            .await;
        ways.gives(
            "SELECT day FROM west.samples.b EXCEPT SELECT till FROM west.samples.b WHERE id > 1",
            &["2024-01-01T00:00:00"],
        )
        .await;
        ways.gives(
            "SELECT CASE WHEN till IS NULL THEN TIMESTAMP '9999-12-31 00:00:00' ELSE till END FROM west.samples.b
             WHERE id > 2",
            &["1970-01-01T00:00:00", "9999-12-31T00:00:00"],
        )
        .await;
        ways.gives(
            "SELECT till FROM west.samples.b WHERE id = 2 UNION ALL SELECT DATE '9999-12-30'",
            &["9999-12-31T00:00:00", "9999-12-30T00:00:00"],
        )
        .await;
        ways.gives(
            "SELECT max(till) FROM west.samples.b HAVING max(till) > DATE '9999-01-01'",
            &["9999-12-31T00:00:00"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_compare_exactly() {
    within(300, async {
        let ways = ways().await;
        let events = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        };
        events("at < TIMESTAMP '9999-12-31 00:00:00'", &["1", "2", "3"]).await;
        events("at > TIMESTAMP '0001-01-01 00:00:00'", &["1", "2", "3"]).await;
        events("at < DATE '9999-12-31' AND at >= DATE '2024-01-01'", &["1", "2"]).await;
        events("at <> '9999-12-31'", &["1", "2", "3"]).await;
        events("at = TIMESTAMP '2024-01-01 00:00:00'", &["1"]).await;
        events("at = TIMESTAMP '2024-01-01 00:00:00.000000001'", &["2"]).await;
        // Truncated to microseconds, one nanosecond past the bound would be within it, and one nanosecond before 1970
        // would be 1970.
        events("at BETWEEN TIMESTAMP '2024-01-01 00:00:00' AND TIMESTAMP '9999-12-31 00:00:00'", &["1", "2"]).await;
        events("at BETWEEN TIMESTAMP '0001-01-01 00:00:00' AND TIMESTAMP '2024-01-01 00:00:00'", &["1", "3"]).await;
        events("at IN (TIMESTAMP '1970-01-01 00:00:00', TIMESTAMP '9999-12-31 00:00:00')", &[]).await;
        let join = "SELECT a.id, b.id FROM east.samples.a JOIN west.samples.b ON";
        // Event 1 is in [since, till) of the second period, and of the fourth if that is open. Event 3 is in the third.
        ways.gives(&format!("{join} a.at >= b.since AND a.at < b.till"), &["1|2", "2|2", "3|3"]).await;
        ways.gives(&format!("{join} a.at >= b.since AND a.at < coalesce(b.till, DATE '9999-12-31')"), &[
            "1|2", "2|2", "3|3", "1|4", "2|4",
        ])
        .await;
        ways.gives(&format!("{join} a.at = b.since"), &["1|2", "1|4"]).await;
        ways.gives(&format!("{join} a.at = b.till"), &["1|1"]).await;
        ways.gives(&format!("{join} a.at = b.ms"), &["1|2", "1|4"]).await;
        ways.gives(&format!("{join} a.at <= b.s AND b.id = 2"), &["1|2", "3|2"]).await;
        ways.gives(&format!("{join} a.at < b.day AND b.id = 1"), &["3|1"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE since = s AND ms = since AND s <= day", &["1", "2", "3"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE at IN (SELECT since FROM west.samples.b)", &["1"]).await;
        ways.gives(
            "SELECT id FROM west.samples.b WHERE since < TIMESTAMP '2024-01-01 00:00:00.000000001' AND id <> 3",
            &["1", "2", "4"],
        )
        .await;
        ways.gives("SELECT id FROM west.samples.b WHERE since = TIMESTAMP '2024-01-01 00:00:00.000000001'", &[]).await;
        ways.gives(
            "SELECT id FROM west.samples.b WHERE CAST(since AS TIMESTAMP(9)) = TIMESTAMP '2024-01-01 00:00:00.000000001'
             AND id <> 3",
            &[],
        )
        .await;
        ways.refuses(
            "SELECT coalesce(at, TIMESTAMP '9999-12-31 00:00:00') FROM east.samples.a",
            ErrorKind::InvalidQuery,
            &["outside of the years 1677 to 2262", "TIMESTAMP(6)"],
        )
        .await;
        ways.gives(
            "SELECT coalesce(CAST(at AS TIMESTAMP(6)), TIMESTAMP '9999-12-31 00:00:00') FROM east.samples.a WHERE id > 3",
            &["9999-12-31T00:00:00"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_compare_with_times() {
    within(300, async {
        let ways = ways().await;
        let events = async |condition: &str, expected: &[&str]| {
            ways.gives(&format!("SELECT id FROM east.samples.a WHERE {condition}"), expected).await;
        };
        events("time > TIME '12:00:00'", &["3"]).await;
        events("time >= TIME '12:00:00'", &["2", "3"]).await;
        events("time = TIME '12:00:00.5'", &["3"]).await;
        events("time IN (TIME '00:00:00', TIME '12:00:00.500001')", &["1"]).await;
        events("noon < TIME '12:00:00.5'", &["1", "2", "3"]).await;
        events("noon = TIME '12:00:00'", &["2", "3"]).await;
        events("noon = time", &["1", "2"]).await;
        events("time BETWEEN '00:00:01' AND TIME '12:00:00.25'", &["2"]).await;
        ways.gives(
            "SELECT CASE WHEN time IS NULL THEN TIME '23:59:59' ELSE time END FROM east.samples.a",
            &["00:00:00", "12:00:00", "12:00:00.500", "23:59:59"],
        )
        .await;
        ways.gives(
            "SELECT noon FROM east.samples.a WHERE id = 2 UNION ALL SELECT time FROM east.samples.a WHERE id = 3",
            &["12:00:00", "12:00:00.500"],
        )
        .await;
    })
    .await;
}

/// A date keeps the hours that an interval adds to it. With only days, it stays a date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_keep_the_hours_of_an_interval() {
    within(300, async {
        let ways = ways().await;
        ways.gives(
            "SELECT DATE '2024-01-01' + INTERVAL '12 hours', DATE '2024-01-01' - INTERVAL '1 hour', \
             INTERVAL '1 day 6 hours' + DATE '2024-01-01'",
            &["2024-01-01T12:00:00|2023-12-31T23:00:00|2024-01-02T06:00:00"],
        )
        .await;
        ways.gives(
            "SELECT DATE '2024-01-31' + INTERVAL '1 month', DATE '2024-01-01' - INTERVAL '7 days', \
             DATE '2024-01-01' + INTERVAL '24 hours'",
            &["2024-02-29|2023-12-25|2024-01-02"],
        )
        .await;
        // The days are new year, 9999-12-31, 1970-01-01 and NULL.
        ways.gives(
            "SELECT id, day + INTERVAL '90 minutes' FROM west.samples.b",
            &["1|2024-01-01T01:30:00", "2|9999-12-31T01:30:00", "3|1970-01-01T01:30:00", "4|NULL"],
        )
        .await;
        ways.gives(
            "SELECT id FROM west.samples.b WHERE TIMESTAMP '2024-01-01 05:00:00' BETWEEN day AND day + INTERVAL '6 hours'",
            &["1"],
        )
        .await;
        ways.gives("SELECT id FROM west.samples.b WHERE day + INTERVAL '1 hour' > till", &["1", "2", "3"]).await;
        ways.gives("SELECT id FROM west.samples.b WHERE day + INTERVAL '1 day' > till", &["1", "2", "3"]).await;
        ways.gives(
            "SELECT day + hours FROM west.samples.b, (VALUES (INTERVAL '2 hours')) t(hours) WHERE id = 3",
            &["1970-01-01T02:00:00"],
        )
        .await;
    })
    .await;
}

/// Writes timestamps as Spark and Hive do: the Julian day, and the nanoseconds of the day.
fn write_int96(file: &Path, timestamps: &[Option<(u32, u64)>]) {
    let schema = Arc::new(parse_message_type("message m { optional int96 at; }").unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(File::create(file).unwrap(), schema, properties).unwrap();
    let values: Vec<Int96> = timestamps
        .iter()
        .flatten()
        .map(|(day, nanoseconds)| Int96::from(vec![*nanoseconds as u32, (*nanoseconds >> 32) as u32, *day]))
        .collect();
    let levels: Vec<i16> = timestamps.iter().map(|timestamp| i16::from(timestamp.is_some())).collect();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn int96_holds_every_year() {
    within(300, async {
        /// The Julian days of 1970-01-01, 9999-12-31, 0001-01-01 and 2024-01-01.
        const DAYS: [u32; 4] = [2_440_588, 5_373_484, 1_721_426, 2_460_311];
        let mut folders = Folders::new();
        let east = folders.port("east", "a", "parquet", &[("at", "timestamp")]);
        let west = folders.port("west", "b", "parquet", &[("at", "timestamp")]);
        let [epoch, forever, first, new_year] = DAYS;
        // The timestamp of 2024 has nine digits after the second. Portolan truncates them to six, as Spark and DuckDB
        // do.
        let values = [
            Some((forever, 0)),
            Some((first, 43_200_000_000_000)),
            None,
            Some((new_year, 123_456_789)),
            Some((epoch, 0)),
        ];
        write_int96(&east.join("1.parquet"), &values);
        write_int96(&west.join("1.parquet"), &values[..2]);
        let ways = folders.start().await.unwrap();
        ways.gives(
            "SELECT at FROM east.samples.a",
            &[
                "9999-12-31T00:00:00",
                "0001-01-01T12:00:00",
                "NULL",
                "2024-01-01T00:00:00.123456",
                "1970-01-01T00:00:00",
            ],
        )
        .await;
        ways.gives("SELECT at FROM east.samples.a WHERE at > now()", &["9999-12-31T00:00:00"]).await;
        ways.gives("SELECT at FROM east.samples.a WHERE at < DATE '1000-01-01'", &["0001-01-01T12:00:00"]).await;
        ways.gives("SELECT count(*) FROM east.samples.a WHERE at = TIMESTAMP '2024-01-01 00:00:00.123456'", &["1"])
            .await;
        ways.gives(
            "SELECT min(at), max(at), count(at), count(*) FROM east.samples.a",
            &["0001-01-01T12:00:00|9999-12-31T00:00:00|4|5"],
        )
        .await;
        ways.gives(
            "SELECT a.at FROM east.samples.a AS a JOIN west.samples.b AS b ON a.at = b.at",
            &["9999-12-31T00:00:00", "0001-01-01T12:00:00"],
        )
        .await;
        // A file of another writer that comes later has microseconds, too.
        let micros = table(vec![("at", Arc::new(TimestampMicrosecondArray::from(vec![FOREVER * 1_000_000])))]);
        write_parquet(&west.join("2.parquet"), &micros);
        ways.gives(
            "SELECT at, count(*) FROM west.samples.b GROUP BY at",
            &["9999-12-31T00:00:00|2", "0001-01-01T12:00:00|1"],
        )
        .await;
    })
    .await;
}
